"""What is read from a file: one pixel in HU or grey, unit, windows, edges; by file and by encoding."""

from __future__ import annotations

import gzip
import warnings
from io import BytesIO
from pathlib import Path

import nibabel
import numpy as np
import pytest
from PIL import Image
from pydicom import uid

from strokenext.errors import InputError, UnsupportedFormatError
from strokenext.io.read import describe, read_any, read_series, read_slice
from strokenext.types import Window
from tests.helpers import dicom_files as made
from tests.helpers import places

SHARED = places.SHARED / "dicom"
shared = pytest.mark.skipif(not SHARED.is_dir(), reason="the reference data ../shared/data/dicom is absent")

# file, expected value of pixel (256, 256), tolerance (0: lossless), first window, edges
CT_IMAGE = (67.0, "L", Window(400, 40))
SYNTAXES = {
    "CTImage.dcm": 0,
    "*LittleEndianExplicit*": 0,
    "*LittleEndianImplicit*": 0,
    "*BigEndianExplicit*": 0,
    "*Deflated*": 0,
    "*RLELossless*": 0,
    "*JPEGProcess14Transfer*": 0,
    "*JPEGProcess14SV1*": 0,
    "*JPEGLSLossless*": 0,
    "*JPEG2000LosslessOnly*": 0,
    "*JPEGLSLossy*": 2,
    "*JPEG2000Transfer*": 3,
    "*JPEGProcess2_4*": 6,  # 12 bits over 8190 HU, lossy
    "*JPEGProcess1Transfer*": 33,  # 8 bits: one step is 32 HU
}


@shared
@pytest.mark.parametrize(("pattern", "tolerance"), SYNTAXES.items())
def test_every_maintained_transfer_syntax_gives_the_same_hu(pattern: str, tolerance: float) -> None:
    (path,) = (SHARED / "transfer_syntaxes").glob(pattern)
    image = read_slice(path)
    assert image.unit == "HU"
    assert image.pixels[256, 256] == pytest.approx(67.0, abs=tolerance)
    assert image.pixels[256, 300] == pytest.approx(1003 - 1024, abs=tolerance)
    assert image.windows == (Window(400, 40),)
    assert image.edges == ("R", "L", "A", "P")
    assert image.spacing == (0.675781, 0.675781)


@shared
@pytest.mark.parametrize(("pattern", "name"), [("*4.53.dcm", "Spectral Selection"), ("*4.55.dcm", "Full Progression")])
def test_syntaxes_without_a_maintained_decoder_are_refused_by_name(pattern: str, name: str) -> None:
    (path,) = (SHARED / "transfer_syntaxes").glob(pattern)
    with pytest.raises(UnsupportedFormatError, match=name):
        read_slice(path)


@shared
@pytest.mark.parametrize(
    ("file", "pixel", "windows", "padded"),
    [
        ("transfer_syntaxes/CT2_J2KR", 38.0, (Window(80, 35, "BRAIN"),), 0),
        ("transfer_syntaxes/CT1_J2KR", -59.0, (), 55772),
        ("ischemic_series/000001.dcm", 11.0, (Window(80, 35, "WINDOW1"), Window(3200, 700, "WINDOW2")), 0),
        ("ge_head_series/01.dcm", 997.0, (Window(100, 35),), 62180),  # intercept 0, signed, padding -1500
    ],
)
def test_real_slices(file: str, pixel: float, windows: tuple[Window, ...], padded: int) -> None:
    image = read_slice(SHARED / file)
    assert (image.unit, image.pixels[256, 256], image.windows) == ("HU", pixel, windows)
    assert image.edges == ("R", "L", "A", "P")
    assert (0 if image.padding is None else image.padding.sum()) == padded
    if image.padding is not None:
        assert set(image.pixels[image.padding]) == {-1000.0}


@shared
@pytest.mark.parametrize(
    ("file", "words"),
    [
        ("scout/I10", "localizer"),
        ("secondary_capture/I10", "localizer"),
        ("not_ct_mr_dwi/000019.dcm", "modality is MR"),
    ],
)
def test_out_of_scope_files_are_read_and_say_so(file: str, words: str) -> None:
    assert words in (read_slice(SHARED / file).header.scope_problem or "")


