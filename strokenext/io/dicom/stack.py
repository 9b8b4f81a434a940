"""The order of a DICOM series: which images form it, where they lie, and what is odd about it."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Hashable, Iterable, Sequence
from dataclasses import dataclass, replace
from itertools import pairwise

from strokenext.types import LeftOut

from .header import Frame

#: Two images closer than this along the normal lie at the same position, in mm.
SAME_POSITION = 0.02


@dataclass(frozen=True)
class Candidate:
    """One frame of one file of the series; `member` is the file's index, `name` its base name."""

    member: int
    name: str
    frame: Frame


@dataclass(frozen=True)
class Choice:
    """The images to decode, in order, what was left out of them and what to tell the reader."""

    chosen: tuple[Candidate, ...]
    left_out: tuple[LeftOut, ...]
    notes: tuple[str, ...]


def choose(candidates: Sequence[Candidate], *, strict: bool) -> Choice:
    """The largest group of axial CT images that share series, orientation and size, ordered feet to head.

    Not strict, for one file given on its own: when none is axial CT, whatever the file holds is taken.
    """
    fit = [c for c in candidates if c.frame.unfit is None]
    clear = [c for c in fit if _is_clear(c.frame)]
    pool = clear or fit or ([] if strict else list(candidates))
    if not pool:
        return Choice((), tuple(LeftOut(c.name, c.frame.unfit or "") for c in candidates), ())
    groups = _groups(pool)
    best = _positioned(max(groups, key=_preference))
    kept, repeats = _without_repeats(_ordered(best))
    taken = {(c.member, c.frame.index) for c in best}
    others = [c for c in candidates if (c.member, c.frame.index) not in taken]
    sizes = {id(c): len(group) for group in groups for c in group}
    left_out = [LeftOut(c.name, c.frame.unfit or _other_series(c, sizes)) for c in others]
    left_out += [LeftOut(c.name, reason) for c, reason in repeats]
    notes = _group_notes(kept, len(groups), len(repeats), {c.frame.series[0] for c in candidates})
    return Choice(tuple(kept), tuple(left_out), tuple(notes))


def spacing_notes(positions: Sequence[float]) -> list[str]:
    """Sentences about mixed spacing, gaps and overlaps of ascending positions in mm; slices count from 1."""
    steps = [b - a for a, b in pairwise(positions)]
    if not steps:
        return []
    regular = _regular_steps(steps)
    notes = []
    if len(regular) > 1:
        listed = " and ".join(f"{s:.1f}" for s in regular)
        notes.append(f"The slices are not evenly spaced: {listed} mm in different parts of the series.")
    for number, step in enumerate(steps, 1):
        if any(_alike(step, r) for r in regular):
            continue
        near = [s for s in steps[max(0, number - 2) : number + 1] if any(_alike(s, r) for r in regular)] or regular
        if step > 1.4 * max(near):
            missing = max(1, round(step / max(near)) - 1)
            what = "slice seems" if missing == 1 else "slices seem"
            between = f"between slices {number} and {number + 1} ({step:.1f} mm apart)"
            notes.append(f"{missing} {what} to be missing {between}.")
        elif step < 0.6 * min(near):
            notes.append(f"Slices {number} and {number + 1} overlap: they lie {step:.1f} mm apart.")
    return notes[:20]


def _alike(step: float, other: float) -> bool:
    """Equal within 5 % and the rounding of positions to a tenth of a millimetre."""
    return abs(step - other) <= 0.05 * other + 0.1


def _regular_steps(steps: Sequence[float]) -> list[float]:
    """Spacings that hold at least twice in a row; when none does, the one that most others equal (the least of these).

    A missing slice widens a single step, so a run tells a change of spacing from a gap.
    """
    runs = [a for a, b in pairwise(steps) if _alike(b, a)]
    if not runs:
        return [min(steps, key=lambda s: (-sum(_alike(o, s) for o in steps), s))]
    regular: list[float] = []
    for step in runs:
        if not any(_alike(step, r) for r in regular):
            regular.append(step)
    return regular


