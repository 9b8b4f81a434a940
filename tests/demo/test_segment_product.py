"""Marks where people meet them: command line, API, page and report, with a model set by hand on the phantoms."""

from __future__ import annotations

import base64
import io
import json
import shutil
from pathlib import Path

import numpy as np
import pytest
from PIL import Image
from starlette.testclient import TestClient

import strokenext
from demo.cancel import Cancel, CancelledError
from demo.page import takeaway, text
from demo.server import build_api
from demo.service import Options
from demo.settings import Settings, parse
from strokenext import cli, overlay, windows
from strokenext.overlay import REGION_COLORS
from strokenext.show import words
from strokenext.types import Gate
from tests.helpers.masked_phantoms import segmentation_model
from tests.helpers.page_desk import Desk
from tests.helpers.places import EXAMPLES
from tests.helpers.reading import cut_out
from tests.helpers.tiny_models import pair, started

BLEED, NORMAL, SERIES = (EXAMPLES / n for n in ("hemorrhage.dcm", "normal.dcm", "series_hemorrhage.zip"))
pytestmark = pytest.mark.usefixtures("tiny_assets")


@pytest.fixture(scope="module")
def folder(tmp_path_factory) -> Path:
    return segmentation_model(tmp_path_factory.mktemp("models") / "toy-marks", size=128)


@pytest.fixture(scope="module")
def expected(folder: Path) -> strokenext.Segmentation:
    """The library's own answer."""
    return strokenext.load(folder, device="cpu", kind="segmentation").segment(BLEED)


@pytest.fixture(scope="module")
def service(folder: Path, tiny_assets):
    return started(device="cpu", segmentation=str(folder))


def picture(data: str) -> np.ndarray:
    return np.asarray(Image.open(io.BytesIO(base64.b64decode(data))))


class TestCommandLine:
    def test_pictures_and_json_of_every_slice(self, folder, expected, tmp_path, capsys):
        out, record = tmp_path / "out", tmp_path / "all.json"
        flags = ["--model", str(folder), "--device", "cpu", "--out", str(out), "--json", str(record)]
        assert cli.main(["segment", *flags, str(BLEED), str(NORMAL)]) == 0
        said = capsys.readouterr().out
        assert f"hemorrhage.dcm: {words.marked(expected)}" in said
        assert "normal.dcm: Hematoma: nothing marked; perihematomal edema: nothing marked." in said
        names = {p.relative_to(out).as_posix() for p in out.rglob("*.*") if p.is_file()}
        assert "hemorrhage.dcm/overlay.png" in names
        assert "normal.dcm/prediction.json" in names
        body = json.loads(record.read_text())
        assert body["schema"] == "strokenext-segmentations/1"
        one = body["results"][0]["segmentation"]
        assert one["regions"][0]["area_mm2"] == pytest.approx(expected.regions[0].area, abs=0.01)
        assert one["regions"][1]["says"] == "The rim, never the blood."

    def test_a_series_is_measured_as_a_whole(self, folder, tmp_path, capsys):
        record = tmp_path / "all.json"
        flags = ["--model", str(folder), "--device", "cpu", "--out", str(tmp_path / "out"), "--json", str(record)]
        assert cli.main(["segment", *flags, str(SERIES)]) == 0
        whole = strokenext.load(folder, device="cpu", kind="segmentation").segment_series(SERIES)
        assert f"series_hemorrhage.zip: {words.extents(whole)}" in capsys.readouterr().out
        body = json.loads(record.read_text())
        (one,) = body["series"]
        assert one["path"] == str(SERIES)
        assert one["segmentation"]["extents"] == [extent.to_json() for extent in whole.extents]
        assert one["segmentation"]["extents"][0]["volume_ml"] > 1
        assert len(body["results"]) == len(whole)
        for result, slice_ in zip(body["results"], whole.slices, strict=True):
            assert (result["segmentation"]["regions"] is None) == slice_.refused

    def test_a_bad_input_does_not_end_the_run(self, folder, tmp_path, capsys):
        text_file = tmp_path / "x.png"
        text_file.write_text("no picture")
        flags = ["--model", str(folder), "--device", "cpu", "--out", str(tmp_path / "o")]
        assert cli.main(["segment", *flags, str(text_file), str(BLEED)]) == 1
        assert "x.png" in capsys.readouterr().err
        assert cli.main(["segment", "--device", "cpu", "--out", str(tmp_path / "p"), str(BLEED)]) == 4  # none bundled

    def test_told_to_end_it_still_accounts_for_what_it_marked(self, folder, tmp_path, monkeypatch):
        mark, record = strokenext.Segmenter.segment, tmp_path / "all.json"

        def twice(*arguments, **more):
            if (tmp_path / "out").exists():
                raise KeyboardInterrupt
            return mark(*arguments, **more)

        monkeypatch.setattr(strokenext.Segmenter, "segment", twice)
        flags = ["--model", str(folder), "--device", "cpu", "--out", str(tmp_path / "out"), "--json", str(record)]
        assert cli.main(["segment", *flags, str(BLEED), str(NORMAL)]) == 130
        assert [Path(one["path"]) for one in json.loads(record.read_text())["results"]] == [BLEED]