def test_hu_windows_edges_and_spacing_of_a_made_slice() -> None:
    image = read_slice(made.to_bytes(made.ct()))
    assert (image.unit, image.kind, image.notes) == ("HU", "dicom", ())
    assert (image.pixels[20, 30], image.pixels[32, 32], image.pixels[0, 0]) == (76, 40, -1000)
    assert image.windows == (Window(80, 40, "BRAIN"), Window(2800, 600, "BONE"))
    assert image.edges == ("R", "L", "A", "P")
    assert image.spacing == (0.5, 0.4)
    assert (image.header.modality, image.header.body_part, image.header.axial) == ("CT", "HEAD", True)
    assert image.header.slice_thickness == 5
    assert image.header.scope_problem is None


@pytest.mark.parametrize(
    "syntax",
    [
        uid.ImplicitVRLittleEndian,
        uid.ExplicitVRLittleEndian,
        uid.ExplicitVRBigEndian,
        uid.DeflatedExplicitVRLittleEndian,
    ],
)
def test_uncompressed_encodings(syntax: str) -> None:
    assert read_slice(made.to_bytes(made.ct(), syntax)).pixels[20, 30] == 76


@pytest.mark.parametrize("syntax", [uid.ImplicitVRLittleEndian, uid.ExplicitVRLittleEndian, uid.ExplicitVRBigEndian])
def test_files_without_preamble_and_meta(syntax: str) -> None:
    assert read_slice(made.to_bytes(made.ct(), syntax, preamble=False)).pixels[20, 30] == 76


@pytest.mark.parametrize(
    "syntax",
    [
        uid.RLELossless,
        uid.JPEGLossless,
        uid.JPEGLosslessSV1,
        uid.JPEGLSLossless,
        uid.JPEG2000Lossless,
        uid.JPEG2000,
        uid.HTJ2KLossless,
        uid.JPEGExtended12Bit,
    ],
)
def test_compressed_encodings(syntax: str) -> None:
    data = made.compressed(made.ct(), syntax, [made.encode(made.head(), syntax)])
    image = read_slice(data)
    tolerance = 12 if syntax == uid.JPEGExtended12Bit else 0
    np.testing.assert_allclose(image.pixels, made.head().astype(np.float32) - 1024, atol=tolerance)
    assert image.header.transfer_syntax == uid.UID(syntax).name


@pytest.mark.parametrize("syntax", [uid.RLELossless, uid.JPEGLSLossless, uid.JPEG2000Lossless, uid.JPEGLosslessSV1])
def test_compressed_signed_values(syntax: str) -> None:
    """Two's complement in 16 bits: the codecs carry no sign, the file's PixelRepresentation does."""
    signed = made.head() - 1024
    ds = made.ct(signed, RescaleIntercept=0, PixelRepresentation=1, BitsStored=16, HighBit=15)
    image = read_slice(made.compressed(ds, syntax, [made.encode(signed.view(np.uint16), syntax)]))
    np.testing.assert_array_equal(image.pixels, signed)


def test_ge_form_signed_with_intercept_zero_and_padding() -> None:
    signed = made.head() - 1024
    signed[:4] = -1500
    ds = made.ct(signed, RescaleIntercept=0, PixelRepresentation=1, BitsStored=16, HighBit=15)
    ds.add_new(0x00280120, "SS", -1500)
    image = read_slice(made.to_bytes(ds))
    assert image.padding is not None
    assert image.padding.sum() == 4 * made.SIDE
    assert image.pixels[0, 0] == -1000
    assert image.pixels[20, 30] == 76


def test_padding_range_and_wrong_sign() -> None:
    signed = made.head() - 1024
    signed[0], signed[1] = -2000, -1990
    ds = made.ct(signed, RescaleIntercept=0, PixelRepresentation=1, BitsStored=16, HighBit=15)
    ds.add_new(0x00280120, "US", 65536 - 2000)
    ds.add_new(0x00280121, "US", 65536 - 1990)
    image = read_slice(made.to_bytes(ds))
    assert image.padding is not None
    assert image.padding.sum() == 2 * made.SIDE


