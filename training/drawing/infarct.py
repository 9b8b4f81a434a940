"""Simulated infarcts: a territory loses its grey-white border, darkens and swells, and after weeks ends as fluid.

Appearance follows the usual radiological description: an infarct first loses the border between grey and white
matter, then darkens by a few HU in a vascular territory, swells, and ends close to CSF. Beside it may stand a dense
artery (a clot of 50 to 75 HU) and, in the infarct, blood of a hemorrhagic transformation too faint to be the
diagnosis.
"""

from __future__ import annotations

import cv2
import numpy as np

from strokenext.preprocess.contract import BRAIN_LEVEL
from strokenext.types import FloatArray

from .canvas import HU, Canvas, Lesion, ellipse, point, put, smooth_noise, soft

#: How often each kind of infarct is drawn: a whole middle cerebral territory, a branch of it, and so on.
TERRITORIES = {
    "mca": 0.18,
    "branch": 0.25,
    "cortex": 0.1,
    "deep": 0.13,
    "aca": 0.06,
    "pca": 0.1,
    "cerebellum": 0.06,
    "lacune": 0.07,
    "anywhere": 0.05,
}
#: So many infarcts show a clot in an artery, so many blood too faint to be the diagnosis.
DENSE_ARTERY, TRANSFORMED = 0.12, 0.08


def _territory(rng: np.random.Generator, canvas: Canvas) -> FloatArray:
    """Signed field of an arterial territory, or a part of one, on one side of the brain."""
    x, y = canvas.axes
    side = float(rng.choice([-1, 1]))
    lateral = x * side
    kind = rng.choice(list(TERRITORIES), p=list(TERRITORIES.values()))
    wobble = smooth_noise(rng, canvas.size, int(rng.integers(5, 12))) * rng.uniform(0.04, 0.14)
    if kind in ("mca", "branch"):
        middle = rng.uniform(-35, 40)
        half = rng.uniform(35, 60) if kind == "mca" else rng.uniform(12, 32)
        angle = np.degrees(np.arctan2(y, lateral + 0.15))
        radius = np.hypot(lateral, y)
        inner = rng.uniform(0.15, 0.5) if kind == "mca" else rng.uniform(0.35, 0.65)
        wedge = np.minimum((half - np.abs(angle - middle)) / 60, radius - inner)
        field = np.minimum(wedge, lateral - 0.08)
    elif kind == "cortex":
        return _ribbon(rng, canvas, side) + wobble
    elif kind == "cerebellum":
        cx, cy = side * rng.uniform(0.15, 0.5), rng.uniform(0.35, 0.75)
        return ellipse(rng, canvas, cx, cy, rng.uniform(0.15, 0.45)) * 0.3
    elif kind == "deep":
        cx, cy = side * rng.uniform(0.25, 0.5), rng.uniform(-0.3, 0.2)
        return ellipse(rng, canvas, cx, cy, rng.uniform(0.15, 0.32)) * 0.3
    elif kind == "aca":
        field = np.minimum(np.minimum(lateral - 0.01, rng.uniform(0.22, 0.35) - lateral), -y - rng.uniform(0, 0.35))
    elif kind == "pca":
        reach = rng.uniform(0.45, 0.75)
        field = np.minimum(np.minimum(lateral - 0.02, reach - lateral), y - rng.uniform(0.25, 0.55))
    elif kind == "lacune":
        cx, cy = side * rng.uniform(0.1, 0.45), rng.uniform(-0.4, 0.4)
        return ellipse(rng, canvas, cx, cy, rng.uniform(0.05, 0.13)) * 0.3
    else:
        cx, cy = point(rng, canvas, 0.15)
        return ellipse(rng, canvas, cx, cy, rng.uniform(0.12, 0.4)) * 0.3
    return np.asarray(field + wobble, dtype=np.float32)


def _ribbon(rng: np.random.Generator, canvas: Canvas, side: float) -> FloatArray:
    """Signed field of a stretch of cortex, 4 to 12 % of the brain's depth wide at its rim."""
    x, y = canvas.axes
    angle = np.degrees(np.arctan2(y, x * side))
    along = (rng.uniform(8, 30) - np.abs(angle - rng.uniform(-70, 75))) / 60
    rim = (rng.uniform(0.1, 0.3) - canvas.depth / max(float(canvas.depth.max()), 1.0)) * 0.8
    return np.asarray(np.minimum(np.minimum(along, rim), x * side - 0.03), dtype=np.float32)


