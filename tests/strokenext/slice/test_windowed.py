"""A picture without HU in another window: the same answer, a caution or a refusal; never another answer in silence."""

from __future__ import annotations

import numpy as np
import pytest

import strokenext
from strokenext.io.read import read_series
from strokenext.slice.windowed import WIDTHS, otherwise, taken_back
from strokenext.types import Slice, Volume, Window
from tests.helpers.places import SHARED
from tests.helpers.toy import EVERYTHING, config, head, predictor
from training.drawing.phantom.head import head_phantom
from training.inputs.windows import through

WINDOWS = [(100, 40), (120, 40), (150, 40), (200, 40), (400, 40), (40, 40), (2000, 300)]
WINDOWED, ANY = {"unusual-window"}, {"unusual-window", "unlike-training"}


@pytest.fixture(scope="module")
def models() -> list[strokenext.Predictor]:
    return [strokenext.load(task=task, device="cpu", kind="slice") for task in ("presence", "subtype")]


def test_taken_back_a_picture_is_the_one_in_the_brain_window() -> None:
    image = head_phantom("hemorrhage", seed=3, level=0.4).as_slice()
    own = through(image, Window(80, 40)).pixels
    for width in WIDTHS:
        saved = through(image, Window(width, 40))
        back, kept = taken_back(saved, width).pixels, (saved.pixels > 0) & (saved.pixels < 255)
        assert kept.mean() > 0.1
        assert np.abs(back - own)[kept].max() <= 0.51 * width / 80 + 0.51  # the steps of eight bits in either window


def test_hu_are_not_asked_twice() -> None:
    assert not list(otherwise(head(), config(), 0.0))
    grey = through(head(), Window(80, 40))
    assert len(list(otherwise(grey, config(), 0.0))) == len(WIDTHS)
    assert not list(otherwise(grey, config(experience=None), 0.0))


def silent(models: list[strokenext.Predictor], image: Slice, window: tuple[float, float], codes: set[str]) -> list[str]:
    """The tasks whose decision another window changes without a caution of these codes."""
    picture = through(image, Window(*window))
    found = []
    for model in models:
        before, after = model.predict(image, explain=False), model.predict(picture, explain=False)
        said = after.refused or {c.code for c in after.cautions} & codes
        if after.label != before.label and not said:
            found.append(model.task)
    return found


@pytest.mark.parametrize("window", WINDOWS)
def test_drawn_heads_never_change_their_answer_in_silence(
    models: list[strokenext.Predictor], window: tuple[float, float]
) -> None:
    for kind in ("normal", "hemorrhage", "infarct"):
        for seed in (0, 1):
            assert not silent(models, head_phantom(kind, seed=seed, level=0.4).as_slice(), window, ANY)


@pytest.mark.skipif(not (SHARED / "dicom").is_dir(), reason="the shared data are not beside the repository")
@pytest.mark.parametrize("window", [(120, 40), (200, 40), (400, 40)])
def test_real_slices_hardly_ever_do(models: list[strokenext.Predictor], window: tuple[float, float]) -> None:
    images = list(read_series(SHARED / "dicom" / "ge_head_series"))[10:24:3]
    assert sum(bool(silent(models, image, window, WINDOWED)) for image in images) <= 1


def test_a_caution_of_the_slices_that_a_series_rests_on_is_the_series_own() -> None:
    model, grey = predictor(experience=EVERYTHING), through(head(), Window(80, 40))
    on_the_edge = model.predict(grey, explain=False).probability
    assert on_the_edge is not None
    seen = []
    for threshold in (
        on_the_edge - 1e-4,
        on_the_edge + 1e-4,
    ):
        single = model.predict(grey, explain=False, threshold=threshold)
        series = model.predict_volume(Volume((grey, grey)), threshold=threshold)
        said = [{c.code for c in answer.cautions} & WINDOWED for answer in (single, series, *series.slices)]
        assert len(set(map(frozenset, said))) == 1
        seen.append(bool(said[0]))
    assert any(seen)
    sure = predictor(log_odds=30.0, experience=EVERYTHING).predict(grey, explain=False)
    assert not {c.code for c in sure.cautions} & WINDOWED
