"""Every series of every study: told apart, ordered, chosen, and every file accounted for."""

from __future__ import annotations

import json
import os
import pickle
import zipfile
from collections.abc import Callable, Sequence
from io import BytesIO
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from strokenext import Slice, Volume, survey
from strokenext.errors import DamagedFileError, InputError, OptionError
from strokenext.io.read import read_any, read_series, read_slice
from tests.helpers import dicom_files as made
from tests.helpers import places
from tests.strokenext.io.test_resemblance import head, png_of
from tests.strokenext.io.test_series import packed, png

CASES = places.SHARED.parent / "cases"
cases = pytest.mark.skipif(not (CASES / "inputs.zip").is_file(), reason="the inputs of ../shared/cases are absent")


def ct(z: float, number: int | None = 1, value: int | None = None, noise: float = 0.0, **tags: Any) -> bytes:
    """A CT slice at z mm whose pixel (0, 0) is `value` (its number) in HU; `noise` in HU on its brain."""
    pixels = made.head()
    if noise:
        grain = np.random.default_rng(int(100 * z) + 7).normal(0, noise, pixels.shape)
        pixels = (pixels + np.where(pixels == 1064, grain, 0)).astype(np.int16)
    pixels[0, 0] = 1024 + (number or 0 if value is None else value)
    position = None if z is None else [0, 0, z]
    uid = f"1.2.3.9.{abs(hash((z, number, value, noise, repr(sorted(tags.items(), key=str))))) % 10**12}"
    own = {"ImagePositionPatient": position, "InstanceNumber": number, "SOPInstanceUID": uid}
    return made.to_bytes(made.ct(pixels, **{**own, **tags}))


def named(files: dict[str, bytes]) -> list[BytesIO]:
    """The files as streams with names."""
    streams = []
    for name, data in files.items():
        stream = BytesIO(data)
        stream.name = name
        streams.append(stream)
    return streams


def first_pixels(image: Slice | Volume) -> list[int]:
    return [int(s.pixels[0, 0]) for s in (image if isinstance(image, Volume) else [image])]


def contents(files: Sequence[Any]) -> list[list[int]]:
    """Of every series, the first pixel of every slice in order."""
    found = survey(files)
    return [first_pixels(found.read(s.number)) for s in found.series]


def codes(image: Slice | Volume) -> set[str]:
    return {c.code for c in image.cautions}


# --- several studies ----------------------------------------------------------------------------------------


def test_every_patient_of_a_flat_folder_is_a_study_and_the_choice_is_left_open() -> None:
    files = {f"ID_{n}": ct(28, 1, n, PatientID=f"P{n}", StudyInstanceUID=f"1.{n}") for n in range(6)}
    found = survey(named(files))
    assert [(s.study, s.images, s.files) for s in found.series] == [(n + 1, 1, (f"ID_{n}",)) for n in range(6)]
    assert (found.chosen, found.guess, found.left_out) == (None, 1, ())
    assert [first_pixels(found.read(n)) for n in range(1, 7)] == [[0], [1], [2], [3], [4], [5]]
    volume = read_series(named(files))
    assert {"several-studies", "several-series"} <= codes(volume)
    assert len(volume.left_out) == 5
    assert [o.study for o in volume.others] == [2, 3, 4, 5, 6]


@pytest.mark.parametrize("tag", ["PatientID", "PatientName", "StudyInstanceUID"])
def test_one_tag_is_enough_to_tell_two_patients_apart(tag: str) -> None:
    """An anonymiser that gives every series the same identifiers leaves one of the others."""
    values = {"PatientID": ("A", "B"), "PatientName": ("A", "B"), "StudyInstanceUID": ("1.1", "1.2")}[tag]
    files = [ct(5 * n, n, 10 * k + n, **{tag: value}) for k, value in enumerate(values) for n in range(3)]
    assert contents(files) == [[0, 1, 2], [10, 11, 12]]
    assert survey(files).chosen is None


def test_nothing_that_names_a_patient_is_kept() -> None:
    found = survey([ct(5 * n, n) for n in range(3)])
    kept = repr(found) + repr(found._entries)
    for secret in (*made.SECRETS.values(), made.STUDY, made.SERIES):
        assert secret not in kept
    assert pickle.loads(pickle.dumps(found.series)) == found.series
    again = pickle.loads(pickle.dumps(found))
    assert first_pixels(again.read(1)) == [0, 1, 2]


