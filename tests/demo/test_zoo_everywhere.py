"""Every classifier of the zoo wherever a model can be used: library, command line, API and page, each with its heat.

A row is saved in the common layout with random weights and loaded again as a stranger would. Rows of more than 32
million parameters (their folder would be 0.2 to 1.6 GB) are judged from memory, and the StrokeNeXt sizes above tiny,
which differ from it in numbers alone, only when STROKENEXT_TEST_HEAVY is set; `test_zoo.py` counts and differentiates
them in any case.
"""

from __future__ import annotations

import json
import os
import subprocess
import sys
from collections.abc import Iterator
from functools import cache
from pathlib import Path

import pytest
import torch
from starlette.testclient import TestClient

import strokenext
from demo.page import answer
from demo.server import build, build_api
from demo.settings import Settings, parse
from strokenext import cli
from strokenext.models import build as build_network
from strokenext.preprocess.contract import Preprocess
from strokenext.record.config import ModelConfig
from strokenext.record.weights import save_model
from strokenext.slice.predictor import Predictor
from strokenext.types import CLASSES
from strokenext.zoo import ModelRow, list_models, row
from tests.helpers.page_desk import Desk
from tests.helpers.places import ROOT

DICOM = ROOT / "assets" / "examples" / "hemorrhage.dcm"
ROWS = list_models("slice")
#: Largest row that goes through files.
FILED = 32_000_000
LIGHT = [r for r in ROWS if r.params <= FILED]
HEAVY = [r for r in ROWS if r.params > FILED]
#: Only on request: the code of strokenext_tiny at 101 to 400 million parameters.
ON_REQUEST = {"strokenext_small", "strokenext_base", "strokenext_large"}
#: Input pixels to a cell of the heat map, where it is not the 32 of most encoders.
STRIDES = {"vgg16": 16, "custom_cnn": 8, "small_cnn": 64}


def name(r: ModelRow) -> str:
    return r.name


def side(r: ModelRow) -> int:
    """64 pixels, as fast as it gets; the small CNN knows its own side only."""
    return 256 if r.name == "small_cnn" else 64


