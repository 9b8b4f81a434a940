"""Images to stacks by what their files state: patient, study, series, kernel, contrast, size, orientation, spacing.

Numbers are compared with a tolerance and joined in chains, so that neither rounding nor the order of the files decides.
"""

from __future__ import annotations

from collections import Counter, defaultdict
from collections.abc import Callable, Hashable, Sequence
from dataclasses import replace
from itertools import combinations

import numpy as np
from numpy.typing import NDArray

from strokenext.io.dicom.kernel import KernelKind

from .order import placed
from .scan import Candidate

#: Cosines of one orientation differ by less (half a degree), and pixel spacings of one series by less than 1 %.
SAME_DIRECTION, SAME_SPACING = 0.009, 0.01
#: Thickness of one reconstruction differs by less than 10 %, the tube voltage of one acquisition by less than 5 kV.
SAME_THICKNESS, SAME_ENERGY = 0.1, 5.0
Stack = list[Candidate]


def stacks(candidates: Sequence[Candidate]) -> list[Stack]:
    """Images that share everything that one reconstruction shares; `along` of each is set where it can be believed."""
    split: list[Stack] = []
    for same in _by(_identity, _with_kernels(candidates)):
        for sized in _by_direction(same):
            split += [part for group in _by_spacing(sized) for part in _by_place(group)]
    return [part for stack in split for part in _interleaved(placed(stack))]


def clusters(points: NDArray[np.float64], tolerance: float) -> list[int]:
    """A label for each of (N, K) points: equal for points that a chain of neighbours joins, each within `tolerance`.

    Labels count from 0 in the order of the points.
    """
    unique, inverse = np.unique(np.round(points, 6), axis=0, return_inverse=True)
    labels = np.full(len(unique), -1)
    for start in range(len(unique)):
        if labels[start] >= 0:
            continue
        labels[start] = start
        waiting = [start]
        while waiting:
            near = np.abs(unique - unique[waiting.pop()]).max(axis=1) <= tolerance
            new = np.flatnonzero(near & (labels < 0))
            labels[new] = start
            waiting.extend(new.tolist())
    found = labels[inverse.ravel()]
    first = {label: place for place, label in enumerate(dict.fromkeys(found.tolist()))}
    return [first[label] for label in found.tolist()]


def _by(key: Callable[[Candidate], Hashable], candidates: Sequence[Candidate]) -> list[Stack]:
    groups: dict[Hashable, Stack] = defaultdict(list)
    for c in candidates:
        groups[key(c)].append(c)
    return list(groups.values())


def _identity(c: Candidate) -> Hashable:
    """What is equal or not. Without a series' identifier the frame of reference stands for it."""
    traits, frame = c.traits, c.frame
    series = (traits.study, traits.series or ("reference", traits.reference))
    kind = (frame.unfit, frame.header.modality, frame.secondary_capture, frame.rows, frame.columns)
    return series, kind, traits.reconstruction, traits.contrast is True


def _with_kernels(candidates: Sequence[Candidate]) -> list[Candidate]:
    """The images, those without a kernel's name put to the only kernel that their series names."""
    named: dict[Hashable, Counter[tuple[str, KernelKind]]] = defaultdict(Counter)
    for c in candidates:
        if c.traits.reconstruction:
            named[c.traits.study, c.traits.series][c.traits.reconstruction, c.traits.kernel] += 1

    def with_kernel(c: Candidate) -> Candidate:
        own = named[c.traits.study, c.traits.series]
        if c.traits.reconstruction or len(own) != 1:
            return c
        ((reconstruction, kernel),) = own
        return replace(c, traits=replace(c.traits, reconstruction=reconstruction, kernel=kernel))

    return [with_kernel(c) for c in candidates]


def _by_direction(stack: Stack) -> list[Stack]:
    """Images of one orientation. Those that state none go to the only one there is."""
    stated = [c for c in stack if c.frame.cosines is not None]
    labels = clusters(np.array([c.frame.cosines for c in stated], dtype=np.float64), SAME_DIRECTION) if stated else []
    by_label = _labelled(stated, labels)
    silent = [c for c in stack if c.frame.cosines is None]
    if silent and len(by_label) == 1:
        return [stack]
    return [*by_label, *([silent] if silent else [])]


def _by_spacing(stack: Stack) -> list[Stack]:
    """Images of one pixel spacing; one that states none goes to the only one there is."""
    stated = [c for c in stack if c.frame.spacing is not None]
    if not stated:
        return [stack]
    points = np.log(np.array([c.frame.spacing for c in stated], dtype=np.float64))
    parts = _labelled(stated, clusters(points, SAME_SPACING))
    silent = [c for c in stack if c.frame.spacing is None]
    if silent and len(parts) == 1:
        return [stack]
    return [*parts, *([silent] if silent else [])]


def _by_place(stack: Stack) -> list[Stack]:
    """A few images without a position apart from many with one: they would cost the stack its order."""
    silent = [c for c in stack if c.frame.position is None]
    if not silent or 2 * len(silent) >= len(stack):
        return [stack]
    return [[c for c in stack if c.frame.position is not None], silent]


def _interleaved(stack: Stack) -> list[Stack]:
    """A stack whose images of another thickness or tube voltage lie between each other is two or more.

    Of a series that is thin at the base and thick above, the parts lie beside each other and stay together.
    """
    for value, tolerance in ((_thickness, SAME_THICKNESS), (_energy, SAME_ENERGY)):
        stated = [c for c in stack if value(c) is not None]
        if len(stated) < len(stack):
            continue
        parts = _labelled(stack, clusters(np.array([[value(c)] for c in stack], dtype=np.float64), tolerance))
        if len(parts) > 1 and any(_overlap(a, b) for a, b in combinations(parts, 2)):
            return [finer for part in parts for finer in _interleaved(placed(part))]
    return [stack]


def _thickness(c: Candidate) -> float | None:
    thickness = c.frame.header.slice_thickness
    return None if thickness is None else float(np.log(thickness))


def _energy(c: Candidate) -> float | None:
    return c.traits.energy


def _overlap(one: Stack, other: Stack) -> bool:
    """Whether two parts of a stack cover the same ground by more than a step of either."""
    spans = [_span(part) for part in (one, other)]
    if None in spans or min(len(one), len(other)) < 2:
        return False
    (low, high, step), (other_low, other_high, other_step) = (s for s in spans if s is not None)
    return min(high, other_high) - max(low, other_low) > 1.5 * min(step, other_step)


def _span(part: Stack) -> tuple[float, float, float] | None:
    """Lowest, highest and typical step, of positions or else of the images' numbers."""
    along = [c.along if c.along is not None else c.frame.instance for c in part]
    known = sorted(a for a in along if a is not None)
    if len(known) < len(part):
        return None
    return known[0], known[-1], float(np.median(np.diff(known))) if len(known) > 1 else 0.0


def _labelled(stack: Sequence[Candidate], labels: Sequence[int]) -> list[Stack]:
    parts: dict[int, Stack] = defaultdict(list)
    for c, label in zip(stack, labels, strict=True):
        parts[label].append(c)
    return list(parts.values())
