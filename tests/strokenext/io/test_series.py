"""Order, gaps, repeats, tilt and strangers of a series; folders, archives and lists."""

from __future__ import annotations

import math
import zipfile
from io import BytesIO
from pathlib import Path

import numpy as np
import pytest
from PIL import Image
from pydicom import uid

from strokenext.errors import InputError
from strokenext.io.read import read_any, read_series
from strokenext.io.series.order import spacing_notes
from strokenext.types import Volume
from tests.helpers import dicom_files as made
from tests.helpers import places
from tests.strokenext.io.test_resemblance import head, png_of

SHARED = places.SHARED / "dicom"
shared = pytest.mark.skipif(not SHARED.is_dir(), reason="the reference data ../shared/data/dicom is absent")


def slice_at(z: float, number: int = 1, **tags: object) -> bytes:
    """A CT slice at z mm whose pixel (0, 0) is its InstanceNumber, in HU."""
    pixels = made.head()
    pixels[0, 0] = number + 1024
    return made.to_bytes(made.ct(pixels, ImagePositionPatient=[0, 0, z], InstanceNumber=number, **tags))


def numbers(volume: Volume) -> list[int]:
    return [int(s.pixels[0, 0]) for s in volume]


def packed(files: dict[str, bytes], method: int = zipfile.ZIP_DEFLATED) -> bytes:
    target = BytesIO()
    with zipfile.ZipFile(target, "w", method) as archive:
        for name, data in files.items():
            archive.writestr(name, data)
    return target.getvalue()


def png(value: int, side: int = 16) -> bytes:
    target = BytesIO()
    Image.new("L", (side, side), value).save(target, "PNG")
    return target.getvalue()


def test_order_is_by_position_not_by_name_or_number(tmp_path: Path) -> None:
    """Files a, b, c with instance numbers 1, 2, 3 lie at 10, 0 and 5 mm."""
    for name, z, number in (("a", 10, 1), ("b", 0, 2), ("c", 5, 3)):
        (tmp_path / name).write_bytes(slice_at(z, number))
    volume = read_series(tmp_path)
    assert numbers(volume) == [2, 3, 1]
    assert volume.positions == (0.0, 5.0, 10.0)
    assert (volume.notes, volume.left_out) == ((), ())


def test_head_is_last_even_when_the_normal_points_to_the_feet() -> None:
    flipped = [1, 0, 0, 0, -1, 0]
    volume = read_series([slice_at(z, n, ImageOrientationPatient=flipped) for n, z in ((1, 20), (2, 0), (3, 10))])
    assert numbers(volume) == [2, 3, 1]
    assert volume.positions == (0.0, 10.0, 20.0)
    assert volume[0].edges == ("R", "L", "P", "A")


def test_gantry_tilt_positions_run_along_the_normal() -> None:
    """20 degrees of tilt and table steps of 5 mm: the planes are 5 cos 20 = 4.7 mm apart."""
    angle = math.radians(20)
    tilted = [1, 0, 0, 0, round(math.cos(angle), 6), round(-math.sin(angle), 6)]
    volume = read_series([slice_at(5.0 * n, n, ImageOrientationPatient=tilted) for n in (3, 1, 2, 4)])
    assert numbers(volume) == [1, 2, 3, 4]
    assert volume.positions is not None
    np.testing.assert_allclose(np.diff(volume.positions), 5 * math.cos(angle), atol=1e-4)
    assert any("tilted by 20.0 degrees" in n for n in volume.notes)
    assert volume[0].header.axial


def test_repeats_are_left_out() -> None:
    """A copy under another name is one image; other pixels at the same place are another image, and offered."""
    volume = read_series([slice_at(0, 1), slice_at(5, 2), slice_at(5, 2), slice_at(10, 3)])
    assert numbers(volume) == [1, 2, 3]
    assert [item.reason for item in volume.left_out] == [
        "It holds the same pixels at the same position as another file, which is used."
    ]
    assert [c.code for c in volume.cautions] == []
    again = read_series([slice_at(0, 1), slice_at(5, 2), slice_at(5, 9), slice_at(10, 3)])
    assert numbers(again) == [1, 2, 3]
    assert "another series (5 mm, 1 image" in again.left_out[0].reason


