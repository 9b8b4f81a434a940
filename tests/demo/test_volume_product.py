"""A volume model where people meet it: command line, API, page and report, on the phantom series. Random weights."""

from __future__ import annotations

import csv
import io
import json
import shutil
from pathlib import Path

import pytest
from starlette.testclient import TestClient

import strokenext
from demo.page import takeaway, text
from demo.server import build_api
from demo.service import Options
from demo.settings import Settings, parse
from strokenext import cli
from strokenext.types import Volume
from tests.helpers.page_desk import Desk
from tests.helpers.places import EXAMPLES
from tests.helpers.tiny_models import pair, started, volume_model

SERIES = EXAMPLES / "series_hemorrhage.zip"
SLICES = 16
pytestmark = pytest.mark.usefixtures("tiny_assets")


@pytest.fixture(scope="module")
def folder(tmp_path_factory) -> Path:
    """A volume model with random weights."""
    return volume_model(tmp_path_factory.mktemp("volume") / "toy-volume")


@pytest.fixture(scope="module")
def expected(folder: Path) -> strokenext.VolumePrediction:
    """The library's own answer."""
    return strokenext.load(folder, device="cpu", kind="series").predict(SERIES)


@pytest.fixture(scope="module")
def service(folder: Path, tiny_assets):
    return started(device="cpu", volume=str(folder))


def short(volume: Volume, count: int) -> Volume:
    return Volume(volume.slices[:count], None if volume.positions is None else volume.positions[:count])


class TestCommandLine:
    def test_a_series_has_one_answer(self, folder, expected, tmp_path, capsys):
        out, table, pictures = tmp_path / "o.json", tmp_path / "o.csv", tmp_path / "p"
        flags = ("--json", str(out), "--csv", str(table), "--overlays", str(pictures), "--device", "cpu")
        assert cli.main(["predict", "--model", str(folder), *flags, str(SERIES)]) == 0
        body = json.loads(out.read_text())["results"][0]
        assert body["kind"] == "series"
        assert body["prediction"]["probability"] == pytest.approx(expected.probability, abs=1e-5)
        assert body["prediction"]["planes"] == 46
        assert f"(probability of stroke {expected.probability:.3f}" in capsys.readouterr().out
        rows = list(csv.DictReader(io.StringIO(table.read_text())))
        assert len(rows) == 1 + SLICES
        assert rows[0]["model"] == "toy-volume"
        assert [r["slice"] for r in rows[1:]] == [str(i) for i in range(SLICES)]
        assert {r["probability"] for r in rows[1:]} == {""}
        assert len(list(pictures.rglob("*.png"))) == SLICES

    def test_what_it_cannot_read_is_a_sentence(self, folder, capsys):
        assert cli.main(["predict", "--model", str(folder), "--device", "cpu", str(EXAMPLES / "normal.dcm")]) == 2
        assert "judges a whole series, and this is one slice" in capsys.readouterr().err
        assert cli.main(["predict", "--model", str(folder), "--task", "triage", str(SERIES)]) == 2
        assert "answers presence alone" in capsys.readouterr().err


class TestService:
    def test_the_setting_has_a_flag_and_a_variable(self):
        assert parse([], {}).volume is None
        assert parse(["--volume", "a/b"], {}).volume == "a/b"
        assert parse([], {"STROKENEXT_VOLUME": "folder"}).volume == "folder"

    def test_a_bundled_one_is_picked_up(self, folder, tmp_path, monkeypatch):
        for model in pair().iterdir():
            shutil.copytree(model, tmp_path / model.name)
        shutil.copytree(folder, tmp_path / "cnn3d-ich")
        monkeypatch.setenv("STROKENEXT_ASSETS", str(tmp_path))
        state = started(device="cpu").state()
        assert (state.volume, state.message) == (True, "The models are ready.")

    def test_none_is_no_fault_and_a_missing_one_that_was_named_is_said(self, tmp_path):
        series = short(strokenext.read_series(SERIES), 2)
        for volume, message in ((None, "The models are ready."), (str(tmp_path), "The volume model is not available.")):
            service = started(device="cpu", volume=volume)
            assert not service.state().volume
            assert service.state().message.startswith(message)
            assert service.predict_whole(service.predict(series, "presence"), Options()) is None


class TestApi:
    def test_a_series_has_both_answers_and_a_slice_has_one(self, folder, expected):
        app, service = build_api(Settings(device="cpu", volume=str(folder)))
        with TestClient(app) as client:
            assert service.wait(120).status == "ready"
            assert client.get("/health").json()["models"] == {"presence": True, "subtype": True, "volume": True}
            for task in ("presence", "triage"):
                body = client.post(
                    "/predict", files={"file": ("s.zip", SERIES.read_bytes())}, data={"task": task, "explain": "false"}
                ).json()
                assert len(body["slices"]) == SLICES
                assert body["volume"]["probability"] == pytest.approx(expected.probability, abs=1e-5)
                assert body["volume"]["judged"] == expected.accepted
                assert body["probability"] != body["volume"]["probability"]
            one = client.post("/predict", files={"file": ("s", (EXAMPLES / "normal.dcm").read_bytes())}).json()
            assert "volume" not in one
            assert "VolumeOut" in client.get("/openapi.json").json()["components"]["schemas"]


@pytest.fixture(scope="module")
def opened(service):
    """The series as the page shows it: its case and the last screen."""
    desk = Desk(service)
    screen = desk.open(SERIES)
    return desk.case, screen


class TestPage:
    def test_the_whole_series_stands_beside_the_slices(self, opened, expected):
        case, screen = opened
        assert case.whole is not None
        assert case.whole.probability == pytest.approx(expected.probability, abs=1e-5)
        panel = screen.answer
        assert panel.index("<h2>Series</h2>") < panel.index(text.WHOLE)
        assert f"{expected.accepted} of {SLICES} slices read at once, as 46 planes." in panel
        assert f'a-whole" data-decision="{expected.decision}"' in panel
        assert "Nothing: random weights for tests." in panel

    def test_it_is_in_what_the_reader_takes_away(self, opened):
        case, _ = opened
        triage = next(iter(case.answers.values()))
        given = takeaway.Opinion(), takeaway.View()
        body = json.loads(takeaway.make("json", case, triage, *given).data)
        assert body["volume"]["planes"] == 46
        page = takeaway.make("html", case, triage, *given).data.decode()
        assert "The whole series at once" in page
        assert "Slice" in page

    def test_too_few_slices_are_said_in_a_sentence(self, service):
        desk = Desk(service)
        screen = desk.read(short(strokenext.read_series(SERIES), 5))
        assert "5 of 5 slices show a head with brain, and the volume model needs at least 8" in screen.answer
        assert "Open the whole series." in screen.answer
        report = strokenext.report.html(desk.case.series, whole=desk.case.whole)
        assert "needs at least 8" in report
