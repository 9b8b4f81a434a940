"""Several series in what was opened: one is judged, or none, and the page offers the others. Without a browser."""

from __future__ import annotations

import json
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

pytest.importorskip("gradio")
pytest.importorskip("pydicom")

from demo.cancel import Cancel
from demo.decoding.pool import Decoders
from demo.page.state import Phase
from demo.service import Service
from demo.settings import Settings
from strokenext import errors
from tests.helpers import places
from tests.helpers import several_series as made
from tests.helpers.page_desk import Desk, waiting
from tests.helpers.tiny_models import started
from tests.strokenext.io.test_resemblance import head, png_of, scan

DICOM = places.SHARED / "dicom"


@pytest.fixture(scope="module")
def service(tiny_assets: None) -> Iterator[Service]:
    service = started(device="cpu")
    yield service
    service.stop()


@pytest.fixture
def desk(service: Service) -> Iterator[Desk]:
    desk = Desk(service)
    yield desk
    desk.uploads.close()


def upload(desk: Desk, *paths: Path, **more: Any) -> dict[str, Any]:
    """Open files as an upload; what the browser is told, with everything it does not know yet."""
    names = waiting(desk.uploads, *(path.read_bytes() for path in paths))
    generation = desk.tab.state.token.generation + 1
    reply = desk.handlers.open({"tab": desk.tab.key, "generation": generation, "files": names, **more})
    assert "error" not in reply, reply
    return desk.tab.snapshot()


def again(desk: Desk, series: int, sent: int = 1, tab: str = "", **more: Any) -> dict[str, Any]:
    """Ask for another series of what was sent for the opening `sent`, as the browser does: no file, no name of one."""
    generation = desk.handlers.tabs.get(tab or desk.tab.key).state.token.generation + 1
    return desk.handlers.open(
        {"tab": tab or desk.tab.key, "generation": generation, "series": series, "sent": sent, **more}
    )


def open_rows(seen: dict[str, Any]) -> list[int]:
    return [row["number"] for row in seen["listed"]["rows"] if row["open"]]


def brain(desk: Desk) -> float:
    """The brightest pixel of the first slice, which the uploads differ by."""
    return float(desk.case.images[0].pixels.max())


def test_the_series_that_is_clearly_meant_is_judged_and_the_others_are_offered(desk: Desk, tmp_path: Path) -> None:
    seen = upload(desk, made.several(tmp_path / "a.zip"))
    assert seen["phase"] in ("shown", "refused")
    rows = seen["listed"]["rows"]
    assert [(row["usable"], row["open"]) for row in rows] == [(True, False), (True, False), (True, True)]
    assert ["bone" in row["words"] for row in rows] == [True, False, False]
    assert ["with contrast medium" in row["words"] for row in rows] == [False, True, False]
    assert [row["words"].endswith(f"5 mm, {n} images") for row, n in zip(rows, (6, 6, 5), strict=True)]
    assert all(row["why"] for row in rows)
    assert len(desk.case.images) == 5
    (left,) = seen["listed"]["left"]
    assert left.startswith("1 file: ")
    json.dumps(seen)


def test_another_series_is_judged_in_place_of_the_first_whose_work_ends(desk: Desk, tmp_path: Path) -> None:
    path = made.several(tmp_path / "a.zip")
    upload(desk, path)
    first, before, work = desk.tab.state.case, brain(desk), desk.tab._case
    seen = upload(desk, path, series=2)
    assert open_rows(seen) == [2]
    assert work.cancelled
    with pytest.raises(errors.InputError):
        desk.store.get(first)
    assert len(desk.case.images) == 6
    assert brain(desk) == before + 7
    codes = {caution.code for caution in desk.case.volume.cautions}
    assert {"several-series", "contrast"} <= codes
    assert "best guess" not in str(desk.case.volume.cautions)


