"""Pixel data to stored values: native or compressed frames, unused bits masked, signs extended, colours as RGB."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray
from pydicom import uid
from pydicom.dataset import Dataset
from pydicom.pixels import get_decoder
from pydicom.pixels.processing import convert_color_space

from strokenext.errors import DamagedFileError
from strokenext.io.codestream import Declared, declared
from strokenext.io.dicom import numbers

from . import codecs, fragments, layout
from .layout import Layout

Stored = NDArray[Any]
ELEMENTS = ("PixelData", "FloatPixelData", "DoubleFloatPixelData")


@dataclass(frozen=True)
class StoredFrames:
    """The layout of a file's pixels, and the function that decodes one frame: (H, W) or (H, W, 3)."""

    layout: Layout
    read: Callable[[int], Stored]


def open_frames(ds: Dataset) -> StoredFrames:
    """The frames of a data set, none decoded yet.

    Raises UnsupportedFormatError naming the transfer syntax, DamagedFileError.
    """
    syntax = uid.UID(str(ds.file_meta.TransferSyntaxUID))
    keyword = next(k for k in ELEMENTS if k in ds)
    data = ds[keyword].value
    packed = syntax not in codecs.NATIVE
    if packed:
        codecs.check(syntax)
    if keyword != "PixelData" or not (packed or fragments.is_encapsulated(data)):
        return _native(ds, data, keyword, syntax)
    if not fragments.is_encapsulated(data):
        return _native(ds, data, keyword, uid.ExplicitVRLittleEndian)
    streams = fragments.frames(data, max(1, numbers.integer(ds, "NumberOfFrames") or 1))
    stated = declared(streams[0])
    described = layout.read(ds, len(data), stated)
    if syntax == uid.RLELossless and stated is None:
        described = layout.read(ds, _rle_bytes(streams[0], ds) * described.frames, None)
    return StoredFrames(described, lambda index: _decompressed(streams[index], described, str(syntax)))


def _rle_bytes(stream: bytes, ds: Dataset) -> int:
    """Bytes of the frame once unpacked: one segment holds a byte of every pixel."""
    rows, columns = numbers.integer(ds, "Rows") or 0, layout.numbers.integer(ds, "Columns") or 0
    return int.from_bytes(stream[:4], "little") * rows * columns


def _decompressed(source: bytes, described: Layout, syntax: str) -> Stored:
    stream = declared(source)
    if stream is None:
        container = codecs.rle(source, described)
    else:
        container = codecs.decode(source, stream, described)
    if container.ndim == 3:
        return _colour(container, described, stream)
    return values(container, described, stream, lossy=syntax in codecs.LOSSY)


def _colour(frame: Stored, described: Layout, stream: Declared | None) -> Stored:
    """RGB of a decoded frame: JPEG streams undo their colour transform themselves, the others may not."""
    done = stream is not None and (stream.kind == "jpeg" or (stream.kind == "jpeg2000" and stream.transformed))
    if not done and described.photometric in ("YBR_FULL", "YBR_FULL_422") and frame.dtype == np.uint8:
        return np.asarray(convert_color_space(frame, "YBR_FULL", "RGB"))
    return frame


def _native(ds: Dataset, data: bytes, keyword: str, syntax: uid.UID) -> StoredFrames:
    described = layout.read(ds, len(data), None)
    if described.allocated == 12:
        return StoredFrames(described, lambda index: values(_twelve(data, described, index), described, None))
    options: dict[str, Any] = {
        "rows": described.rows,
        "columns": described.columns,
        "number_of_frames": described.frames,
        "samples_per_pixel": described.samples,
        "photometric_interpretation": described.photometric.replace("YBR_PARTIAL_42", "YBR_FULL_42"),
        "bits_allocated": described.allocated,
        "bits_stored": described.stored,
        "pixel_representation": int(described.signed),
        "planar_configuration": described.planar,
        "pixel_keyword": keyword,
        "pixel_vr": ds[keyword].VR,
        "allow_excess_frames": False,
        "correct_unused_bits": False,
    }
    decoder = get_decoder(syntax)

    def read(index: int) -> Stored:
        frame, _ = decoder.as_array(data, index=index, raw=described.is_palette, **options)
        return frame if frame.ndim == 3 else values(frame, described, None)

    return StoredFrames(described, read)


def _twelve(data: bytes, described: Layout, index: int) -> Stored:
    """Twelve bits a pixel without gaps, the oldest form: two pixels in three bytes."""
    pixels = described.rows * described.columns
    start, stop = index * pixels * 3 // 2, (index + 1) * pixels * 3 // 2
    triples = np.frombuffer(data[start:stop], np.uint8)
    if pixels % 2 or len(triples) != pixels * 3 // 2:
        raise DamagedFileError("This DICOM file ends before its image. Export or copy it again.")
    first, middle, last = triples.reshape(-1, 3).astype(np.uint16).T
    pairs = np.stack((first | (middle & 15) << 8, middle >> 4 | last << 4), axis=1)
    return pairs.reshape(described.rows, described.columns)


def values(container: Stored, described: Layout, stream: Declared | None, *, lossy: bool = False) -> Stored:
    """Stored values of a decoded container: bits beyond those stored are no pixels (overlays, PS3.5 8.1.1).

    A code stream of fewer bits than the container carries its sign in its own highest bit.
    """
    if container.dtype.kind == "f":
        return container
    native = container.astype(container.dtype.newbyteorder("="), copy=False)
    plain = native.view(f"u{native.dtype.itemsize}")
    bits = described.stored if stream is None else min(described.stored, stream.bits)
    shift = _shift(plain, described)
    if lossy and not described.signed and not shift and int(plain.max()) < 1.2 * 2**bits:
        plain = np.minimum(plain, plain.dtype.type(2**bits - 1))  # a compressor's overshoot is no overlay
    if shift:
        plain = plain >> plain.dtype.type(shift)
    if bits < 8 * plain.dtype.itemsize:
        plain = plain & plain.dtype.type(2**bits - 1)
    if not described.signed:
        return plain
    if bits == 8 * plain.dtype.itemsize:
        return plain.view(plain.dtype.str.replace("u", "i"))
    half = 2 ** (bits - 1)
    wide = np.int32 if plain.dtype.itemsize < 4 else np.int64
    return (plain.astype(wide) ^ half) - half


def _shift(plain: Stored, described: Layout) -> int:
    """Bits below the stored ones; none where the values lie in the lowest bits whatever the high bit says."""
    shift = described.high_bit + 1 - described.stored
    if shift <= 0:
        return 0
    above = plain >> plain.dtype.type(described.stored)
    full = 2 ** (8 * plain.dtype.itemsize - described.stored) - 1
    in_low_bits = bool(np.all((above == 0) | ((above == full) & described.signed)))
    return 0 if in_low_bits and bool((plain & plain.dtype.type(2**shift - 1)).any()) else shift
