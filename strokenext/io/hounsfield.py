"""Whether numbers that nothing or something wrong explains are Hounsfield units, told from air, brain and bone.

The evidence is meant to be strict: air about -1000, a peak of brain between 15 and 48 HU, bone above. A scale is
taken only when it is the only one that gives all three; a brain 24 HU off would be another answer.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from strokenext.types import Caution

#: What writers add to HU to store them unsigned.
OFFSETS = (0.0, 1024.0, 1000.0, 8192.0, 32768.0)
#: HU between which the commonest value of brain lies, noise and contrast of scanners included.
_BRAIN = (15.0, 48.0)
Values = NDArray[Any]


@dataclass(frozen=True)
class Scale:
    """What has to be added to values for HU, and whether their range was cut."""

    add: float
    clipped: bool = False


def no_hu(sentence: str) -> Caution:
    """The caution of grey levels."""
    return Caution("no-hu", sentence)


CLIPPED = Caution("clipped", "The HU of this image were cut to a narrower range before it was saved.")
INFERRED = Caution("hu-inferred", "The scale of the HU was told from air, brain and bone in the image itself.")


def brain_level(hu: Values) -> float | None:
    """The commonest HU of soft tissue; None without a clear peak of it."""
    counts, edges = np.histogram(hu, bins=80, range=(-60.0, 100.0))
    # the ends of the range are where cut values pile up, which are no tissue
    smooth = np.convolve(counts, np.ones(5) / 5, mode="same")
    if counts.sum() < 0.03 * hu.size:
        return None
    peak = int(np.argmax(smooth[3:-3])) + 3
    return float((edges[peak] + edges[peak + 1]) / 2)


def is_head(hu: Values) -> bool:
    """Whether values (any shape) show air, brain and bone where HU have them."""
    air = np.mean((hu > -1100) & (hu < -850))
    tissue, denser = np.mean((hu >= 0) & (hu <= 60)), np.mean((hu > 100) & (hu <= 160))
    level = brain_level(hu)
    there = air > 0.02 and tissue > 0.04 and tissue > 2 * denser and float(np.mean(hu > 250)) > 0.003
    return bool(there and level is not None and _BRAIN[0] <= level <= _BRAIN[1])


def offset(values: Values) -> float | None:
    """The one of `OFFSETS` to take from values for HU; None when none or several fit."""
    fitting = [o for o in OFFSETS if is_head(values - o)]
    return fitting[0] if len(fitting) == 1 else None


def scale(values: Values) -> Scale | None:
    """How values without any statement of a unit become HU; None when they are grey levels or unknown.

    Air may be padding (-3024, -2000, NaN left out by the caller), or cut off.
    """
    low, high = float(values.min()), float(values.max())
    soft = float(np.mean((values > -50) & (values < 120)))
    if low > -32769 and high > 250 and soft > 0.01 and float(np.mean(values < -850)) > 0.01:
        return Scale(0.0, clipped=is_cut(values))
    found = offset(values)
    if found is not None:
        return Scale(-found)
    return Scale(0.0, clipped=True) if is_clipped_head(values) else None


def is_clipped_head(values: Values) -> bool:
    """Whether values of head CT were cut to a narrower range, with the peak of brain still at its place."""
    if values.size == 0 or not is_cut(values):
        return False
    low, high = float(values.min()), float(values.max())
    inside = values[(values > low) & (values < high)]
    if not (60 < high < 3100 and low <= 0 and inside.size):
        return False
    level = brain_level(inside)
    mostly_soft = float(np.mean((inside > 0) & (inside < 60))) > 0.5 * float(np.mean(inside > 0) or 1)
    return level is not None and _BRAIN[0] <= level <= _BRAIN[1] and mostly_soft


def is_cut(values: Values) -> bool:
    """Whether values of head CT pile up at the ends of a range narrower than that of air to bone."""
    low, high = values.min(), values.max()
    below = bool(low > -850 and np.mean(values == low) > 0.05)
    above = bool(high < 1000 and np.mean(values == high) > 0.005)
    return below or above
