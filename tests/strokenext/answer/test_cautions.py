"""What models of every kind say of a picture as they are given it: how it lies, and the window it was saved in."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest

from strokenext.answer import cautions
from strokenext.io.read import read_slice
from strokenext.record.experience import Experience
from strokenext.types import Edges, FloatArray, Slice, Volume, Window
from strokenext.windows import BRAIN, apply
from tests.helpers import toy
from tests.helpers.places import EXAMPLES
from tests.strokenext.volume.test_predictor import predictor as volume_predictor
from training.drawing.phantom.head import head_phantom


def saved(hu: FloatArray, window: Window) -> Slice:
    """HU (H, W) as a picture saved in a window."""
    return Slice(np.asarray(apply(hu, window) * 255, dtype=np.float32), "grey", kind="png")


def phantom(turns: int = 0) -> Slice:
    """A drawn head in HU, turned clockwise by so many quarters."""
    image = head_phantom("normal", size=256, seed=3).as_slice()
    side = ("A", "L", "P", "R")[turns % 4 :] + ("A", "L", "P", "R")[: turns % 4]
    edges = Edges(top=side[0], right=side[1], bottom=side[2], left=side[3])
    pixels = np.rot90(image.pixels, -turns).copy()
    return replace(image, pixels=pixels, edges=edges)


def codes(found: object) -> set[str]:
    return {caution.code for caution in found.cautions}  # type: ignore[attr-defined]


@pytest.fixture(scope="module")
def known() -> Experience:
    """What the bundled presence model knows of pictures; the toy models know nothing."""
    found = cautions._experience(cautions.assets_folder())
    assert found is not None
    return found


@pytest.mark.parametrize("turns", [0, 1])
def test_a_series_that_lies_turned_is_said_beside_the_answer_of_the_volume_model(turns: int) -> None:
    series = Volume((phantom(turns=turns),) * 6)
    found = volume_predictor(experience=None).predict(series, force=True, explain=False)
    assert ("turned" in codes(found)) == (turns > 0)


def test_a_wide_window_is_said_by_models_that_know_nothing_of_windows_themselves(known: Experience) -> None:
    config = toy.config(experience=None)
    hu = read_slice(EXAMPLES / "hemorrhage.dcm").pixels
    wide, brain = (cautions.shown(saved(hu, window), config, 0.0) for window in (Window(400, 40), BRAIN))
    assert cautions.UNUSUAL_WINDOW in wide
    assert cautions.UNUSUAL_WINDOW not in brain
    assert cautions.shown(phantom(), config, 0.0) == ()  # HU have no window
    own = toy.config()  # one of its own, to which no window is strange
    assert cautions.shown(saved(hu, Window(400, 40)), own, 0.0) == ()


def test_evidence_glows_as_its_answer_says() -> None:
    """Not at all where it was decided against, faint where nothing was decided, whole where it was decided for."""
    image = toy.head()
    answers = [toy.predictor(log_odds=odds).predict(image, force=True) for odds in (-6.0, -1.0, 6.0)]
    assert [a.decision for a in answers] == ["non-stroke", "indeterminate", "stroke"]
    drawn = [answer.lit(answer.heat) for answer in answers]
    assert drawn[0] == 0 < drawn[1] < drawn[2] == 1
    assert [answer.lit(answer.heat, asked=False) for answer in answers] == [0, 0, 0]
    asked = [answer.lit(answer.heat, asked=True) for answer in answers]
    assert 0 < asked[0] <= asked[1] < asked[2] == 1
    assert answers[2].lit(None, asked=True) == 0
