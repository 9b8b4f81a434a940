"""Pictures that hold more than 256 grey levels or more than one frame, and kinds that are refused by name."""

from __future__ import annotations

from io import BytesIO
from typing import Any

import imagecodecs
import numpy as np
import pytest
import tifffile
from numpy.typing import NDArray
from PIL import Image

from strokenext.errors import InputError, UnsupportedFormatError
from strokenext.io.read import read_any, read_series, read_slice
from tests.helpers import dicom_files as made

HU = made.head().astype(np.float32) - 1024
HU[HU == 40] = 32


def tiff(values: NDArray[Any], **options: Any) -> bytes:
    target = BytesIO()
    tifffile.imwrite(target, values, **options)
    return target.getvalue()


def animated(kind: str, **options: Any) -> bytes:
    target = BytesIO()
    frames = [Image.fromarray(np.full((16, 16), 40 * n, np.uint8)) for n in range(4)]
    frames[0].save(target, kind, save_all=True, append_images=frames[1:], **options)
    return target.getvalue()


@pytest.mark.parametrize("dtype", ["int16", "int32", "float32", "float64"])
@pytest.mark.parametrize("compression", [None, "zlib"])
def test_a_signed_or_float_tiff_of_hu_holds_hu(dtype: str, compression: str | None) -> None:
    image = read_slice(tiff(HU.astype(dtype), compression=compression))
    assert (image.unit, image.kind) == ("HU", "tiff")
    np.testing.assert_array_equal(image.pixels, HU)
    assert [c.code for c in image.cautions] == ["hu-inferred"]


@pytest.mark.parametrize("offset", [1024, 1000, 32768])
@pytest.mark.parametrize("kind", ["png", "tiff", "jpegls", "jpeg2000"])
def test_an_offset_of_a_16_bit_picture_is_undone(kind: str, offset: int) -> None:
    values = (HU + offset).astype(np.uint16)
    encode = {
        "png": imagecodecs.png_encode,
        "tiff": tiff,
        "jpegls": imagecodecs.jpegls_encode,
        "jpeg2000": lambda v: imagecodecs.jpeg2k_encode(v, reversible=True),
    }
    image = read_slice(encode[kind](values))
    assert image.unit == "HU"
    np.testing.assert_array_equal(image.pixels, HU)


def test_nan_in_a_float_tiff_is_air() -> None:
    values = HU.copy()
    values[:3] = np.nan
    values[-1] = np.inf
    image = read_slice(tiff(values))
    assert image.unit == "HU"
    assert {image.pixels[0, 0], image.pixels[-1, 0]} == {-1000.0}


def test_a_clipped_float_tiff_is_hu_with_a_caution() -> None:
    image = read_slice(tiff(np.clip(HU, 0, 80)))
    assert image.unit == "HU"
    assert [c.code for c in image.cautions] == ["clipped", "hu-inferred"]


def test_values_that_use_little_of_16_bits_are_stretched_and_said() -> None:
    """A ramp of 12 bits in 16 would be nearly black."""
    values = np.linspace(0, 3000, 256).astype(np.uint16).reshape(16, 16)
    image = read_slice(imagecodecs.png_encode(values))
    assert (image.unit, image.pixels.max()) == ("grey", 255)
    assert any("stretched" in n for n in image.notes)
    assert [c.code for c in image.cautions] == ["no-hu"]


def test_a_windowed_float_picture_stays_grey() -> None:
    image = read_slice(tiff(np.clip(HU / 80, 0, 1).astype(np.float32)))
    assert image.unit == "grey"
    assert image.pixels[32, 32] == pytest.approx(0.4 * 255)


@pytest.mark.parametrize(("kind", "options"), [("GIF", {}), ("PNG", {}), ("WEBP", {"lossless": True}), ("TIFF", {})])
def test_every_frame_of_an_animation_is_a_slice(kind: str, options: dict[str, Any]) -> None:
    data = animated(kind, **options)
    volume = read_series(data)
    assert [s.pixels[8, 8] for s in volume] == [0, 40, 80, 120]
    assert len(read_any(data)) == 4
    assert read_slice(data, frame=2).pixels[8, 8] == 80
    with pytest.raises(InputError, match="holds 4"):
        read_slice(data)
    if kind != "TIFF":
        assert any("animation" in n for n in volume.notes)


@pytest.mark.parametrize("colour", [False, True])
def test_jpeg_ls_and_lossless_jpeg_files_are_pictures(colour: bool) -> None:
    grey = np.arange(256, dtype=np.uint8).reshape(16, 16)
    picture = np.dstack([grey] * 3) if colour else grey
    np.testing.assert_allclose(read_slice(imagecodecs.jpegls_encode(picture)).pixels, grey)
    lossless = imagecodecs.jpeg8_encode(grey, lossless=True, predictor=1)
    np.testing.assert_allclose(read_slice(lossless).pixels, grey)


@pytest.mark.parametrize(
    ("data", "name"),
    [
        (b"\xff\x0a" + bytes(60), "JPEG XL"),
        (b"\x00\x00\x00\x0cJXL \r\n\x87\n" + bytes(60), "JPEG XL"),
        (b"\x00\x00\x00\x1cftypavif" + bytes(60), "AVIF"),
        (b"\x00\x00\x00\x18ftypheic" + bytes(60), "HEIC"),
        (b"\x00\x00\x00\x18ftypmif1" + bytes(60), "HEIC"),
        (b"\x00\x00\x00\x18ftypisom" + bytes(60), "video"),
    ],
)
def test_other_kinds_of_pictures_are_refused_by_name(data: bytes, name: str) -> None:
    with pytest.raises(UnsupportedFormatError, match=name):
        read_any(data)
