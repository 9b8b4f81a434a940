"""From a slice to a decision with its record: numbers worked out from the log-odds of a toy network."""

from __future__ import annotations

import errno
import json
import math
import pickle
from dataclasses import FrozenInstanceError, replace
from pathlib import Path

import cv2
import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

import strokenext.slice.predictor as room
from strokenext import saving
from strokenext.answer import decision, device
from strokenext.cascade import Triage, triage
from strokenext.errors import DeviceError, InputError, ModelError, OptionError, OutputError
from strokenext.loader import load
from strokenext.show import words
from strokenext.slice.prediction import Prediction
from strokenext.slice.predictor import Predictor
from strokenext.types import Gate, Slice
from tests.helpers.places import EXAMPLES
from tests.helpers.toy import Fixed, config, head, predictor, series

REAL_GATE = room.check_scope
ACCEPT, REFUSE = Gate(True), Gate(False, "This is a photograph, not a head CT.", "photo")


@pytest.fixture(autouse=True)
def gate(monkeypatch: pytest.MonkeyPatch) -> dict[str, Gate]:
    """The gate has its own tests: here it accepts all but the slices whose checksum is listed."""
    refused: dict[str, Gate] = {}
    monkeypatch.setattr(room, "check_scope", lambda image: refused.get(image.sha256, ACCEPT))
    return refused


def sigmoid(value: float) -> float:
    return 1 / (1 + math.exp(-value))


# -- one slice ---------------------------------------------------------------------------------------


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


@pytest.mark.parametrize("threshold", [-0.1, 1.5, float("nan"), True, "0.5"])
def test_a_threshold_outside_its_range(threshold: object) -> None:
    with pytest.raises(OptionError, match="between 0 and 1"):
        predictor().predict(head(), threshold=threshold)  # type: ignore[arg-type]


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


@settings(deadline=None, max_examples=60)
@given(
    st.floats(-1e6, 1e6),
    st.floats(-1e6, 1e6),
    st.floats(0.01, 100),
    st.none() | st.floats(0, 1),
)
def test_any_logits_give_a_probability_and_a_lawful_decision(
    negative: float, positive: float, temperature: float, threshold: float | None
) -> None:
    probability = decision.calibrated((negative, positive), temperature)
    mirrored = decision.calibrated((positive, negative), temperature)
    assert 0 <= probability <= 1
    assert probability + mirrored == pytest.approx(1.0)
    rule = decision.rule(config(), threshold)
    assert 0 <= rule.band[0] <= rule.threshold <= rule.band[1] <= 1
    assert rule.decision(probability) in ("indeterminate", rule.label(probability))
    assert (rule.label(probability) == "stroke") == (probability >= rule.threshold)


def test_reliability_bins_reach_both_ends() -> None:
    record = config()
    assert decision.reliability(record, 0.05) is None  # nobody there
    for probability, low in ((0.1, 0.1), (0.55, 0.5), (1.0, 0.9)):
        found = decision.reliability(record, probability)
        assert found is not None
        assert found.low == low


# -- series and cascade --------------------------------------------------------------------------------


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


@pytest.mark.parametrize(("log_odds", "asked"), [(-6.0, False), (-1.0, True), (4.0, True)])
def test_subtype_only_after_a_presence_that_is_positive_or_undecided(log_odds: float, asked: bool) -> None:
    both = {"presence": predictor(log_odds=log_odds), "subtype": predictor("subtype", 3.0)}
    found = triage(head(), **both)  # type: ignore[arg-type]
    assert isinstance(found, Triage)
    assert (found.subtype is not None) is asked
    record = json.loads(json.dumps(found.to_json(), allow_nan=False))
    assert record["presence"]["probabilities"].keys() == {"non-stroke", "stroke"}
    if asked:
        assert record["subtype"]["probabilities"].keys() == {"ischemic", "hemorrhagic"}
        assert record["subtype"]["provenance"]["experimental"] is True
    else:
        assert record["subtype"] is None


