"""Simulated lesions and mimics change what they say they change, where they say, and nothing else."""

from __future__ import annotations

import numpy as np
import pytest

from training.cache.planes import FRAMING
from training.drawing.augment import exported
from training.drawing.bleed import bleed
from training.drawing.brain import brain_depth
from training.drawing.canvas import HU, Canvas
from training.drawing.infarct import infarct
from training.drawing.mimics import calcium, dura, outside, scanner, spaces
from training.drawing.mimics.mimic import FINDINGS, Draw, mimic
from training.drawing.phantom.head import head_phantom

SEEDS = range(12)


@pytest.fixture(scope="module")
def canvas() -> Canvas:
    framed = FRAMING.framed(head_phantom("normal", size=256, seed=5).as_slice())
    return Canvas(framed.grey, brain_depth(framed))


@pytest.mark.parametrize("seed", range(12))
def test_an_infarct_is_darker_inside_and_changes_nothing_outside(canvas: Canvas, seed: int) -> None:
    lesion = infarct(np.random.default_rng(seed), canvas, severity=(8.0, 9.0))
    inside = (lesion.mask > 0.95) & (canvas.grey > 0.35) & (canvas.grey < 0.6)
    if inside.sum() > 60:  # a lacune may be smaller
        change = float((lesion.grey - canvas.grey)[inside].mean()) / HU
        assert -20 < change < -2, f"{change:.1f} HU"
    outside = (lesion.mask == 0) & (lesion.grey != canvas.grey)
    assert not outside.any() or (lesion.grey[outside] > canvas.grey[outside]).all(), (
        "only a dense artery lies beside it"
    )
    assert outside.sum() < 0.01 * outside.size
    assert not lesion.mask[canvas.depth == 0].any()


@pytest.mark.parametrize("seed", range(12))
def test_blood_is_as_dense_as_blood(canvas: Canvas, seed: int) -> None:
    lesion = bleed(np.random.default_rng(seed), canvas)
    core = (lesion.mask > 0.97) & (canvas.grey < 0.7)
    assert lesion.mask.max() > 0.3
    if core.any():
        assert 20 < float(np.median(lesion.grey[core])) / HU < 85
    assert not lesion.mask[canvas.depth == 0].any()


def test_one_seed_draws_one_lesion(canvas: Canvas) -> None:
    a, b = (bleed(np.random.default_rng(4), canvas).grey for _ in range(2))
    assert np.array_equal(a, b)
    assert not np.array_equal(a, bleed(np.random.default_rng(5), canvas).grey)


def test_most_blood_is_fresh_some_is_isodense_some_lies_in_layers(canvas: Canvas) -> None:
    levels, layered = [], 0
    for seed in range(120):
        lesion = bleed(np.random.default_rng(seed), canvas)
        core = (lesion.mask > 0.97) & (canvas.grey < 0.7)
        if core.sum() < 150:
            continue
        levels.append(float(np.median(lesion.grey[core])) / HU)
        rows = np.flatnonzero(core.any(axis=1))
        front = core & (np.arange(canvas.size)[:, None] < rows[0] + 0.2 * len(rows))
        back = core & (np.arange(canvas.size)[:, None] > rows[-1] - 0.3 * len(rows))
        layered += float(np.median(lesion.grey[back]) - np.median(lesion.grey[front])) / HU > 12
    assert np.mean([45 < v < 85 for v in levels]) > 0.75
    assert np.mean([34 < v < 47.5 for v in levels]) > 0.02
    assert 0.01 < layered / len(levels) < 0.25


#: Findings by what they may do: only brighten brain, only darken it, or change nothing of it.
BRIGHT: tuple[Draw, ...] = (
    *(calcium.anywhere, calcium.pineal, calcium.choroid_plexus, calcium.basal_ganglia, calcium.falx),
    *(dura.falx, dura.tentorium, dura.transverse_sinus, dura.bright_cortex, scanner.skull_in_slice, outside.shunt),
)
DARK: tuple[Draw, ...] = (
    *(spaces.atrophy, spaces.sulci, spaces.ventricles, spaces.mega_cisterna, spaces.arachnoid_cyst),
    outside.old_defect,
)
BESIDE: tuple[Draw, ...] = (outside.scalp_hematoma, outside.burr_hole)


