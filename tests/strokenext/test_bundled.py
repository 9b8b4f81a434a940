"""The bundled models on the project's own examples: what a user sees after the README's first command."""

from __future__ import annotations

import numpy as np
import pytest

import strokenext
from strokenext.preprocess.contract import to_image
from strokenext.record.config import load_config
from strokenext.record.find import assets_folder
from tests.helpers.places import ROOT
from training.drawing.phantom.head import head_phantom

EXAMPLES = ROOT / "assets" / "examples"
NAMES = ("strokenext-atto-presence", "strokenext-atto-subtype")


@pytest.fixture(scope="module")
def presence() -> strokenext.Predictor:
    return strokenext.load("strokenext-atto-presence", device="cpu", kind="slice")


@pytest.fixture(scope="module")
def subtype() -> strokenext.Predictor:
    return strokenext.load("strokenext-atto-subtype", device="cpu", kind="slice")


@pytest.mark.parametrize("name", NAMES)
def test_a_bundled_model_is_small_and_says_what_it_is(name: str) -> None:
    folder = assets_folder() / name
    assert (folder / "model.safetensors").stat().st_size < 16_000_000
    card = (folder / "README.md").read_text(encoding="utf-8")
    config = load_config(folder)
    for words in ("Research use only", config.trained_on, "## Limits", "bootstrap over patients"):
        assert words in card
    assert config.band[0] <= config.threshold <= config.band[1]
    assert config.calibration is not None
    assert sum(config.calibration.similar) > 200
    assert config.experience is not None
    assert config.experimental == (config.task == "subtype")


def test_the_card_quotes_the_record() -> None:
    for name in NAMES:
        card = (assets_folder() / name / "README.md").read_text(encoding="utf-8")
        for values in load_config(assets_folder() / name).metrics.values():
            assert f"{values['auroc']['value']:.3f}" in card


def test_the_cascade_names_the_planted_bleed(presence: strokenext.Predictor, subtype: strokenext.Predictor) -> None:
    found = strokenext.triage(EXAMPLES / "hemorrhage.dcm", presence=presence, subtype=subtype)
    assert found.presence.gate.accepted
    assert found.presence.decision == "stroke"
    assert found.subtype is not None
    assert found.subtype.label == "hemorrhagic"


def test_a_lesion_raises_the_probability_over_its_own_background(presence: strokenext.Predictor) -> None:
    for seed in (2, 3, 5):
        logit = {
            kind: presence.predict(head_phantom(kind, seed=seed, level=0.4).as_slice(), explain=False).logit
            for kind in ("normal", "hemorrhage", "infarct")
        }
        assert logit["hemorrhage"] > logit["normal"] + 1
        assert logit["infarct"] > logit["normal"] + 1


def test_the_examples_get_the_answers_their_names_promise(
    presence: strokenext.Predictor, subtype: strokenext.Predictor
) -> None:
    assert presence.predict(EXAMPLES / "normal.dcm").decision == "non-stroke"
    infarct = strokenext.triage(EXAMPLES / "infarct.dcm", presence=presence, subtype=subtype)
    assert infarct.presence.decision == "stroke"
    assert infarct.subtype is not None
    assert infarct.subtype.label == "ischemic"


def test_the_heat_is_warmer_in_the_planted_lesion_than_in_the_rest_of_the_brain(
    presence: strokenext.Predictor,
) -> None:
    """Weakly: 4 x 4 cells of a network that sees far."""
    ratios = []
    for kind in ("hemorrhage", "infarct"):
        for seed in (2, 3, 5, 6, 8):
            phantom = head_phantom(kind, size=256, seed=seed, level=0.4)
            heat = presence.predict(phantom.as_slice()).heat
            assert heat is not None
            on_image = to_image(heat.total, heat.affine, heat.input_size, phantom.hu.shape)
            ratios.append(on_image[phantom.lesion].mean() / on_image[phantom.brain & ~phantom.lesion].mean())
    assert min(ratios) > 1.0
    assert np.mean(ratios) > 1.1


def test_png_and_dicom_of_one_slice_agree(presence: strokenext.Predictor) -> None:
    dicom = presence.predict(EXAMPLES / "hemorrhage.dcm", explain=False)
    png = presence.predict(EXAMPLES / "hemorrhage.png", explain=False)
    assert dicom.logit is not None
    assert png.logit is not None
    assert png.logit == pytest.approx(dicom.logit, abs=0.5)


def test_the_series_peaks_on_a_bleeding_slice(presence: strokenext.Predictor) -> None:
    volume = strokenext.read_series(EXAMPLES / "series_hemorrhage.zip")
    series = presence.predict_volume(volume)
    assert series.peak is not None
    assert (volume[series.peak].pixels > 50).mean() > 0
    middle = np.array([s.pixels[64:192, 64:192] for s in volume])
    blood = ((middle > 55) & (middle < 90)).mean(axis=(1, 2))
    assert blood[series.peak] > np.median(blood)