class TestService:
    def test_the_setting_has_a_flag_and_a_variable(self):
        assert parse([], {}).segmentation is None
        assert parse(["--segmentation", "a/b"], {}).segmentation == "a/b"
        assert parse([], {"STROKENEXT_SEGMENTATION": "folder"}).segmentation == "folder"

    def test_a_bundled_one_is_picked_up(self, folder, tmp_path, monkeypatch):
        for model in pair().iterdir():
            shutil.copytree(model, tmp_path / model.name)
        shutil.copytree(folder, tmp_path / "unet-ich")
        monkeypatch.setenv("STROKENEXT_ASSETS", str(tmp_path))
        state = started(device="cpu").state()
        assert (state.segmentation, state.message) == (True, "The models are ready.")

    def test_none_is_no_fault_and_a_missing_one_that_was_named_is_said(self, tmp_path):
        absent = "The segmentation model is not available."
        for model, message in ((None, "The models are ready."), (str(tmp_path), absent)):
            service = started(device="cpu", segmentation=model)
            assert not service.state().segmentation
            assert service.state().message.startswith(message)
            assert service.segment(strokenext.read_slice(BLEED), Gate(True)) is None


class TestSeries:
    def test_between_slices_others_have_their_turn_and_a_client_that_is_gone_ends_it(self, service):
        result, cancel, asked = service.predict(SERIES.read_bytes(), "presence"), Cancel(), []
        mark = service._models["segmentation"].each

        def until_gone(*arguments, **more):
            for one in mark(*arguments, **more):
                asked.append(one)
                if len(asked) == 3:
                    cancel.cancel()
                yield one

        with pytest.MonkeyPatch.context() as patched:
            patched.setattr(service._models["segmentation"], "each", until_gone)
            with pytest.raises(CancelledError):
                service.segment_series(result, cancel=cancel)
        assert len(asked) < len(result.image)
        assert service.waiting == 0
        assert service.segment_series(service.predict(BLEED.read_bytes(), "presence")) is None


class TestApi:
    def test_marks_come_when_asked_for(self, folder, expected):
        app, service = build_api(Settings(device="cpu", segmentation=str(folder)))
        with TestClient(app) as client:
            assert service.wait(120).status == "ready"
            assert client.get("/health").json()["models"]["segmentation"] is True

            def ask(file: Path, **options: str) -> dict:
                return client.post("/predict", files={"file": ("f", file.read_bytes())}, data=options).json()

            plain = ask(BLEED, overlay="true", explain="false")
            assert plain["segmentation"] is None
            found = ask(BLEED, segment="true", overlay="true", explain="false")
            blood, edema = found["segmentation"]["regions"]
            assert blood["pixels"] == expected.regions[0].pixels
            assert edema["box"] is None
            labels = picture(found["segmentation"]["labels"])
            assert (labels == expected.regions[0].mask).all()
            bare = overlay.render(expected.image, window=expected.window)
            marked, unmarked = (cut_out(picture(body["overlay"]), bare) for body in (found, plain))
            changed = (marked != unmarked).any(axis=2)
            assert changed.any()
            assert (changed <= expected.regions[0].mask).all()
            series = ask(SERIES, segment="true", explain="false", task="triage")
            assert series["segmentation"]["slice"] == series["peak"]
            whole = strokenext.load(folder, device="cpu", kind="segmentation").segment_series(SERIES)
            assert series["segmentation"]["extents"] == [extent.to_json() for extent in whole.extents]
            assert series["segmentation"]["extents"][0]["volume_ml"] > 1
            assert series["segmentation"]["looked_at"] == whole.looked
            assert series["segmentation"]["regions"][0]["pixels"] == whole.slices[series["peak"]].regions[0].pixels
            assert found["segmentation"]["extents"] is None
            assert "SegmentationOut" in client.get("/openapi.json").json()["components"]["schemas"]

    def test_without_a_model_the_wish_is_refused_with_a_sentence(self):
        app, service = build_api(Settings(device="cpu"))
        with TestClient(app) as client:
            assert service.wait(120).status == "ready"
            assert "segmentation" not in client.get("/health").json()["models"]
            sent = client.post("/predict", files={"file": ("f", BLEED.read_bytes())}, data={"segment": "true"})
            assert sent.status_code == 400
            assert "No segmentation model is loaded here." in sent.json()["error"]["message"]


