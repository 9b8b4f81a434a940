"""Stored DICOM values to a slice: modality step to HU where the file allows it, else grey levels."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import numpy as np
from numpy.typing import NDArray
from pydicom.dataset import Dataset
from pydicom.pixels import apply_modality_lut

from strokenext.io import hounsfield
from strokenext.io.grey import luminance, stretched
from strokenext.types import BoolArray, Caution, FloatArray, Slice

from . import header as headers
from . import numbers
from .frames import palette
from .frames.layout import Layout
from .reading import MAX_INTERCEPT, MAX_SLOPE, Reading, decide, wrap

#: HU written where the file says that there is no tissue.
AIR = -1000.0
#: HU of tissue: a padding value in this range would punch holes into a brain and is not believed.
_TISSUE = (-200.0, 200.0)

_COLOUR = "No HU: this is a picture of a CT image, not its values."

Stored = NDArray[Any]


def to_slice(
    stored: Stored, ds: Dataset, facts: headers.Frame, layout: Layout, sha256: str, how: Reading | None = None
) -> Slice:
    """Stored values (H, W) or (H, W, 3) of one frame to a slice in HU, or in grey levels with a note why.

    `how` is the reading of its series; without one the slice decides by itself.
    """
    notes = [*_remarks(ds, facts), *layout.notes]
    if layout.is_palette:
        stored = palette.apply(stored, ds)
    colour = None
    if stored.ndim == 3:
        stored, colour = luminance(stored)
        notes.append("This file holds a colour picture; its brightness is used.")
    padding = _padding(stored, ds, layout) if colour is None else None
    how = read_as(stored, ds, facts, layout, how) if colour is None else Reading(_COLOUR)
    cautions: tuple[Caution, ...]
    if how.problem:
        pixels = _grey(stored, layout, facts, padding)
        notes.append(how.problem)
        cautions = (hounsfield.no_hu(how.problem),)
    else:
        pixels, padding, more = _hounsfield(stored, ds, facts, layout, padding, how)
        notes.extend(more)
        clipped = hounsfield.is_clipped_head(pixels if padding is None else pixels[~padding])
        cautions = (*((hounsfield.CLIPPED,) if clipped else ()), *((hounsfield.INFERRED,) if how.inferred else ()))
    return Slice(
        pixels=pixels,
        unit="grey" if how.problem else "HU",
        spacing=facts.spacing,
        edges=headers.edges(facts.cosines),
        windows=() if how.problem else facts.windows,
        header=replace(facts.header, colour=colour),
        kind="dicom",
        sha256=sha256,
        notes=tuple(notes),
        padding=padding,
        cautions=cautions,
    )


def read_as(stored: Stored, ds: Dataset, facts: headers.Frame, layout: Layout, how: Reading | None = None) -> Reading:
    """The reading of the series, or of this slice (H, W) where the series has none."""
    if how is not None:
        return how
    padding = _padding(stored, ds, layout)
    if facts.inverted and _is_negative(stored, facts, padding):
        stored = _reversed(stored, layout)
    return decide(stored, ds, facts, layout, padding)


def _hounsfield(
    stored: Stored, ds: Dataset, facts: headers.Frame, layout: Layout, padding: BoolArray | None, how: Reading
) -> tuple[FloatArray, BoolArray | None, list[str]]:
    """HU (H, W) float32 = stored x slope + intercept (PS3.3 C.11.1), the padding believed, and notes."""
    notes: list[str] = [how.note] if how.note else []
    if facts.inverted and _is_negative(stored, facts, padding):
        stored = _reversed(stored, layout)
        notes.append("The stored values were inverted (MONOCHROME1) and have been turned back before HU.")
    if how.wrapped:
        stored = wrap(stored, layout)
    step = ds
    if not ds.get("ModalityLUTSequence"):
        step = Dataset()  # of an enhanced file, the values of this frame
        slope = facts.slope if how.slope is None else how.slope
        intercept = facts.intercept if how.intercept is None else how.intercept
        step.RescaleSlope, step.RescaleIntercept = f"{slope:.10g}", f"{intercept:.10g}"
    hu = np.asarray(apply_modality_lut(stored, step), dtype=np.float32)
    if padding is not None:
        level = float(np.median(hu[padding]))
        if _TISSUE[0] < level < _TISSUE[1]:
            notes.append(f"The padding value that this file states is tissue ({level:.0f} HU) and was ignored.")
            padding = None
        else:
            hu = np.where(padding, np.float32(AIR), hu)
            notes.append("Pixels outside the field of view are padding and are shown as air.")
    return hu, padding, notes


def _is_negative(stored: Stored, facts: headers.Frame, padding: BoolArray | None) -> bool:
    """Whether the rim of the image, which is air in CT, is denser than water: then the picture is a negative.

    MONOCHROME1 only asks for an inverted display, and HU do not depend on it; some converters also
    invert the stored values and leave the rescale tags as they were.
    """
    rim = np.zeros(stored.shape, bool)
    rim[[0, -1], :] = rim[:, [0, -1]] = True
    if padding is not None:
        rim &= ~padding
    if facts.slope is None or facts.intercept is None or not rim.any():
        return False
    return float(np.median(stored[rim])) * facts.slope + facts.intercept > 500


def _reversed(stored: Stored, layout: Layout) -> Stored:
    """Smallest for largest stored value of the declared bits."""
    total = -1 if layout.signed else 2**layout.stored - 1
    return np.asarray(total - stored.astype(np.int64))


def _padding(stored: Stored, ds: Dataset, layout: Layout) -> BoolArray | None:
    """True where PixelPaddingValue (to PixelPaddingRangeLimit, PS3.3 C.7.5.1.1.2) or NaN marks no tissue."""
    if stored.dtype.kind == "f":
        return None if np.isfinite(stored).all() else ~np.isfinite(stored)
    ends = [numbers.integer(ds, k) for k in ("PixelPaddingValue", "PixelPaddingRangeLimit")]
    values = [_as_stored(v, layout) for v in ends if v is not None]
    if not values:
        return None
    mask = (stored >= min(values)) & (stored <= max(values))
    return mask if mask.any() else None


def _as_stored(value: int, layout: Layout) -> int:
    """A padding value written with the wrong sign (an unsigned element beside signed pixels, or the reverse)."""
    bits = layout.allocated
    if layout.signed:
        return value - 2**bits if value >= 2 ** (bits - 1) else value
    return value + 2**bits if value < 0 else value


def _grey(stored: Stored, layout: Layout, facts: headers.Frame, padding: BoolArray | None) -> FloatArray:
    """Grey levels 0..255: 8-bit values as they are, deeper ones through the file's window or from least to most."""
    if layout.photometric not in ("MONOCHROME1", "MONOCHROME2"):
        return np.asarray(stored, dtype=np.float32)  # the brightness of a colour picture
    values = np.nan_to_num(np.asarray(stored, dtype=np.float64), nan=0.0, posinf=0.0, neginf=0.0)
    eight_bit = stored.dtype.kind != "f" and layout.stored <= 8 and values.min() >= 0
    if not eight_bit or stored.dtype == np.float32:
        slope, intercept = _sane(facts)
        seen = None if padding is None else ~padding
        values = stretched(values * slope + intercept, facts.windows[0] if facts.windows else None, seen)
    elif layout.stored < 8:
        values = values * (255.0 / (2**layout.stored - 1))
    values = np.clip(255.0 - values if facts.inverted else values, 0.0, 255.0)
    if padding is not None:
        values = np.where(padding, 0.0, values)
    return np.asarray(values, dtype=np.float32)


def _sane(facts: headers.Frame) -> tuple[float, float]:
    """Slope and intercept that bring stored values to the scale of the file's window; 1 and 0 when absurd."""
    slope, intercept = facts.slope, facts.intercept
    if slope is None or intercept is None or not (0 < abs(slope) <= MAX_SLOPE and abs(intercept) <= MAX_INTERCEPT):
        return 1.0, 0.0
    return slope, intercept


def _remarks(ds: Dataset, facts: headers.Frame) -> list[str]:
    """Sentences about the file that do not depend on its pixels."""
    remarks = {
        "This image was compressed with loss.": str(ds.get("LossyImageCompression", "")).strip() == "01",
        "The file says that text is burned into the image; it may name the patient.": facts.header.burned_in_text,
        "This is a secondary capture: a picture stored as DICOM after somebody processed it.": facts.secondary_capture,
    }
    return [sentence for sentence, holds in remarks.items() if holds]
