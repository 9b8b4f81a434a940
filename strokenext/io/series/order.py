"""Feet to head: where the images of one stack lie, in which order, and what is odd about it."""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass, replace
from itertools import pairwise

import numpy as np

from strokenext.types import Caution

from .scan import Candidate

#: Two images closer than this along the normal lie at the same position, in mm.
SAME_POSITION = 0.1
_NO_POSITIONS = "The files state no usable positions"


@dataclass(frozen=True)
class Ordered:
    """A stack in order; `positions` in mm, ascending, where the files state them; `cautions` about the order."""

    images: tuple[Candidate, ...]
    positions: tuple[float, ...] | None
    notes: tuple[str, ...]
    cautions: tuple[Caution, ...]


def ordered(stack: Sequence[Candidate]) -> Ordered:
    """Feet to head by position; without positions by SliceLocation, then by number, then as the files came."""
    along = [c.along for c in stack]
    if None not in along:
        images = tuple(sorted(stack, key=lambda c: (c.along or 0.0, *number(c))))
        positions = tuple(c.along or 0.0 for c in images)
        return Ordered(images, positions, tuple(_geometry_notes(images)), _gaps(positions))
    if len(stack) == 1:
        return Ordered(tuple(stack), None, (), ())
    images, how, known = _numbered(stack)
    sentence = f"{_NO_POSITIONS}: the order is {how}, and the spacing of the slices is not known."
    return Ordered(images, None, (sentence,), (*_unknown(sentence), *_jumps(images if known else ())))


def again(stack: Ordered, kept: Sequence[int]) -> Ordered:
    """The order of what is left of a stack once some of its images are gone; `kept` are their places, ascending."""
    return stack if len(kept) == len(stack.images) else ordered([stack.images[p] for p in kept])


def number(c: Candidate) -> tuple[float, float, int, int]:
    """A sort key: by instance number, then acquisition, then frame, then as the files came."""
    instance = c.frame.instance if c.frame.instance is not None else math.inf
    return instance, c.traits.acquisition if c.traits.acquisition is not None else math.inf, c.frame.index, c.member


def placed(stack: Sequence[Candidate]) -> list[Candidate]:
    """The stack with `along` set as far as its files' positions can be believed, and None for all otherwise.

    Positions are not believed when several images have one and the same (an anonymiser's zeros). Without an orientation
    the height of the position is taken, where heights differ: the files are then read as axial.
    """
    normals = [c.frame.normal for c in stack if c.frame.normal is not None]
    normal = normals[0] if normals else _assumed(stack)
    along = [_height(c, normal) for c in stack]
    known = [a for a in along if a is not None]
    if len(stack) > 1 and len(known) > 1 and max(known) - min(known) < SAME_POSITION:
        known = []
    if len(known) < len(stack):
        return [replace(c, along=None) for c in stack]
    return [replace(c, along=a) for c, a in zip(stack, along, strict=True)]


def same_place(along: Sequence[float]) -> list[int]:
    """A number for each position, equal where positions are; a chain of neighbours closer than SAME_POSITION is one."""
    places = [0] * len(along)
    rising = sorted(range(len(along)), key=lambda i: along[i])
    for before, here in pairwise(rising):
        places[here] = places[before] + (along[here] - along[before] >= SAME_POSITION)
    return places


def spacing_notes(positions: Sequence[float]) -> list[str]:
    """Sentences about mixed spacing, gaps and overlaps of ascending positions in mm; slices count from 1."""
    regular, odd = _steps(positions)
    notes = []
    if len(regular) > 1:
        listed = " and ".join(f"{s:.1f}" for s in regular)
        notes.append(f"The slices are not evenly spaced: {listed} mm in different parts of the series.")
    return [*notes, *(sentence for sentence, _ in odd)][:20]


def _gaps(positions: Sequence[float]) -> tuple[Caution, ...]:
    """One caution about all the slices that seem to be missing."""
    missing = [(sentence, count) for sentence, count in _steps(positions)[1] if count]
    if not missing:
        return ()
    if len(missing) == 1:
        return (Caution("missing-slices", missing[0][0]),)
    count = sum(n for _, n in missing)
    return (Caution("missing-slices", f"{count} slices seem to be missing, in {len(missing)} places of the series."),)