@pytest.fixture(scope="module")
def desk(service):
    """A page."""
    return Desk(service)


class TestPage:
    def test_the_viewer_is_sent_outlines_with_what_they_mean(self, desk, expected):
        screen = desk.open(BLEED)
        marks = screen.viewer["marks"]
        blood, edema = marks["regions"]
        assert blood["color"] == "rgb({}, {}, {})".format(*REGION_COLORS[0])
        assert blood["size"] == words.size(expected.regions[0])
        assert edema["outlines"] == []
        xs, ys = np.array(blood["outlines"][0]).reshape(-1, 2).T
        x, y, width, height = expected.regions[0].box
        assert (xs.min(), xs.max()) == pytest.approx((x, x + width), abs=0.5)
        assert (ys.min(), ys.max()) == pytest.approx((y, y + height), abs=0.5)
        assert marks["note"] == words.MARKS
        panel = screen.answer
        assert text.MARKED in panel
        assert "The rim, never the blood." in panel
        assert words.size(expected.regions[0]) in panel
        assert "Nothing: set by hand for tests." in panel

    def test_they_stay_hidden_until_the_reader_commits(self, desk):
        screen = desk.open(BLEED, reader_first=True)
        assert screen.viewer["marks"] is None
        assert text.MARKED not in screen.answer
        shown = desk.ask(verdict=text.VERDICTS[0])
        assert shown.viewer["marks"]["regions"][0]["outlines"]
        assert text.MARKED in shown.answer
        assert len(desk.case.marks) == 1

    def test_a_head_with_nothing_to_mark_says_so(self, desk):
        screen = desk.open(NORMAL)
        assert all(not region["outlines"] for region in screen.viewer["marks"]["regions"])
        assert text.MARKED_NOTHING in screen.answer

    def test_of_a_series_the_slice_that_is_shown(self, desk):
        screen = desk.open(SERIES)
        case = desk.case
        assert list(case.marks) == [(case.index, False)]
        assert screen.viewer["marks"]["index"] == case.index

    def test_without_a_model_the_page_is_as_before(self):
        screen = Desk(started(device="cpu")).open(BLEED)
        assert screen.viewer["marks"] is None
        assert text.MARKED not in screen.answer

    def test_what_the_reader_takes_away(self, desk, expected):
        desk.open(BLEED)
        case = desk.case
        triage = case.answers[0, Options()]
        body = json.loads(takeaway.make("json", case, triage, takeaway.Opinion(), takeaway.View()).data)
        assert body["segmentation"]["regions"][0]["pixels"] == expected.regions[0].pixels
        page = takeaway.make("html", case, triage, takeaway.Opinion(), takeaway.View()).data.decode()
        assert "Marked regions" in page
        assert "The rim, never the blood." in page
        bare = overlay.render(case.images[0], window=windows.BRAIN)
        made = (
            np.asarray(Image.open(io.BytesIO(takeaway.make("png", case, triage, takeaway.Opinion(), view).data)))
            for view in (takeaway.View(windows.BRAIN), takeaway.View(windows.BRAIN, marking=False))
        )
        marked, plain = (cut_out(drawn, bare) for drawn in made)
        differ = (marked != plain).any(axis=2)
        assert differ.any()
        assert (differ <= expected.regions[0].mask).all()
        assert takeaway._view({"marking": False, "width": 80, "level": 40}, case).marking is False