def grid(r: ModelRow) -> tuple[int, int]:
    return (side(r) // STRIDES.get(r.name, 32),) * 2


def record(r: ModelRow, task: str = "presence") -> ModelConfig:
    frame = "contour" if r.name == "vgg16" else "square"
    return ModelConfig(
        name=f"{r.name}-{task}",
        architecture=r.name,
        arguments={},
        task=task,
        classes=CLASSES[task],
        preprocess=Preprocess(size=side(r), frame=frame),
        threshold=0.5,
        band=(0.5, 0.5),
        temperature=1.0,
        heat_scale=1.0,
        trained_on="Nothing: random weights for tests.",
        licence="Apache-2.0",
    )


@cache
def network(r: ModelRow) -> torch.nn.Module:
    torch.manual_seed(3)
    return build_network(r).eval()


@pytest.fixture(scope="module")
def folders(tmp_path_factory: pytest.TempPathFactory) -> Iterator[dict[str, Path]]:
    """Every light row as a folder of the common layout; nothing bundled, so that no other model answers."""
    parent = tmp_path_factory.mktemp("zoo")
    for r in LIGHT:
        save_model(parent / r.name, network(r), record(r), f"# {r.name}\n")
    network.cache_clear()
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("STROKENEXT_ASSETS", str(tmp_path_factory.mktemp("nothing")))
        yield {r.name: parent / r.name for r in LIGHT}


def check(found: strokenext.Prediction, r: ModelRow) -> None:
    """A probability, and heat on the row's own grid with a map per encoder."""
    assert 0 <= found.probability <= 1
    assert found.heat.maps.shape == (len(r.encoders), *grid(r))
    assert found.heat.encoders == r.encoders
    assert found.heat.maps.min() >= 0
    assert found.heat.input_size == side(r)
    assert found.provenance.architecture == r.name


def test_no_row_is_forgotten() -> None:
    """Segmentation and volume models have tests of their own; everything else is here, in files or in memory."""
    assert {r.name for r in list_models()} - {r.name for r in LIGHT + HEAVY} == {"cnn3d", "unet", "unet_lite"}
    assert {r.name for r in HEAVY} == ON_REQUEST | {"strokenext_tiny", "vgg16", "resnet152", "convnext_base"}


@pytest.mark.parametrize("r", LIGHT, ids=name)
def test_a_saved_row_answers_everywhere_alike(r: ModelRow, folders: dict[str, Path], tmp_path: Path) -> None:
    folder = folders[r.name]
    assert {f.name for f in folder.iterdir()} == {"model.safetensors", "config.json", "README.md"}
    found = strokenext.load(folder, device="cpu").predict(DICOM, force=True)
    check(found, r)

    out = tmp_path / "out.json"
    assert cli.main(["predict", str(DICOM), "--model", str(folder), "--force", "--json", str(out)]) == 0
    (told,) = json.loads(out.read_text())["results"]
    assert told["prediction"]["probability"] == pytest.approx(found.probability, abs=1e-5)
    assert told["prediction"]["heat"]["grid"] == list(grid(r))

    app, service = build_api(parse(["--device", "cpu", "--presence", str(folder)], {}))
    with TestClient(app) as client:
        assert service.wait(60).status == "ready", service.state().message
        body = client.post("/predict", files={"file": DICOM.read_bytes()}, data={"force": "1"}).json()
        assert client.get("/health").json()["architectures"] == {"presence": r.title}
    assert body["confidence"] == pytest.approx(max(found.probability, 1 - found.probability), abs=1e-5)
    assert body["heat"]["grid"] == list(grid(r))
    assert body["provenance"]["architecture"] == r.name


@pytest.mark.parametrize("r", HEAVY, ids=name)
def test_a_heavy_row_answers_from_memory(r: ModelRow) -> None:
    if r.name in ON_REQUEST and not os.environ.get("STROKENEXT_TEST_HEAVY"):
        pytest.skip("the code of strokenext_tiny with more parameters; set STROKENEXT_TEST_HEAVY=1 to run it")
    check(Predictor(build_network(r).eval(), record(r), "cpu").predict(DICOM, force=True), r)


def test_a_subtype_model_of_ones_own_beside_a_presence_model(folders: dict[str, Path], tmp_path: Path) -> None:
    """The custom CNN tells hemorrhagic from ischemic; the page asks it second, and the bar names both."""
    r = row("custom_cnn")
    save_model(tmp_path / "kind", build_network(r).eval(), record(r, "subtype"), "# kind\n")
    settings = Settings(device="cpu", presence=str(folders["small_cnn"]), subtype=str(tmp_path / "kind"))
    app, service = build_api(settings)
    with TestClient(app) as client:
        assert service.wait(60).subtype
        body = client.post("/predict?task=triage&threshold=0&force=1", files={"file": DICOM.read_bytes()}).json()
    assert body["subtype"]["provenance"]["architecture"] == "custom_cnn"
    bar = answer.state(service.state())
    assert "Models ready: presence and type" in bar
    assert "<p>Small CNN (183,682 parameters) (presence), Custom CNN" in bar
    assert "(type)" in bar


def test_the_page_names_the_architecture_it_was_started_with(folders: dict[str, Path]) -> None:
    """The environment chooses the model of the whole page: `STROKENEXT_PRESENCE=folder python app.py`."""
    settings = parse(["--device", "cpu"], {"STROKENEXT_PRESENCE": str(folders["custom_cnn"])})
    app, service = build(settings)
    with TestClient(app) as client:
        service.wait(60)
        assert client.get("/").status_code == 200
        desk = Desk(service)
        assert "<p>Custom CNN with batch norm and dropout (presence), cpu</p>" in desk.handlers.status()[0]
        last = desk.open(DICOM)
    assert "<th scope=row>Architecture</th><td>custom_cnn</td>" in last.answer


def test_the_command_in_a_process_of_its_own(folders: dict[str, Path]) -> None:
    done = subprocess.run(
        [sys.executable, "-m", "strokenext", "predict", str(DICOM), "--model", str(folders["small_cnn"]), "--force"],
        cwd=ROOT,
        capture_output=True,
        text=True,
        timeout=300,
        check=True,
    )
    assert "probability of stroke" in done.stdout