def _steps(positions: Sequence[float]) -> tuple[list[float], list[tuple[str, int]]]:
    """The regular spacings, and of each odd step its sentence with the number of slices missing (0: an overlap)."""
    steps = [b - a for a, b in pairwise(positions)]
    if not steps:
        return [], []
    regular = _regular_steps(steps)
    odd = []
    for count, step in enumerate(steps, 1):
        if any(_alike(step, r) for r in regular):
            continue
        near = [s for s in steps[max(0, count - 2) : count + 1] if any(_alike(s, r) for r in regular)] or regular
        if step > 1.4 * max(near):
            missing = max(1, round(step / max(near)) - 1)
            what = "slice seems" if missing == 1 else "slices seem"
            between = f"between slices {count} and {count + 1} ({step:.1f} mm apart)"
            odd.append((f"{missing} {what} to be missing {between}.", missing))
        elif step < 0.6 * min(near):
            odd.append((f"Slices {count} and {count + 1} overlap: they lie {step:.1f} mm apart.", 0))
    return regular, odd


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


def _assumed(stack: Sequence[Candidate]) -> tuple[float, float, float] | None:
    """The feet-head axis, where no file states an orientation and the positions differ most along it."""
    positions = [c.frame.position for c in stack if c.frame.position is not None]
    if len(positions) < len(stack) or len(stack) < 2:
        return None
    spread = np.ptp(np.array(positions), axis=0)
    return (0.0, 0.0, 1.0) if spread[2] >= SAME_POSITION and spread[2] >= max(spread[0], spread[1]) else None


def _height(c: Candidate, normal: tuple[float, float, float] | None) -> float | None:
    """mm along the file's own normal, or along that of its stack where the file states none."""
    if c.frame.along is not None:
        return c.frame.along
    if normal is None or c.frame.position is None:
        return None
    return float(np.dot(normal, c.frame.position))


def _numbered(stack: Sequence[Candidate]) -> tuple[tuple[Candidate, ...], str, bool]:
    """The order without positions, what it comes from, and whether that is the images' own numbers."""
    locations = [c.frame.location for c in stack]
    if None not in locations and len(set(locations)) == len(stack):
        by_location = tuple(sorted(stack, key=lambda c: c.frame.location or 0.0))
        return by_location, "that of their slice locations, its direction is not known", False
    numbers = Counter((c.frame.instance, c.frame.index) for c in stack)
    images = tuple(sorted(stack, key=number))
    if len({c.member for c in stack}) == 1:
        return images, "that of the frames in the file, its direction is not known", False
    if (None, 0) not in numbers and max(numbers.values()) == 1:
        return images, "that of their numbers, its direction is not known", True
    return images, "that of the files as they were given, which may be wrong", False


def _unknown(sentence: str) -> tuple[Caution, ...]:
    return (Caution("order-unknown", sentence),)


def _jumps(images: Sequence[Candidate]) -> tuple[Caution, ...]:
    """A caution where the numbers of the images leave a few out."""
    numbers = sorted({c.frame.instance for c in images if c.frame.instance is not None and len(images) > 2})
    missing = int(numbers[-1] - numbers[0]) + 1 - len(numbers) if numbers else 0
    if not 0 < missing <= len(numbers) // 2:
        return ()  # none, or the numbers count something else
    what = "slice seems" if missing == 1 else "slices seem"
    return (Caution("missing-slices", f"{missing} {what} to be missing by the numbers of the images."),)


def _geometry_notes(images: Sequence[Candidate]) -> list[str]:
    first, notes = images[0].frame, []
    if len(images) > 1 and all(c.frame.normal is None for c in images):
        notes.append("The files state no orientation: they are taken as axial, and the sides are not known.")
    if first.normal is not None and first.tilt > 1:
        notes.append(
            f"The slices are tilted by {first.tilt:.1f} degrees (gantry tilt); positions run along their normal."
        )
    return [*notes, *spacing_notes([c.along or 0.0 for c in images])]