# --- several series under one name --------------------------------------------------------------------------


def two(one: dict[str, Any], other: dict[str, Any], count: int = 6) -> list[bytes]:
    """Two stacks of one series at the same positions, with the same numbers, files mixed."""
    files = [f for n in range(count) for f in (ct(5 * n, n, n, **one), ct(5 * n, n, 100 + n, **other))]
    return [files[i] for i in np.random.default_rng(3).permutation(len(files))]


SOFT, SHARP = list(range(6)), list(range(100, 106))


@pytest.mark.parametrize(
    ("one", "other"),
    [
        ({"ConvolutionKernel": "H30s"}, {"ConvolutionKernel": "H60s"}),
        ({"ConvolutionKernel": ["J40s", "3"]}, {"ConvolutionKernel": ["Hr60f", "3"]}),
        ({"ConvolutionKernel": "STANDARD"}, {"ConvolutionKernel": "BONEPLUS"}),
        ({"ConvolutionKernel": "STANDARD"}, {"ConvolutionKernel": "DETAIL"}),
        ({"ConvolutionKernel": "UB"}, {"ConvolutionKernel": "D"}),
        ({"ConvolutionKernel": "FC21"}, {"ConvolutionKernel": "FC30"}),
        ({"SeriesDescription": "HEAD BRAIN"}, {"SeriesDescription": "HEAD BONE"}),
        ({"SeriesDescription": "Schaedel Weichteil"}, {"SeriesDescription": "Schaedel Knochen"}),
        ({"ContrastBolusAgent": "NONE"}, {"ContrastBolusAgent": "ISOVUE 300"}),
        ({"noise": 3.0}, {"noise": 14.0}),
        ({"WindowCenter": 40, "WindowWidth": 80, "WindowCenterWidthExplanation": "A"},
         {"WindowCenter": 600, "WindowWidth": 2800, "WindowCenterWidthExplanation": "B"}),
    ],
)  # fmt: skip
def test_the_soft_native_stack_is_judged_and_the_other_is_offered(one: dict[str, Any], other: dict[str, Any]) -> None:
    files = two(one, other)
    assert sorted(contents(files)) == [SOFT, SHARP]
    found = survey(files)
    assert found.chosen is not None
    assert first_pixels(found.read(found.chosen)) == SOFT
    volume = read_series(files)
    assert first_pixels(volume) == SOFT
    assert "several-series" in codes(volume)
    assert len(volume.left_out) == 6


@pytest.mark.parametrize(
    "tag", [{"TemporalPositionIdentifier": 2}, {"AcquisitionNumber": 2}, {"AcquisitionTime": "120530"}, {"KVP": 80}]
)
def test_phases_are_never_mixed_and_the_choice_is_left_open(tag: dict[str, Any]) -> None:
    first = {"TemporalPositionIdentifier": 1, "AcquisitionNumber": 1, "AcquisitionTime": "120000", "KVP": 120}
    files = two(first, first | tag)
    assert sorted(contents(files)) == [SOFT, SHARP]
    assert survey(files).chosen is None


def test_a_perfusion_of_many_phases_is_told_apart_by_its_numbers() -> None:
    """Without any tag: the numbers run through all positions, phase by phase, or position by position."""
    by_phase = [ct(5 * z, 1 + 4 * t + z, 10 * t + z) for t in range(5) for z in range(4)]
    by_place = [ct(5 * z, 1 + 5 * z + t, 10 * t + z) for t in range(5) for z in range(4)]
    for files in (by_phase, by_place, by_phase[::-1]):
        assert sorted(contents(files)) == [[10 * t + z for z in range(4)] for t in range(5)]


def test_thin_and_thick_of_one_series_are_two_stacks_even_where_no_position_is_shared() -> None:
    thick = [ct(5.0 * n, n, n, SliceThickness=5) for n in range(5)]
    thin = [ct(0.5 + n, 50 + n, 100 + n, SliceThickness=1) for n in range(20)]
    assert sorted(contents([*thin, *thick])) == [list(range(5)), list(range(100, 120))]
    assert first_pixels(read_series([*thin, *thick])) == list(range(5))


