"""PNG, JPEG and the other picture formats, PIL images and arrays to slices of grey levels 0..255.

Pictures of more than 8 bits may hold HU, plain or with an offset; `deep` tells.
"""

from __future__ import annotations

import hashlib
from collections.abc import Iterable, Iterator
from io import BytesIO
from typing import Any

import numpy as np
from numpy.typing import NDArray
from PIL import Image, ImageOps

from strokenext.errors import DamagedFileError, InputError
from strokenext.io import hounsfield, limits
from strokenext.io.members import chosen
from strokenext.io.quiet import guarded
from strokenext.types import Header, Slice

from . import deep
from .deep import Decoded, flatten

NO_HU = "No HU: a picture holds grey levels that somebody windowed before saving it."
_DAMAGED = "This picture is damaged or cut short. Export or copy it again."
#: Never all of Pillow's formats: some of them start other programs.
_FORMATS = ("PNG", "JPEG", "BMP", "DIB", "TIFF", "GIF", "WEBP", "JPEG2000")
_ANIMATED = "This is a frame of an animation; nothing but its place in it says where the slice lies."
_NOT_TURNED = 1  # of the EXIF orientation tag 0x0112


def read(data: bytes, kind: str, frame: int | None = None) -> Slice:
    """One picture; `frame` chooses a page of a TIFF or a frame of an animation that has several.

    Raises DamagedFileError, TooLargeError, InputError when a page has to be chosen.
    """
    count = pages(data, kind)
    return next(_read(data, kind, [chosen(frame, count, "pages" if kind == "tiff" else "frames")], count))


def read_all(data: bytes, kind: str) -> Iterator[Slice]:
    """Every page of a TIFF or frame of an animation, in their order. Raises what `read` does."""
    count = pages(data, kind)
    return _read(data, kind, range(count), count)


def pages(data: bytes, kind: str) -> int:
    """Pages of a TIFF, or frames of an animated GIF, PNG or WebP; 1 for every other picture.

    Raises DamagedFileError, TooLargeError.
    """
    if kind not in ("tiff", "gif", "png", "webp"):
        return 1
    with guarded(_DAMAGED):
        return deep.tiff_pages(data) if kind == "tiff" else _frames(_open(data))


def size(data: bytes) -> tuple[int, int] | None:
    """(rows, columns) that a picture declares, or None where only decoding it tells. Raises TooLargeError."""
    try:
        with guarded(_DAMAGED):
            image = _open(data)
            return image.height, image.width
    except DamagedFileError:
        return None


def _read(data: bytes, kind: str, wanted: Iterable[int], count: int) -> Iterator[Slice]:
    sha256 = hashlib.sha256(data).hexdigest()
    image: Image.Image | None = None
    for number in wanted:
        with guarded(_DAMAGED):
            decoded = deep.read(data, kind, number) if count == 1 or kind == "tiff" else None
            if decoded is None:
                image = image or _open(data)
                image.seek(number)
                decoded = _decode(image)
        if kind != "tiff" and count > 1:
            decoded = decoded._replace(notes=(*decoded.notes, _ANIMATED))
        yield _slice(decoded, kind, sha256)


def from_pil(image: Image.Image) -> Slice:
    """A PIL image as it stands in memory. Raises DamagedFileError when its file turns out to be cut short."""
    limits.check_image(image.height, image.width)
    with guarded(_DAMAGED):
        decoded = _decode(image)
    sha256 = hashlib.sha256(decoded.pixels.tobytes()).hexdigest()
    return _slice(decoded, (image.format or "image").lower(), sha256)


def from_array(array: NDArray[Any]) -> Slice:
    """uint8 or uint16 (H, W), (H, W, 1), RGB (H, W, 3) or RGBA (H, W, 4) to a grey slice.

    Raises InputError for other types and shapes: a float or signed array does not say what its numbers mean.
    """
    if array.ndim == 3 and array.shape[2] == 1:
        array = array[..., 0]
    if array.ndim not in (2, 3) or (array.ndim == 3 and array.shape[2] not in (3, 4)) or 0 in array.shape:
        raise InputError(f"An array of shape {array.shape} is no image. Give (rows, columns) or (rows, columns, 3).")
    if array.dtype == np.bool_:
        array = array.astype(np.uint8) * np.uint8(255)
    if array.dtype not in (np.uint8, np.uint16):
        raise InputError(
            f"An array of {array.dtype} does not say what its numbers mean. Give uint8 or uint16 grey levels, "
            "or HU as strokenext.Slice(pixels, unit='HU')."
        )
    limits.check_image(*array.shape[:2])
    sha256 = hashlib.sha256(repr((array.shape, str(array.dtype))).encode() + array.tobytes()).hexdigest()
    return _slice(flatten(array), "array", sha256)


def _slice(decoded: Decoded, kind: str, sha256: str) -> Slice:
    lossy = ("JPEG compression has changed the grey levels a little.",) if kind in ("jpeg", "mpo") else ()
    grey = decoded.unit == "grey"
    return Slice(
        decoded.pixels,
        decoded.unit,
        header=Header(colour=decoded.colour),
        kind=kind,
        sha256=sha256,
        notes=(*((NO_HU,) if grey else ()), *decoded.notes, *lossy),
        cautions=(hounsfield.no_hu(NO_HU),) if grey else decoded.cautions,
    )


def _open(data: bytes) -> Image.Image:
    try:
        image = Image.open(BytesIO(data), formats=_FORMATS)
    except Image.DecompressionBombError:
        raise limits.too_many_pixels() from None
    limits.check_image(image.height, image.width)
    return image


def _frames(image: Image.Image) -> int:
    count = int(getattr(image, "n_frames", 1))
    if count > 1:
        limits.check_volume(count, image.height, image.width)
    return count


def _decode(image: Image.Image) -> Decoded:
    """Grey levels 0..255 of the current page, upright by its EXIF orientation; HU where a deep picture holds them."""
    notes: tuple[str, ...] = ()
    if image.getexif().get(0x0112, _NOT_TURNED) not in (_NOT_TURNED, None):
        image = ImageOps.exif_transpose(image)
        notes = ("The picture was turned upright as its EXIF record asks.",)
    mode = image.mode
    if mode == "F" or mode.startswith("I"):
        values = np.asarray(image)
        sixteen = mode != "F" and values.min() >= 0 and values.max() <= 65535
        decoded = deep.measured(values, 65535 if sixteen else None)
    elif mode in ("L", "1"):
        decoded = flatten(np.asarray(image.convert("L")))
    else:
        clear = mode in ("RGBA", "LA", "PA", "RGBa", "La") or "transparency" in image.info
        decoded = flatten(np.asarray(image.convert("RGBA" if clear else "RGB")))
    return decoded._replace(notes=(*notes, *decoded.notes))