def test_a_padding_value_that_is_tissue_is_not_believed() -> None:
    ds = made.ct()
    ds.add_new(0x00280120, "US", 1064)  # 40 HU: all the brain
    image = read_slice(made.to_bytes(ds))
    assert image.padding is None
    assert image.pixels[32, 32] == 40
    assert any("padding value" in n for n in image.notes)


def test_monochrome1_leaves_hu_alone() -> None:
    """PhotometricInterpretation is about display; the modality step does not know it."""
    assert read_slice(made.to_bytes(made.ct(PhotometricInterpretation="MONOCHROME1"))).pixels[20, 30] == 76


def test_monochrome1_with_inverted_values_is_turned_back() -> None:
    image = read_slice(made.to_bytes(made.ct(4095 - made.head(), PhotometricInterpretation="MONOCHROME1")))
    assert (image.pixels[20, 30], image.pixels[0, 0]) == (76, -1000)
    assert any("MONOCHROME1" in n for n in image.notes)


def test_monochrome1_grey_is_inverted() -> None:
    grey = np.full((8, 8), 10, np.uint8)
    ds = made.ct(grey, PhotometricInterpretation="MONOCHROME1", RescaleSlope=None, RescaleIntercept=None)
    assert read_slice(made.to_bytes(ds)).pixels[0, 0] == 245


@pytest.mark.parametrize(
    ("tags", "words"),
    [
        ({"RescaleSlope": None, "RescaleIntercept": None}, "no rescale slope"),
        ({"RescaleSlope": "0"}, "make no sense"),
        ({"RescaleSlope": "1e30"}, "make no sense"),
        ({"RescaleType": "OD"}, "unit OD"),
        ({"Modality": "MR"}, "modality is MR"),
    ],
)
def test_no_hu_is_said_and_never_guessed(tags: dict[str, object], words: str) -> None:
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        image = read_slice(made.to_bytes(made.ct(**tags)))
    assert image.unit == "grey"
    assert image.windows == ()
    assert any(n.startswith("No HU") and words in n for n in image.notes)
    assert 0 <= image.pixels.min() <= image.pixels.max() <= 255


def test_nan_slope_is_no_hu() -> None:
    data = made.to_bytes(made.ct(RescaleSlope="1.5 ")).replace(b"1.5 ", b"NaN ")
    assert read_slice(data).unit == "grey"


def test_modality_lut_in_hu() -> None:
    ds = made.ct(np.array([[0, 1], [2, 3]], np.uint16), RescaleSlope=None, RescaleIntercept=None)
    lut = made.group(ModalityLUTSequence={"ModalityLUTType": "HU"})
    lut.ModalityLUTSequence[0].add_new(0x00283002, "SS", [4, 0, 16])
    lut.ModalityLUTSequence[0].add_new(0x00283006, "OW", np.array([0, 20, 40, 60], "<u2").tobytes())
    ds.ModalityLUTSequence = lut.ModalityLUTSequence
    image = read_slice(made.to_bytes(ds))
    assert image.unit == "HU"
    assert image.pixels.tolist() == [[0, 20], [40, 60]]


@pytest.mark.parametrize(
    ("cosines", "edges", "axial"),
    [
        ([1, 0, 0, 0, 1, 0], ("R", "L", "A", "P"), True),
        ([-1, 0, 0, 0, 1, 0], ("L", "R", "A", "P"), True),
        ([1, 0, 0, 0, 0.9483237, -0.3173047], ("R", "L", "A", "P"), True),  # gantry tilt of 18.5 degrees
        ([0, 1, 0, 0, 0, -1], ("A", "P", "H", "F"), False),
        ([1, 0, 0, 0, 0, -1], ("R", "L", "H", "F"), False),
        ([1, 0, 0, 1, 0, 0], None, None),  # not perpendicular: no marker is better than a wrong one
        (None, None, None),
    ],
)
def test_edges_and_axial(cosines: list[float] | None, edges: object, axial: bool | None) -> None:
    image = read_slice(made.to_bytes(made.ct(ImageOrientationPatient=cosines)))
    assert image.edges == edges
    assert image.header.axial is axial


