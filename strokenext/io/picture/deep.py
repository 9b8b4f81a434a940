"""Pictures of more than 8 bits, and those that Pillow does not read: HU where they hold them, else grey levels 0..255.

Deep TIFF by tifffile; JPEG-LS, lossless and 12-bit JPEG, deep JPEG 2000 and 16-bit PNG with colour by imagecodecs.
"""

from __future__ import annotations

from io import BytesIO
from typing import Any, NamedTuple

import numpy as np
import tifffile
from numpy.typing import NDArray

from strokenext.errors import DamagedFileError, UnsupportedFormatError
from strokenext.io import hounsfield, limits
from strokenext.io.codestream import declared
from strokenext.io.grey import luminance, stretched
from strokenext.types import Caution, FloatArray, Unit

#: A tinted picture has at least this share of clearly coloured pixels; letters alone stay below it.
TINTED = 0.02
_MIN_IS_WHITE = 0


class Decoded(NamedTuple):
    """A picture (H, W) with its unit, notes, cautions and the share of coloured pixels."""

    pixels: FloatArray
    notes: tuple[str, ...] = ()
    colour: float | None = None
    unit: Unit = "grey"
    cautions: tuple[Caution, ...] = ()


def read(data: bytes, kind: str, page: int) -> Decoded | None:
    """The picture, or None when it is a plain one that Pillow reads. Raises TooLargeError and foreign errors."""
    if kind == "tiff":
        return _tiff(data, page)
    if kind == "png":
        return _png(data)
    return _stream(data) if kind in ("jpeg", "jpeg2000") else None


def tiff_pages(data: bytes) -> int:
    """Pages of a TIFF file, counted without decoding any. Raises TooLargeError above the limits."""
    with tifffile.TiffFile(BytesIO(data)) as file:
        count, first = len(file.pages), file.pages.first
        limits.check_volume(count, first.imagelength, first.imagewidth)
        return count


def measured(values: NDArray[Any], full: float | None) -> Decoded:
    """One channel (H, W) of more than 8 bits; `full` is the value of white, None when nothing states it."""
    plain = np.asarray(values, dtype=np.float64)
    known = np.isfinite(plain)
    step = max(1, int((plain.size / 1e6) ** 0.5))
    sample = plain[::step, ::step][known[::step, ::step]]
    scale = hounsfield.scale(sample) if sample.size else None
    if scale is not None:
        return _in_hu(np.where(known, plain + scale.add, -1000.0), scale)
    plain = np.where(known, plain, sample.min() if sample.size else 0.0)
    top = float(plain.max())
    if full is not None and top > full / 16:
        bits = int(full + 1).bit_length() - 1
        note = f"Its {bits} bits were kept as fractions of 255 grey levels."
        return Decoded((plain.astype(np.float32) * np.float32(255) / np.float32(full)), (note,))
    if full is not None and top <= 255 <= full / 16:
        return Decoded(plain.astype(np.float32), ("Its values are grey levels 0 to 255 in 16 bits.",))
    note = f"Its values ({plain.min():.0f} to {top:.0f}) were stretched to grey levels."
    return Decoded(stretched(plain, None).astype(np.float32), (note,))


def _in_hu(pixels: NDArray[np.float64], scale: hounsfield.Scale) -> Decoded:
    how = f"HU stored with {-scale.add:.0f} added, which was undone" if scale.add else "those of CT and are taken as HU"
    cautions = (hounsfield.CLIPPED,) if scale.clipped else ()
    note = f"A picture states no unit; its values are {how}."
    return Decoded(pixels.astype(np.float32), (note,), None, "HU", (*cautions, hounsfield.INFERRED))


def flatten(array: NDArray[Any]) -> Decoded:
    """uint8 or uint16 grey, grey with alpha, RGB or RGBA to (H, W)."""
    full = np.iinfo(array.dtype).max
    if array.ndim == 3 and array.shape[2] == 1:
        array = array[..., 0]
    if array.ndim == 2:
        return Decoded(array.astype(np.float32)) if full == 255 else measured(array, full)
    notes = ["Its 16 bits were kept as fractions of 255 grey levels."] if full > 255 else []
    if array.shape[2] in (2, 4):
        alpha, array = array[..., -1], array[..., :-1]
        if int(alpha.min()) < full:
            scaled = array.astype(np.float64) * (alpha[..., None].astype(np.float64) / full)
            array = np.rint(scaled).astype(array.dtype)
            notes.append("Transparent parts of the picture are shown black.")
    if array.shape[2] == 1:
        pixels = array[..., 0].astype(np.float32) * np.float32(255) / np.float32(full)
        return Decoded(pixels, tuple(notes))
    pixels, colour = luminance(array)
    if colour > TINTED:
        notes.append("The picture is tinted or in colour; its brightness is used.")
    return Decoded(pixels, tuple(notes), colour)


def _tiff(data: bytes, number: int) -> Decoded | None:
    """A page of one channel that is not of 8 bits."""
    with tifffile.TiffFile(BytesIO(data)) as file:
        page: Any = file.pages[number]
        limits.check_image(page.imagelength, page.imagewidth)
        if page.samplesperpixel != 1 or page.bitspersample in (1, 2, 4, 8) or page.imagedepth > 1:
            return None
        values = np.asarray(page.asarray())
        if values.ndim != 2 or values.dtype.kind not in "uif":
            raise UnsupportedFormatError("This TIFF holds numbers that are no picture. Export it as plain grey levels.")
        full = float(2**page.bitspersample - 1) if values.dtype.kind == "u" and page.bitspersample <= 16 else None
        if full is not None and page.photometric == _MIN_IS_WHITE:
            values = full - values.astype(np.float64)
        return measured(values, full)


def _png(data: bytes) -> Decoded | None:
    """A PNG of 16 bits with colour or alpha, which Pillow would cut to 8 bits."""
    if data[24:25] != b"\x10" or data[25:26] not in (b"\x02", b"\x04", b"\x06"):
        return None
    import imagecodecs

    limits.check_image(int.from_bytes(data[20:24], "big"), int.from_bytes(data[16:20], "big"))
    return flatten(imagecodecs.png_decode(data))


def _stream(data: bytes) -> Decoded | None:
    """JPEG-LS, and JPEG or JPEG 2000 of more than 8 bits or without loss."""
    stream = declared(data)
    if stream is None or (stream.kind != "jpegls" and stream.bits <= 8 and not stream.lossless and not stream.signed):
        return None
    import imagecodecs

    limits.check_image(stream.rows, stream.columns)
    if stream.kind == "jpegls":
        values = imagecodecs.jpegls_decode(data)
    elif stream.kind == "jpeg2000":
        values = imagecodecs.jpeg2k_decode(data, numthreads=1)
    else:
        values = imagecodecs.jpeg8_decode(data)
    values = np.asarray(values)
    if values.ndim == 3 and values.dtype == np.uint8:
        return flatten(values)
    if values.ndim != 2:
        raise DamagedFileError("This JPEG has more than 8 bits and colour. Export it as PNG.")
    if values.dtype == np.uint8:
        return flatten(values)
    return measured(values, None if stream.signed else float(2**stream.bits - 1))
