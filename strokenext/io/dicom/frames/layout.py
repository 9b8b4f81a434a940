"""How the stored values of a file are laid out (PS3.3 C.7.6.3), absent and misspelt attributes mended with a note.

Only what has one sensible meaning is mended; the length of the pixels and the code stream are the witnesses.
"""

from __future__ import annotations

import re
from dataclasses import dataclass, replace

from pydicom.dataset import Dataset

from strokenext.errors import UnsupportedFormatError
from strokenext.io.codestream import Declared
from strokenext.io.dicom import numbers

_COLOURS = ("RGB", "YBR_FULL", "YBR_FULL_422", "YBR_ICT", "YBR_RCT", "YBR_PARTIAL_420", "YBR_PARTIAL_422")
_ONE_CHANNEL = ("MONOCHROME1", "MONOCHROME2", "PALETTE COLOR")
_BY_LETTERS = {re.sub(r"[^A-Z0-9]", "", name): name for name in (*_ONE_CHANNEL, *_COLOURS)}


@dataclass(frozen=True)
class Layout:
    """Size, samples and bits of the stored values; `notes` say what was mended."""

    rows: int
    columns: int
    frames: int
    samples: int
    photometric: str
    allocated: int  # bits
    stored: int  # bits
    high_bit: int
    signed: bool
    planar: int
    notes: tuple[str, ...] = ()

    @property
    def is_palette(self) -> bool:
        """Whether stored values are indices into the file's colour table."""
        return self.photometric == "PALETTE COLOR"


def read(ds: Dataset, length: int, stream: Declared | None) -> Layout:
    """The layout of pixel data of `length` bytes, or of the code stream that its first frame is.

    Raises UnsupportedFormatError for more than three samples a pixel.
    """
    rows, columns = numbers.integer(ds, "Rows") or 0, numbers.integer(ds, "Columns") or 0
    frames = max(1, numbers.integer(ds, "NumberOfFrames") or 1)
    if stream is not None and not (rows and columns):
        rows, columns = stream.rows, stream.columns
    photometric, notes = _photometric(ds)
    samples = _samples(ds, photometric, stream)
    per_sample = 8 * length / max(1, rows * columns * frames * samples) if stream is None else 0.0
    if stream is None and samples == 1 and photometric in _COLOURS and per_sample < 24:
        photometric = "MONOCHROME2"
    elif stream is None and samples == 1 and photometric in _COLOURS:
        samples, per_sample = 3, per_sample / 3
    if samples not in (1, 3):
        raise UnsupportedFormatError(f"This file has {samples} samples a pixel; one or three can be read.")
    if (samples == 3) != (photometric in _COLOURS):
        photometric = "RGB" if samples == 3 else "MONOCHROME2"
    layout = Layout(rows, columns, frames, samples, photometric, 0, 0, 0, False, 0, notes)
    return _with_sign(_with_bits(layout, ds, per_sample, stream), ds, stream)


def _photometric(ds: Dataset) -> tuple[str, tuple[str, ...]]:
    stated = str(ds.get("PhotometricInterpretation", "") or "")
    plain = _BY_LETTERS.get(re.sub(r"[^A-Z0-9]", "", stated.upper()))
    if plain is None:
        plain = _guessed(stated.upper())
    if plain == stated:
        return plain, ()
    if not stated.strip():
        return plain, ("The file does not state its photometric interpretation; the usual one is taken.",)
    return plain, (f"The photometric interpretation of this file is misspelt; {plain} is meant.",)


def _guessed(stated: str) -> str:
    if stated.startswith("MONO") or not stated.strip():
        return "MONOCHROME1" if stated.strip().endswith("1") else "MONOCHROME2"
    if stated.startswith("PAL"):
        return "PALETTE COLOR"
    return "YBR_FULL" if stated.startswith("Y") else "RGB" if stated.startswith("RGB") else "MONOCHROME2"


def _samples(ds: Dataset, photometric: str, stream: Declared | None) -> int:
    """Samples per pixel: those of the code stream, those stated, or those of the photometric interpretation."""
    stated = numbers.integer(ds, "SamplesPerPixel")
    if stream is not None:
        return stream.components
    return stated if stated and stated > 0 else 3 if photometric in _COLOURS else 1


def _with_bits(layout: Layout, ds: Dataset, per_sample: float, stream: Declared | None) -> Layout:
    """Bits allocated by the length of the pixels where the stated ones do not fit it; bits stored within them."""
    stated, notes = numbers.integer(ds, "BitsAllocated") or 0, list(layout.notes)
    exact = next((b for b in (8, 16, 32) if b <= per_sample < b + 0.1), 0)  # a byte of padding is allowed
    allocated = stated
    if stream is not None and stated < stream.bits:
        allocated = 8 if stream.bits <= 8 else 16
    elif stream is None and exact and stated not in (exact, 1, 12, 64):
        allocated = exact
    if allocated != stated:
        notes.append(f"Bits allocated are absent or wrong in this file; {allocated} fit its pixels.")
    high, stored = numbers.integer(ds, "HighBit"), numbers.integer(ds, "BitsStored")
    if stored is None or not 1 <= stored <= allocated:
        stored = high + 1 if high is not None and 0 < high < allocated else allocated
        if stream is not None and high is None:
            stored = min(allocated, stream.bits)
        notes.append(f"Bits stored are absent or wrong in this file; {stored} are taken.")
    if high is None or not stored - 1 <= high < allocated:
        high = stored - 1
    return replace(layout, allocated=allocated, stored=stored, high_bit=high, notes=tuple(notes))


def _with_sign(layout: Layout, ds: Dataset, stream: Declared | None) -> Layout:
    stated, notes = numbers.integer(ds, "PixelRepresentation"), layout.notes
    signed = stated == 1
    if stated not in (0, 1):
        signed = stream is not None and stream.signed
        what = "signed, as its code stream says" if signed else "unsigned"
        notes = (*notes, f"The file does not state whether its values are signed; they are taken as {what}.")
    planar = 1 if numbers.integer(ds, "PlanarConfiguration") == 1 else 0
    return replace(layout, signed=signed, planar=planar, notes=notes)
