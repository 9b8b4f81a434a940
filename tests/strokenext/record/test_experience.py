"""What validation showed is said of pictures like those of validation alone, and the record of it is read strictly."""

from __future__ import annotations

import json
from dataclasses import replace

import numpy as np
import pytest

import strokenext
from strokenext.errors import ModelError
from strokenext.preprocess.appearance import NAMES, appearance
from strokenext.record.config import ModelConfig
from strokenext.record.experience import Experience
from strokenext.show import words
from strokenext.types import Slice, Window
from tests.helpers.places import SHARED
from tests.helpers.toy import EVERYTHING, config, head, predictor
from training.drawing.phantom.head import head_phantom
from training.inputs.familiar import Looks, looks
from training.inputs.windows import through

#: Strange as soon as the brain is brighter than e^-1 of white.
BRIGHT = replace(
    EVERYTHING,
    hidden=((1.0, *(0.0,) * (len(NAMES) - 1), 1.0),),
    output=((0.0, 0.0), (-9.0, 0.0), (9.0, -5.0)),
    strange_from=0.0,
    window_from=0.0,
)


def brain_window(image: Slice) -> Slice:
    return through(image, Window(80, 40))


def codes(answer: strokenext.Prediction) -> list[str]:
    return [c.code for c in answer.cautions]


def test_the_two_layers_are_what_the_record_says() -> None:
    measured = np.zeros(len(NAMES), np.float32)
    assert BRIGHT.likeness(measured) == pytest.approx((np.logaddexp(-9, 4), -9))
    measured[0] = -2.0
    assert BRIGHT.likeness(measured) == pytest.approx((np.logaddexp(0, -5), 0))
    assert BRIGHT.unknown(np.zeros(len(NAMES), np.float32), "grey") == "appearance"
    assert EVERYTHING.unknown(None, "grey") == "appearance"
    assert replace(EVERYTHING, units=("grey",)).unknown(measured, "HU") == "unit"
    assert replace(EVERYTHING, window_from=-1.0).unknown(measured, "grey") == "window"
    assert replace(EVERYTHING, window_from=-1.0).unknown(measured, "HU") is None  # HU go through our own window


def test_the_record_is_read_back_and_refused_where_it_does_not_fit() -> None:
    record = json.loads(config(experience=BRIGHT).to_json())
    assert ModelConfig.from_dict(record).experience == BRIGHT
    for name, value in (("hidden", [[1.0]]), ("spread", [0.0] * len(NAMES)), ("units", []), ("names", ["level"])):
        wrong = {**record, "experience": {**record["experience"], name: value}}
        with pytest.raises(ModelError, match="experience"):
            ModelConfig.from_dict(wrong)
    del record["experience"]
    assert ModelConfig.from_dict(record).experience is None


@pytest.mark.parametrize(
    ("experience", "image", "reason"),
    [
        (EVERYTHING, head(), None),
        (None, head(), "does not say what its validation pictures looked like"),
        (replace(EVERYTHING, units=("grey",)), head(), "came with HU"),
        (replace(EVERYTHING, window_from=-1.0), brain_window(head()), "in a brain window"),
        (replace(EVERYTHING, strange_from=-1.0), head(), "unlike those"),
    ],
)
def test_the_sentence_about_validation_slices_needs_a_picture_like_them(
    experience: Experience | None, image: Slice, reason: str | None
) -> None:
    found = predictor(experience=experience).predict(image, explain=False)
    assert found.probability is not None
    if reason is None:
        assert found.interval is not None
        assert "unlike-training" not in codes(found)
        assert "validation slices" in words.interval(found)
        return
    assert found.interval is None
    assert found.similar is None
    assert codes(found).count("unlike-training") == 1
    assert any(reason in c.sentence for c in found.cautions)
    assert "showed a stroke" not in words.summary(found)
    assert "not known" in words.interval(found)


def test_judged_on_request_never_carries_it() -> None:
    blank = Slice(np.zeros((96, 96), np.float32), "grey")
    found = predictor().predict(blank, force=True, explain=False)
    assert found.forced
    assert found.interval is None
    assert "on request" in found.cautions[-1].sentence
    assert "showed a stroke" not in words.summary(found)


def test_appearance_does_not_depend_on_where_the_head_lies() -> None:
    image = brain_window(head_phantom("normal", seed=1, level=0.4).as_slice())
    there = appearance(image)
    moved = appearance(replace(image, pixels=np.pad(image.pixels, ((30, 10), (5, 40)))))
    assert there is not None
    assert moved is not None
    assert len(there) == len(NAMES)
    np.testing.assert_allclose(moved, there, atol=0.08)
    assert appearance(Slice(np.zeros((90, 90), np.float32), "grey")) is None


def test_another_window_is_seen_in_what_is_measured() -> None:
    image = head_phantom("normal", seed=1, level=0.4).as_slice()
    own, wide = appearance(brain_window(image)), appearance(through(image, Window(400, 40)))
    assert own is not None
    assert wide is not None
    at = dict(zip(NAMES, wide - own, strict=True))
    assert at["brain 10"] > 0.05  # the dark parts of the brain come close to its level
    assert at["level"] > 0  # and it is brighter
    assert at["grain 0.7"] < -0.5


def test_every_picture_is_known_twice_and_altered_in_two_ways() -> None:
    images = (brain_window(head_phantom("normal", seed=seed, level=0.4).as_slice()) for seed in range(3))
    found = looks(images, np.random.default_rng(0))
    assert isinstance(found, Looks)
    assert found.look.tolist() == [0, 0, 1, 2] * 3
    assert found.units == {"grey"}
    near, window = (np.abs(found.values[k::4] - found.values[::4]).mean() for k in (1, 2))
    assert near < window


@pytest.fixture(scope="module")
def bundled() -> strokenext.Predictor:
    return strokenext.load(task="presence", device="cpu", kind="slice")


def test_the_bundled_model_says_nothing_of_drawings_or_of_hu(bundled: strokenext.Predictor) -> None:
    image = head_phantom("normal", seed=2, level=0.4).as_slice()
    for given in (image, brain_window(image)):
        found = bundled.predict(given, explain=False)
        assert found.interval is None
        assert "unlike-training" in codes(found)


@pytest.mark.parametrize("window", [(400, 40), (2000, 300)])
def test_a_wide_window_is_said(bundled: strokenext.Predictor, window: tuple[float, float]) -> None:
    for kind in ("normal", "hemorrhage", "infarct"):
        image = head_phantom(kind, seed=1, level=0.4).as_slice()
        found = bundled.predict(through(image, Window(*window)), explain=False)
        assert found.refused or "unusual-window" in codes(found)


@pytest.mark.skipif(not (SHARED / "ct_ich").is_dir(), reason="the shared data are not beside the repository")
def test_most_pictures_of_the_validation_sources_are_known(bundled: strokenext.Predictor) -> None:
    said = []
    for source in ("ct_ich", "phe_sich"):
        files = sorted((SHARED / source / "images").iterdir())
        for file in files[:: len(files) // 12]:
            found = bundled.predict(file, explain=False)
            if not found.refused:
                said.append(found.interval is not None)
                assert found.interval is None or found.interval[0] <= (found.probability or 0) <= found.interval[1]
    assert len(said) > 10
    assert np.mean(said) > 0.7
