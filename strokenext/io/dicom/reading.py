"""How the stored values of a series become HU: as its tags state, mended where the pixels contradict them, or not.

Decided once for a series, on a slice of its middle: an image of air alone shows no contradiction.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray
from pydicom.dataset import Dataset

from strokenext.io import hounsfield
from strokenext.types import BoolArray

from .frames.layout import Layout
from .header import Frame

#: Slopes and intercepts beyond these are not those of a CT scanner.
MAX_SLOPE, MAX_INTERCEPT = 1000.0, 100_000.0
#: Rescale types that mean HU on a CT image; US is "unspecified".
_HOUNSFIELD = ("", "HU", "US", "UNSPECIFIED", "HOUNSFIELD", "HOUNSFIELD UNIT", "HOUNSFIELD UNITS")
#: HU above which the rim of an image cannot be air, and below which some of a head CT always is.
_BRIGHT_RIM, _AIR_BELOW = 300.0, -500.0
_PICTURE = "No HU: this CT file holds a picture of 256 grey levels that somebody windowed, not HU."
_INCOMPLETE = "No HU: this CT file states no rescale slope and intercept."
_SENSELESS = "No HU: the rescale slope and intercept of this file make no sense."
_MENDED = "The stored values contradict the rescale tags of this file; {}. Air, brain and bone are where HU have them."

Stored = NDArray[Any]


@dataclass(frozen=True)
class Reading:
    """`problem` says why there are no HU; `intercept` replaces the stated one; `wrapped` values were once signed."""

    problem: str | None = None
    slope: float | None = None
    intercept: float | None = None
    wrapped: bool = False
    note: str = ""

    @property
    def inferred(self) -> bool:
        """Whether the pixels, not the tags, gave the scale."""
        return self.wrapped or self.intercept is not None


def decide(stored: Stored, ds: Dataset, facts: Frame, layout: Layout, padding: BoolArray | None) -> Reading:
    """The reading of one slice: stored values (H, W), its file's tags, its padding."""
    problem = _stated_problem(ds, facts)
    if problem or ds.get("ModalityLUTSequence"):
        return Reading(problem)
    slope, intercept = facts.slope, facts.intercept
    stated = {"RescaleSlope": slope, "RescaleIntercept": intercept}
    if any(value is None and _is_present(ds, keyword) for keyword, value in stated.items()):
        return Reading(_SENSELESS)
    if slope is None and intercept is None:
        return Reading(_INCOMPLETE)
    seen = (stored if padding is None or padding.all() else stored[~padding]).astype(np.float64)
    if slope is None or intercept is None:
        return _completed(seen, slope, intercept, layout)
    if not (0 < abs(slope) <= MAX_SLOPE and abs(intercept) <= MAX_INTERCEPT):
        return Reading(_SENSELESS)
    if _is_picture(seen, slope, intercept, layout):
        return Reading(_PICTURE)
    hu = seen * slope + intercept
    if float(np.mean(hu < _AIR_BELOW)) > 0.005 and not _has_bright_rim(stored * slope + intercept, padding):
        return Reading()
    return _mended(seen, slope, intercept, layout)


def wrap(stored: Stored, layout: Layout) -> Stored:
    """Values that were signed before somebody called them unsigned: 3096 of 12 bits was -1000.

    More positive than negative ones are kept apart, because bone and metal reach further than air.
    """
    span = 2**layout.stored
    values = stored.astype(np.int64)
    return np.where(values >= span - min(span // 2, 1100), values - span, values)


def _is_present(ds: Dataset, keyword: str) -> bool:
    """Whether the element has a value, be it readable or not."""
    return keyword in ds and getattr(ds.get_item(keyword), "value", None) not in (None, "", b"")


def _stated_problem(ds: Dataset, facts: Frame) -> str | None:
    """Why the file's own statements rule HU out, in a sentence."""
    modality = facts.header.modality
    if modality != "CT":
        return f"No HU: {'the modality is ' + modality if modality else 'the file states no modality'}, not CT."
    if ds.get("ModalityLUTSequence"):
        kind = str(ds.ModalityLUTSequence[0].get("ModalityLUTType", "")).strip().upper()
        return None if kind in _HOUNSFIELD[1:] else "No HU: the file's table of values states another unit."
    if facts.rescale_type not in _HOUNSFIELD:
        return f"No HU: the file states the unit {facts.rescale_type} for its values."
    return None


def _completed(seen: Stored, slope: float | None, intercept: float | None, layout: Layout) -> Reading:
    """Slope 1 where it is absent, and the intercept that gives air, brain and bone; no HU when none does."""
    step = 1.0 if slope is None else slope
    if not 0 < abs(step) <= MAX_SLOPE or (intercept is not None and abs(intercept) > MAX_INTERCEPT):
        return Reading(_SENSELESS)
    if intercept is None:
        found = hounsfield.offset(seen * step)
        if found is None:
            return Reading(_INCOMPLETE)
        note = f"The file states no rescale intercept; {-found:.0f} puts air, brain and bone where HU have them."
        return Reading(slope=step, intercept=-found, note=note)
    if layout.stored <= 8 or not hounsfield.is_head(seen + intercept):
        return Reading(_INCOMPLETE)
    return Reading(slope=step, intercept=intercept, note="The file states no rescale slope; 1 is taken.")


def _is_picture(seen: Stored, slope: float, intercept: float, layout: Layout) -> bool:
    """Whether values 0..255 came out of a window: as HU they would not reach from air to bone."""
    if layout.signed or seen.dtype.kind not in "fui" or 255 * abs(slope) >= 1000:
        return False
    if layout.stored <= 8:
        return True
    whole = float(seen.min()) >= 0 and float(seen.max()) <= 255
    # an image of air alone stores small values too, but never reaches white
    return whole and (intercept > _AIR_BELOW or float(np.mean(seen == 255)) > 0.001)


def _has_bright_rim(hu: Stored, padding: BoolArray | None) -> bool:
    rim = np.zeros(hu.shape, bool)
    rim[[0, -1], :] = rim[:, [0, -1]] = True
    if padding is not None:
        rim &= ~padding
    return bool(rim.any()) and float(np.median(hu[rim])) > _BRIGHT_RIM


def _mended(seen: Stored, slope: float, intercept: float, layout: Layout) -> Reading:
    """Signed values in an unsigned field, or an offset that the tags leave out, when exactly that gives HU."""
    as_integers = not layout.signed and layout.stored <= 16
    candidates = [seen, wrap(seen, layout)] if as_integers else [seen]
    for wrapped, values in enumerate(candidates):
        if wrapped and hounsfield.is_head(values * slope + intercept):
            what = "they were signed once and are read as signed"
            return Reading(slope=slope, intercept=intercept, wrapped=True, note=_MENDED.format(what))
    for wrapped, values in enumerate(candidates):
        found = hounsfield.offset(values * slope)
        if found is not None and -found != intercept:
            what = f"an intercept of {-found:.0f} is taken" + (" and they are read as signed" if wrapped else "")
            return Reading(slope=slope, intercept=-found, wrapped=bool(wrapped), note=_MENDED.format(what))
    return Reading()