@pytest.mark.parametrize(
    ("tags", "words"),
    [
        ({"ImageType": ["ORIGINAL", "PRIMARY", "LOCALIZER"]}, "localizer"),
        ({"Modality": "PT"}, "modality is PT"),
        ({"BodyPartExamined": "CHEST"}, "body part is CHEST"),
        ({"ImageOrientationPatient": [0, 1, 0, 0, 0, -1]}, "not axial"),
    ],
)
def test_header_rules_the_image_out(tags: dict[str, object], words: str) -> None:
    assert words in (read_slice(made.to_bytes(made.ct(**tags))).header.scope_problem or "")


def test_colour_dicom_is_luminance_without_hu() -> None:
    red = np.zeros((8, 8, 3), np.uint8)
    red[..., 0] = 200
    ds = made.ct(np.zeros((8, 8), np.uint8), SamplesPerPixel=3, PhotometricInterpretation="RGB", PlanarConfiguration=0)
    ds.PixelData = red.tobytes()
    image = read_slice(made.to_bytes(ds))
    assert image.unit == "grey"
    assert image.pixels[0, 0] == pytest.approx(0.299 * 200, abs=0.01)
    assert image.header.colour == 1.0


def test_colour_jpeg_in_dicom() -> None:
    import imagecodecs

    red = np.zeros((16, 16, 3), np.uint8)
    red[..., 0] = 200
    ds = made.ct(np.zeros((16, 16), np.uint8), SamplesPerPixel=3, PhotometricInterpretation="YBR_FULL_422")
    ds.PlanarConfiguration = 0
    image = read_slice(made.compressed(ds, uid.JPEGBaseline8Bit, [imagecodecs.jpeg8_encode(red, level=95)]))
    assert image.pixels[8, 8] == pytest.approx(0.299 * 200, abs=2)


def test_enhanced_multi_frame_uses_each_frames_own_groups() -> None:
    data = made.to_bytes(made.enhanced([30.0, 10.0, 20.0], slopes=[1.0, 2.0, 1.0]))
    with pytest.raises(InputError, match="read_series"):
        read_slice(data)
    second = read_slice(data, frame=1)
    assert second.pixels[20, 30] == 2 * 1100 - 1024
    assert second.spacing == (0.7, 0.6)
    assert second.windows == (Window(90, 35),)
    volume = read_series(data)
    assert volume.positions == (10.0, 20.0, 30.0)
    assert [s.pixels[0, 0] + 1024 for s in volume] == [2, 2, 0]  # frame 1 (stored 1, slope 2), frame 2, frame 0
    assert isinstance(read_any(data), type(volume))


@pytest.mark.parametrize("syntax", [uid.RLELossless, uid.JPEG2000Lossless])
def test_compressed_multi_frame(syntax: str) -> None:
    ds = made.enhanced([3.0, 2.0, 1.0])
    stack = np.frombuffer(ds.PixelData, np.int16).reshape(3, made.SIDE, made.SIDE)
    volume = read_series(made.compressed(ds, syntax, [made.encode(f, syntax) for f in stack]))
    assert [s.pixels[0, 0] + 1024 for s in volume] == [2, 1, 0]


def test_missing_frame_is_named() -> None:
    with pytest.raises(InputError, match="no frame 3; it holds 1"):
        read_slice(made.to_bytes(made.ct()), frame=3)


# --- pictures ---------------------------------------------------------------------------------------------


def saved(image: Image.Image, kind: str, **options: object) -> bytes:
    target = BytesIO()
    image.save(target, kind, **options)
    return target.getvalue()


RAMP = np.arange(256, dtype=np.uint8).reshape(16, 16)


@pytest.mark.parametrize(("kind", "name"), [("PNG", "png"), ("BMP", "bmp"), ("TIFF", "tiff"), ("GIF", "gif")])
def test_lossless_pictures_keep_their_levels(kind: str, name: str) -> None:
    image = read_slice(saved(Image.fromarray(RAMP), kind))
    assert (image.unit, image.kind) == ("grey", name)
    np.testing.assert_array_equal(image.pixels, RAMP)
    assert image.notes[0].startswith("No HU")
    assert image.edges is image.spacing is None


def test_lossy_pictures_are_close_and_say_so() -> None:
    flat = np.full((16, 16), 90, np.uint8)
    image = read_slice(saved(Image.fromarray(flat), "JPEG", quality=95))
    np.testing.assert_allclose(image.pixels, 90, atol=1)
    assert any("JPEG" in n for n in image.notes)
    assert read_slice(saved(Image.fromarray(flat), "WEBP", lossless=True)).pixels[3, 3] == 90


