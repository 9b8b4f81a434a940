"""Calcium where age puts it: pineal gland, choroid plexus, basal ganglia, falx, and anywhere."""

from __future__ import annotations

import numpy as np

from strokenext.types import FloatArray
from training.drawing.canvas import HU, Canvas, ellipse, point, put, smooth_noise, soft


def anywhere(rng: np.random.Generator, canvas: Canvas, grey: FloatArray) -> FloatArray:
    """One to three small spots brighter than blood."""
    for _ in range(int(rng.integers(1, 4))):
        px, py = point(rng, canvas, 0.2)
        grey = spot(rng, canvas, grey, (px, py, rng.uniform(0.015, 0.05)), rng.uniform(0.8, 1.0))
    return grey


def pineal(rng: np.random.Generator, canvas: Canvas, grey: FloatArray) -> FloatArray:
    """The calcified pineal gland: one spot in the midline behind the third ventricle, 60 HU and up."""
    where = (rng.normal(0, 0.02), rng.uniform(0.05, 0.25), rng.uniform(0.02, 0.06))
    return spot(rng, canvas, grey, where, rng.uniform(0.75, 1))


def choroid_plexus(rng: np.random.Generator, canvas: Canvas, grey: FloatArray) -> FloatArray:
    """Calcified plexus in both atria: alike but not equal, at times on one side only."""
    x, y = rng.uniform(0.18, 0.38), rng.uniform(0.15, 0.45)
    return _pair(rng, canvas, grey, (x, y, rng.uniform(0.02, 0.07)), rng.uniform(0.75, 1.0))


def basal_ganglia(rng: np.random.Generator, canvas: Canvas, grey: FloatArray) -> FloatArray:
    """Calcium of the globus pallidus on both sides, fainter than that of the plexus."""
    x, y = rng.uniform(0.15, 0.32), rng.uniform(-0.2, 0.05)
    return _pair(rng, canvas, grey, (x, y, rng.uniform(0.04, 0.1)), rng.uniform(0.55, 0.8))


def falx(rng: np.random.Generator, canvas: Canvas, grey: FloatArray) -> FloatArray:
    """Plaques in the falx, front or back, as bright as bone."""
    x, y = canvas.axes
    middle, half = float(rng.choice([-1, 1])) * rng.uniform(0.4, 0.85), rng.uniform(0.03, 0.15)
    line = np.minimum((half - np.abs(y - middle)) * 0.4, rng.uniform(0.01, 0.03) - np.abs(x - rng.normal(0, 0.01)))
    wobble = smooth_noise(rng, canvas.size, 20) * 0.004
    return put(grey, soft(np.asarray(line + wobble, dtype=np.float32), 0.02) * canvas.brain, rng.uniform(0.85, 1.0))


def spot(
    rng: np.random.Generator, canvas: Canvas, grey: FloatArray, where: tuple[float, float, float], level: float
) -> FloatArray:
    """One bright spot at (x, y) of that radius, in brain coordinates."""
    mask = soft(ellipse(rng, canvas, *where), 0.3) * canvas.brain
    return put(grey, mask, level)


def _pair(
    rng: np.random.Generator, canvas: Canvas, grey: FloatArray, where: tuple[float, float, float], level: float
) -> FloatArray:
    x, y, radius = where
    for side in (-1, 1):
        if rng.random() < 0.85:
            at = (side * x + rng.normal(0, 0.03), y + rng.normal(0, 0.03), radius * rng.uniform(0.6, 1.2))
            grey = spot(rng, canvas, grey, at, level + rng.normal(0, 3) * HU)
    return grey
