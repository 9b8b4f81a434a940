"""Simulated strokes on real slices: bleeds and infarcts drawn into the brain of a normal head CT.

Why: a model trained on real slices alone learns which hospital a slice came from, because one source
has nearly all the bleeds and another nearly all the normals. Drawn onto the same backgrounds, only the
lesion tells the classes apart. Real ischemic slices are also too few to train on.

Grey levels are those of `strokenext.preprocess.contract`: 0..1 over 80 HU, normal brain at BRAIN_LEVEL (36 HU). Every
function takes a numpy Generator and returns new arrays; the same seed draws the same lesion.

Appearance follows the usual radiological description: fresh blood 50 to 80 HU with a rim of oedema
later; an infarct first loses the border between grey and white matter, then darkens by a few HU in a
vascular territory, swells, and ends close to CSF after weeks.
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property

import cv2
import numpy as np

from strokenext.preprocess.contract import BRAIN_LEVEL
from strokenext.types import FloatArray

#: One Hounsfield unit in grey levels of the 80 HU brain window.
HU = 1.0 / 80.0


@dataclass(frozen=True, eq=False)
class Canvas:
    """A slice to draw on: grey (S, S) 0..1, distance in pixels to the brain's edge (0 outside), S fixed."""

    grey: FloatArray
    depth: FloatArray

    @property
    def size(self) -> int:
        """S, the side in pixels."""
        return self.grey.shape[0]

    @cached_property
    def brain(self) -> FloatArray:
        """(S, S) 1 inside the brain."""
        return (self.depth > 0).astype(np.float32)

    @cached_property
    def axes(self) -> tuple[FloatArray, FloatArray]:
        """(x, y) of each pixel, -1..1 over the brain's own box; x grows to the right, y to the back."""
        x, y = np.meshgrid(self._axis(self.brain.sum(axis=0)), self._axis(self.brain.sum(axis=1)), copy=False)
        return x, y

    @staticmethod
    def _axis(profile: FloatArray) -> FloatArray:
        """-1..1 between the 1st and 99th percentile of a profile's mass."""
        mass = np.cumsum(profile) / max(float(profile.sum()), 1.0)
        low, high = (float(np.searchsorted(mass, q)) for q in (0.01, 0.99))
        return ((np.arange(len(profile)) - (low + high) / 2) / max((high - low) / 2, 1)).astype(np.float32)


@dataclass(frozen=True, eq=False)
class Lesion:
    """The slice with its lesion, and the soft mask (S, S) 0..1 of where it is."""

    grey: FloatArray
    mask: FloatArray


def smooth_noise(rng: np.random.Generator, size: int, cells: int) -> FloatArray:
    """(S, S) standard-normal noise varying over S/cells pixels."""
    coarse = rng.standard_normal((cells, cells)).astype(np.float32)
    return np.asarray(cv2.resize(coarse, (size, size), interpolation=cv2.INTER_CUBIC), dtype=np.float32)


def _soft(signed: FloatArray, edge: float) -> FloatArray:
    """Signed distance-like field (positive inside) to a mask 0..1 with a border of width `edge`."""
    return np.asarray(np.clip(signed / edge + 0.5, 0, 1), dtype=np.float32)


def _ellipse(rng: np.random.Generator, canvas: Canvas, cx: float, cy: float, radius: float) -> FloatArray:
    """Signed field of a wobbly ellipse in brain coordinates, positive inside, about 1 at its middle."""
    x, y = canvas.axes
    angle = rng.uniform(0, np.pi)
    stretch = rng.uniform(0.55, 1.0)
    u = (x - cx) * np.cos(angle) + (y - cy) * np.sin(angle)
    v = -(x - cx) * np.sin(angle) + (y - cy) * np.cos(angle)
    wobble = smooth_noise(rng, canvas.size, int(rng.integers(6, 14))) * rng.uniform(0.1, 0.35)
    return np.asarray(1 - np.sqrt((u / radius) ** 2 + (v / (radius * stretch)) ** 2) + wobble, dtype=np.float32)


def _point(rng: np.random.Generator, canvas: Canvas, min_depth: float) -> tuple[float, float]:
    """A random point of the brain in brain coordinates, at least `min_depth` of its half-width inside."""
    x, y = canvas.axes
    deep = np.flatnonzero(canvas.depth >= min_depth * canvas.depth.max())
    at = int(rng.choice(deep))
    return float(x.flat[at]), float(y.flat[at])


