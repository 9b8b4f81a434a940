"""Bright dura and veins, as in dehydration, a high hematocrit, after contrast, or on any slice cut along them."""

from __future__ import annotations

import numpy as np

from strokenext.types import FloatArray
from training.drawing.canvas import HU, Canvas, put, smooth_noise, soft


def falx(rng: np.random.Generator, canvas: Canvas, grey: FloatArray) -> FloatArray:
    """A dense falx and a dense sagittal sinus: a thin line in the middle and a triangle at the back, 42 to 62 HU."""
    x, y = canvas.axes
    width = rng.uniform(0.008, 0.025)
    line = soft(np.asarray(width - np.abs(x - rng.normal(0, 0.01)), dtype=np.float32), 0.02)
    mask = line * soft(np.asarray(np.abs(y) - rng.uniform(0.2, 0.6), dtype=np.float32), 0.1)
    if rng.random() < 0.6:
        tip = rng.uniform(0.78, 0.92)
        sinus = np.minimum(y - tip, rng.uniform(0.3, 0.8) * (y - tip) + 0.02 - np.abs(x))
        mask = np.maximum(mask, soft(np.asarray(sinus, dtype=np.float32), 0.03))
    return put(grey, mask * canvas.brain, rng.uniform(42, 62) * HU)


def tentorium(rng: np.random.Generator, canvas: Canvas, grey: FloatArray) -> FloatArray:
    """The tentorium cut obliquely: a V that opens to front or back, 39 to 54 HU, fading at its edges."""
    x, y = canvas.axes
    apex, slope = rng.uniform(0.1, 0.5), rng.uniform(0.5, 1.6)
    arms = np.sqrt((x - rng.normal(0, 0.03)) ** 2 + rng.uniform(0, 0.1)) * float(rng.choice([1, 1, -1]))
    course = apex + slope * arms + rng.normal(0, 0.1) * x + 0.02 * smooth_noise(rng, canvas.size, 5)
    width = rng.uniform(0.01, 0.05)
    line = soft(np.asarray(width - np.abs(y - course), dtype=np.float32), rng.uniform(0.04, 0.1))
    reach = soft(np.asarray(rng.uniform(0.35, 0.8) - np.abs(x), dtype=np.float32), 0.2)
    mask = line * reach * canvas.brain
    if rng.random() < 0.3:  # a tilted head shows one side only
        mask = mask * soft(x * float(rng.choice([-1, 1])), 0.1)
    return put(grey, mask, rng.uniform(39, 54) * HU)


def transverse_sinus(rng: np.random.Generator, canvas: Canvas, grey: FloatArray) -> FloatArray:
    """A band along the skull at the back of one side or both, 45 to 65 HU: it looks like a thin subdural."""
    x, y = canvas.axes
    angle = np.degrees(np.arctan2(y, np.abs(x)))
    stretch = soft(np.asarray(rng.uniform(8, 28) - np.abs(angle - rng.uniform(15, 60)), dtype=np.float32), 8.0)
    thick = canvas.size * rng.uniform(0.012, 0.035)
    band = soft(np.asarray(thick - canvas.depth, dtype=np.float32), 1.5) * stretch * canvas.brain
    if rng.random() < 0.6:
        band = band * soft(x * float(rng.choice([-1, 1])), 0.05)
    return put(grey, band, rng.uniform(45, 65) * HU)


def bright_cortex(rng: np.random.Generator, canvas: Canvas, grey: FloatArray) -> FloatArray:
    """Cortex brighter than usual by 2 to 6 HU at the brain's rim, as cupping and some kernels leave it."""
    rim = np.exp(-canvas.depth / (canvas.size * rng.uniform(0.02, 0.05))) * canvas.brain
    return np.asarray(grey + rim * rng.uniform(2, 6) * HU * (grey > 0.3) * (grey < 0.75), dtype=np.float32)
