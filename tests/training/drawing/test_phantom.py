"""The synthetic head: attenuations, anatomy, lesions and the example files made of it."""

from __future__ import annotations

import io
import zipfile

import numpy as np
import pydicom
import pytest

from tests.helpers.places import EXAMPLES
from training.drawing.phantom.files import SERIES_SLICES, SINGLES, to_dicom, to_png, to_zip
from training.drawing.phantom.head import HIGHEST, KINDS, LOWEST, NOISE, head_phantom, phantom_series

SIZE = 128


def median_hu(kind: str, seed: int = 3, level: float = 0.15) -> tuple[float, float]:
    """Median HU of the lesion, and of the same pixels of the same head mirrored about the midline."""
    phantom = head_phantom(kind, SIZE * 2, seed, level)  # type: ignore[arg-type]
    healthy = head_phantom("normal", SIZE * 2, seed, level)
    return float(np.median(phantom.hu[phantom.lesion])), float(np.median(healthy.hu[phantom.lesion]))


def test_layers_from_air_to_brain_have_textbook_attenuation() -> None:
    phantom = head_phantom("normal", 256, seed=4, level=0.15, noise=False)
    assert phantom.hu[0, 0] == pytest.approx(-1000, abs=5)
    assert phantom.hu.max() > 1200  # cortical bone
    assert 28 < np.median(phantom.hu[phantom.brain]) < 38  # between white and grey matter
    assert np.percentile(phantom.hu[phantom.brain], 1) < 20  # CSF, partly mixed with brain
    assert not phantom.lesion.any()


def test_head_has_the_size_of_an_adult_head() -> None:
    phantom = head_phantom("normal", 256, seed=4, level=0.15)
    rows, columns = np.where(phantom.brain)
    length, width = np.ptp(rows) * phantom.spacing[0], np.ptp(columns) * phantom.spacing[1]
    assert 145 < length < 180
    assert 115 < width < 145


def test_noise_has_the_stated_strength_and_is_correlated() -> None:
    quiet, noisy = (head_phantom("normal", 256, 4, 0.5, noise=flag).hu for flag in (False, True))
    noise = (noisy - quiet)[100:156, 90:166]
    assert noise.std() == pytest.approx(NOISE, rel=0.2)
    assert np.corrcoef(noise[:, :-1].ravel(), noise[:, 1:].ravel())[0, 1] > 0.2


@pytest.mark.parametrize("seed", [1, 7])
def test_blood_is_55_to_75_hu(seed: int) -> None:
    blood, _ = median_hu("hemorrhage", seed)
    assert 55 < blood < 75


@pytest.mark.parametrize("seed", [1, 3])
def test_infarct_is_a_few_hu_darker_than_the_same_tissue(seed: int) -> None:
    infarct, healthy = median_hu("infarct", seed)
    assert -14 < infarct - healthy < -5


def test_infarct_loses_the_border_between_grey_and_white_matter() -> None:
    sick, well = (head_phantom(kind, 256, 3, 0.15, noise=False) for kind in ("infarct", "normal"))  # type: ignore[arg-type]
    tissue = sick.lesion & (well.hu > 25) & (well.hu < 45) & (sick.hu < 45)  # CSF and bone's edge left out
    assert sick.hu[tissue].std() < 0.75 * well.hu[tissue].std()


def test_subdural_lies_against_the_skull_and_displaces_the_brain() -> None:
    phantom = head_phantom("subdural", 256, 3, 0.35, noise=False)
    assert 55 < np.median(phantom.hu[phantom.lesion]) < 75
    _, columns = np.where(phantom.lesion)
    outward = np.abs(columns - 127.5).mean()
    assert outward > np.abs(np.where(phantom.brain)[1] - 127.5).mean()


@pytest.mark.parametrize("kind", KINDS)
def test_only_the_lesion_kinds_have_a_lesion_and_it_lies_in_the_brain(kind: str) -> None:
    phantom = head_phantom(kind, SIZE, 2, 0.15)  # type: ignore[arg-type]
    assert phantom.lesion.any() == (kind != "normal")
    assert not (phantom.lesion & ~phantom.brain).any()
    assert phantom.as_slice().unit == "HU"


def test_same_arguments_same_pixels_and_another_seed_another_head() -> None:
    first, again, other = (head_phantom("normal", SIZE, seed, 0.3).hu for seed in (5, 5, 6))
    assert np.array_equal(first, again)
    assert not np.array_equal(first, other)


def test_unknown_kind_or_level_is_refused() -> None:
    with pytest.raises(ValueError, match="kind is one of"):
        head_phantom("tumour", SIZE)  # type: ignore[arg-type]
    with pytest.raises(ValueError, match="level lies in"):
        head_phantom("normal", SIZE, level=1.5)


def test_series_rises_to_the_vertex_and_tapers() -> None:
    series = phantom_series("normal", slices=6, size=64, seed=1)
    heights = [p.z for p in series]
    assert heights[0] == LOWEST
    assert heights[-1] == HIGHEST
    assert heights == sorted(heights)
    area = [int(p.brain.sum()) for p in series]
    assert area[-1] < 0.3 * area[1]


def test_dicom_holds_the_same_hu_and_no_patient() -> None:
    phantom = head_phantom("hemorrhage", 64, 1, 0.15)
    ds = pydicom.dcmread(io.BytesIO(to_dicom(phantom, "t")))
    hu = ds.pixel_array.astype(np.float32) * float(ds.RescaleSlope) + float(ds.RescaleIntercept)
    inside = phantom.hu < 3000
    assert np.abs(hu - phantom.hu)[inside].max() <= 0.5
    assert (ds.Modality, ds.SOPClassUID.name) == ("CT", "CT Image Storage")
    assert list(ds.ImageOrientationPatient) == [1, 0, 0, 0, 1, 0]
    assert float(ds.ImagePositionPatient[2]) == pytest.approx(phantom.z)
    assert not ds.PatientName
    assert not ds.PatientID
    assert not ds.StudyDate
    assert to_dicom(phantom, "t") == to_dicom(phantom, "t")


def test_zip_is_reproducible_and_its_files_share_one_series() -> None:
    series = phantom_series("normal", slices=3, size=32)
    content = to_zip(series, "s")
    assert content == to_zip(series, "s")
    with zipfile.ZipFile(io.BytesIO(content)) as archive:
        files = [pydicom.dcmread(io.BytesIO(archive.read(name))) for name in archive.namelist()]
    assert len({f.SeriesInstanceUID for f in files}) == 1
    assert len({f.SOPInstanceUID for f in files}) == 3


def test_png_is_the_brain_window() -> None:
    assert to_png(head_phantom("normal", 32)).startswith(b"\x89PNG")


def test_committed_examples_are_small_and_made_by_this_code() -> None:
    names = {p.name for p in EXAMPLES.iterdir()}
    assert {"normal.dcm", "hemorrhage.dcm", "infarct.dcm", "series_hemorrhage.zip", "hemorrhage.png"} <= names
    assert sum(p.stat().st_size for p in EXAMPLES.iterdir()) < 3_000_000
    kind, seed, level = SINGLES[0]
    committed = pydicom.dcmread(EXAMPLES / f"{kind}.dcm").pixel_array.astype(int)
    made = pydicom.dcmread(io.BytesIO(to_dicom(head_phantom(kind, 512, seed, level), kind))).pixel_array.astype(int)
    assert np.abs(committed - made).max() <= 1  # another numpy may round a pixel differently
    with zipfile.ZipFile(EXAMPLES / "series_hemorrhage.zip") as archive:
        assert len(archive.namelist()) == SERIES_SLICES