#: How often each kind of infarct is drawn: a whole middle cerebral territory, a branch of it, and so on.
TERRITORIES = {"mca": 0.2, "branch": 0.3, "deep": 0.14, "aca": 0.06, "pca": 0.12, "lacune": 0.1, "anywhere": 0.08}


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
    elif kind == "deep":
        cx, cy = side * rng.uniform(0.25, 0.5), rng.uniform(-0.3, 0.2)
        return _ellipse(rng, canvas, cx, cy, rng.uniform(0.15, 0.32)) * 0.3
    elif kind == "aca":
        field = np.minimum(np.minimum(lateral - 0.01, rng.uniform(0.22, 0.35) - lateral), -y - rng.uniform(0, 0.35))
    elif kind == "pca":
        reach = rng.uniform(0.45, 0.75)
        field = np.minimum(np.minimum(lateral - 0.02, reach - lateral), y - rng.uniform(0.25, 0.55))
    elif kind == "lacune":
        cx, cy = side * rng.uniform(0.1, 0.45), rng.uniform(-0.4, 0.4)
        return _ellipse(rng, canvas, cx, cy, rng.uniform(0.05, 0.13)) * 0.3
    else:
        cx, cy = _point(rng, canvas, 0.15)
        return _ellipse(rng, canvas, cx, cy, rng.uniform(0.12, 0.4)) * 0.3
    return np.asarray(field + wobble, dtype=np.float32)


def infarct(rng: np.random.Generator, canvas: Canvas, severity: tuple[float, float] = (3.0, 24.0)) -> Lesion:
    """An infarct of random territory and age; `severity` bounds its darkening in HU (log-uniform)."""
    field = _territory(rng, canvas)
    darker = float(np.exp(rng.uniform(np.log(severity[0]), np.log(severity[1]))))
    old = darker > 12 and rng.random() < 0.7
    edge = rng.uniform(0.02, 0.06) if old else rng.uniform(0.04, 0.16)
    mask = _soft(field, edge) * canvas.brain
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
    return Lesion(np.clip(grey * (1 - tissue) + dark * tissue, 0, 1).astype(np.float32), mask)


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
            cx, cy = _point(rng, canvas, 0.12)
        radius = float(np.exp(rng.uniform(np.log(0.06), np.log(0.42)))) * (1.0 if index == 0 else 0.5)
        field = np.maximum(field, _ellipse(rng, canvas, cx, cy, radius) * radius)
    return _soft(field, rng.uniform(0.02, 0.07))


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
    thickness = canvas.size * float(np.exp(rng.uniform(np.log(0.014), np.log(0.08)))) * (along if lens else along**0.5)
    wobble = 1 + 0.25 * smooth_noise(rng, canvas.size, 8)
    return _soft(np.asarray(thickness * wobble - canvas.depth, dtype=np.float32), rng.uniform(1.0, 2.5)) * (along > 0)


def _interhemispheric(rng: np.random.Generator, canvas: Canvas) -> FloatArray:
    """A subdural bleed along the falx: a band on one side of the midline, in the front or the back of the head."""
    x, y = canvas.axes
    front = rng.random() < 0.4
    reach = rng.uniform(0.2, 0.7)
    along = _soft(np.asarray((-y if front else y) - (1 - reach), dtype=np.float32), 0.1)
    width = rng.uniform(0.03, 0.09) * (1 + 0.3 * smooth_noise(rng, canvas.size, 7))
    lateral = x * float(rng.choice([-1, 1]))
    return np.asarray(_soft(np.minimum(lateral + 0.015, width - lateral), 0.03) * along, dtype=np.float32)


def _fluid(canvas: Canvas) -> FloatArray:
    """(S, S) 0..1: where CSF is, ventricles, cisterns and sulci, by its grey level below about 20 HU."""
    return np.asarray(np.clip((0.32 - canvas.grey) / 0.1, 0, 1) * canvas.brain, dtype=np.float32)


def _ventricular(rng: np.random.Generator, canvas: Canvas) -> FloatArray:
    """Blood in the ventricles: deep CSF filled, often layering towards the back, on one side or both."""
    x, y = canvas.axes
    deep = _soft(canvas.depth - 0.25 * canvas.depth.max(), 3.0)
    part = np.ones_like(deep) if rng.random() < 0.4 else _soft(y - rng.uniform(-0.3, 0.4), 0.08)
    if rng.random() < 0.4:
        part = part * _soft(x * float(rng.choice([-1, 1])) + 0.1, 0.1)
    return np.asarray(np.clip(_fluid(canvas) * 1.6, 0, 1) * deep * part, dtype=np.float32)


def _subarachnoid(rng: np.random.Generator, canvas: Canvas) -> FloatArray:
    """Blood in sulci or cisterns: CSF of one region turned bright, blurred as partial volume does."""
    cx, cy = _point(rng, canvas, 0.0)
    region = _soft(_ellipse(rng, canvas, cx, cy, rng.uniform(0.3, 0.9)), 0.3)
    thin = cv2.GaussianBlur(_fluid(canvas) * region, (0, 0), canvas.size / 200)
    return np.asarray(np.clip(thin * 1.5, 0, 1) * rng.uniform(0.6, 1), dtype=np.float32)


def bleed(rng: np.random.Generator, canvas: Canvas) -> Lesion:
    """A hemorrhage of random kind: parenchymal, ventricular, subdural or epidural, subarachnoid, or two at once."""
    kinds = rng.choice(4, size=1 + int(rng.random() < 0.2), replace=False, p=[0.48, 0.12, 0.28, 0.12])
    makers = (_parenchymal, _ventricular, _extra_axial, _subarachnoid)
    mask = np.zeros_like(canvas.grey)
    for kind in kinds:
        mask = np.maximum(mask, makers[int(kind)](rng, canvas))
    mask = np.asarray(mask * canvas.brain, dtype=np.float32)
    if mask.sum() < 0.0006 * canvas.size * canvas.size:  # no fluid to fill on this slice
        mask = _parenchymal(rng, canvas) * canvas.brain
    grey = canvas.grey
    if rng.random() < 0.7:
        grey = _oedema(rng, grey, mask, canvas.brain)
    blood = np.maximum(_blood_level(rng, canvas.size), grey)
    mixed = grey * (1 - mask) + blood * mask
    return Lesion(np.clip(mixed, 0, 1).astype(np.float32), mask)


