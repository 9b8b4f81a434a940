"""Fluid that is no infarct: atrophy, wide sulci and ventricles, a mega cisterna magna, arachnoid cysts."""

from __future__ import annotations

import cv2
import numpy as np

from strokenext.types import FloatArray
from training.drawing.canvas import HU, Canvas, ellipse, fill, fluid, smooth_noise, soft

#: Cerebrospinal fluid, 2 to 14 HU.
CSF = (2.0, 14.0)


def atrophy(rng: np.random.Generator, canvas: Canvas, grey: FloatArray) -> FloatArray:
    """Every space that holds fluid widens and darkens."""
    wide = cv2.GaussianBlur(fluid(canvas), (0, 0), canvas.size / 160 * rng.uniform(0.8, 1.6))
    darker = grey - np.clip(wide * 1.5, 0, 1) * rng.uniform(0.05, 0.25) * (grey < 0.6) * canvas.brain
    return np.asarray(np.maximum(darker, np.minimum(grey, np.float32(CSF[0] * HU))), dtype=np.float32)


def sulci(rng: np.random.Generator, canvas: Canvas, grey: FloatArray) -> FloatArray:
    """Deep, wide sulci on both sides: dark threads that wind in from the brain's rim."""
    x, y = canvas.axes
    depth = canvas.depth / max(float(canvas.depth.max()), 1.0)
    winding = smooth_noise(rng, canvas.size, 9) * rng.uniform(0.6, 1.6) + depth * rng.uniform(-5, 5)
    wave = np.cos(np.arctan2(y, x) * rng.integers(9, 18) + winding + rng.uniform(0, 6.3))
    reach = soft(np.asarray(rng.uniform(0.12, 0.4) - depth + 0.08 * smooth_noise(rng, canvas.size, 7)), 0.15)
    threads = soft(np.asarray(wave - rng.uniform(0.86, 0.98), dtype=np.float32), 0.15) * reach
    threads = _softened(threads * (grey < 0.7) * canvas.brain, canvas, 180)
    return fill(grey, threads * np.float32(rng.uniform(0.5, 1.0)), rng.uniform(*CSF) * HU)


def ventricles(rng: np.random.Generator, canvas: Canvas, grey: FloatArray) -> FloatArray:
    """Wide lateral ventricles, frontal horns and bodies, alike on both sides, with caps of white matter disease."""
    x, y = canvas.axes
    apart, long, broad = rng.uniform(0.08, 0.2), rng.uniform(0.2, 0.5), rng.uniform(0.05, 0.14)
    middle, tilt = rng.uniform(-0.2, 0.15), rng.uniform(0.05, 0.5)
    mask = np.zeros_like(grey)
    for side in (-1.0, 1.0):
        lateral = x * side - apart * rng.uniform(0.85, 1.15)
        for end in (-1.0, 1.0):  # the front half leans outward to the front, the back half outward to the back
            v = y - middle - end * long * 0.5
            u = lateral - tilt * np.maximum(end * (y - middle), 0)
            field = 1 - np.sqrt((u / broad) ** 2 + (v / (long * 0.75)) ** 2)
            mask = np.maximum(mask, soft(np.asarray(field, dtype=np.float32), 0.3))
    mask = _softened(mask * canvas.brain * (grey < 0.8), canvas, 180)
    caps = np.clip(cv2.GaussianBlur(mask, (0, 0), canvas.size * 0.03) * 1.6, 0, 1) * (1 - mask) * canvas.brain
    grey = np.asarray(grey - caps * rng.uniform(0, 9) * HU * (grey < 0.7) * (grey > 0.2), dtype=np.float32)
    return fill(grey, mask, rng.uniform(*CSF) * HU)


def mega_cisterna(rng: np.random.Generator, canvas: Canvas, grey: FloatArray) -> FloatArray:
    """Fluid behind the cerebellum, in the midline at the back."""
    wide = ellipse(rng, canvas, rng.normal(0, 0.05), rng.uniform(0.9, 1.05), rng.uniform(0.18, 0.45))
    mask = _softened(soft(wide, 0.2) * canvas.brain * (grey < 0.8), canvas, 200)
    return fill(grey, mask, rng.uniform(*CSF) * HU)


def arachnoid_cyst(rng: np.random.Generator, canvas: Canvas, grey: FloatArray) -> FloatArray:
    """A sharp pocket of fluid at the skull: temporal pole, convexity or the cerebellopontine angle."""
    angle, side = rng.uniform(-1.2, 1.2), float(rng.choice([-1, 1]))
    cx, cy = side * np.cos(angle) * 0.9, np.sin(angle) * 0.9
    mask = soft(ellipse(rng, canvas, float(cx), float(cy), rng.uniform(0.12, 0.4)), 0.12)
    mask = _softened(mask * canvas.brain * (grey < 0.8), canvas, 220)
    return fill(grey, mask, rng.uniform(*CSF) * HU)


def _softened(mask: FloatArray, canvas: Canvas, share: int) -> FloatArray:
    """A mask with the unsharp border of partial volume, a `share`-th of the side wide, inside the brain only."""
    return np.asarray(cv2.GaussianBlur(mask, (0, 0), canvas.size / share) * canvas.brain, dtype=np.float32)
