"""HU where tags are incomplete or wrong: mended where air, brain and bone leave one choice, else said to be unknown."""

from __future__ import annotations

from typing import Any

import nibabel
import numpy as np
import pytest
from numpy.typing import NDArray
from pydicom import uid

from strokenext.io.read import read_series, read_slice
from strokenext.types import Slice, Volume
from tests.helpers import dicom_files as made

HU = made.head().astype(np.float32) - 1024
HU[HU == 40] = 32


def codes(image: Slice | Volume) -> list[str]:
    return [c.code for c in image.cautions]


def ct(values: NDArray[Any], **tags: Any) -> bytes:
    """A slice that stores `values` as they are, 16 bits."""
    bits = {"BitsStored": 16, "HighBit": 15} | tags
    return made.to_bytes(made.ct(values.astype(np.int64).astype(np.uint16), **bits))


@pytest.mark.parametrize(
    ("add", "tags"),
    [
        (1024, {"RescaleIntercept": None}),
        (1024, {"RescaleSlope": None}),
        (0, {"RescaleIntercept": None, "PixelRepresentation": 1}),
        (0, {"RescaleSlope": None, "RescaleIntercept": 0, "PixelRepresentation": 1}),
        (1024, {"RescaleIntercept": 0}),
        (8192, {"RescaleIntercept": 0}),
        (32768, {"RescaleIntercept": 0}),
        (1000, {"RescaleIntercept": 0}),
    ],
)
def test_a_missing_or_forgotten_offset_is_told_from_air_brain_and_bone(add: int, tags: dict[str, Any]) -> None:
    image = read_slice(ct(HU + add, **tags))
    assert image.unit == "HU"
    np.testing.assert_array_equal(image.pixels, HU)
    assert any("slope" in n or "intercept" in n for n in image.notes)


@pytest.mark.parametrize("bits", [12, 13, 16])
@pytest.mark.parametrize("intercept", [0, -1024])
def test_signed_values_in_an_unsigned_field(bits: int, intercept: int) -> None:
    """-1000 of 12 bits is stored as 3096: denser than bone when read as unsigned."""
    stored = (HU - intercept - (1024 if intercept else 0)).astype(np.int64) % 2**bits
    tags = {"BitsStored": bits, "HighBit": bits - 1, "RescaleIntercept": intercept}
    image = read_slice(ct(stored, **tags))
    np.testing.assert_array_equal(image.pixels, HU)
    assert codes(image) == ["hu-inferred"]


def test_a_blank_without_brain_is_no_evidence() -> None:
    image = read_slice(ct(np.full((64, 64), 1064), RescaleIntercept=None))
    assert image.unit == "grey"
    assert codes(image) == ["no-hu"]


def test_a_top_slice_of_air_follows_its_series() -> None:
    """Air alone cannot tell the offset; the middle of the series does, for all of it."""
    files = []
    for place, values in enumerate([HU, HU, HU, np.full_like(HU, -1000)]):
        tags = {"RescaleIntercept": 0, "ImagePositionPatient": [0, 0, 5 * place], "InstanceNumber": place + 1}
        files.append(ct(values + 1024, **tags))
    volume = read_series(files)
    assert len(volume) == 4
    assert volume[3].pixels[0, 0] == -1000


@pytest.mark.parametrize("intercept", [0, -1024])
@pytest.mark.parametrize("bits", [8, 16])
def test_a_windowed_picture_in_a_ct_header_has_no_hu(intercept: int, bits: int) -> None:
    grey = np.clip(HU / 80 * 255, 0, 255).astype(np.uint8 if bits == 8 else np.uint16)
    image = read_slice(made.to_bytes(made.ct(grey, RescaleIntercept=intercept, BitsStored=bits, HighBit=bits - 1)))
    assert image.unit == "grey"
    assert codes(image) == ["no-hu"]
    if bits == 8:
        np.testing.assert_array_equal(image.pixels, grey)


def test_clipped_hu_in_dicom_are_said() -> None:
    image = read_slice(ct(np.clip(HU, -200, 300) + 1024))
    assert (image.unit, codes(image)) == ("HU", ["clipped"])
    assert codes(read_slice(ct(HU + 1024))) == []


def test_an_image_of_air_alone_keeps_its_hu() -> None:
    image = read_slice(ct(np.random.default_rng(0).integers(0, 60, (64, 64))))
    assert (image.unit, codes(image)) == ("HU", [])


@pytest.mark.parametrize("order", ["<", ">"])
@pytest.mark.parametrize("wide", [True, False])
def test_palettes_of_every_width_and_byte_order(order: str, wide: bool) -> None:
    """256 entries of 16 bits, or of 8 bits in words of 16."""
    ds = made.ct(np.arange(256, dtype=np.uint8).reshape(16, 16), PhotometricInterpretation="PALETTE COLOR")
    table = (np.arange(256) * (257 if wide else 1)).astype(f"{order}u2").tobytes()
    for colour in ("Red", "Green", "Blue"):
        setattr(ds, f"{colour}PaletteColorLookupTableDescriptor", [256, 0, 16])
        setattr(ds, f"{colour}PaletteColorLookupTableData", table)
    ds.file_meta.TransferSyntaxUID = uid.ExplicitVRLittleEndian if order == "<" else uid.ExplicitVRBigEndian
    ds["PixelData"].VR = "OB"
    from io import BytesIO

    target = BytesIO()
    ds.save_as(target, enforce_file_format=True)
    image = read_slice(target.getvalue())
    np.testing.assert_allclose(image.pixels, np.arange(256).reshape(16, 16), atol=0.01)


# --- NIfTI ------------------------------------------------------------------------------------------------


def volume(hu: NDArray[Any], dtype: str = "i2") -> Volume:
    return read_series(nibabel.Nifti1Image(np.dstack([hu.T] * 3).astype(dtype), np.diag([-1.0, -1, 5, 1])).to_bytes())


@pytest.mark.parametrize("air", [-3024, -2000, -1024])
def test_padding_below_air_is_still_hu(air: int) -> None:
    image = volume(np.where(HU == -1000, air, HU))
    assert image.unit == "HU"
    assert image[0].pixels[32, 32] == 32
    assert image[0].pixels[0, 0] == air


def test_nan_is_padding_and_shown_as_air() -> None:
    image = volume(np.where(np.hypot(*(np.mgrid[:64, :64] - 31.5)) > 31, np.nan, HU), "f4")
    assert image.unit == "HU"
    assert image[0].pixels[0, 0] == -1000
    assert image[0].padding is not None
    assert image[0].padding[0, 0]


@pytest.mark.parametrize(("low", "high"), [(-200, 300), (0, 80), (-100, 100), (0, 100), (-1000, 400)])
def test_clipped_hu_are_hu_and_a_caution(low: int, high: int) -> None:
    image = volume(np.clip(HU, low, high))
    assert image.unit == "HU"
    assert image[0].pixels[32, 32] == 32
    assert codes(image) == ["clipped"]


@pytest.mark.parametrize("offset", [1024, 1000, 32768])
def test_unsigned_nifti_with_an_offset(offset: int) -> None:
    image = volume(HU + offset, "u2")
    assert image.unit == "HU"
    assert image[0].pixels[32, 32] == 32
    assert codes(image) == ["hu-inferred"]


def test_a_windowed_nifti_stays_grey() -> None:
    image = volume(np.clip(HU / 80 * 255, 0, 255))
    assert image.unit == "grey"
    assert codes(image) == ["no-hu"]