def test_a_series_that_is_thin_at_the_base_and_thick_above_is_one() -> None:
    base = [ct(4.0 * n, n, n, SliceThickness=4, AcquisitionNumber=n) for n in range(6)]
    above = [ct(20 + 7.0 * n, 5 + n, 5 + n, SliceThickness=7, AcquisitionNumber=5 + n) for n in range(1, 6)]
    assert contents([*above, *base]) == [list(range(11))]


def test_two_gantry_tilts_are_two_stacks() -> None:
    tilted = [1, 0, 0, 0, 0.9396926, -0.3420201]
    flat = [ct(5.0 * n, n, n) for n in range(5)]
    other = [ct(2 + 5.0 * n, 50 + n, 100 + n, ImageOrientationPatient=tilted) for n in range(5)]
    assert sorted(contents([*flat, *other])) == [list(range(5)), list(range(100, 105))]


def test_each_series_says_why_it_is_or_is_not_the_one_that_is_judged() -> None:
    common = {"ContrastBolusAgent": "NONE", "SliceThickness": 5}
    own = {
        "the most like": {"ConvolutionKernel": "H30s"},
        "sharp": {"ConvolutionKernel": "H60s"},
        "contrast medium": {"ConvolutionKernel": "H30s", "ContrastBolusAgent": "ISOVUE"},
        "Slices of 1 mm": {"ConvolutionKernel": "H30s", "SliceThickness": 1},
        "less of the head": {"ConvolutionKernel": "H30s"},
        "magnetic resonance": {"ConvolutionKernel": None, "Modality": "MR"},
    }
    files = []
    for n, (word, tags) in enumerate(own.items()):
        count = 2 if word.startswith("less") else 8
        given = {**common, **tags, "SeriesInstanceUID": f"1.{n}"}
        files += [ct(5.0 * z, z, 10 * n + z, **{k: v for k, v in given.items() if v is not None}) for z in range(count)]
    found = survey(files)
    assert found.chosen == 1
    for facts, word in zip(found.series[:-1], own, strict=False):
        assert word in facts.why
        assert facts.usable
    assert not found.series[-1].usable
    assert found.series[-1].why == found.series[-1].reason


def test_why_says_what_cannot_be_told_apart_and_what_is_of_another_study() -> None:
    alike = [ct(5.0 * z, z, 10 * n + z, SeriesInstanceUID=f"1.{n}") for n in range(2) for z in range(5)]
    found = survey(alike)
    assert "not clear" in found.series[0].why
    assert "tells it apart from series 1" in found.series[1].why
    assert found.chosen is None
    other = survey([*alike[:5], *(ct(5.0 * z, z, z, StudyInstanceUID="1.7") for z in range(5))])
    assert other.series[1].why.startswith("Another study.")


def test_bolus_tracking_is_no_rival_of_the_head() -> None:
    head = [ct(5.0 * n, n, n, SeriesInstanceUID="1.1") for n in range(12)]
    tracking = [ct(40, n, 100 + n, SeriesInstanceUID="1.2", SliceThickness=10) for n in range(20)]
    found = survey([*tracking, *head])
    assert contents([*tracking, *head]) == [list(range(100, 120)), list(range(12))]
    assert found.chosen == 2


def test_a_slice_that_was_scanned_again_costs_the_stack_nothing() -> None:
    files = [ct(5.0 * n, n, n, AcquisitionNumber=n) for n in range(8)]
    assert sorted(contents([*files, ct(15, 20, 200, AcquisitionNumber=20)])) == [list(range(8)), [200]]


def test_a_short_soft_series_beside_a_whole_bone_one_leaves_the_choice_open() -> None:
    bone = [ct(5.0 * n, n, n, SeriesInstanceUID="1.1", ConvolutionKernel="H60s") for n in range(12)]
    soft = [ct(5.0 * n, n, 100 + n, SeriesInstanceUID="1.2", ConvolutionKernel="H30s") for n in range(4)]
    assert survey([*bone, *soft]).chosen is None
    assert survey([*bone, *soft[:2]]).chosen == 1  # a sample, as bolus tracking makes
    assert "bone-kernel" in codes(read_series(bone))


