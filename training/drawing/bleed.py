"""Simulated hemorrhages: parenchymal, ventricular, subdural, epidural and subarachnoid blood, fresh or days old.

Appearance follows the usual radiological description: fresh blood of 50 to 80 HU, a rim of oedema later, a fluid
level where it has not clotted, and grey levels near the brain's own between the second and third week.
"""

from __future__ import annotations

import cv2
import numpy as np

from strokenext.types import FloatArray

from .canvas import HU, Canvas, Lesion, ellipse, fluid, point, smooth_noise, soft


def _blood_level(rng: np.random.Generator, size: int) -> FloatArray:
    """(S, S) grey level of blood: 45 to 80 HU with clot texture."""
    texture = smooth_noise(rng, size, int(rng.integers(8, 24))) * rng.uniform(1, 4) * HU
    fine = rng.standard_normal((size, size)).astype(np.float32) * rng.uniform(0.5, 3) * HU
    return np.asarray(rng.uniform(46, 78) * HU + texture + fine, dtype=np.float32)


def _oedema(rng: np.random.Generator, grey: FloatArray, blood: FloatArray, brain: FloatArray) -> FloatArray:
    """Darken a rim around the blood by up to 14 HU, as after hours to days."""
    size = grey.shape[0]
    width = size * rng.uniform(0.01, 0.05)
    rim = np.clip(cv2.GaussianBlur(blood, (0, 0), width) * 2.2, 0, 1) * (1 - blood) * brain
    return np.asarray(grey - rim * rng.uniform(2, 14) * HU * (grey < 0.7), dtype=np.float32)


def _parenchymal(rng: np.random.Generator, canvas: Canvas) -> FloatArray:
    """One to three rounded clots: deep, lobar or scattered."""
    count = 1 if rng.random() < 0.7 else int(rng.integers(2, 4))
    field = np.full(canvas.grey.shape, -9, dtype=np.float32)
    for index in range(count):
        if rng.random() < 0.45:
            cx, cy = float(rng.choice([-1, 1])) * rng.uniform(0.2, 0.5), rng.uniform(-0.3, 0.3)
        else:
            cx, cy = point(rng, canvas, 0.12)
        radius = float(np.exp(rng.uniform(np.log(0.06), np.log(0.42)))) * (1.0 if index == 0 else 0.5)
        field = np.maximum(field, ellipse(rng, canvas, cx, cy, radius) * radius)
    return soft(field, rng.uniform(0.02, 0.07))


def _extra_axial(rng: np.random.Generator, canvas: Canvas) -> FloatArray:
    """A crescent (subdural) or lens (epidural) under the skull on one side, thin ones as often as thick ones."""
    x, y = canvas.axes
    if rng.random() < 0.15:
        return _interhemispheric(rng, canvas)
    side = float(rng.choice([-1, 1]))
    angle = np.degrees(np.arctan2(y, x * side))
    middle = rng.uniform(-75, 75)
    lens = rng.random() < 0.4
    half = rng.uniform(15, 45) if lens else rng.uniform(25, 95)
    along = np.clip(1 - ((angle - middle) / half) ** 2, 0, 1)
    thickness = canvas.size * float(np.exp(rng.uniform(np.log(0.01), np.log(0.08)))) * (along if lens else along**0.5)
    wobble = 1 + 0.25 * smooth_noise(rng, canvas.size, 8)
    return soft(np.asarray(thickness * wobble - canvas.depth, dtype=np.float32), rng.uniform(1.0, 2.5)) * (along > 0)


def _interhemispheric(rng: np.random.Generator, canvas: Canvas) -> FloatArray:
    """A subdural bleed along the falx: a band on one side of the midline, in the front or the back of the head."""
    x, y = canvas.axes
    front = rng.random() < 0.4
    reach = rng.uniform(0.2, 0.7)
    along = soft(np.asarray((-y if front else y) - (1 - reach), dtype=np.float32), 0.1)
    width = rng.uniform(0.03, 0.09) * (1 + 0.3 * smooth_noise(rng, canvas.size, 7))
    lateral = x * float(rng.choice([-1, 1]))
    return np.asarray(soft(np.minimum(lateral + 0.015, width - lateral), 0.03) * along, dtype=np.float32)