def mimic(rng: np.random.Generator, canvas: Canvas) -> FloatArray:
    """Findings that are no stroke, for both classes: calcium, falx, sinuses, streaks, cupping, wide CSF spaces."""
    grey = canvas.grey.copy()
    size = grey.shape[0]
    if rng.random() < 0.2:  # calcium anywhere: small and brighter than blood
        for _ in range(int(rng.integers(1, 4))):
            px, py = _point(rng, canvas, 0.2)
            grey = _spot(rng, canvas, grey, (px, py, rng.uniform(0.015, 0.05)), rng.uniform(0.8, 1.0))
    if rng.random() < 0.25:
        grey = _paired_calcium(rng, canvas, grey)
    if rng.random() < 0.3:
        grey = _dura(rng, canvas, grey)
    if rng.random() < 0.3:  # beam hardening: bright and dark bands across the brain
        angle, phase = rng.uniform(0, np.pi), rng.uniform(0, 6.3)
        x, y = canvas.axes
        wave = np.sin((x * np.cos(angle) + y * np.sin(angle)) * rng.uniform(2, 9) + phase)
        grey = grey + wave * rng.uniform(0.5, 2.5) * HU * canvas.brain * _soft(_ellipse(rng, canvas, 0, 0.2, 1.0), 0.8)
    if rng.random() < 0.5:  # cupping and slow shading
        grey = grey + smooth_noise(rng, size, 3) * rng.uniform(0.3, 2.0) * HU * canvas.brain
    if rng.random() < 0.15:  # atrophy: CSF spaces widen
        fluid = cv2.GaussianBlur(_fluid(canvas), (0, 0), size / 160)
        grey = grey - np.clip(fluid * 1.5, 0, 1) * rng.uniform(0.05, 0.25) * (grey < 0.6)
    return np.asarray(np.clip(grey, 0, 1), dtype=np.float32)


def _spot(
    rng: np.random.Generator, canvas: Canvas, grey: FloatArray, where: tuple[float, float, float], level: float
) -> FloatArray:
    """One bright spot at (x, y) of that radius, in brain coordinates."""
    spot = _soft(_ellipse(rng, canvas, *where), 0.3) * canvas.brain
    return np.asarray(grey * (1 - spot) + np.maximum(level, grey) * spot, dtype=np.float32)


def _paired_calcium(rng: np.random.Generator, canvas: Canvas, grey: FloatArray) -> FloatArray:
    """Calcium where age puts it: choroid plexus or basal ganglia on both sides, alike but not equal; the pineal."""
    if rng.random() < 0.3:
        where = (rng.normal(0, 0.02), rng.uniform(0.05, 0.25), rng.uniform(0.02, 0.05))
        grey = _spot(rng, canvas, grey, where, rng.uniform(0.75, 1))
    choroid = rng.random() < 0.6
    x = rng.uniform(0.18, 0.38)
    y = rng.uniform(0.15, 0.45) if choroid else rng.uniform(-0.2, 0.05)
    level = rng.uniform(0.75, 1.0) if choroid else rng.uniform(0.55, 0.8)
    radius = rng.uniform(0.02, 0.06) if choroid else rng.uniform(0.04, 0.1)
    for side in (-1, 1):
        if rng.random() < 0.85:
            where = (side * x + rng.normal(0, 0.03), y + rng.normal(0, 0.03), radius * rng.uniform(0.6, 1.2))
            grey = _spot(rng, canvas, grey, where, level)
    return grey


def _dura(rng: np.random.Generator, canvas: Canvas, grey: FloatArray) -> FloatArray:
    """A dense falx and a dense sagittal sinus: a thin line in the middle and a triangle at the back, 45 to 65 HU."""
    x, y = canvas.axes
    width = rng.uniform(0.008, 0.025)
    line = _soft(np.asarray(width - np.abs(x - rng.normal(0, 0.01)), dtype=np.float32), 0.02)
    part = _soft(np.asarray(np.abs(y) - rng.uniform(0.2, 0.6), dtype=np.float32), 0.1)
    mask = line * part
    if rng.random() < 0.6:
        tip = rng.uniform(0.78, 0.92)
        sinus = np.minimum(y - tip, rng.uniform(0.3, 0.8) * (y - tip) + 0.02 - np.abs(x))
        mask = np.maximum(mask, _soft(np.asarray(sinus, dtype=np.float32), 0.03))
    level = np.float32(rng.uniform(42, 62) * HU)
    mask = mask * canvas.brain
    return np.asarray(grey * (1 - mask) + np.maximum(grey, level) * mask, dtype=np.float32)
