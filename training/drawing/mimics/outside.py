"""Skull and scalp: hematoma outside the skull, burr holes, craniotomies, shunts; the brain below is as it was."""

from __future__ import annotations

import cv2
import numpy as np

from strokenext.types import FloatArray
from training.drawing.canvas import HU, Canvas, fill, put, smooth_noise, soft

#: Above this grey level is bone.
BONE = 0.93


def scalp_hematoma(rng: np.random.Generator, canvas: Canvas, grey: FloatArray) -> FloatArray:
    """Swelling of the scalp, 40 to 75 HU, lying on the skull from outside."""
    size = canvas.size
    seen = ((grey > 0.12) | (canvas.depth > 0)).astype(np.uint8)
    solid = cv2.morphologyEx(seen, cv2.MORPH_CLOSE, np.ones((7, 7), np.uint8))
    outside = cv2.distanceTransform(1 - solid, cv2.DIST_L2, 3)
    angle, half = rng.uniform(-180, 180), rng.uniform(12, 45)
    turn = _turned_from(canvas, angle)
    high = size * rng.uniform(0.015, 0.06) * np.clip(1 - (turn / half) ** 2, 0, 1)
    swelling = soft(np.asarray(high * (1 + 0.2 * smooth_noise(rng, size, 9)) - outside, dtype=np.float32), 2.0)
    scalp = (cv2.GaussianBlur(solid.astype(np.float32), (0, 0), size / 50) < 0.97) & (grey < BONE)
    where = swelling * (scalp | (outside > 0)) * (canvas.depth <= 0) * (turn < half)
    return fill(grey, np.asarray(where, dtype=np.float32), rng.uniform(40, 75) * HU)


def burr_hole(rng: np.random.Generator, canvas: Canvas, grey: FloatArray) -> FloatArray:
    """A gap in the skull, 4 to 14 % of its way round, filled as soft as a scar."""
    x, y = canvas.axes
    angle, half = rng.uniform(-180, 180), rng.uniform(3, 14)
    turn = _turned_from(canvas, angle)
    gap = (
        soft(np.asarray(half - turn, dtype=np.float32), 2.0)
        * (grey > 0.8)
        * (np.hypot(x, y) > 0.7)
        * (canvas.depth <= 0)
    )
    return fill(grey, np.asarray(gap, dtype=np.float32), rng.uniform(20, 45) * HU)


def shunt(rng: np.random.Generator, canvas: Canvas, grey: FloatArray) -> FloatArray:
    """A catheter from the skull into a ventricle: a straight line of 60 HU and up, two pixels wide."""
    size = canvas.size
    side, back = float(rng.choice([-1, 1])), rng.uniform(-0.6, 0.9)
    x, y = canvas.axes
    start = int(np.argmin((x - side * 0.8) ** 2 + (y - back) ** 2))
    end = int(np.argmin((x - side * rng.uniform(0, 0.2)) ** 2 + (y - rng.uniform(-0.2, 0.2)) ** 2))
    line = np.zeros((size, size), np.float32)
    one, two = (tuple(int(v) for v in np.unravel_index(at, (size, size))[::-1]) for at in (start, end))
    cv2.line(line, one, two, 1.0, max(1, round(size / 110)), cv2.LINE_AA)
    return put(grey, line * canvas.brain, rng.uniform(60, 110) * HU)


def old_defect(rng: np.random.Generator, canvas: Canvas, grey: FloatArray) -> FloatArray:
    """The track of a drain long gone: a thin dark line below the skull."""
    x, y = canvas.axes
    angle = rng.uniform(-np.pi, np.pi)
    along, across = x * np.cos(angle) + y * np.sin(angle), y * np.cos(angle) - x * np.sin(angle)
    line = np.minimum(
        rng.uniform(0.015, 0.035) - np.abs(across + 0.02 * smooth_noise(rng, canvas.size, 6)), along - 0.55
    )
    mask = soft(np.asarray(line, dtype=np.float32), 0.04)
    return fill(grey, mask * canvas.brain * (grey < 0.8), rng.uniform(6, 22) * HU)


def _turned_from(canvas: Canvas, angle: float) -> FloatArray:
    """(S, S) 0..180: by how many degrees a pixel lies off a direction, seen from the middle of the brain."""
    x, y = canvas.axes
    return np.asarray(np.abs((np.degrees(np.arctan2(y, x)) - angle + 180) % 360 - 180))