@pytest.mark.parametrize(
    ("agent", "given_", "description"),
    [("NONE", False, ""), ("no", False, ""), ("N/A", False, ""), ("No IV contrast given", False, ""),
     ("0.0 ml", False, ""), ("UNKNOWN", None, ""), ("non-ionic 300", True, ""),
     ("Keine", False, ""), ("Without contrast", False, ""), ("-", None, ""),
     ("", None, ""), ("ISOVUE300/100", True, ""), ("APPLIED", True, ""), ("Omnipaque", True, "HEAD"),
     ("", True, "CTA HEAD"), ("", False, "HEAD W/O CONTRAST"), ("", False, "Kopf nativ")],
)  # fmt: skip
def test_contrast_is_what_the_file_says_of_it(agent: str, given_: bool | None, description: str) -> None:
    data = ct(0, 1, ContrastBolusAgent=agent, SeriesDescription=description)
    assert survey(data).series[0].contrast is given_
    assert ("contrast" in codes(read_slice(data))) is (given_ is True)
    assert not any("contrast" in note for note in read_slice(data).notes)


@pytest.mark.parametrize(
    ("kernel", "kind"),
    [("H31s", "soft"), ("H70h", "bone"), ("Hr38", "soft"), ("J70h", "bone"), ("B75h", "bone"), ("Br40d", "soft"),
     ("SOFT", "soft"), ("STND", "soft"), ("STD+", "soft"), ("BONE", "bone"), ("EDGE", "bone"), ("LUNG", "bone"),
     ("UA", "soft"), ("E", "bone"), ("YB", "bone"), ("C", "unknown"), ("FC68", "soft"), ("FC81", "bone"),
     ("FC02", "soft"), ("FC52", "bone"), ("DETAIL", "unknown"), ("22", "unknown"), ("", "unknown")],
)  # fmt: skip
def test_kernels_of_the_vendors(kernel: str, kind: str) -> None:
    assert survey(ct(0, 1, ConvolutionKernel=kernel, SeriesDescription="HEAD")).series[0].kernel == kind


# --- grouping and order -------------------------------------------------------------------------------------


@settings(max_examples=25, deadline=None)
@given(
    order=st.permutations(range(8)),
    jitter=st.lists(st.floats(-9e-5, 9e-5), min_size=8, max_size=8),
    tilt=st.sampled_from([0.0, 0.05, 0.25, 0.35, 0.45]),
    step=st.sampled_from([0.5, 1.0, 2.5, 4.9999, 8.0]),
)
def test_rounding_and_the_order_of_the_files_decide_nothing(
    order: list[int], jitter: list[float], tilt: float, step: float
) -> None:
    """Orientation, position, spacing and thickness that differ in their last decimals are the same."""

    def at(n: int) -> bytes:
        j = jitter[n]
        cosines = [1, 0, 0, 0, float(f"{(1 - (tilt + j) ** 2) ** 0.5:.9f}"), float(f"{-(tilt + j):.9f}")]
        return ct(
            n * step + j, None, n, ImageOrientationPatient=cosines, SliceThickness=f"{5 + j:.6f}",
            PixelSpacing=[f"{0.475 + j:.7f}", f"{0.475 - j:.7f}"],
        )  # fmt: skip

    assert contents([at(n) for n in order]) == [list(range(8))]


@settings(max_examples=15, deadline=None)
@given(order=st.permutations(range(10)), copies=st.lists(st.integers(0, 6), max_size=4), gone=st.integers(2, 4))
def test_copies_are_left_out_and_gaps_are_said(order: list[int], copies: list[int], gone: int) -> None:
    kept = [n for n in range(10) if n != gone]
    files = {f"f{i}": ct(5.0 * n, n, n) for i, n in enumerate([*(n for n in order if n != gone), *copies]) if n != gone}
    volume = read_series(named(files))
    assert first_pixels(volume) == kept
    assert "missing-slices" in codes(volume)
    assert len(volume.left_out) + len(volume) == len(files)


@pytest.mark.parametrize("numbers", ["none", "all one", "own"])
def test_zeroed_positions_lose_no_slice(numbers: str) -> None:
    stated: Callable[[int], int | None] = {"none": lambda n: None, "all one": lambda n: 1, "own": lambda n: n}[numbers]
    files = {f"IM{n:02d}": ct(0, stated(n), n) for n in range(9)}
    volume = read_series(packed(files))
    assert sorted(first_pixels(volume)) == list(range(9))
    assert volume.positions is None
    assert "order-unknown" in codes(volume)
    assert volume.left_out == ()
    copied = read_series(packed(files | {"copy": files["IM03"]}))
    assert sorted(first_pixels(copied)) == list(range(9))
    assert len(copied.left_out) == 1