def test_sixteen_bits_stay_apart() -> None:
    """Stored 25700 and 25701 are 100 and 100.0039 of 255: 8 bits would merge them."""
    deep = np.array([[0, 25700, 25701, 65535]], np.uint16)
    image = read_slice(saved(Image.fromarray(deep), "PNG"))
    np.testing.assert_allclose(image.pixels, deep / 257.0, rtol=1e-6)
    assert image.pixels[0, 1] != image.pixels[0, 2]
    np.testing.assert_allclose(read_slice(saved(Image.fromarray(deep), "TIFF")).pixels, deep / 257.0, rtol=1e-6)


def test_sixteen_bit_colour_png_and_twelve_bit_jpeg() -> None:
    import imagecodecs

    deep = np.dstack([np.full((8, 8), 25701, np.uint16)] * 3)
    assert read_slice(imagecodecs.png_encode(deep)).pixels[0, 0] == pytest.approx(25701 / 257, abs=1e-4)
    alpha = np.dstack([deep, np.full((8, 8), 0, np.uint16)])
    assert read_slice(imagecodecs.png_encode(alpha)).pixels[0, 0] == 0
    twelve = imagecodecs.jpeg8_encode(np.full((16, 16), 2048, np.uint16), level=98, bitspersample=12)
    assert read_slice(twelve).pixels[0, 0] == pytest.approx(2048 / 4095 * 255, abs=0.5)


@pytest.mark.parametrize(
    ("image", "value"),
    [
        (Image.new("RGBA", (8, 8), (200, 200, 200, 128)), 100),  # composited on black
        (Image.new("LA", (8, 8), (200, 0)), 0),
        (Image.new("RGB", (8, 8), (255, 0, 0)), 76.245),  # BT.601
        (Image.new("RGB", (8, 8), (90, 90, 90)), 90),
        (Image.new("P", (8, 8), 3), 3),
        (Image.new("1", (8, 8), 1), 255),
        (Image.new("CMYK", (8, 8), (0, 0, 0, 155)), 100),
    ],
)
def test_modes_become_brightness(image: Image.Image, value: float) -> None:
    if image.mode == "P":
        image.putpalette([v for i in range(256) for v in (i, i, i)])
    assert read_slice(image).pixels[4, 4] == pytest.approx(value, abs=0.6)
    if image.mode != "CMYK":
        assert read_slice(saved(image, "PNG")).pixels[4, 4] == pytest.approx(value, abs=0.6)


def test_tint_is_said_and_measured() -> None:
    image = read_slice(Image.new("RGB", (8, 8), (40, 60, 120)))
    assert image.header.colour == 1.0
    assert any("tinted" in n for n in image.notes)
    assert read_slice(Image.new("RGB", (8, 8), (60, 60, 60))).header.colour == 0.0


def test_exif_rotation() -> None:
    exif = Image.Exif()
    exif[0x0112] = 6  # turn 90 degrees clockwise
    picture = np.zeros((16, 32), np.uint8)
    picture[:, :16] = 200  # bright left half becomes the top half
    image = read_slice(saved(Image.fromarray(picture), "JPEG", exif=exif, quality=95))
    assert image.shape == (32, 16)
    assert image.pixels[2, 8] > 190
    assert image.pixels[-2, 8] < 10


def test_arrays() -> None:
    np.testing.assert_array_equal(read_slice(RAMP).pixels, RAMP)
    assert read_slice(np.full((4, 4), 65535, np.uint16)).pixels[0, 0] == 255
    assert read_slice(np.full((4, 4, 3), 77, np.uint8)).pixels[0, 0] == 77
    assert RAMP.flags.writeable
    for wrong in (
        np.zeros((4, 4)),
        np.zeros((4, 4), np.int16),
        np.zeros(4, np.uint8),
        np.zeros((2, 4, 4, 3), np.uint8),
    ):
        with pytest.raises(InputError):
            read_slice(wrong)


