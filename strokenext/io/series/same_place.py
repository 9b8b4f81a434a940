"""Several images at one position: repeats of one image, or images of several stacks under one name.

Only identical pixels are repeats. What else lies at a position twice is another reconstruction, phase or acquisition,
and is told apart by what the files state, then by how sharp the pixels are, then by the images' numbers.
"""

from __future__ import annotations

from collections import Counter, defaultdict
from collections.abc import Callable, Hashable, Iterable, Sequence
from dataclasses import dataclass, field, replace
from itertools import pairwise

from strokenext.io.dicom.kernel import KernelKind

from . import looks
from .looks import Key, Look
from .order import number, placed, same_place
from .scan import Candidate, Failed, Scan

Stack = list[Candidate]
#: What may tell two stacks apart that share their positions, the surest first.
_TRAITS: tuple[Callable[[Candidate], Hashable], ...] = (
    lambda c: c.traits.phase,
    lambda c: c.traits.energy,
    lambda c: c.frame.header.slice_thickness,
    lambda c: c.traits.image_type,
    lambda c: c.traits.agent,
    lambda c: c.traits.description,
    lambda c: c.frame.windows[:1],
    lambda c: c.traits.acquisition,
    lambda c: c.traits.time,
    lambda c: c.traits.reference,
)


@dataclass
class Resolved:
    """Stacks with one image at each position; the repeats of images in them; files that could not be decoded."""

    stacks: list[Stack] = field(default_factory=list)
    repeats: list[Candidate] = field(default_factory=list)
    failed: list[Failed] = field(default_factory=list)


def resolve(found: Scan, stack: Stack) -> Resolved:
    """The stacks within one that was told apart by what its files state."""
    result = Resolved()
    distinct = _distinct(found, stack, result)
    if distinct:
        _separate(found, placed(distinct), result)
    return result


def _distinct(found: Scan, stack: Stack, result: Resolved) -> Stack:
    """The stack without repeats, and without files that are damaged copies of another."""
    crowded = [c for group in _crowds(stack) for c in group]
    gone = _repeats(crowded, looks.stored(found, crowded) if crowded else {}, result)
    copies = _copies([c for c in crowded if looks.key(c) not in gone])
    seen, failed = looks.decoded(found, copies)
    gone |= _drop_failed(copies, failed, result)
    gone |= _repeats([c for c in copies if looks.key(c) in seen], {k: v.digest for k, v in seen.items()}, result)
    return [c for c in stack if looks.key(c) not in gone]


def _separate(found: Scan, stack: Stack, result: Resolved) -> None:
    """Add to the result the stacks in which no position holds two images."""
    unplaced = any(c.along is None for c in stack)
    if not _crowds(stack) or (unplaced and len(_places(stack)) == 1):  # one number for all is no number
        result.stacks.append(stack)
        return
    parts = _by_trait(stack) or _by_pixels(found, stack, result)
    if len(parts) < 2:
        result.stacks += parts
        return
    for part in parts:
        _separate(found, placed(part) if unplaced else part, result)


def _crowds(stack: Sequence[Candidate]) -> list[Stack]:
    """The images that share a position, or without positions a number, with another one."""
    return [group for group in _places(stack) if len(group) > 1]


def _places(stack: Sequence[Candidate]) -> list[Stack]:
    along = [c.along for c in stack]
    known = [a for a in along if a is not None]
    keys: Iterable[Hashable]
    if stack and len(known) == len(stack):
        keys = same_place(known)
    else:
        # frames of one file are numbered by the file; images without any number may all be one and the same
        keys = [(c.frame.instance, c.frame.index) for c in stack]
    groups: dict[Hashable, Stack] = defaultdict(list)
    for c, where in zip(stack, keys, strict=True):
        groups[where].append(c)
    return list(groups.values())


def _depth(stack: Sequence[Candidate]) -> int:
    """The most images at one position."""
    return max(len(group) for group in _places(stack))


def _excess(stack: Sequence[Candidate]) -> int:
    """How many images have no position of their own."""
    return len(stack) - len(_places(stack))


def _by_trait(stack: Stack) -> list[Stack]:
    """The stack by the trait that leaves the fewest images at a position of another; empty when none helps.

    A trait with more values than a position has images counts something else: acquisitions of single slices.
    """
    best: tuple[int, list[Stack]] = (_excess(stack), [])
    for trait in _TRAITS:
        parts = _grouped(stack, trait)
        left = sum(_excess(part) for part in parts)
        if 2 <= len(parts) <= _depth(stack) and left < best[0]:
            best = left, parts
    return best[1]


