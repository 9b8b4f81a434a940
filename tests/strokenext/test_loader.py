"""From a folder of weights to a predictor of the model's task and kind."""

from __future__ import annotations

import json
from pathlib import Path

import cv2
import numpy as np
import pytest
import torch

from strokenext.errors import DeviceError, ModelError, ModelMismatchError
from strokenext.loader import load
from strokenext.record.config import ModelConfig
from tests.helpers.toy import config, head

pytestmark = pytest.mark.usefixtures("gate")


@pytest.fixture(scope="module")
def stored(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with an untrained StrokeNeXt-atto that answers subtype, in a subfolder of that name."""
    from strokenext.models import build
    from strokenext.record.weights import save_model

    torch.manual_seed(0)
    folder = tmp_path_factory.mktemp("model")
    record = config("subtype", name="untrained", architecture="strokenext_atto", weights_sha256="", reference_logits=())
    save_model(folder / "subtype", build("strokenext_atto").eval(), record, "An untrained model for a test.")
    return folder


def test_load_and_predict_a_file(stored: Path, tmp_path: Path) -> None:
    """The whole way: a folder of weights, a PNG on disk, an answer that names both."""
    pixels = np.clip(head(side=256).pixels * 2 + 40, 0, 255).astype(np.uint8)
    cv2.imwrite(str(tmp_path / "slice.png"), pixels)
    model = load(stored, task="subtype", device="cpu")
    assert (model.task, model.name, model.revision, str(model.device)) == ("subtype", "untrained", None, "cpu")
    found = model.predict(tmp_path / "slice.png")
    again = model.predict((tmp_path / "slice.png").read_bytes())
    assert found.input.name == "slice.png"
    assert again.input.name == ""
    assert found.logits == again.logits == model.predict(pixels).logits
    assert found.input.kind == "png"
    assert found.heat is not None
    assert found.heat.grid == (2, 2)  # 64 pixels in cells of 32
    assert len(found.provenance.weights_sha256) == 64
    assert json.dumps(found.to_json(), allow_nan=False)


def test_load_takes_the_task_the_model_answers(stored: Path) -> None:
    assert load(stored / "subtype", device="cpu").task == "subtype"
    with pytest.raises(ModelError, match="subtype"):
        load(stored / "subtype", task="presence", device="cpu")
    with pytest.raises(ModelError):
        load("no-such-model", device="cpu")
    with pytest.raises(DeviceError):
        load(stored, device="abacus")


def test_the_record_is_read_once(stored: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    read, reads = ModelConfig.from_json, []

    def counted(data: bytes) -> ModelConfig:
        reads.append(data)
        return read(data)

    monkeypatch.setattr(ModelConfig, "from_json", counted)
    load(stored / "subtype", device="cpu")
    assert len(reads) == 1


def test_a_kind_that_is_not_the_models_is_refused_before_its_weights_are_read(
    stored: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.delattr("strokenext.loader.load_network")
    with pytest.raises(ModelMismatchError, match=r"'untrained' answers about single slices.*Load it with kind='slice'"):
        load(stored / "subtype", device="cpu", kind="series")
