"""Simulated lesions change what they say they change, where they say, and nothing else; batches repeat."""

from __future__ import annotations

import cv2
import numpy as np
import pytest
import torch

from strokenext.preprocess.contract import BRAIN_LEVEL
from training.cache.planes import CACHE_SIZE, FRAMING, planes_of
from training.cache.store import Cache, Row
from training.classify.examples import Examples, Pools, make_example
from training.drawing import augment, simulate
from training.drawing.brain import brain_depth
from training.drawing.phantom.head import head_phantom
from training.drawing.simulate import HU, Canvas
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


@pytest.mark.parametrize("seed", range(12))
def test_an_infarct_is_darker_inside_and_changes_nothing_outside(canvas: Canvas, seed: int) -> None:
    lesion = simulate.infarct(np.random.default_rng(seed), canvas, severity=(8.0, 9.0))
    inside = (lesion.mask > 0.95) & (canvas.grey > 0.35) & (canvas.grey < 0.6)
    if inside.sum() > 60:  # a lacune may be smaller
        change = float((lesion.grey - canvas.grey)[inside].mean()) / HU
        assert -20 < change < -2, f"{change:.1f} HU"
    assert np.array_equal(lesion.grey[lesion.mask == 0], canvas.grey[lesion.mask == 0])
    assert not lesion.mask[canvas.depth == 0].any()


@pytest.mark.parametrize("seed", range(12))
def test_blood_is_as_dense_as_blood(canvas: Canvas, seed: int) -> None:
    lesion = simulate.bleed(np.random.default_rng(seed), canvas)
    core = (lesion.mask > 0.97) & (canvas.grey < 0.7)
    assert lesion.mask.max() > 0.3
    if core.any():
        assert 45 < float(np.median(lesion.grey[core])) / HU < 85
    assert not lesion.mask[canvas.depth == 0].any()


def test_one_seed_draws_one_lesion(canvas: Canvas) -> None:
    a, b = (simulate.bleed(np.random.default_rng(4), canvas).grey for _ in range(2))
    assert np.array_equal(a, b)
    assert not np.array_equal(a, simulate.bleed(np.random.default_rng(5), canvas).grey)


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