def test_the_threshold_of_a_triage_is_that_of_presence() -> None:
    models = {"presence": predictor(log_odds=2.0), "subtype": predictor("subtype", 3.0)}
    assert triage(head(), threshold=0.99, **models).subtype is None  # type: ignore[arg-type]
    found = triage(head(), threshold=0.5, **models)  # type: ignore[arg-type]
    assert found.subtype is not None
    assert found.subtype.threshold == 0.4


def test_triage_of_a_refused_image_and_of_a_series(gate: dict[str, Gate]) -> None:
    models = {"presence": predictor(), "subtype": predictor("subtype")}
    over = triage(series(3), **models)  # type: ignore[arg-type]
    assert over.subtype is not None
    assert len(over.presence.slices) == 3  # type: ignore[union-attr]
    gate[head().sha256] = REFUSE
    assert triage(head(), **models).subtype is None  # type: ignore[arg-type]


# -- saving ---------------------------------------------------------------------------------------------


def test_save_writes_pictures_map_and_manifest(tmp_path: Path) -> None:
    found = predictor().predict(head())
    place = found.save(tmp_path / "deep" / "case")
    assert place == tmp_path / "deep" / "case"
    assert {p.name for p in place.iterdir()} == {"prediction.json", "slice.png", "overlay.png", "heat.npy"}
    assert found.heat is not None
    np.testing.assert_array_equal(np.load(place / "heat.npy"), found.heat.maps)
    record = json.loads((place / "prediction.json").read_text())
    assert record["probability"] == found.probability
    assert set(record["files"]) == {"slice.png", "overlay.png", "heat.npy"}
    plain, drawn = (cv2.imread(str(place / name)) for name in ("slice.png", "overlay.png"))
    assert plain.shape == drawn.shape == (96, 96, 3)
    assert (plain != drawn).any()
    assert found.save(tmp_path / "deep" / "case") == tmp_path / "deep" / "case-2"
    assert sorted(p.name for p in (tmp_path / "deep").iterdir()) == ["case", "case-2"]


def test_save_without_evidence_and_of_series_and_triage(tmp_path: Path, gate: dict[str, Gate]) -> None:
    models = {"presence": predictor(), "subtype": predictor("subtype")}
    place = triage(head(), **models).save(tmp_path / "triage")  # type: ignore[arg-type, union-attr]
    names = {p.relative_to(place).as_posix() for p in place.rglob("*") if p.is_file()}
    assert names == {
        "prediction.json",
        "slice.png",
        "overlay.png",
        "heat.npy",
        "subtype/overlay.png",
        "subtype/heat.npy",
    }
    place = predictor().predict_volume(series(2)).save(tmp_path / "series")
    assert {p.name for p in place.iterdir()} == {"prediction.json", "slice.png"}
    place = triage(series(2), **models).save(tmp_path / "both")  # type: ignore[arg-type]
    assert {p.name for p in place.iterdir()} == {"prediction.json", "slice.png", "overlay.png", "heat.npy", "subtype"}
    gate[head().sha256] = REFUSE
    place = predictor().predict(head()).save(tmp_path / "refused")
    assert {p.name for p in place.iterdir()} == {"prediction.json", "slice.png"}