def changes(draw: Draw, canvas: Canvas) -> list[np.ndarray]:
    """What the finding does to each pixel in HU, a seed each."""
    return [(draw(np.random.default_rng(s), canvas, canvas.grey.copy()) - canvas.grey) / HU for s in SEEDS]


@pytest.mark.parametrize("draw", BRIGHT, ids=lambda d: f"{d.__module__.rsplit('.')[-1]}.{d.__name__}")
def test_dense_findings_brighten_brain_and_nothing_else(canvas: Canvas, draw: Draw) -> None:
    drawn = changes(draw, canvas)
    assert all(change.min() > -0.01 for change in drawn)
    assert not any(np.abs(change[canvas.depth == 0]).any() for change in drawn)
    assert np.mean([change.max() > 2 for change in drawn]) > 0.8


@pytest.mark.parametrize("draw", DARK, ids=lambda d: f"{d.__module__.rsplit('.')[-1]}.{d.__name__}")
def test_fluid_darkens_brain_to_no_less_than_fluid(canvas: Canvas, draw: Draw) -> None:
    seen = 0
    for seed in SEEDS:
        out = draw(np.random.default_rng(seed), canvas, canvas.grey.copy())
        tissue = (canvas.depth > 0) & (canvas.grey > 0.35) & (canvas.grey < 0.6)
        assert np.array_equal(out[canvas.depth == 0], canvas.grey[canvas.depth == 0])
        assert (out - canvas.grey)[tissue].max() < 0.02
        seen += (out - canvas.grey)[tissue].min() < -2 * HU
        assert out[tissue].min() > 1 * HU
    assert seen > 7


@pytest.mark.parametrize("draw", BESIDE, ids=lambda d: f"{d.__module__.rsplit('.')[-1]}.{d.__name__}")
def test_findings_of_scalp_and_skull_leave_the_brain_alone(canvas: Canvas, draw: Draw) -> None:
    drawn = changes(draw, canvas)
    assert not any(np.abs(change[canvas.depth > 0]).any() for change in drawn)
    assert np.mean([np.abs(change).max() > 10 for change in drawn]) > 0.8


def test_a_scalp_hematoma_is_as_dense_as_blood_and_lies_outside_the_skull(canvas: Canvas) -> None:
    for seed in SEEDS:
        out = outside.scalp_hematoma(np.random.default_rng(seed), canvas, canvas.grey.copy())
        new = (out - canvas.grey > 0.3) & (canvas.grey < 0.1)
        if new.sum() > 20:
            assert 30 < float(np.median(out[new])) / HU < 80


def test_every_finding_is_drawn_and_says_nothing_of_the_class(canvas: Canvas) -> None:
    assert 2.0 < sum(FINDINGS.values()) < 3.5
    assert set(BRIGHT) | set(DARK) | set(BESIDE) <= set(FINDINGS)
    one, again = (mimic(np.random.default_rng(3), canvas) for _ in range(2))
    assert np.array_equal(one, again)
    assert 0 <= one.min() <= one.max() <= 1


def test_motion_doubles_the_skull(canvas: Canvas) -> None:
    moved = scanner.motion(np.random.default_rng(1), canvas, canvas.grey.copy())
    half = (moved > 0.3) & (moved < 0.9)
    assert half.sum() > ((canvas.grey > 0.3) & (canvas.grey < 0.9)).sum()


def test_an_export_keeps_the_picture_and_leaves_a_third_alone(canvas: Canvas) -> None:
    out = [exported(np.random.default_rng(s), canvas.grey) for s in range(60)]
    same = np.mean([np.array_equal(o, canvas.grey) for o in out])
    inner = canvas.depth > 8
    assert 0.2 < same < 0.5
    for picture in out:
        assert picture.shape == canvas.grey.shape
        assert float(np.abs(picture - canvas.grey)[inner].mean()) / HU < 4
