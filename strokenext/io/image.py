"""PNG, JPEG and the other picture formats, PIL images and arrays to slices of grey levels 0..255, without HU."""

from __future__ import annotations

import hashlib
from io import BytesIO
from typing import Any

import numpy as np
from numpy.typing import NDArray
from PIL import Image, ImageOps

from strokenext.errors import DamagedFileError, InputError
from strokenext.types import FloatArray, Header, Slice

from . import limits
from .codestream import declared
from .grey import luminance, stretched
from .members import chosen
from .quiet import guarded

NO_HU = "No HU: a picture holds grey levels that somebody windowed before saving it."
_DAMAGED = "This picture is damaged or cut short. Export or copy it again."
#: Never all of Pillow's formats: some of them start other programs.
_FORMATS = ("PNG", "JPEG", "BMP", "DIB", "TIFF", "GIF", "WEBP", "JPEG2000")
#: A tinted picture has at least this share of clearly coloured pixels; letters alone stay below it.
TINTED = 0.02
_NOT_TURNED = 1  # of the EXIF orientation tag 0x0112


def read(data: bytes, kind: str, frame: int | None = None) -> Slice:
    """One picture; `frame` chooses a page of a TIFF that has several.

    Raises DamagedFileError, TooLargeError, InputError when a page has to be chosen.
    """
    sha256 = hashlib.sha256(data).hexdigest()
    deep = _deep(data, kind)
    if deep is not None:
        return _slice(*deep, kind, sha256)
    with guarded(_DAMAGED):
        image = _open(data)
        image.seek(chosen(frame, _pages(image), "pages"))
        return _slice(*_decode(image), kind, sha256)


def pages(data: bytes) -> int:
    """Number of pages of a TIFF; 1 for every other picture. Raises DamagedFileError, TooLargeError."""
    with guarded(_DAMAGED):
        return _pages(_open(data))


def from_pil(image: Image.Image) -> Slice:
    """A PIL image as it stands in memory. Raises DamagedFileError when its file turns out to be cut short."""
    limits.check_image(image.height, image.width)
    with guarded(_DAMAGED):
        pixels, notes, colour = _decode(image)
    sha256 = hashlib.sha256(pixels.tobytes()).hexdigest()
    return _slice(pixels, notes, colour, (image.format or "image").lower(), sha256)


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
    return _slice(*_flatten(array), "array", sha256)


def _slice(pixels: FloatArray, notes: tuple[str, ...], colour: float | None, kind: str, sha256: str) -> Slice:
    lossy = ("JPEG compression has changed the grey levels a little.",) if kind in ("jpeg", "mpo") else ()
    notes = (NO_HU, *notes, *lossy)
    return Slice(pixels, "grey", header=Header(colour=colour), kind=kind, sha256=sha256, notes=notes)


def _open(data: bytes) -> Image.Image:
    try:
        image = Image.open(BytesIO(data), formats=_FORMATS)
    except Image.DecompressionBombError:
        raise limits.too_many_pixels() from None
    limits.check_image(image.height, image.width)
    return image


def _pages(image: Image.Image) -> int:
    """Pages are pictures of their own only in TIFF; elsewhere they are animations and previews."""
    count = int(getattr(image, "n_frames", 1)) if image.format == "TIFF" else 1
    if count > 1:
        limits.check_volume(count, image.height, image.width)
    return count


def _deep(data: bytes, kind: str) -> tuple[FloatArray, tuple[str, ...], float | None] | None:
    """Pictures that Pillow would cut to 8 bits or not read: 16-bit PNG with colour or alpha, 12/16-bit JPEG."""
    png = kind == "png" and data[24:25] == b"\x10" and data[25:26] in (b"\x02", b"\x04", b"\x06")
    jpeg = declared(data) if kind == "jpeg" else None
    if not png and (jpeg is None or jpeg.bits <= 8):
        return None
    import imagecodecs

    with guarded(_DAMAGED):
        if png:
            limits.check_image(int.from_bytes(data[20:24], "big"), int.from_bytes(data[16:20], "big"))
            return _flatten(imagecodecs.png_decode(data))
        assert jpeg is not None
        limits.check_image(jpeg.rows, jpeg.columns)
        pixels = imagecodecs.jpeg8_decode(data).astype(np.float32) * np.float32(255.0 / (2**jpeg.bits - 1))
        if pixels.ndim != 2:
            raise DamagedFileError("This JPEG has more than 8 bits and colour. Export it as PNG.")
        return pixels, (f"Its {jpeg.bits} bits were kept as fractions of 255 grey levels.",), None


def _decode(image: Image.Image) -> tuple[FloatArray, tuple[str, ...], float | None]:
    """Grey levels 0..255 of the current page, upright by its EXIF orientation."""
    notes: tuple[str, ...] = ()
    if image.getexif().get(0x0112, _NOT_TURNED) not in (_NOT_TURNED, None):
        image = ImageOps.exif_transpose(image)
        notes = ("The picture was turned upright as its EXIF record asks.",)
    mode = image.mode
    if mode in ("F", "I") and not _fits_16_bits(image):
        values = np.nan_to_num(np.asarray(image, dtype=np.float64), nan=0.0, posinf=0.0, neginf=0.0)
        return stretched(values, None).astype(np.float32), (*notes, "Its values were stretched to grey levels."), None
    if mode.startswith("I"):
        pixels, more, colour = _flatten(np.asarray(image).astype(np.uint16))
    elif mode in ("L", "1"):
        pixels, more, colour = _flatten(np.asarray(image.convert("L")))
    else:
        clear = mode in ("RGBA", "LA", "PA", "RGBa", "La") or "transparency" in image.info
        pixels, more, colour = _flatten(np.asarray(image.convert("RGBA" if clear else "RGB")))
    return pixels, (*notes, *more), colour


def _fits_16_bits(image: Image.Image) -> bool:
    low, high = image.getextrema()
    return image.mode == "I" and isinstance(low, int | float) and low >= 0 and float(high) <= 65535  # type: ignore[arg-type]


def _flatten(array: NDArray[Any]) -> tuple[FloatArray, tuple[str, ...], float | None]:
    """uint8 or uint16 grey, grey with alpha, RGB or RGBA to (H, W) 0..255, notes, and the share of colour."""
    full = np.iinfo(array.dtype).max
    notes = ["Its 16 bits were kept as fractions of 255 grey levels."] if full > 255 else []
    if array.ndim == 3 and array.shape[2] in (2, 4):
        alpha, array = array[..., -1], array[..., :-1]
        if int(alpha.min()) < full:
            scaled = array.astype(np.float64) * (alpha[..., None].astype(np.float64) / full)
            array = np.rint(scaled).astype(array.dtype)
            notes.append("Transparent parts of the picture are shown black.")
    if array.ndim == 2 or array.shape[2] == 1:
        pixels = array.reshape(array.shape[:2]).astype(np.float32) * np.float32(255) / np.float32(full)
        return pixels, tuple(notes), None
    pixels, colour = luminance(array)
    if colour > TINTED:
        notes.append("The picture is tinted or in colour; its brightness is used.")
    return pixels, tuple(notes), colour