def test_positions_without_an_orientation_give_the_order() -> None:
    files = [ct(z, None, int(z), ImageOrientationPatient=None) for z in (15.0, 0.0, 10.0, 5.0)]
    volume = read_series(files)
    assert first_pixels(volume) == [0, 5, 10, 15]
    assert volume.positions == (0.0, 5.0, 10.0, 15.0)
    assert volume[0].edges is None
    assert any("no orientation" in n for n in volume.notes)


def test_one_file_without_orientation_stays_in_its_series() -> None:
    files = [ct(5.0 * n, n, n, **({"ImageOrientationPatient": None} if n == 2 else {})) for n in range(5)]
    assert contents(files) == [[0, 1, 2, 3, 4]]


def test_frames_with_one_position_come_in_their_own_order() -> None:
    stack = np.stack([made.head() for _ in range(5)])
    stack[:, 0, 0] = 1024 + np.arange(5)
    volume = read_any(made.to_bytes(made.ct(stack, NumberOfFrames=5)))
    assert first_pixels(volume) == [0, 1, 2, 3, 4]
    assert volume.positions is None
    assert "order-unknown" in codes(volume)
    assert volume.left_out == ()


def test_files_of_one_name_in_two_folders_are_two_files() -> None:
    files = {f"{k}/IM{n}": ct(5.0 * n, n, 10 * k + n, StudyInstanceUID=f"1.{k}") for k in (1, 2) for n in range(3)}
    volume = read_series(packed(files))
    assert first_pixels(volume) == [10, 11, 12]
    assert sorted(item.name for item in volume.left_out) == ["IM0", "IM1", "IM2"]


def test_a_truncated_copy_does_not_shadow_the_intact_slice() -> None:
    files = {f"b{n}": ct(5.0 * n, n, n) for n in range(5)}
    files |= {"a2": files["b2"][:-900], "a3": files["b3"][:600]}
    volume = read_series(packed(files))
    assert first_pixels(volume) == [0, 1, 2, 3, 4]
    assert {item.name for item in volume.left_out} == {"a2", "a3"}
    assert all("damaged" in item.reason or "ends before" in item.reason for item in volume.left_out)
    assert "files-left-out" in codes(volume)
    assert "missing-slices" not in codes(volume)


# --- pictures, names and the account of files ---------------------------------------------------------------


def test_pictures_are_a_series_where_their_names_count_on() -> None:
    files = {f"head_{n}.png": png_of(head(1, n / 12), n) for n in (3, 1, 2, 5)}
    files |= {"head_40.png": png(40), "other.png": png(50), "head_4.png": png(9, side=32)}
    found = survey(named(files))
    assert {s.files for s in found.series} == {
        ("head_1.png", "head_2.png", "head_3.png", "head_5.png"), ("head_4.png",), ("head_40.png",), ("other.png",)
    }  # fmt: skip
    volume = read_series(named(files))
    assert first_pixels(volume) == [1, 2, 3, 5]
    assert {"missing-slices", "order-unknown", "several-series", "pictures-joined"} <= codes(volume)
    unnamed = [png_of(head(1, n / 12), n) for n in (4, 3, 2)]
    assert first_pixels(read_any(unnamed)) == [4, 3, 2]  # bytes have no names: as they come


def test_every_file_is_in_a_series_or_left_out() -> None:
    files = {f"ct{n}": ct(5.0 * n, n, n) for n in range(4)}
    files |= {"mr": ct(0, 1, Modality="MR", SeriesInstanceUID="1.7"), "text.txt": b"words" * 99, "a.png": png(3)}
    files |= {"half": ct(0, 9, SeriesInstanceUID="1.8")[:700], "z.zip": packed({"x": b"y"})}
    found = survey(packed(files))
    placed = [name for s in found.series for name in s.files] + [item.name for item in found.left_out]
    assert sorted(placed) == sorted(files)
    assert [item.name for item in found.failures] == ["half"]
    assert found.chosen is not None
    volume = found.read(found.chosen)
    assert isinstance(volume, Volume)
    assert sorted([item.name for item in volume.left_out] + [f"ct{n}" for n in range(4)]) == sorted(files)
    with pytest.raises(OptionError, match="no series 9"):
        found.read(9)