class TestAgain:
    """Another series of an upload needs no other upload, as long as the server has it for this page alone."""

    def test_it_is_judged_as_if_it_had_been_sent_again(self, desk: Desk, tmp_path: Path) -> None:
        path = made.several(tmp_path / "a.zip")
        upload(desk, path, places=["a.zip"])
        before = brain(desk)
        assert desk.uploads.size == path.stat().st_size
        for series in (2, 1, 3):
            seen = again(desk, series)
            assert "error" not in seen
            assert open_rows(desk.tab.snapshot()) == [series]
            assert brain(desk) == before + {1: 3, 2: 7, 3: 0}[series]
        assert len(desk.uploads) == 1

    def test_a_first_choice_needs_no_other_upload_either(self, desk: Desk, tmp_path: Path) -> None:
        assert upload(desk, made.two_studies(tmp_path / "two.zip"))["phase"] == Phase.CHOOSING
        for series in (2, 1):
            again(desk, series)
            assert open_rows(desk.tab.snapshot()) == [series]

    def test_nothing_is_kept_where_there_is_no_choice(self, desk: Desk, tmp_path: Path) -> None:
        one = made.packed(
            tmp_path / "a.zip", made.series("a", 4, ConvolutionKernel="H30s"), {"README.txt": b"no image"}
        )
        for path in (one, places.EXAMPLES / "normal.dcm", places.EXAMPLES / "series_hemorrhage.zip"):
            upload(desk, path)
            assert len(desk.uploads) == 0

    def test_another_page_cannot_use_it(self, desk: Desk, tmp_path: Path) -> None:
        upload(desk, made.several(tmp_path / "a.zip"))
        for session in ("another", desk.tab.session):
            other = desk.handlers.tabs.new(session)
            reply = again(desk, 1, tab=other.key)
            assert reply["gone"]
            assert other.state.phase is Phase.EMPTY
        assert again(desk, 1)["phase"] in ("shown", "refused")

    def test_what_was_sent_by_a_page_is_not_opened_by_another_that_knows_its_name(self, desk: Desk) -> None:
        with desk.uploads.arriving(desk.tab.session, session=desk.tab.session) as sent:
            sent.begin_file()
            sent.write((places.EXAMPLES / "normal.dcm").read_bytes())
        other = desk.handlers.tabs.new("another")
        desk.handlers.open({"tab": other.key, "generation": 1, "files": sent.names})
        assert other.state.phase is Phase.FAILED
        assert "no longer there" in other.screen.answer
        desk.handlers.open({"tab": desk.tab.key, "generation": 1, "files": sent.names})
        assert desk.tab.state.phase in (Phase.SHOWN, Phase.REFUSED)

    @pytest.mark.parametrize("how", ["closed", "another", "example", "left", "expired", "late"])
    def test_it_is_forgotten_with_its_case_and_the_page_is_told_to_send_it_again(
        self, desk: Desk, tmp_path: Path, how: str
    ) -> None:
        upload(desk, made.several(tmp_path / "a.zip"))
        assert len(desk.uploads) == 1
        if how == "closed":
            desk.close()
        elif how == "another":
            upload(desk, places.EXAMPLES / "normal.dcm")
        elif how == "example":
            desk.open(places.EXAMPLES / "normal.dcm")
        elif how == "left":
            desk.uploads.leave(desk.tab.session)
        elif how == "expired":
            desk.store.drop(desk.tab.state.case)
            desk.handlers.look({"tab": desk.tab.key})
        else:
            desk.uploads._clock = lambda: time.monotonic() + Settings().upload_seconds
            desk.uploads.sweep()
        assert (len(desk.uploads), desk.uploads.size) == (0, 0)
        before = desk.tab.state
        reply = again(desk, 2)
        assert reply["gone"]
        assert reply["error"].endswith(".")
        assert desk.tab.state is before  # the same opening may now come with the files

    def test_an_opening_that_is_cancelled_keeps_it_only_while_the_list_stays(self, desk: Desk, tmp_path: Path) -> None:
        upload(desk, made.two_studies(tmp_path / "two.zip"))
        desk.handlers.close({"tab": desk.tab.key, "generation": 2, "keep": True})
        assert again(desk, 1)["phase"] in ("shown", "refused")
        desk.handlers.close({"tab": desk.tab.key, "generation": 4})
        assert again(desk, 1)["gone"]

    def test_a_series_that_cannot_be_read_leaves_the_others(self, desk: Desk, tmp_path: Path) -> None:
        upload(desk, made.several(tmp_path / "a.zip"))
        again(desk, 7)
        assert desk.tab.state.phase is Phase.FAILED
        again(desk, 1)
        assert desk.tab.state.phase in (Phase.SHOWN, Phase.REFUSED)

    def test_it_is_not_what_was_sent_for_another_opening(self, desk: Desk, tmp_path: Path) -> None:
        upload(desk, made.several(tmp_path / "a.zip"))
        for wrong in (0, 2, -1):
            assert again(desk, 2, wrong)["gone"]
        for wrong in ("1", True, 1.0):
            assert not again(desk, 2, wrong)["gone"]  # type: ignore[arg-type]
            assert desk.tab.state.token.generation == 1


