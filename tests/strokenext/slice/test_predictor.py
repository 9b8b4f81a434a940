"""From a slice to a decision with its record: numbers worked out from the log-odds of a toy network."""

from __future__ import annotations

import json
import math
import pickle
from dataclasses import FrozenInstanceError, replace
from pathlib import Path

import cv2
import numpy as np
import pytest
import torch

import strokenext.slice.predictor as room
from strokenext.errors import InputError, ModelError, OptionError
from strokenext.show import words
from strokenext.types import Gate, Slice
from tests.helpers.places import EXAMPLES
from tests.helpers.toy import config, head, predictor, series

pytestmark = pytest.mark.usefixtures("gate")
REAL_GATE = room.check_scope
REFUSE = Gate(False, "This is a photograph, not a head CT.", "photo")


def sigmoid(value: float) -> float:
    return 1 / (1 + math.exp(-value))


def test_the_numbers_of_a_prediction() -> None:
    """Log-odds 2 at temperature 2 are sigmoid(1) = 0.731, above 0.4 + band: stroke."""
    found = predictor(log_odds=2.0).predict(head())
    assert found.logit == pytest.approx(2.0, abs=1e-4)
    assert found.probability == pytest.approx(sigmoid(1.0), abs=1e-4)
    assert found.probabilities == pytest.approx({"non-stroke": 1 - sigmoid(1), "stroke": sigmoid(1)}, abs=1e-4)
    assert found.logits is not None
    assert found.logits[1] - found.logits[0] == pytest.approx(found.logit)
    assert (found.label, found.decision, found.threshold, found.band) == ("stroke", "stroke", 0.4, (0.3, 0.5))
    assert found.interval == (0.35, 0.8)  # of the bin 0.7 to 0.8
    assert found.similar == 50
    assert found.gate.accepted
    assert not found.forced


@pytest.mark.parametrize(
    ("log_odds", "label", "said"),
    [
        (-4.0, "non-stroke", "non-stroke"),  # 0.12
        (-1.0, "non-stroke", "indeterminate"),  # 0.378: in the band, below the threshold
        (-0.5, "stroke", "indeterminate"),  # 0.438: in the band, above it
        (1.0, "stroke", "stroke"),  # 0.62
    ],
)
def test_label_decision_and_band(log_odds: float, label: str, said: str) -> None:
    found = predictor(log_odds=log_odds).predict(head(), explain=False)
    assert (found.label, found.decision) == (label, said)


def test_another_threshold_moves_the_band_with_it() -> None:
    found = predictor(log_odds=2.0).predict(head(), threshold=0.75, explain=False)  # p = 0.731
    assert found.threshold == 0.75
    assert found.band == pytest.approx((0.65, 0.85))
    assert (found.label, found.decision) == ("non-stroke", "indeterminate")
    assert predictor().predict(head(), threshold=0.05, explain=False).band == pytest.approx((0.0, 0.15))


def test_the_evidence_belongs_to_the_class_asked_for() -> None:
    presence, subtype = predictor(), predictor("subtype", log_odds=-3.0)
    heat = presence.predict(head()).heat
    assert heat is not None
    assert (heat.class_name, heat.encoders, heat.full_scale, heat.absolute) == ("stroke", ("A", "B"), 3.0, True)
    assert heat.maps.shape == (2, 8, 8)
    low = predictor(log_odds=-9.0).predict(head()).heat
    assert low is not None
    assert low.class_name == "stroke"  # of a negative answer too: an absolute scale shows how little there is
    mapped = subtype.predict(head()).heat
    assert mapped is not None
    assert mapped.class_name == "ischemic"  # the label
    other = subtype.predict(head(), target="hemorrhagic").heat
    assert other is not None
    assert other.class_name == "hemorrhagic"
    with pytest.raises(OptionError, match="ischemic, hemorrhagic"):
        subtype.predict(head(), target="stroke")
    with pytest.raises(OptionError, match="gradcam"):
        presence.predict(head(), method="none")


def test_a_relative_method_is_labelled_as_such() -> None:
    heat = predictor().predict(head(), method="eigencam").heat
    assert heat is not None
    assert not heat.absolute
    assert heat.full_scale == pytest.approx(heat.peak)
    assert "not comparable" in words.evidence(heat)


def test_the_probability_does_not_depend_on_the_explanation() -> None:
    model = predictor()
    plain = model.predict(head(), explain=False)
    assert plain.heat is None
    for method in ("gradcam", "layercam"):
        assert model.predict(head(), method=method).logits == plain.logits


def test_refused_has_no_numbers_and_forced_has_them(gate: dict[str, Gate]) -> None:
    gate[head().sha256] = REFUSE
    found = predictor().predict(head())
    assert (found.probability, found.probabilities, found.label, found.logit, found.logits, found.heat) == (None,) * 6
    assert (found.decision, found.interval, found.refused) == ("refused", None, True)
    forced = predictor().predict(head(), force=True)
    assert forced.probability == pytest.approx(sigmoid(1.0), abs=1e-4)
    assert forced.gate == REFUSE
    assert forced.forced
    assert forced.heat is not None