def test_a_source_with_nothing_to_judge_says_why() -> None:
    assert survey([ct(0, 1, Modality="MR"), ct(5, 2, Modality="MR")]).guess is None
    with pytest.raises(InputError, match="modality is MR"):
        read_series([ct(0, 1, Modality="MR"), ct(5, 2, Modality="MR")])
    with pytest.raises(DamagedFileError):
        read_series(ct(0, 1)[:700])


def test_backslashes_gzip_and_links_in_archives() -> None:
    import gzip

    target = BytesIO()
    with zipfile.ZipFile(target, "w") as archive:
        archive.writestr(zipfile.ZipInfo("DICOM\\SE1\\"), b"")
        for n in range(3):
            archive.writestr(zipfile.ZipInfo(f"DICOM\\SE1\\IM{n}.dcm.gz"), gzip.compress(ct(5.0 * n, n, n)))
        link = zipfile.ZipInfo("link.dcm")
        link.external_attr = 0o120777 << 16
        archive.writestr(link, "../../etc/passwd")
    volume = read_series(target.getvalue())
    assert first_pixels(volume) == [0, 1, 2]
    assert [(item.name, "link" in item.reason) for item in volume.left_out] == [("link.dcm", True)]


@pytest.mark.skipif(os.name != "posix", reason="links of POSIX")
def test_links_in_a_folder_are_followed_to_files_and_named_otherwise(tmp_path: Path) -> None:
    inside, outside = tmp_path / "in", tmp_path / "out"
    inside.mkdir()
    outside.mkdir()
    for n in range(3):
        (outside / f"{n}").write_bytes(ct(5.0 * n, n, n))
        (inside / f"{'n' * 248}{n}").symlink_to(outside / f"{n}")
    (inside / "gone").symlink_to(tmp_path / "nowhere")
    (inside / "more").symlink_to(outside)
    volume = read_series(inside)
    assert first_pixels(volume) == [0, 1, 2]
    assert {item.name: "link" in item.reason for item in volume.left_out} == {"gone": True, "more": True}


def test_labels_are_read_only_where_asked_for() -> None:
    files = [ct(5.0 * n, n, n, AcquisitionDate="20240131") for n in range(3)]
    assert read_series(files).label is None
    assert read_slice(files[0]).label is None
    assert survey(files).series[0].description == ""
    label = read_any(files, labels=True).label
    assert label is not None
    assert (label.study, label.series, label.date, label.thickness) == (
        "HEAD DOE JOHN",
        "secret series",
        "2024-01-31",
        5,
    )
    assert read_slice(files[0], labels=True).label == label
    assert survey(files, labels=True).series[0].description == "secret series"


# --- the files that went wrong ------------------------------------------------------------------------------


@pytest.fixture(scope="session")
def unpacked_cases(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("cases")
    with zipfile.ZipFile(CASES / "inputs.zip") as archive:
        archive.extractall(folder)
    return folder


@cases
@pytest.mark.parametrize(
    "name",
    ["D03a-classic-multiframe-one-position", "D08c-InstanceNumber-as-LO", "D09a-orientation-rounding",
     "D32a-two-kernels-one-series", "D34a-positions-zeroed-no-number", "D12d-bot-too-short"],
)  # fmt: skip
def test_series_that_went_wrong(unpacked_cases: Path, name: str) -> None:
    case = json.loads((CASES / "cases.json").read_text())[name]
    volume = read_any(unpacked_cases / case["input"])
    array = volume.array()
    assert list(array.shape) == case["shape"]
    for number, row, column, value in case["pixels"]:
        if name.startswith("D34a"):  # any order
            assert value in array[:, row, column]
        else:
            assert array[number, row, column] == value


@cases
def test_the_flat_folder_that_went_wrong(unpacked_cases: Path) -> None:
    found = survey(unpacked_cases / "D33")
    assert [s.study for s in found.series] == [1, 2, 3, 4, 5, 6]
    assert found.chosen is None