def _by_pixels(found: Scan, stack: Stack, result: Resolved) -> list[Stack]:
    """The stack by sharpness where it differs at most positions, else by runs of the numbers, else by their order."""
    crowded = [c for group in _crowds(stack) for c in group]
    seen, failed = looks.decoded(found, crowded)
    gone = _drop_failed(crowded, failed, result)
    gone |= _repeats([c for c in crowded if looks.key(c) in seen], {k: v.digest for k, v in seen.items()}, result)
    left = [c for c in stack if looks.key(c) not in gone]
    if not left or not _crowds(left):
        return [left] if left else []
    return _by_sharpness(left, seen) or _by_runs(left) or _by_rank(left, number)


def _by_sharpness(stack: Stack, seen: dict[Key, Look]) -> list[Stack]:
    """Stacks from the softest to the sharpest; empty unless nine of ten crowded positions show the same difference."""
    crowds = _crowds(stack)
    if any(looks.key(c) not in seen for group in crowds for c in group):
        return []
    told = [sorted(s) for g in crowds if len(s := [v for c in g if (v := seen[looks.key(c)].sharpness)]) == len(g)]
    apart = [all(b >= looks.OTHER_KERNEL * a for a, b in pairwise(s)) for s in told]
    if not apart or sum(apart) < 0.9 * len(apart) or 2 * len(told) < len(crowds):
        return []
    ranked = _by_rank(stack, lambda c: (seen[looks.key(c)].sharpness or 0.0) if looks.key(c) in seen else 0.0)
    return [[_as_kernel(c, "bone" if rank else "soft") for c in part] for rank, part in enumerate(ranked)]


def _as_kernel(c: Candidate, kernel: KernelKind) -> Candidate:
    """The image with the kind of kernel that its pixels show, where its file names none."""
    return c if c.traits.kernel != "unknown" else replace(c, traits=replace(c.traits, kernel=kernel))


def _by_runs(stack: Stack) -> list[Stack]:
    """Stacks that follow each other in the images' numbers, each through all positions; empty when they do not."""
    if any(c.frame.instance is None or c.along is None for c in stack):
        return []
    rising = sorted(stack, key=number)
    steps = [(b.along or 0.0) - (a.along or 0.0) for a, b in pairwise(rising)]
    direction = 1.0 if sum(s > 0 for s in steps) >= sum(s < 0 for s in steps) else -1.0
    runs: list[Stack] = [[rising[0]]]
    for c, step in zip(rising[1:], steps, strict=True):
        if step * direction <= 0:
            runs.append([])
        runs[-1].append(c)
    return runs if 2 <= len(runs) <= _depth(stack) and not any(_excess(run) for run in runs) else []


def _by_rank(stack: Stack, order: Callable[[Candidate], object]) -> list[Stack]:
    """The first of every position, the second of every position, and so on."""
    ranked: dict[int, Stack] = defaultdict(list)
    for group in _places(stack):
        for rank, c in enumerate(sorted(group, key=order)):  # type: ignore[arg-type]
            ranked[rank].append(c)
    return [ranked[rank] for rank in sorted(ranked)]


def _repeats(images: Sequence[Candidate], digests: dict[Key, str], result: Resolved) -> set[Key]:
    """Of images with the same pixels at the same place all but the first, which are noted as repeats."""
    gone: set[Key] = set()
    for group in _places(images) if images else ():
        firsts: set[str] = set()
        for c in sorted(group, key=number):
            digest = digests.get(looks.key(c))
            if digest in firsts:
                gone.add(looks.key(c))
                result.repeats.append(c)
            elif digest is not None:
                firsts.add(digest)
    return gone


def _copies(images: Sequence[Candidate]) -> Stack:
    """Images at one place that claim to be the same one, or claim nothing."""
    copies: Stack = []
    for group in _places(images) if images else ():
        names = Counter((c.traits.image, c.frame.index) for c in group)
        copies += [c for c in group if names[c.traits.image, c.frame.index] > 1]
    return copies


def _drop_failed(images: Sequence[Candidate], failed: Sequence[Failed], result: Resolved) -> set[Key]:
    result.failed += failed
    broken = {f.member for f in failed}
    return {looks.key(c) for c in images if c.member in broken}


def _grouped(stack: Stack, trait: Callable[[Candidate], Hashable]) -> list[Stack]:
    groups: dict[Hashable, Stack] = defaultdict(list)
    for c in stack:
        groups[trait(c)].append(c)
    return list(groups.values())