def test_the_record_names_everything() -> None:
    record = predictor().predict(head(), name="slice.png").to_json()
    for key in ("input", "task", "label", "probabilities", "decision", "threshold", "band", "interval", "logit"):
        assert key in record
    assert set(record["gate"]) == {"accepted", "reason", "code"}
    assert {"peak", "grid", "share", "method", "class", "full_scale", "absolute"} == set(record["heat"])
    assert record["heat"]["grid"] == [8, 8]
    assert sum(record["heat"]["share"].values()) == pytest.approx(1.0)
    source = record["provenance"]
    assert source["model"] == "toy-presence"
    assert source["weights_sha256"] == "ab" * 32
    assert source["preprocess"] == config().preprocess.to_dict()
    assert source["window"] == {"width": 80.0, "level": 40.0, "name": ""}
    assert source["device"] == "cpu"
    assert source["precision"] == "float32"
    assert source["input_sha256"] == record["input"]["sha256"] == head().sha256
    assert {"strokenext", "torch", "timm", "numpy"} <= set(source["versions"])
    assert source["time"].endswith("+00:00")
    assert record["input"] == {
        "name": "slice.png",
        "sha256": head().sha256,
        "kind": "array",
        "unit": "HU",
        "shape": [96, 96],
    }


def test_a_prediction_cannot_be_changed_and_travels_between_processes() -> None:
    found = predictor().predict(head())
    assert found.heat is not None
    with pytest.raises(ValueError, match="read-only"):
        found.heat.maps[0, 0, 0] = 1
    with pytest.raises(FrozenInstanceError):
        found.probability = 0.5  # type: ignore[misc]
    assert pickle.loads(pickle.dumps(found)).to_json() == found.to_json()


def test_a_slice_without_checksum_gets_that_of_its_pixels() -> None:
    bare = replace(head(), sha256="")
    assert len(predictor().predict(bare, explain=False).input.sha256) == 64


def test_a_series_is_not_a_slice() -> None:
    with pytest.raises(InputError, match="predict_volume"):
        predictor().predict(series())


def test_weights_that_give_no_number_are_an_error() -> None:
    model = predictor()
    with torch.no_grad():
        model._model.fc[3].bias.fill_(float("nan"))  # type: ignore[union-attr, index, operator]
    with pytest.raises(ModelError, match="not finite"):
        model.predict(head())


def test_a_series_pools_its_highest_slices(gate: dict[str, Gate]) -> None:
    model, volume = predictor(), series(9)
    gate[volume[4].sha256] = REFUSE
    steps: list[tuple[int, int]] = []
    found = model.predict_volume(volume, progress=lambda done, total: steps.append((done, total)))
    assert steps == [(8, 9), (9, 9)]
    assert len(found) == 9
    alone = [model.predict(image, explain=False).probability or 0 for i, image in enumerate(volume) if i != 4]
    assert found.curve[4] is None
    assert found.slices[4].gate == REFUSE
    assert [p for p in found.curve if p is not None] == pytest.approx(alone, abs=1e-5)
    assert found.probability == pytest.approx(sum(sorted(alone)[-3:]) / 3, abs=1e-5)
    assert found.peak is not None
    assert found.curve[found.peak] == max(p for p in found.curve if p is not None)
    assert found.predicted == 8
    assert found.aggregation == "mean of the 3 highest accepted slices"
    assert all(p.heat is None for p in found.slices)
    record = json.loads(json.dumps(found.to_json(), allow_nan=False))
    assert len(record["slices"]) == 9
    assert sum(record["probabilities"].values()) == pytest.approx(1)


def test_a_series_without_a_usable_slice(gate: dict[str, Gate]) -> None:
    volume = series(2)
    gate.update({image.sha256: REFUSE for image in volume})
    found = predictor().predict_volume(volume)
    assert (found.probability, found.peak, found.label, found.decision) == (None, None, None, "refused")
    assert "photograph" in words.decision(found)
    assert json.dumps(found.to_json(), allow_nan=False)


def test_the_evidence_of_a_slice_within_a_series_is_that_of_the_slice() -> None:
    model, volume = predictor(), series(3)
    together = model.predict_volume(volume, explain=True)
    for image, found in zip(volume, together.slices, strict=True):
        alone = model.predict(image).heat
        assert alone is not None
        assert found.heat is not None
        np.testing.assert_allclose(found.heat.maps, alone.maps, atol=1e-4)


def test_examples_pass_the_real_gate(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    """A DICOM phantom is judged and saved in its own window; noise is refused with a sentence."""
    monkeypatch.setattr(room, "check_scope", REAL_GATE)
    model = predictor()
    found = model.predict(EXAMPLES / "hemorrhage.dcm")
    assert found.gate.accepted
    assert found.input.kind == "dicom"
    assert found.input.unit == "HU"
    saved = found.save(tmp_path / "case")
    assert cv2.imread(str(saved / "slice.png")).shape[:2] == found.input.shape
    assert cv2.imread(str(saved / "overlay.png")).shape[0] > found.input.shape[0]  # its frame around it
    over = model.predict_volume(EXAMPLES / "series_hemorrhage.zip")
    assert over.predicted > 0
    noise = np.random.default_rng(0).integers(0, 255, (200, 200), dtype=np.uint8)
    refused = model.predict(noise)
    assert refused.refused
    assert refused.gate.reason.endswith(".")


def test_a_slice_of_grey_levels_is_predicted_without_window() -> None:
    grey = Slice(np.clip(head().pixels * 2 + 40, 0, 255), "grey", kind="png")
    found = predictor().predict(grey)
    assert found.window is None
    assert found.to_json()["provenance"]["window"] is None
    assert found.input.unit == "grey"