def _ventricular(rng: np.random.Generator, canvas: Canvas) -> FloatArray:
    """Blood in the ventricles: deep CSF filled, often layering towards the back, on one side or both."""
    x, y = canvas.axes
    deep = soft(canvas.depth - 0.25 * canvas.depth.max(), 3.0)
    part = np.ones_like(deep) if rng.random() < 0.4 else soft(y - rng.uniform(-0.3, 0.4), 0.08)
    if rng.random() < 0.4:
        part = part * soft(x * float(rng.choice([-1, 1])) + 0.1, 0.1)
    return np.asarray(np.clip(fluid(canvas) * 1.6, 0, 1) * deep * part, dtype=np.float32)


def _subarachnoid(rng: np.random.Generator, canvas: Canvas) -> FloatArray:
    """Blood in sulci or cisterns: CSF of one region turned bright, blurred as partial volume does."""
    cx, cy = point(rng, canvas, 0.0)
    region = soft(ellipse(rng, canvas, cx, cy, rng.uniform(0.3, 0.9)), 0.3)
    thin = cv2.GaussianBlur(fluid(canvas) * region, (0, 0), canvas.size / 200)
    return np.asarray(np.clip(thin * 1.5, 0, 1) * rng.uniform(0.6, 1), dtype=np.float32)


#: How often each kind is drawn, alone or as one of two.
KINDS = {_parenchymal: 0.44, _ventricular: 0.12, _extra_axial: 0.29, _subarachnoid: 0.15}
#: Blood that has lost its brightness after one to three weeks, and blood that has not clotted and lies in layers.
ISODENSE, LAYERED = 0.08, 0.1


def bleed(rng: np.random.Generator, canvas: Canvas) -> Lesion:
    """A hemorrhage of random kind: parenchymal, ventricular, subdural or epidural, subarachnoid, or two at once."""
    makers, shares = list(KINDS), list(KINDS.values())
    drawn = rng.choice(len(makers), size=1 + int(rng.random() < 0.2), replace=False, p=shares)
    mask = np.zeros_like(canvas.grey)
    for kind in drawn:
        mask = np.maximum(mask, makers[int(kind)](rng, canvas))
    mask = np.asarray(mask * canvas.brain, dtype=np.float32)
    if mask.sum() < 0.0006 * canvas.size * canvas.size:  # no fluid to fill on this slice
        mask = _parenchymal(rng, canvas) * canvas.brain
    grey = canvas.grey
    if rng.random() < 0.7:
        grey = _oedema(rng, grey, mask, canvas.brain)
    mixed = grey * (1 - mask) + _aged(rng, canvas, grey, mask) * mask
    return Lesion(np.clip(mixed, 0, 1).astype(np.float32), mask)


def _aged(rng: np.random.Generator, canvas: Canvas, grey: FloatArray, mask: FloatArray) -> FloatArray:
    """(S, S) levels of the blood: fresh and never darker than what it lies in, seldom near the brain's own, or layered.

    In a supine patient cells sink to the back: a level line with serum of 20 to 34 HU before it.
    """
    roll, level = rng.random(), _blood_level(rng, canvas.size)
    if roll < ISODENSE:
        return level - level.mean() + np.float32(rng.uniform(38, 47) * HU)
    if roll < ISODENSE + LAYERED and mask.max() > 0.5:
        rows = np.flatnonzero((mask > 0.5).any(axis=1))
        line = rows[0] + (rows[-1] - rows[0]) * rng.uniform(0.25, 0.6)
        back = soft(np.arange(canvas.size, dtype=np.float32)[:, None] - np.float32(line), 2.0)
        serum = level - level.mean() + np.float32(rng.uniform(20, 34) * HU)
        return np.asarray(serum * (1 - back) + np.maximum(level, grey) * back, dtype=np.float32)
    return np.maximum(level, grey)
