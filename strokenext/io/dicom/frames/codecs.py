"""One compressed frame to its samples, with imagecodecs (BSD-3-Clause): JPEG, JPEG-LS, JPEG 2000 and RLE.

imagecodecs reads 8- and 12-bit lossy and lossless JPEG, JPEG-LS, JPEG 2000 and high-throughput JPEG 2000
with libjpeg-turbo, CharLS and OpenJPEG. What the stream itself says it is decides, not the transfer syntax.
"""

from __future__ import annotations

import re
from typing import TYPE_CHECKING, Any

import imagecodecs
import numpy as np
from pydicom import uid

from strokenext.errors import DamagedFileError, UnsupportedFormatError

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from strokenext.io.codestream import Declared

    from .layout import Layout

LOSSY = (uid.JPEGBaseline8Bit, uid.JPEGExtended12Bit, uid.JPEGLSNearLossless, uid.JPEG2000, uid.HTJ2K)
_LOSSLESS = (uid.JPEGLossless, uid.JPEGLosslessSV1, uid.JPEGLSLossless, uid.JPEG2000Lossless)
_HIGH_THROUGHPUT = (uid.HTJ2KLossless, uid.HTJ2KLosslessRPCL)
COMPRESSED = (*LOSSY, *_LOSSLESS, *_HIGH_THROUGHPUT, uid.RLELossless)
NATIVE = (
    uid.ImplicitVRLittleEndian,
    uid.ExplicitVRLittleEndian,
    uid.ExplicitVRBigEndian,
    uid.DeflatedExplicitVRLittleEndian,
)


def check(syntax: str) -> None:
    """Raise UnsupportedFormatError, naming it, for a transfer syntax that is not decoded here."""
    if syntax not in (*COMPRESSED, *NATIVE):
        raise UnsupportedFormatError(
            f"This file is compressed with '{syntax_name(syntax)}', which has no maintained decoder. "
            "Export it again uncompressed, or as JPEG 2000 or JPEG-LS."
        )


def syntax_name(syntax: str) -> str:
    """The standard's name of a transfer syntax; an unknown UID gives no text of the file away."""
    name = uid.UID(syntax).name
    if name != syntax:
        return name
    return syntax if re.fullmatch(r"[0-9.]{1,64}", syntax) else "an unknown transfer syntax"


def decode(source: bytes, stream: Declared, layout: Layout) -> NDArray[Any]:
    """A JPEG, JPEG-LS or JPEG 2000 frame as (H, W) or (H, W, 3).

    Raises DamagedFileError when the code stream is cut short, or its own size differs from Rows and Columns: that is
    checked before decoding, because the code stream could ask for any amount of memory.
    """
    if (stream.rows, stream.columns) != (layout.rows, layout.columns):
        raise DamagedFileError("The compressed image is not of the size its header states. Copy the file again.")
    if stream.kind != "jpeg2000" and not _is_whole(source, stream):
        raise DamagedFileError("The compressed image is cut short. Copy the file again.")
    if stream.kind == "jpegls":
        frame = imagecodecs.jpegls_decode(source)
    elif stream.kind == "jpeg2000":
        frame = imagecodecs.jpeg2k_decode(source, numthreads=1)
    elif stream.components == 3 and layout.photometric == "RGB" and not _states_colours(source):
        frame = imagecodecs.jpeg8_decode(source, colorspace="RGB", outcolorspace="RGB")
    else:
        frame = imagecodecs.jpeg8_decode(source)
    if frame.size != layout.rows * layout.columns * layout.samples:
        raise DamagedFileError("The compressed image has another number of channels than its header states.")
    return np.asarray(frame)


def _is_whole(source: bytes, stream: Declared) -> bool:
    """Whether a JPEG or JPEG-LS stream holds all of its pixels; libjpeg fills in what is missing, without a word.

    The marker at its end cannot occur within the pixels. Some writers leave it out: then what is put in its place
    changes no pixel of a stream that is whole.
    """
    if source.rfind(b"\xff\xd9") > source.find(b"\xff\xda") >= 0:
        return True
    if stream.kind == "jpegls":
        return False
    tails = (bytes(64), b"\x55" * 64, b"\xaa" * 64)
    images = [np.asarray(imagecodecs.jpeg8_decode(source + tail + b"\xff\xd9")) for tail in tails]
    return all(np.array_equal(images[0], other) for other in images[1:])


def _states_colours(source: bytes) -> bool:
    """Whether a JPEG stream says by an Adobe or JFIF marker which colours its components are."""
    head = source[:4096]
    return b"Adobe" in head[: head.find(b"\xff\xda") if b"\xff\xda" in head else None] or b"JFIF\0" in head[:32]


def rle(source: bytes, layout: Layout) -> NDArray[Any]:
    """PS3.5 annex G: one PackBits segment per byte of a sample, most significant first.

    Each segment is inflated into a buffer of fixed size, so a crafted one cannot ask for more memory.
    """
    width, pixels, samples = layout.allocated // 8, layout.rows * layout.columns, layout.samples
    header = np.frombuffer(source, "<u4", 16)
    if header[0] != width * samples:
        raise DamagedFileError("The RLE image has another number of segments than its header states.")
    ends = [*(int(e) for e in header[2 : 1 + width * samples]), len(source)]
    out = np.empty((pixels, samples, width), np.uint8)
    for number, (start, end) in enumerate(zip(header[1:], ends, strict=False)):
        out[:, number // width, width - 1 - number % width] = _packbits(source[int(start) : end], pixels)
    shape = (layout.rows, layout.columns) if samples == 1 else (layout.rows, layout.columns, samples)
    return out.view(f"<u{width}").reshape(shape)


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