def _dense_artery(rng: np.random.Generator, canvas: Canvas, grey: FloatArray) -> FloatArray:
    """A clot in the stem of a middle cerebral artery: a curved line of 50 to 75 HU beside the midline."""
    x, y = canvas.axes
    side, start, length = float(rng.choice([-1, 1])), rng.uniform(0.08, 0.2), rng.uniform(0.12, 0.35)
    lateral = x * side - start
    course = rng.uniform(-0.25, 0.1) + rng.uniform(-0.5, 0.5) * lateral + rng.uniform(-1, 1) * lateral**2
    line = np.minimum(rng.uniform(0.012, 0.025) - np.abs(y - course), np.minimum(lateral, length - lateral))
    mask = soft(np.asarray(line, dtype=np.float32), 0.02) * canvas.brain
    return put(grey, mask, rng.uniform(50, 75) * HU)


def _transformed(rng: np.random.Generator, canvas: Canvas, grey: FloatArray, mask: FloatArray) -> FloatArray:
    """Petechial blood in an infarct: patches raised by 4 to 14 HU, below the level of a hematoma."""
    patches = soft(smooth_noise(rng, canvas.size, int(rng.integers(14, 28))) - 0.6, 0.8) * mask
    raised = np.minimum(grey + patches * rng.uniform(4, 14) * HU, np.maximum(grey, np.float32(46 * HU)))
    return np.asarray(raised, dtype=np.float32)


def infarct(rng: np.random.Generator, canvas: Canvas, severity: tuple[float, float] = (3.0, 24.0)) -> Lesion:
    """An infarct of random territory and age; `severity` bounds its darkening in HU (log-uniform)."""
    field = _territory(rng, canvas)
    darker = float(np.exp(rng.uniform(np.log(severity[0]), np.log(severity[1]))))
    old = darker > 12 and rng.random() < 0.7
    edge = rng.uniform(0.02, 0.06) if old else rng.uniform(0.04, 0.16)
    mask = soft(field, edge) * canvas.brain
    mask = cv2.GaussianBlur(mask, (0, 0), canvas.size / 160) * canvas.brain

    grey = canvas.grey
    # Lost grey-white border and effaced sulci: local contrast fades and dark sulci fill up.
    inside = np.where(canvas.brain > 0, np.clip(grey, 0.15, 0.62), BRAIN_LEVEL).astype(np.float32)
    flat = cv2.GaussianBlur(inside, (0, 0), canvas.size * rng.uniform(0.02, 0.04))
    effaced = np.maximum(flat, 0.38) if rng.random() < 0.6 else flat
    fade = rng.uniform(0.0, 0.5) if old else rng.uniform(0.3, 0.95)
    grain = grey - cv2.GaussianBlur(grey, (0, 0), canvas.size / 160)
    base = (1 - fade) * grey + fade * (effaced + np.clip(grain, -0.1, 0.1) * rng.uniform(0.5, 1.0))
    # Grey matter suffers more than white: darken where the tissue was brighter.
    weight = np.clip(1 + rng.uniform(0, 1.2) * (inside - BRAIN_LEVEL) / 0.1, 0.5, 1.6)
    patchy = 1 + rng.uniform(0, 0.3) * smooth_noise(rng, canvas.size, 9)
    floor = np.minimum(grey, rng.uniform(0.05, 0.14))  # nothing gets darker than CSF
    dark = np.maximum(base - darker * HU * weight * np.clip(patchy, 0.3, 1.7), floor)
    tissue = mask * (grey < 0.75)  # vessels' calcium and bone stay
    grey = grey * (1 - tissue) + dark * tissue
    if darker > 5 and rng.random() < TRANSFORMED:
        grey = _transformed(rng, canvas, grey, mask)
    if not old and rng.random() < DENSE_ARTERY:
        grey = _dense_artery(rng, canvas, grey)
    return Lesion(np.clip(grey, 0, 1).astype(np.float32), mask)