def test_a_failed_save_leaves_nothing(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    found = predictor().predict(head())
    write, count = Path.write_bytes, []

    def full(self: Path, data: bytes) -> int:
        count.append(self)
        if len(count) == 3:
            raise OSError(errno.ENOSPC, "No space left on device")
        return write(self, data)

    monkeypatch.setattr(Path, "write_bytes", full)
    with pytest.raises(OutputError, match="No space left"):
        found.save(tmp_path / "new" / "case")
    assert list(tmp_path.iterdir()) == []
    (tmp_path / "file").touch()
    with pytest.raises(OutputError, match="another folder"):
        found.save(tmp_path / "file" / "case")
    assert [p.name for p in tmp_path.iterdir()] == ["file"]


def test_a_failed_rename_leaves_nothing(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def refuse(*_: object) -> None:
        raise PermissionError(errno.EACCES, "Permission denied")

    monkeypatch.setattr(saving.os, "rename", refuse)
    with pytest.raises(OutputError, match="Permission denied"):
        saving.write_folder(tmp_path / "case", {"a": b"1"})
    assert list(tmp_path.iterdir()) == []


# -- loading --------------------------------------------------------------------------------------------


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


def test_examples_pass_the_real_gate(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    """A DICOM phantom is judged and saved in its own window; noise is refused with a sentence."""
    monkeypatch.setattr(room, "check_scope", REAL_GATE)
    model = predictor()
    found = model.predict(EXAMPLES / "hemorrhage.dcm")
    assert found.gate.accepted
    assert found.input.kind == "dicom"
    assert found.input.unit == "HU"
    assert cv2.imread(str(found.save(tmp_path / "case") / "overlay.png")).shape[:2] == found.input.shape
    over = model.predict_volume(EXAMPLES / "series_hemorrhage.zip")
    assert over.predicted > 0
    noise = np.random.default_rng(0).integers(0, 255, (200, 200), dtype=np.uint8)
    refused = model.predict(noise)
    assert refused.refused
    assert refused.gate.reason.endswith(".")


# -- device -------------------------------------------------------------------------------------------


def test_devices_that_are_not_there() -> None:
    with pytest.raises(DeviceError, match="auto, cuda, mps, cpu"):
        device.choose("tpu")
    with pytest.raises(DeviceError, match="is not there"):
        device.choose("cuda:99")
    if not torch.backends.mps.is_available():
        with pytest.raises(DeviceError, match="cpu"):
            Predictor(Fixed(0.0), config(), "mps")
    assert device.choose("cpu") == torch.device("cpu")
    assert device.choose("auto").type == device.available()[0]


@pytest.mark.skipif(not torch.cuda.is_available(), reason="no CUDA device on this machine")
def test_gpu_agrees_with_cpu() -> None:
    """Mixed precision against float32 on the CPU: probabilities within 0.01, heat within 2 % of its scale."""
    from strokenext.models import build

    torch.manual_seed(0)
    network = build("strokenext_atto", layer_scale=0.5)
    here = Predictor(network, config(preprocess=replace(config().preprocess, size=224)), "cpu")
    cpu = here.predict(head())
    there = Predictor(network, here.config, "cuda")
    gpu = there.predict(head())
    assert gpu.provenance.precision == "float16 mixed"
    assert gpu.probability == pytest.approx(cpu.probability, abs=0.01)
    assert cpu.heat is not None
    assert gpu.heat is not None
    np.testing.assert_allclose(gpu.heat.maps, cpu.heat.maps, atol=0.02 * max(cpu.heat.peak, 0.1))


# -- words --------------------------------------------------------------------------------------------


def judged(log_odds: float, **options: object) -> Prediction:
    return predictor(log_odds=log_odds).predict(head(), explain=False, **options)  # type: ignore[arg-type]


def test_sentences() -> None:
    found = judged(2.0)
    assert words.decision(found) == "Above the threshold: the model marks this image as stroke."
    assert words.probability(found) == (
        "The calibrated probability of stroke is 73 %; the threshold is 40 %, and from 30 % to 50 % nothing is decided."
    )
    assert words.interval(found) == (
        "Of the 50 validation slices with a similar probability, 35 to 80 % showed a stroke (95 % interval)."
    )
    assert "does not decide" in words.decision(judged(-1.0))
    assert "not known" in words.interval(judged(-9.0))  # the empty bin
    assert words.percent(0.0001) == "< 1 %"
    assert words.percent(0.9999) == "> 99 %"


@pytest.mark.parametrize("log_odds", [-20.0, -3.0, -1.0, 0.0, 3.0, 20.0])
def test_no_sentence_speaks_about_a_person_or_of_confidence(log_odds: float) -> None:
    found = predictor(log_odds=log_odds).predict(head())
    assert found.heat is not None
    said = " ".join([words.summary(found), words.gate(found), words.trained(found), words.evidence(found.heat)]).lower()
    for word in ("you ", "patient", "confidence", "confident", "treat", "recommend", "healthy", "normal"):
        assert word not in said


def test_a_slice_of_grey_levels_is_judged_without_window() -> None:
    grey = Slice(np.clip(head().pixels * 2 + 40, 0, 255), "grey", kind="png")
    found = predictor().predict(grey)
    assert found.window is None
    assert found.to_json()["provenance"]["window"] is None
    assert found.input.unit == "grey"