def test_two_studies_are_not_judged_before_one_is_chosen_and_never_mixed(desk: Desk, tmp_path: Path) -> None:
    path = made.two_studies(tmp_path / "two.zip")
    seen = upload(desk, path)
    assert seen["phase"] == Phase.CHOOSING
    assert seen["case"] is None
    assert seen["screen"]["viewer"] is None
    assert not seen["screen"]["ready"]
    assert len(desk.store) == 0
    assert "2 studies" in seen["screen"]["answer"]
    assert "2 patients" in seen["listed"]["lead"]
    assert [row["study"] for row in seen["listed"]["rows"]] == [1, 2]
    assert open_rows(seen) == []
    sizes, bright = [], []
    for number in (1, 2):
        assert open_rows(upload(desk, path, series=number)) == [number]
        sizes.append(len(desk.case.images))
        bright.append(brain(desk))
        assert "several-studies" in {caution.code for caution in desk.case.volume.cautions}
    assert sorted(sizes) == [5, 6]
    assert abs(bright[0] - bright[1]) == 9


def test_series_that_are_alike_are_asked_about(desk: Desk, tmp_path: Path) -> None:
    tags = {"ConvolutionKernel": "H30s", "SliceThickness": 5}
    path = made.packed(tmp_path / "a.zip", made.series("a", 5, 0, **tags), made.series("b", 5, 4, **tags))
    seen = upload(desk, path)
    assert seen["phase"] == Phase.CHOOSING
    assert "not clear" in seen["screen"]["answer"]


def test_one_series_has_no_list_and_a_single_picture_neither(desk: Desk, tmp_path: Path) -> None:
    for name in ("series_hemorrhage.zip", "hemorrhage.dcm", "hemorrhage.png"):
        assert "listed" not in upload(desk, places.EXAMPLES / name)


def test_the_list_goes_with_another_upload_and_with_close(desk: Desk, tmp_path: Path) -> None:
    upload(desk, made.several(tmp_path / "a.zip"))
    known = desk.tab.state.version
    assert "listed" not in desk.tab.snapshot(known)
    assert "listed" not in upload(desk, places.EXAMPLES / "normal.dcm")
    upload(desk, made.several(tmp_path / "a.zip"))
    desk.close()
    assert desk.tab.listed is None


def test_a_series_that_is_not_there_or_no_head_ct_is_refused_with_its_reason(desk: Desk, tmp_path: Path) -> None:
    path = made.packed(
        tmp_path / "a.zip",
        made.series("ct", 5, ConvolutionKernel="H30s"),
        made.series("mr", 5, Modality="MR"),
    )
    seen = upload(desk, path)
    assert [row["usable"] for row in seen["listed"]["rows"]] == [True, False]
    assert open_rows(seen) == [1]
    for series, word in ((2, "MR"), (7, "no series 7")):
        seen = upload(desk, path, series=series)
        assert seen["phase"] == Phase.FAILED
        assert word in seen["screen"]["answer"]
        assert seen["case"] is None
    for wrong in (0, -1, "2", True, 1.5):
        names = {"tab": desk.tab.key, "generation": 99, "files": ["x"], "series": wrong}
        assert "error" in desk.handlers.open(names)


def test_what_is_lost_with_a_file_of_the_open_series_is_listed(desk: Desk, tmp_path: Path) -> None:
    files = made.series("a", 6, ConvolutionKernel="H30s")
    name = sorted(files)[2]
    files[name] = files[name][:-20_000]
    seen = upload(desk, made.packed(tmp_path / "a.zip", files))
    assert open_rows(seen) == [1]
    assert len(seen["listed"]["left"]) == 1
    assert len(desk.case.images) == 5