def test_content_decides_not_the_name(tmp_path: Path) -> None:
    for name, data in (
        ("scan.png", made.to_bytes(made.ct())),
        ("picture.dcm", saved(Image.fromarray(RAMP), "PNG")),
        ("noname", made.to_bytes(made.ct(), uid.ImplicitVRLittleEndian, preamble=False)),
    ):
        path = tmp_path / name
        path.write_bytes(data)
        with path.open("rb") as stream:
            results = [read_slice(source) for source in (path, str(path), data, BytesIO(data), stream)]
            assert stream.tell() == 0  # left as found
        assert len({(r.kind, r.sha256, float(r.pixels.sum())) for r in results}) == 1


# --- NIfTI ------------------------------------------------------------------------------------------------


def nifti(codes: str, *, oriented: bool = True) -> bytes:
    """A CT of 6 x 8 x 10 voxels in RAS order, stored in the axis order and signs of `codes`.

    The voxel at the patient's right, front and feet is 700 HU, everything else air, tissue and bone in turn.
    """
    data = np.tile(np.array([-1000, 40, 1000], np.int16), 160).reshape(6, 8, 10)
    data[5, 7, 0] = 700
    ornt = nibabel.orientations.axcodes2ornt(tuple(codes))
    image = nibabel.Nifti1Image(data, np.diag([0.5, 0.6, 5.0, 1.0]))
    turned = image.as_reoriented(nibabel.orientations.ornt_transform(nibabel.orientations.axcodes2ornt("RAS"), ornt))
    written = bytearray(turned.to_bytes())
    if not oriented:
        written[252:256] = bytes(4)  # qform_code and sform_code
    return bytes(written)


@pytest.mark.parametrize("codes", ["RAS", "LPS", "LAS", "PIR", "SRP"])
def test_nifti_is_shown_in_radiological_convention(codes: str) -> None:
    """Whatever the storage order: the patient's right is at the left edge, the front on top, feet first."""
    volume = read_series(nifti(codes))
    assert (len(volume), volume[0].shape, volume.unit) == (10, (8, 6), "HU")
    assert volume[0].pixels[0, 0] == 700
    assert volume.spacing == pytest.approx((0.6, 0.5))
    assert volume[0].edges == ("R", "L", "A", "P")
    assert volume.positions is not None
    assert np.allclose(np.diff(volume.positions), 5.0)


def test_gzipped_nifti_and_one_slice_of_it() -> None:
    data = gzip.compress(nifti("RAS"))
    with pytest.raises(InputError, match="read_series"):
        read_slice(data)
    assert read_slice(data, frame=0).pixels[0, 0] == 700
    assert read_any(data).unit == "HU"


def test_nifti_without_orientation_has_no_letters() -> None:
    volume = read_series(nifti("RAS", oriented=False))
    assert volume[0].edges is None
    assert volume.positions is None
    assert any("no orientation" in n for n in volume.notes)


def test_nifti_of_grey_levels_is_not_taken_for_hu() -> None:
    image = nibabel.Nifti1Image(np.full((4, 4, 2), 90, np.uint8), np.eye(4))
    volume = read_series(image.to_bytes())
    assert volume.unit == "grey"
    assert volume[0].pixels[0, 0] == 90


# --- privacy and describe ---------------------------------------------------------------------------------


def test_no_patient_tag_survives(caplog: pytest.LogCaptureFixture, capfd: pytest.CaptureFixture[str]) -> None:
    with warnings.catch_warnings(record=True) as raised, caplog.at_level("DEBUG"):
        warnings.simplefilter("always")
        data = made.to_bytes(made.ct(PatientName="X" * 80 + "DOE", PatientAge="bad age DOE"))
        raised.clear()
        caplog.clear()
        image, facts, volume = read_slice(data), describe(data), read_series([data])
    told = f"{image} {facts} {volume} {caplog.text} {capfd.readouterr()} {[str(w.message) for w in raised]}"
    for secret in (*made.SECRETS.values(), "DOE", made.SERIES):
        assert secret not in told
    assert raised == []


def test_describe_is_plain_values() -> None:
    import json

    facts = json.loads(json.dumps(describe(made.to_bytes(made.ct()))))
    assert (facts["kind"], facts["modality"], facts["unit"], facts["images"]) == ("dicom", "CT", "HU", 1)
    assert facts["windows"][0] == {"name": "BRAIN", "width": 80.0, "level": 40.0}
    assert facts["range"] == [-1000.0, 1000.0]
