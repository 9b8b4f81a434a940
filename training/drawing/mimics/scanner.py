"""What the scanner adds: beam hardening, streaks, cupping, partial volume of bone, motion."""

from __future__ import annotations

import cv2
import numpy as np

from strokenext.types import FloatArray
from training.drawing.canvas import HU, Canvas, ellipse, put, smooth_noise, soft


def bands(rng: np.random.Generator, canvas: Canvas, grey: FloatArray) -> FloatArray:
    """Beam hardening: bright and dark bands across the brain."""
    angle, phase = rng.uniform(0, np.pi), rng.uniform(0, 6.3)
    x, y = canvas.axes
    wave = np.sin((x * np.cos(angle) + y * np.sin(angle)) * rng.uniform(2, 9) + phase)
    where = canvas.brain * soft(ellipse(rng, canvas, 0, 0.2, 1.0), 0.8)
    return np.asarray(grey + wave * rng.uniform(0.5, 2.5) * HU * where, dtype=np.float32)


def petrous_streak(rng: np.random.Generator, canvas: Canvas, grey: FloatArray) -> FloatArray:
    """The dark bar between the petrous bones, with bright edges, across the brain stem."""
    x, y = canvas.axes
    off = y - rng.uniform(-0.2, 0.4) - rng.normal(0, 0.1) * x
    width = rng.uniform(0.05, 0.15)
    dark = np.exp(-((off / width) ** 2)) * soft(np.asarray(rng.uniform(0.4, 0.9) - np.abs(x), dtype=np.float32), 0.3)
    bright = np.exp(-(((np.abs(off) - 2 * width) / width) ** 2)) * 0.5
    change = (bright - dark) * rng.uniform(3, 16) * HU
    return np.asarray(grey + change * canvas.brain * (grey < 0.8), dtype=np.float32)


def streaks(rng: np.random.Generator, canvas: Canvas, grey: FloatArray) -> FloatArray:
    """Rays out of a dense thing at or outside the skull: clips, fillings, hair pins."""
    x, y = canvas.axes
    angle = rng.uniform(0, 2 * np.pi)
    dx, dy = x - rng.uniform(0.8, 1.1) * np.cos(angle), y - rng.uniform(0.8, 1.1) * np.sin(angle)
    around = np.arctan2(dy, dx)
    rays = np.sin(around * rng.integers(15, 50) + rng.uniform(0, 6.3)) * np.sin(around * rng.integers(5, 20))
    fade = np.exp(-np.hypot(dx, dy) / rng.uniform(0.4, 1.2))
    return np.asarray(grey + rays * fade * rng.uniform(4, 16) * HU * canvas.brain, dtype=np.float32)


def shading(rng: np.random.Generator, canvas: Canvas, grey: FloatArray) -> FloatArray:
    """Cupping and slow shading."""
    return np.asarray(
        grey + smooth_noise(rng, canvas.size, 3) * rng.uniform(0.3, 2.0) * HU * canvas.brain, dtype=np.float32
    )


def skull_in_slice(rng: np.random.Generator, canvas: Canvas, grey: FloatArray) -> FloatArray:
    """Partial volume of bone at the rim: orbit roofs in front, petrous bones at the sides, the vertex all round."""
    kind = rng.integers(3)
    if kind == 2:
        width = canvas.size * rng.uniform(0.015, 0.05)
        rim = np.exp(-canvas.depth / width) * canvas.brain
        return put(grey, np.asarray(rim * rng.uniform(0.4, 0.9), dtype=np.float32), rng.uniform(60, 100) * HU)
    cx, cy = (rng.uniform(0.3, 0.5), -0.85) if kind == 0 else (rng.uniform(0.55, 0.8), rng.uniform(-0.1, 0.4))
    for side in (-1, 1):
        if rng.random() < 0.8:
            at = (side * cx + rng.normal(0, 0.04), cy + rng.normal(0, 0.05))
            blob = soft(ellipse(rng, canvas, *at, rng.uniform(0.12, 0.28)), rng.uniform(0.5, 1.2)) * canvas.brain
            grey = put(grey, np.asarray(blob * rng.uniform(0.4, 1), dtype=np.float32), rng.uniform(48, 90) * HU)
    return grey


def motion(rng: np.random.Generator, canvas: Canvas, grey: FloatArray) -> FloatArray:
    """The head moved by up to 3 % while it was scanned: a second, fainter contour."""
    size = canvas.size
    matrix = cv2.getRotationMatrix2D((size / 2, size / 2), float(rng.normal(0, 2)), 1.0)
    matrix[:, 2] = matrix[:, 2] + rng.normal(0, 0.012 * size, 2)
    moved = cv2.warpAffine(grey, matrix, (size, size), flags=cv2.INTER_LINEAR, borderMode=cv2.BORDER_REPLICATE)
    share = rng.uniform(0.15, 0.5)
    return np.asarray(grey * (1 - share) + moved * share, dtype=np.float32)