def test_gap_is_counted() -> None:
    volume = read_series([slice_at(z, n) for n, z in enumerate((0, 5, 10, 25, 30))])
    assert any(n.startswith("2 slices seem to be missing between slices 3 and 4 (15.0 mm") for n in volume.notes)


@pytest.mark.parametrize(
    ("positions", "words"),
    [
        ([0, 4, 8, 12, 19, 26, 33], ["4.0 and 7.0 mm"]),
        ([0, 5, 15], ["1 slice seems to be missing between slices 2 and 3"]),
        ([0, 4, 8, 16, 20, 24, 32, 36, 40], ["between slices 3 and 4", "between slices 6 and 7"]),
        ([0, 5, 10, 11, 16, 21], ["Slices 3 and 4 overlap"]),
        ([0, 5, 10.02, 15, 19.98], []),
        ([0, 5], []),
        ([3], []),
        ([], []),
    ],
)
def test_spacing_notes(positions: list[float], words: list[str]) -> None:
    notes = spacing_notes(positions)
    assert len(notes) == len(words)
    assert all(w in n for w, n in zip(words, notes, strict=True))


def test_strangers_are_left_out_with_a_reason() -> None:
    scout = slice_at(0, 50, ImageType=["ORIGINAL", "PRIMARY", "LOCALIZER"], SeriesInstanceUID="1.9")
    mr = slice_at(0, 51, Modality="MR")
    sagittal = slice_at(0, 52, ImageOrientationPatient=[0, 1, 0, 0, 0, -1])
    capture = made.ct(SOPClassUID=uid.SecondaryCaptureImageStorage, ImageOrientationPatient=None)
    other = [slice_at(z, 60 + z, SeriesInstanceUID="1.8") for z in (0, 5)]
    files = {f"ct{n}": slice_at(5 * n, n) for n in range(4)}
    files |= {"scout": scout, "mr": mr, "sagittal": sagittal, "capture": made.to_bytes(capture), "text": b"notes" * 99}
    files |= {"other0": other[0], "other1": other[1], "cut": files["ct1"][:700], "inner.zip": packed({"a": b"b"})}
    volume = read_series(packed(files))
    assert numbers(volume) == [0, 1, 2, 3]
    reasons = {item.name: item.reason for item in volume.left_out}
    assert set(reasons) == set(files) - {"ct0", "ct1", "ct2", "ct3"}
    for name, words in {
        "scout": "localizer",
        "mr": "modality is MR",
        "sagittal": "not axial",
        "capture": "secondary capture",
        "text": "not a kind of image",
        "other0": "another series (5 mm, 2 images)",
        "cut": "ends before its image",
        "inner.zip": "not opened",
    }.items():
        assert words in reasons[name], name


def test_a_slice_whose_pixels_are_cut_short_is_left_out_and_leaves_a_gap() -> None:
    volume = read_series([slice_at(5 * n, n)[: -900 if n == 3 else None] for n in range(6)])
    assert numbers(volume) == [0, 1, 2, 4, 5]
    assert "damaged or cut short" in volume.left_out[0].reason
    assert any("missing between slices 3 and 4" in n for n in volume.notes)


def test_soft_tissue_is_preferred_to_bone_of_equal_length() -> None:
    bone = [slice_at(5 * n, 100 + n, SeriesInstanceUID="1.7", WindowCenter=500, WindowWidth=2500) for n in range(3)]
    volume = read_series([*bone, *(slice_at(5 * n, n) for n in range(3))])
    assert numbers(volume) == [0, 1, 2]


def test_without_positions_the_order_is_said_to_come_from_the_numbers() -> None:
    def bare(number: int) -> bytes:
        pixels = made.head()
        pixels[0, 0] = number + 1024
        ds = made.ct(pixels, ImagePositionPatient=None, ImageOrientationPatient=None, InstanceNumber=number)
        return made.to_bytes(ds)

    volume = read_series([bare(10), bare(2), bare(1)])
    assert numbers(volume) == [1, 2, 10]
    assert volume.positions is None
    assert any("no usable positions" in n for n in volume.notes)


def test_positions_that_an_anonymiser_made_equal_are_not_repeats() -> None:
    volume = read_series([slice_at(0, n) for n in (3, 1, 2)])
    assert numbers(volume) == [1, 2, 3]
    assert volume.positions is None
    assert volume.left_out == ()


