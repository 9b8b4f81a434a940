"""Files that are wrong in one attribute and right in their pixels: read with the HU they hold."""

from __future__ import annotations

import warnings
from pathlib import Path
from typing import Any

import imagecodecs
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from numpy.typing import NDArray
from pydicom import data as pydicom_data
from pydicom import uid
from pydicom.datadict import tag_for_keyword
from pydicom.dataset import Dataset
from pydicom.encaps import encapsulate, encapsulate_extended

from strokenext.errors import InputError
from strokenext.io.dicom import decode
from strokenext.io.dicom.frames import stored
from strokenext.io.read import read_series, read_slice
from tests.helpers import dicom_files as made

HU = made.head().astype(np.float32) - 1024
COMPRESSED = [uid.RLELossless, uid.JPEGLosslessSV1, uid.JPEGLSLossless, uid.JPEG2000Lossless]
SYNTAXES = [uid.ExplicitVRLittleEndian, uid.ImplicitVRLittleEndian, uid.ExplicitVRBigEndian, *COMPRESSED]


def written(ds: Dataset, syntax: str, container: NDArray[Any]) -> bytes:
    """The data set with that container of 16 bits in a transfer syntax."""
    plain = container.astype(np.uint16)
    if syntax in COMPRESSED:
        return made.compressed(ds, syntax, [made.encode(plain, syntax)])
    ds.PixelData = plain.tobytes()
    return made.to_bytes(ds, syntax)