def test_pictures_come_in_the_order_of_their_names_and_apart_by_folder(desk: Desk, tmp_path: Path) -> None:
    """As a browser sends a folder: ten before two, and two patients' folders with the same names in them."""
    names = [f"{number}.png" for number in (1, 10, 2, 3, 4, 5, 6, 7, 8, 9)]
    for patient in (1, 2):
        (tmp_path / str(patient)).mkdir()
        for number, picture in enumerate(scan(patient, 10), 1):
            (tmp_path / str(patient) / f"{number}.png").write_bytes(png_of(picture, 10 * patient + number))
    one = [tmp_path / "1" / name for name in names]
    seen = upload(desk, *one, places=[f"set/1/{name}" for name in names])
    assert [int(s.pixels[0, 0]) for s in desk.case.images] == [10 + n for n in range(1, 11)]
    assert "pictures-joined" in {caution.code for caution in desk.case.volume.cautions}
    assert "listed" not in seen
    both = [tmp_path / str(patient) / name for patient in (1, 2) for name in names]
    places = [f"set/{patient}/{name}" for patient in (1, 2) for name in names]
    seen = upload(desk, *both, places=places)
    assert seen["phase"] == Phase.CHOOSING
    assert [row["words"] for row in seen["listed"]["rows"]] == ["pictures, 10 images"] * 2
    firsts = []
    for number in (1, 2):
        upload(desk, *both, places=places, series=number)
        firsts.append([int(s.pixels[0, 0]) for s in desk.case.images])
    assert sorted(firsts) == [[10 * p + n for n in range(1, 11)] for p in (1, 2)]


def test_pictures_of_many_patients_are_never_one_series(desk: Desk, tmp_path: Path) -> None:
    paths = []
    for number in range(1, 9):
        paths.append(tmp_path / f"{number}.png")
        paths[-1].write_bytes(png_of(head(20 + number, 0.5), number))
    seen = upload(desk, *paths)
    assert seen["phase"] == Phase.CHOOSING
    assert [row["words"] for row in seen["listed"]["rows"]] == ["picture, 1 image"] * 8
    upload(desk, *paths, series=5)
    assert [int(s.pixels[0, 0]) for s in desk.case.images] == [5]
    assert "pictures-apart" in {caution.code for caution in desk.case.volume.cautions}


@pytest.mark.parametrize("places", [None, 7, ["a"], ["a", 2, "c"], [["x"]] * 3])
def test_a_request_that_places_files_nowhere_is_opened_as_they_came(desk: Desk, tmp_path: Path, places: object) -> None:
    paths = []
    for number, picture in enumerate(scan(1, 3), 1):
        paths.append(tmp_path / f"{number}.png")
        paths[-1].write_bytes(png_of(picture, number))
    upload(desk, *paths[::-1], places=places)
    assert [int(s.pixels[0, 0]) for s in desk.case.images] == [3, 2, 1]


def test_a_file_of_two_kernels_is_offered_as_two_series() -> None:
    """Of one file with several images as of several files: what was set apart can be chosen."""
    from tests.helpers import dicom_files

    ds = dicom_files.enhanced([0.0, 5.0, 10.0, 0.0, 5.0, 10.0])
    ds.PixelData = ds.PixelData[: len(ds.PixelData) // 2] * 2
    for number, group in enumerate(ds.PerFrameFunctionalGroupsSequence):
        kernel = dicom_files.group(CTReconstructionSequence={"ConvolutionKernel": "H60s" if number >= 3 else "H30s"})
        group.CTReconstructionSequence = kernel.CTReconstructionSequence
    data = dicom_files.to_bytes(ds)
    decoders = Decoders(Settings())
    try:
        found = decoders.offer([data], None, "a", Cancel())
        listed = [(one.kernel, one.images) for one in found.series]
        assert sorted(listed) == [("bone", 3), ("soft", 3)]
        assert found.chosen is not None
        assert found.series[found.chosen - 1].kernel == "soft"
    finally:
        decoders.stop()


@pytest.mark.skipif(not DICOM.is_dir(), reason="the real series of ../shared are absent")
def test_two_real_patients_in_one_archive_are_asked_about(desk: Desk, tmp_path: Path) -> None:
    parts = []
    for name in ("ischemic_series", "ge_head_series", "scout"):
        files = [path for path in sorted((DICOM / name).rglob("*")) if path.is_file()]
        parts.append({f"{name}/{path.name}": path.read_bytes() for path in files})
    path = made.packed(tmp_path / "two.zip", *parts)
    seen = upload(desk, path)
    assert seen["phase"] == Phase.CHOOSING
    rows = {row["number"]: row for row in seen["listed"]["rows"]}
    usable = [number for number, row in rows.items() if row["usable"]]
    assert len({rows[number]["study"] for number in usable}) >= 2
    sizes = set()
    for number in usable:
        upload(desk, path, series=number)
        sizes.add(len(desk.case.images))
    assert {17, 28} <= sizes
    assert any(not row["usable"] and row["why"] for row in rows.values())