def test_a_folder_of_mr_alone_is_refused_with_the_reason() -> None:
    with pytest.raises(InputError, match=r"None of these 2 files .* modality is MR"):
        read_series([slice_at(0, 1, Modality="MR"), slice_at(5, 2, Modality="MR")])


def test_one_foreign_file_given_alone_is_still_read() -> None:
    volume = read_series(slice_at(0, 1, Modality="MR"))
    assert len(volume) == 1
    assert volume[0].header.scope_problem


def test_pictures_come_in_natural_order_of_their_names(tmp_path: Path) -> None:
    for name, value in (("s10.png", 100), ("s9.png", 90), ("s8.png", 10)):
        (tmp_path / name).write_bytes(png_of(head(1, int(name[1:-4]) / 20), value))
    (tmp_path / "big.png").write_bytes(png(5, side=32))
    (tmp_path / ".DS_Store").write_bytes(b"clutter")
    volume = read_series(tmp_path)
    assert numbers(volume) == [10, 90, 100]
    assert volume.unit == "grey"
    assert any("file names" in n for n in volume.notes)
    assert [item.name for item in volume.left_out] == ["big.png"]
    assert numbers(read_series([tmp_path / n for n in ("s10.png", "s9.png", "s8.png")])) == [10, 90, 100]


def test_pages_of_a_tiff() -> None:
    target = BytesIO()
    pages = [Image.new("L", (8, 8), v) for v in (10, 20, 30)]
    pages[0].save(target, "TIFF", save_all=True, append_images=pages[1:])
    assert numbers(read_any(target.getvalue())) == [10, 20, 30]


def test_every_way_in_gives_the_same_volume(tmp_path: Path) -> None:
    files = {f"x/deep/{n}": slice_at(5 * n, n) for n in range(3)}
    for name, data in files.items():
        (tmp_path / "folder" / name).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / "folder" / name).write_bytes(data)
    archive = packed(files)
    (tmp_path / "series.bin").write_bytes(archive)
    sources = [tmp_path / "folder", str(tmp_path / "series.bin"), archive, BytesIO(archive), list(files.values())]
    volumes = [read_series(s) for s in sources] + [read_any(s) for s in sources]
    assert len({v.sha256 for v in volumes}) == 1
    assert all(numbers(v) == [0, 1, 2] for v in volumes)


def test_progress_runs_to_its_end_without_going_back() -> None:
    seen: list[tuple[int, int]] = []
    read_series([slice_at(5 * n, n) for n in range(6)], progress=lambda done, total: seen.append((done, total)))
    assert seen[-1] == (12, 12)
    assert seen == sorted(seen)
    assert len({total for _, total in seen}) == 1


def test_pixels_are_decoded_only_of_the_chosen_group(monkeypatch: pytest.MonkeyPatch) -> None:
    from strokenext.io.dicom import pixels

    real, decoded = pixels.to_slice, []
    monkeypatch.setattr(pixels, "to_slice", lambda *a: decoded.append(1) or real(*a))
    others = [slice_at(z, 9, SeriesInstanceUID="1.8") for z in (0, 5)]
    read_series([*others, *(slice_at(5 * n, n) for n in range(4))])
    assert len(decoded) == 4


@shared
def test_ischemic_series() -> None:
    volume = read_series(SHARED / "ischemic_series")
    assert (len(volume), volume.unit, volume.notes) == (17, "HU", ())
    assert volume.positions is not None
    np.testing.assert_allclose(np.diff(volume.positions), 8.0)


@shared
def test_ge_series_with_tilt_and_mixed_spacing() -> None:
    volume = read_series(SHARED / "ge_head_series")
    assert (len(volume), volume.unit) == (28, "HU")
    told = " ".join(volume.notes)
    assert "18.5 degrees" in told
    assert "4.0 and 7.0 mm" in told
    assert "missing" not in told


@shared
def test_whole_reference_folder_picks_the_head_series() -> None:
    volume = read_series(SHARED)
    assert len(volume) == 28
    reasons = " ".join(item.reason for item in volume.left_out)
    for words in ("DICOMDIR", "localizer", "modality is MR", "another study"):
        assert words in reasons