def _is_clear(frame: Frame) -> bool:
    """Stated as an axial CT image with a position, and nothing speaks against it."""
    header = frame.header
    stated = header.modality == "CT" and header.axial is True and frame.along is not None
    return stated and header.scope_problem is None and not frame.secondary_capture


def _groups(pool: Iterable[Candidate]) -> list[list[Candidate]]:
    """Images of one series, orientation and size; one file's frames stay together when no series is named."""
    groups: dict[Hashable, list[Candidate]] = defaultdict(list)
    for c in pool:
        f = c.frame
        turned = None if f.cosines is None else tuple(round(v, 1) for v in f.cosines)
        finer = None if f.spacing is None else tuple(round(s, 2) for s in f.spacing)
        groups[f.series, turned, f.rows, f.columns, finer].append(c)
    return list(groups.values())


def _preference(group: list[Candidate]) -> tuple[int, float]:
    """More positions first; between equals the narrower window, which marks the soft-tissue reconstruction."""
    places = {round(c.frame.along / SAME_POSITION) if c.frame.along is not None else id(c) for c in group}
    windows = group[0].frame.windows
    return len(places), -(windows[0].width if windows else 1e6)


def _positioned(group: list[Candidate]) -> list[Candidate]:
    """The group without its positions when they are one and the same although the images are numbered apart.

    Some anonymisers overwrite positions; without this all images but one would count as repeats.
    """
    places = [c.frame.along for c in group]
    apart = len({c.frame.instance for c in group}) == len(group) > 2
    if apart and None not in places and len(set(places)) == 1:
        return [replace(c, frame=replace(c.frame, position=None)) for c in group]
    return group


def _ordered(group: list[Candidate]) -> list[Candidate]:
    """Feet to head by position; without positions by SliceLocation, then InstanceNumber, then as the files came."""

    def instance(c: Candidate) -> tuple[float, int]:
        return (c.frame.instance if c.frame.instance is not None else float("inf")), c.frame.index

    if all(c.frame.along is not None for c in group):
        return sorted(group, key=lambda c: (c.frame.along or 0.0, *instance(c)))
    locations = [c.frame.location for c in group]
    if None not in locations and len(set(locations)) == len(group):
        return sorted(group, key=lambda c: c.frame.location or 0.0)
    return sorted(group, key=instance)


def _without_repeats(ordered: list[Candidate]) -> tuple[list[Candidate], list[tuple[Candidate, str]]]:
    """The first image at each position, and the others with the reason."""
    kept: list[Candidate] = []
    repeats: list[tuple[Candidate, str]] = []
    for c in ordered:
        here = c.frame.along
        before = kept[-1].frame.along if kept else None
        if here is not None and before is not None and here - before < SAME_POSITION:
            repeats.append((c, "Another image lies at the same position; the first one is used."))
        else:
            kept.append(c)
    return kept, repeats


def _other_series(candidate: Candidate, sizes: dict[int, int]) -> str:
    count = sizes.get(id(candidate))
    if count is None:
        return "It states no position or is a secondary capture, unlike the series that is used."
    images = "1 image" if count == 1 else f"{count} images"
    return f"It belongs to another series or orientation ({images}); the largest one is used."


def _group_notes(kept: list[Candidate], groups: int, repeats: int, studies: set[str]) -> list[str]:
    notes = []
    if len(studies) > 1:
        notes.append(f"The files belong to {len(studies)} studies; only the largest series of one was read.")
    if groups > 1:
        notes.append(f"There are {groups} series or orientations here; the largest was read.")
    if repeats:
        several = "images lie" if repeats > 1 else "image lies"
        notes.append(f"{repeats} {several} at a position that another image has; left out as repeats.")
    if len(kept) > 1 and kept[0].frame.along is None:
        notes.append(
            "The files state no usable positions: the order is that of their numbers, its direction is not known."
        )
    if kept[0].frame.along is not None and kept[0].frame.tilt > 1:
        tilt = kept[0].frame.tilt
        notes.append(f"The slices are tilted by {tilt:.1f} degrees (gantry tilt); positions run along their normal.")
    return notes
