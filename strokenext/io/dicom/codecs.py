"""Decoders for compressed DICOM frames, as private pydicom decoders backed by imagecodecs (BSD-3-Clause).

imagecodecs reads 8- and 12-bit lossy and lossless JPEG, JPEG-LS, JPEG 2000 and high-throughput JPEG 2000
with libjpeg-turbo, CharLS and OpenJPEG. pydicom's own plug-ins would need pylibjpeg-libjpeg (GPL) for the
same set. pydicom keeps what it does well: fragments, offset tables, signs, unused bits and colour.
The decoders are our own instances, so pydicom's shared ones stay as the caller configured them.
"""

from __future__ import annotations

import re
from functools import cache
from typing import TYPE_CHECKING, Any

import imagecodecs
import numpy as np
from pydicom import uid
from pydicom.pixels import get_decoder
from pydicom.pixels.decoders import base

from strokenext.errors import DamagedFileError, UnsupportedFormatError
from strokenext.io.codestream import declared

if TYPE_CHECKING:
    from numpy.typing import NDArray
    from pydicom.pixels.decoders.base import DecodeRunner

_JPEG = (uid.JPEGBaseline8Bit, uid.JPEGExtended12Bit, uid.JPEGLossless, uid.JPEGLosslessSV1)
_JPEG_LS = (uid.JPEGLSLossless, uid.JPEGLSNearLossless)
_JPEG_2000 = (uid.JPEG2000Lossless, uid.JPEG2000, uid.HTJ2KLossless, uid.HTJ2KLosslessRPCL, uid.HTJ2K)
_NATIVE = (
    uid.ImplicitVRLittleEndian,
    uid.ExplicitVRLittleEndian,
    uid.ExplicitVRBigEndian,
    uid.DeflatedExplicitVRLittleEndian,
)

#: Read by pydicom's plug-in protocol: what a decoder of ours depends on.
DECODER_DEPENDENCIES = dict.fromkeys((*_JPEG, *_JPEG_LS, *_JPEG_2000, uid.RLELossless), ("imagecodecs",))


def is_available(syntax: str) -> bool:
    """pydicom's plug-in protocol: whether `decode_frame` reads that transfer syntax."""
    return syntax in DECODER_DEPENDENCIES


@cache
def decoder(syntax: str) -> base.Decoder:
    """The decoder of a transfer syntax UID. Raises UnsupportedFormatError naming the syntax."""
    if syntax in _NATIVE:
        return get_decoder(syntax)
    if syntax not in DECODER_DEPENDENCIES:
        raise UnsupportedFormatError(
            f"This file is compressed with '{syntax_name(syntax)}', which has no maintained decoder. "
            "Export it again uncompressed, or as JPEG 2000 or JPEG-LS."
        )
    private = base.Decoder(uid.UID(syntax))
    private.add_plugin("strokenext", (__name__, "decode_frame"))
    return private


def syntax_name(syntax: str) -> str:
    """The standard's name of a transfer syntax; an unknown UID gives no text of the file away."""
    name = uid.UID(syntax).name
    if name != syntax:
        return name
    return syntax if re.fullmatch(r"[0-9.]{1,64}", syntax) else "an unknown transfer syntax"


def decode_frame(source: bytes, runner: DecodeRunner) -> bytes:
    """pydicom's plug-in protocol: one encoded frame to little-endian samples, colour by pixel.

    Raises DamagedFileError when the code stream's own size differs from Rows and Columns: that is checked
    before decoding, because the code stream could ask for any amount of memory.
    """
    syntax = runner.transfer_syntax
    if syntax == uid.RLELossless:
        return _rle(source, runner)
    size = declared(source)
    if size is None or (size.rows, size.columns) != (runner.rows, runner.columns):
        raise DamagedFileError("The compressed image is not of the size its header states. Copy the file again.")
    if syntax in _JPEG:
        frame = imagecodecs.jpeg8_decode(source)
    elif syntax in _JPEG_LS:
        frame = imagecodecs.jpegls_decode(source)
    else:
        frame = imagecodecs.jpeg2k_decode(source, numthreads=1)
    if runner.samples_per_pixel == 3 and syntax not in _JPEG_LS:
        runner.set_option("photometric_interpretation", "RGB")  # both decoders undo the colour transform
    if frame.size != runner.rows * runner.columns * runner.samples_per_pixel:
        raise DamagedFileError("The compressed image has another number of channels than its header states.")
    runner.set_option("planar_configuration", 0)
    runner.set_option("bits_allocated", 8 * frame.dtype.itemsize)
    return bytes(np.ascontiguousarray(frame, frame.dtype.newbyteorder("<")).data)


def _rle(source: bytes, runner: DecodeRunner) -> bytes:
    """PS3.5 annex G: one PackBits segment per byte of a sample, most significant first.

    Each segment is inflated into a buffer of fixed size, so a crafted one cannot ask for more memory.
    """
    width, pixels, samples = runner.bits_allocated // 8, runner.rows * runner.columns, runner.samples_per_pixel
    header = np.frombuffer(source, "<u4", 16)
    if header[0] != width * samples:
        raise DamagedFileError("The RLE image has another number of segments than its header states.")
    ends = [*(int(e) for e in header[2 : 1 + width * samples]), len(source)]
    out = np.empty((pixels, samples, width), np.uint8)
    for number, (start, end) in enumerate(zip(header[1:], ends, strict=False)):
        out[:, number // width, width - 1 - number % width] = _packbits(source[int(start) : end], pixels)
    runner.set_option("planar_configuration", 0)
    return out.tobytes()


def _packbits(segment: bytes, size: int) -> NDArray[np.uint8]:
    """`size` bytes of a segment; the spare bytes take what zero padding at its end decodes to."""
    buffer: Any = np.empty(size + 256, np.uint8)  # typed as bytearray by imagecodecs
    try:
        plane = imagecodecs.packbits_decode(segment, out=buffer)
    except imagecodecs.ImcdError:
        if not segment.endswith(b"\0"):
            raise
        plane = imagecodecs.packbits_decode(segment[:-1], out=buffer)  # one byte of padding to an even length
    if len(plane) < size:
        raise DamagedFileError("The RLE image is cut short. Copy the file again.")
    return np.asarray(plane[:size])