def under(vr: str, **values: str) -> Dataset:
    """A slice with some elements written under another VR."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        ds = made.ct()
        for keyword, value in values.items():
            ds.pop(keyword, None)
            ds.add_new(tag_for_keyword(keyword), vr, value)
    return ds


@pytest.mark.parametrize("vr", ["LO", "SH", "ST", "UT", "CS"])
@pytest.mark.parametrize(("slope", "intercept"), [("1", "-1024"), ("1.0", "-1024.0"), ("1,0", "-1024,0")])
def test_rescale_under_a_text_vr_or_with_a_comma(vr: str, slope: str, intercept: str) -> None:
    image = read_slice(made.to_bytes(under(vr, RescaleSlope=slope, RescaleIntercept=intercept)))
    assert image.unit == "HU"
    np.testing.assert_array_equal(image.pixels, HU)


def test_every_number_may_stand_under_a_text_vr() -> None:
    texts = {
        "PixelSpacing": "0,5\\0,4",
        "ImagePositionPatient": "1\\2\\30",
        "WindowCenter": "40,0",
        "WindowWidth": "80",
    }
    texts["WindowWidth"] = "80"
    bits = {"Rows": "64", "Columns": "64", "BitsAllocated": "16", "BitsStored": "12", "HighBit": "11"}
    more = {"PixelRepresentation": "0", "SamplesPerPixel": "1", "ImageOrientationPatient": "1\\0\\0\\0\\1\\0"}
    image = read_slice(made.to_bytes(under("LO", **texts, **bits, **more)))
    np.testing.assert_array_equal(image.pixels, HU)
    assert image.spacing == (0.5, 0.4)
    assert (image.windows[0].width, image.windows[0].level) == (80, 40)
    assert image.edges == ("R", "L", "A", "P")


def test_instance_numbers_under_a_text_vr_count() -> None:
    files = []
    for number in (10, 2, 1):
        ds = under("LO", InstanceNumber=str(number))
        del ds.ImagePositionPatient
        pixels = made.head()
        pixels[0, 0] = number
        ds.PixelData = pixels.tobytes()
        files.append(made.to_bytes(ds))
    assert [s.pixels[0, 0] + 1024 for s in read_series(files)] == [1, 2, 10]


@pytest.mark.parametrize("kind", ["US", "us ", "HU", "UNSPECIFIED"])
def test_an_unspecified_rescale_type_on_ct_is_hu(kind: str) -> None:
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        image = read_slice(made.to_bytes(made.ct(RescaleType=kind)))
    np.testing.assert_array_equal(image.pixels, HU)


@settings(max_examples=60, deadline=None)
@given(
    syntax=st.sampled_from(SYNTAXES),
    signed=st.booleans(),
    bits=st.integers(12, 16),
    overlay=st.booleans(),
    shifted=st.booleans(),
)
def test_the_stored_bits_are_the_pixels_in_every_syntax(
    syntax: str, signed: bool, bits: int, overlay: bool, shifted: bool
) -> None:
    """Overlays above the stored bits, values in the high bits, signs that need extending."""
    values = HU.astype(np.int32) if signed else HU.astype(np.int32) + 1024
    container = values & (2**bits - 1)
    if shifted:
        container = container << (16 - bits)
    elif overlay and bits < 16:
        container = container | (np.arange(made.SIDE) % 2 << (bits if bits < 15 else 15))
    ds = made.ct(BitsStored=bits, HighBit=15 if shifted else bits - 1, PixelRepresentation=int(signed))
    ds.RescaleIntercept = 0 if signed else -1024
    np.testing.assert_array_equal(read_slice(written(ds, syntax, container)).pixels, HU)


@pytest.mark.parametrize("syntax", SYNTAXES)
@pytest.mark.parametrize(
    "absent",
    ["PixelRepresentation", "BitsStored", "HighBit", "PhotometricInterpretation", "SamplesPerPixel", "BitsAllocated"],
)
def test_an_absent_attribute_of_one_meaning_is_mended_and_said(syntax: str, absent: str) -> None:
    ds = made.ct()
    delattr(ds, absent)
    data = made.compressed(ds, syntax, [made.encode(made.head(), syntax)]) if syntax in COMPRESSED else None
    if data is None:
        ds["PixelData"].VR = "OW"
        if syntax == uid.ExplicitVRBigEndian:
            ds.PixelData = made.head().astype(">u2").tobytes()
        ds.file_meta.TransferSyntaxUID = syntax
        from io import BytesIO

        target = BytesIO()
        ds.save_as(target, enforce_file_format=True)
        data = target.getvalue()
    image = read_slice(data)
    np.testing.assert_array_equal(image.pixels, HU)
    if absent not in ("HighBit", "SamplesPerPixel"):
        assert any("absent" in n or "does not state" in n for n in image.notes)


@pytest.mark.parametrize("absent", [["Rows"], ["Columns"], ["Rows", "Columns"]])
@pytest.mark.parametrize("syntax", [uid.ExplicitVRLittleEndian, uid.JPEGLSLossless, uid.JPEG2000Lossless])
def test_a_size_that_is_absent_is_that_of_the_pixels(absent: list[str], syntax: str) -> None:
    ds = made.ct()
    for keyword in absent:
        delattr(ds, keyword)
    if syntax == uid.ExplicitVRLittleEndian and len(absent) == 2:
        with pytest.raises(InputError):
            read_slice(written(ds, syntax, made.head()))
        return
    np.testing.assert_array_equal(read_slice(written(ds, syntax, made.head())).pixels, HU)


@pytest.mark.parametrize("stated", ["monochrome2", "MONOCHROME2 ", "Monochrome 2", "MONOCHROME_2", "MONOCROME2"])
def test_a_misspelt_photometric_interpretation(stated: str) -> None:
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        image = read_slice(made.to_bytes(made.ct(PhotometricInterpretation=stated)))
    np.testing.assert_array_equal(image.pixels, HU)


def test_high_bit_that_is_wrong_beside_values_in_the_low_bits() -> None:
    np.testing.assert_array_equal(read_slice(made.to_bytes(made.ct(HighBit=15))).pixels, HU)


# --- fragments --------------------------------------------------------------------------------------------


def multiframe(count: int = 4) -> tuple[Dataset, list[bytes]]:
    ds = made.enhanced([float(z) for z in range(count)])
    stack = np.frombuffer(ds.PixelData, np.int16).reshape(count, made.SIDE, made.SIDE)
    return ds, [made.encode(f, uid.JPEG2000Lossless) for f in stack]


def with_pixels(ds: Dataset, pixels: bytes) -> bytes:
    data = made.compressed(ds, uid.JPEG2000Lossless, [b"\0\0"])
    item = encapsulate([b"\0\0"])
    at = data.index(item)
    return data[:at] + pixels + data[at + len(item) :]


@pytest.mark.parametrize("table", [[], [0], [0, 9], [0, 1, 2, 3], [7, 7, 7, 7], list(range(0, 90, 10))])
@pytest.mark.parametrize("fragments", [1, 2])
def test_frames_are_found_whatever_the_offset_table_says(table: list[int], fragments: int) -> None:
    ds, streams = multiframe()
    full = encapsulate(streams, fragments_per_frame=fragments)
    items = full[8 + int.from_bytes(full[4:8], "little") :]
    wrong = np.array(table, "<u4").tobytes()
    pixels = b"\xfe\xff\x00\xe0" + len(wrong).to_bytes(4, "little") + wrong + items
    assert [s.pixels[0, 0] + 1024 for s in read_series(with_pixels(ds, pixels))] == [0, 1, 2, 3]


def test_an_extended_offset_table_and_a_wrong_one() -> None:
    ds, streams = multiframe()
    pixels, offsets, lengths = encapsulate_extended(streams)
    ds.ExtendedOffsetTable, ds.ExtendedOffsetTableLengths = offsets, lengths
    assert [s.pixels[0, 0] + 1024 for s in read_series(with_pixels(ds, pixels))] == [0, 1, 2, 3]
    ds.ExtendedOffsetTable = offsets[:8] * 4
    assert [s.pixels[0, 0] + 1024 for s in read_series(with_pixels(ds, pixels))] == [0, 1, 2, 3]


@pytest.mark.parametrize("syntax", COMPRESSED)
def test_a_missing_closing_delimiter(syntax: str) -> None:
    data = made.compressed(made.ct(), syntax, [made.encode(made.head(), syntax)])
    assert data.endswith(b"\xfe\xff\xdd\xe0\0\0\0\0")
    np.testing.assert_array_equal(read_slice(data[:-8]).pixels, HU)


def test_rgb_jpeg_without_a_marker_is_rgb() -> None:
    """Without Adobe or JFIF marker libjpeg takes YCbCr; the file says RGB."""
    picture = np.zeros((16, 16, 3), np.uint8)
    picture[..., 0] = 200
    stream = imagecodecs.jpeg8_encode(picture, level=95, colorspace="RGB", outcolorspace="RGB")
    while b"Adobe" in stream[:64]:
        at = stream.index(b"\xff\xee")
        stream = stream[:at] + stream[at + 16 :]
    ds = made.ct(picture[..., 0], SamplesPerPixel=3, PhotometricInterpretation="RGB", PlanarConfiguration=0)
    image = read_slice(made.compressed(ds, uid.JPEGBaseline8Bit, [stream]))
    assert image.pixels[8, 8] == pytest.approx(0.299 * 200, abs=2)


def test_twelve_bits_without_gaps() -> None:
    """BitsAllocated 12, the oldest form: two pixels in three bytes."""
    low, high = made.head().astype(np.uint16).reshape(-1, 2).T
    packed = np.stack((low & 255, (low >> 8) | (high & 15) << 4, high >> 4), axis=1).astype(np.uint8)
    ds = made.ct(BitsAllocated=12)
    ds.PixelData = packed.tobytes()
    np.testing.assert_array_equal(read_slice(made.to_bytes(ds)).pixels, HU)


# --- an independent decoder -------------------------------------------------------------------------------

ROOT = Path(pydicom_data.__path__[0]) / "test_files"
#: Where GDCM is not the measure: 16- and 32-bit RLE colours and 32-bit big-endian it swaps, the Adobe marker of
#: `SC_rgb_jpeg.dcm` it overrules; bitmaps it scales to 255.
NOT_THE_MEASURE = {
    *(f"SC_rgb_rle_{bits}bit{frames}.dcm" for bits in (16, 32) for frames in ("", "_2frame")),
    "SC_rgb_jpeg.dcm",
    "rtdose_expb.dcm",
    "liver_1frame.dcm",
    "liver_expb_1frame.dcm",
}


def test_all_of_pydicoms_own_files_decode_as_gdcm_decodes_them() -> None:
    sitk = pytest.importorskip("SimpleITK")
    sitk.ProcessObject.SetGlobalWarningDisplay(False)
    compared = 0
    for path in sorted(p for p in ROOT.rglob("*") if p.is_file() and p.name not in NOT_THE_MEASURE):
        theirs = _gdcm(sitk, path)
        if theirs is None:
            continue
        ds = decode.parse(path.read_bytes())
        frames = stored.open_frames(ds)
        ours = np.stack([frames.read(i) for i in range(frames.layout.frames)]).astype(np.float64)
        if frames.layout.is_palette or frames.layout.photometric == "MONOCHROME1":  # GDCM applies and inverts
            continue
        facts = decode.facts(ds)[0]
        if facts.slope is not None and facts.intercept is not None:
            ours = ours * facts.slope + facts.intercept
        np.testing.assert_allclose(ours.reshape(theirs.shape), theirs, rtol=1e-6, atol=1e-3, err_msg=path.name)
        compared += 1
    assert compared >= 40


def _gdcm(sitk: Any, path: Path) -> NDArray[Any] | None:
    """What GDCM makes of a file, None when it does not open it."""
    if path.read_bytes()[128:132] != b"DICM" and path.suffix != ".dcm":
        return None
    reader = sitk.ImageFileReader()
    reader.SetImageIO("GDCMImageIO")
    reader.SetFileName(str(path))
    try:
        return np.asarray(sitk.GetArrayFromImage(reader.Execute()))
    except RuntimeError:
        return None


def test_what_is_refused_of_pydicoms_files_is_refused_with_a_sentence() -> None:
    for path in sorted(ROOT.rglob("*.dcm")):
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            assert _refusal(path).endswith("."), path.name


def _refusal(path: Path) -> str:
    """The sentence with which a file is refused; a full stop when it is read."""
    try:
        read_series(path)
    except InputError as error:
        return str(error)
    return "."


@pytest.mark.parametrize("syntax", [uid.ExplicitVRLittleEndian, uid.ImplicitVRLittleEndian])
@pytest.mark.parametrize("missing", ["sequence", "first item", "last item", "last item and sequence", "all"])
def test_missing_delimiters_of_a_sequence_before_the_image(syntax: str, missing: str) -> None:
    item_end, sequence_end = b"\xfe\xff\x0d\xe0\0\0\0\0", b"\xfe\xff\xdd\xe0\0\0\0\0"
    ds = made.ct()
    ds.ReferencedImageSequence = [Dataset(), Dataset()]
    for item in ds.ReferencedImageSequence:
        item.ReferencedSOPClassUID, item.ReferencedSOPInstanceUID = "1.2.3", "1.2.4"
        item.is_undefined_length_sequence_item = True
    ds["ReferencedImageSequence"].is_undefined_length = True
    data = made.to_bytes(ds, syntax)
    broken = {
        "sequence": data.replace(sequence_end, b""),
        "first item": data.replace(item_end, b"", 1),
        "last item": data.replace(item_end + sequence_end, sequence_end),
        "last item and sequence": data.replace(item_end + sequence_end, b""),
        "all": data.replace(item_end, b"").replace(sequence_end, b""),
    }[missing]
    assert len(broken) < len(data)
    image = read_slice(broken)
    np.testing.assert_array_equal(image.pixels, HU)
    assert image.edges == ("R", "L", "A", "P")
