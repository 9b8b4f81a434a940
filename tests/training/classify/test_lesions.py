"""Examples of the lesions feed: outlines travel with them, batches repeat, other windows are levelled back."""

from __future__ import annotations

import cv2
import numpy as np
import pytest
import torch

from strokenext.preprocess.contract import BRAIN_LEVEL
from training.cache.planes import CACHE_SIZE, FRAMING, planes_of
from training.cache.store import Cache, Row
from training.classify.examples import Examples, Pools, make_example
from training.drawing import augment
from training.drawing.brain import brain_depth
from training.drawing.canvas import Canvas
from training.drawing.phantom.head import head_phantom
from training.train.recipe import Mixture


@pytest.fixture(scope="module")
def canvas() -> Canvas:
    framed = FRAMING.framed(head_phantom("normal", size=256, seed=5).as_slice())
    return Canvas(framed.grey, brain_depth(framed))


@pytest.fixture(scope="module")
def cache() -> Cache:
    """Six patients of two made-up sources, one normal and one bleeding slice each."""
    rows, planes = [], []
    for patient in range(6):
        for bleeding in (0, 1):
            image = head_phantom("hemorrhage" if bleeding else "normal", size=192, seed=patient).as_slice()
            planes.append(planes_of(image, None, np.ones(image.shape, bool) if bleeding else None))
            brain = float((planes[-1][1] > 0).mean())
            who = f"p{patient}"
            rows.append(Row(f"{who}/{bleeding}", f"s{patient % 2}", who, who, bleeding, bleeding or None, brain))
    return Cache(tuple(rows), np.stack(planes))


def test_the_brain_is_found_inside_the_skull(canvas: Canvas) -> None:
    phantom = head_phantom("normal", size=256, seed=5)
    affine = FRAMING.framed(phantom.as_slice()).affine
    truth = cv2.warpAffine(phantom.brain.astype(np.uint8), affine, (CACHE_SIZE, CACHE_SIZE)) > 0
    brain = canvas.depth > 0
    assert 2 * (brain & truth).sum() / (brain.sum() + truth.sum()) > 0.9


def test_another_window_is_levelled_back(canvas: Canvas) -> None:
    inner = canvas.depth > 20
    for seed in range(8):
        out = augment.relevel(augment.window_jitter(np.random.default_rng(seed), canvas.grey), inner)
        assert float(np.median(out[inner])) == pytest.approx(BRAIN_LEVEL, abs=0.03)


def test_an_example_repeats_and_carries_its_outline(cache: Cache) -> None:
    pools = Pools(cache, range(len(cache.rows)))
    only_infarcts = Mixture(normal=0, infarct=1, bleed=0, real_bleed=0)
    first, again = (make_example(np.random.default_rng(9), pools, 96, only_infarcts) for _ in range(2))
    assert np.array_equal(first.grey, again.grey)
    assert first.label == 1
    assert first.dense.shape == (2, 24, 24)
    assert first.dense[0].max() > 0
    assert first.dense[1].max() == 0


def test_a_resumed_run_sees_the_examples_it_would_have_seen(cache: Cache) -> None:
    pools = Pools(cache, range(len(cache.rows)))
    whole = Examples(pools, 64, Mixture(), seed=3, first=0, count=12)
    rest = Examples(pools, 64, Mixture(), seed=3, first=8, count=4)
    assert all(torch.equal(whole[8 + i][0], rest[i][0]) for i in range(4))
