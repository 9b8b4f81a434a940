"""Simulated bleeds that run through neighbouring slices of a normal head: `drawing.bleed` in three dimensions.

A volume network needs lesions that are one body, not a new one on every slice. Positions are in brain coordinates of
each slice (-1..1 over its brain, as `Canvas.axes`) and in slices along the head; grey levels are those of
`strokenext.preprocess.contract`. As there, the same seed draws the same lesion.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property

import cv2
import numpy as np

from strokenext.types import BoolArray, FloatArray
from training.drawing.canvas import HU, Canvas, smooth_noise

#: A brain is about this many times as high as its half-width: a ball of radius r runs over r * HEIGHT / 2 * n slices
#: of the n that show brain, to either side.
HEIGHT = 0.95
#: Least share of a slice that its brain must cover for a lesion to start there.
LEAST_BRAIN = 0.15
#: A lesion smaller than this share of one slice is not worth its label.
LEAST_LESION = 0.0008


@dataclass(frozen=True, eq=False)
class Stack:
    """Slices to draw on: grey (n, S, S) 0..1 its brain at BRAIN_LEVEL, distance in pixels to its edge (0 outside)."""

    grey: FloatArray
    depth: FloatArray

    def __len__(self) -> int:
        return len(self.grey)

    @cached_property
    def canvases(self) -> tuple[Canvas, ...]:
        """Each slice with its brain's coordinates."""
        return tuple(Canvas(g, d) for g, d in zip(self.grey, self.depth, strict=True))

    @cached_property
    def starts(self) -> list[int]:
        """Slices with brain enough for a lesion's middle."""
        return np.flatnonzero((self.depth > 0).mean(axis=(1, 2)) >= LEAST_BRAIN).tolist()


@dataclass(frozen=True, eq=False)
class Bleed:
    """The slices with their lesion, and its soft mask (n, S, S) 0..1."""

    grey: FloatArray
    mask: FloatArray


@dataclass(frozen=True)
class _Waves:
    """Two smooth fields (S, S) whose mixture turns from slice to slice, so that a rough outline changes slowly."""

    a: FloatArray
    b: FloatArray
    pace: float

    @classmethod
    def draw(cls, rng: np.random.Generator, size: int, cells: tuple[int, int]) -> _Waves:
        many = int(rng.integers(*cells))
        return cls(smooth_noise(rng, size, many), smooth_noise(rng, size, many), float(rng.uniform(0.15, 0.5)))

    def at(self, k: int) -> FloatArray:
        return np.asarray(self.a * np.cos(k * self.pace) + self.b * np.sin(k * self.pace), dtype=np.float32)


def bleed(rng: np.random.Generator, stack: Stack) -> Bleed | None:
    """A hemorrhage of random kind through a normal head; None where its brain has no room for one."""
    if not stack.starts:
        return None
    size = stack.grey.shape[1]
    makers = (_parenchymal, _extra_axial, _fluid_filled)
    chosen = rng.choice(3, size=1 + int(rng.random() < 0.15), replace=False, p=[0.55, 0.27, 0.18])
    mask = np.zeros_like(stack.grey)
    for kind in chosen:
        mask = np.maximum(mask, makers[int(kind)](rng, stack))
    if mask.sum(axis=(1, 2)).max() < LEAST_LESION * size * size:  # no fluid to fill, or under the skull of no brain
        mask = _parenchymal(rng, stack)
    mask = np.asarray(mask * (stack.depth > 0), dtype=np.float32)
    if mask.sum(axis=(1, 2)).max() < LEAST_LESION * size * size:
        return None
    return Bleed(_painted(rng, stack, mask), mask)


def _painted(rng: np.random.Generator, stack: Stack, mask: FloatArray) -> FloatArray:
    """The slices with blood of one level and texture in the mask, and often a rim of oedema around it."""
    size = stack.grey.shape[1]
    level, speckle = rng.uniform(50, 78) * HU, rng.uniform(0.5, 3) * HU
    texture, strength = _Waves.draw(rng, size, (8, 24)), rng.uniform(1, 4) * HU
    rim_width, rim_depth = size * rng.uniform(0.01, 0.05), rng.uniform(2, 14) * HU * (rng.random() < 0.7)
    grain = rng.standard_normal((size, size)).astype(np.float32)
    out = stack.grey.copy()
    for k in np.flatnonzero(mask.any(axis=(1, 2))):
        grey, here = out[k], mask[k]
        if rim_depth > 0:
            rim = np.clip(cv2.GaussianBlur(here, (0, 0), rim_width) * 2.2, 0, 1) * (1 - here) * (stack.depth[k] > 0)
            grey = grey - rim * rim_depth * (grey < 0.7)
        noise = speckle * np.roll(grain, (7 * int(k), 11 * int(k)), (0, 1))
        blood = np.maximum(level + strength * texture.at(int(k)) + noise, grey)
        out[k] = np.clip(grey * (1 - here) + blood * here, 0, 1)
    return out


def _heights(rng: np.random.Generator, stack: Stack, radius: float) -> tuple[int, FloatArray]:
    """The middle slice of a lesion, and every slice's distance to it in half-heights, -1..1 inside."""
    middle = int(rng.choice(stack.starts))
    half = max(0.7, radius * HEIGHT * len(stack.starts) / 2 * rng.uniform(0.7, 1.3))
    offset = rng.uniform(-0.4, 0.4)
    return middle, ((np.arange(len(stack)) - middle - offset) / half).astype(np.float32)


def _parenchymal(rng: np.random.Generator, stack: Stack) -> FloatArray:
    """One to three rounded clots, deep, lobar or scattered."""
    mask = np.zeros_like(stack.grey)
    for index in range(1 if rng.random() < 0.75 else int(rng.integers(2, 4))):
        radius = float(np.exp(rng.uniform(np.log(0.08), np.log(0.42)))) * (1.0 if index == 0 else 0.5)
        middle, heights = _heights(rng, stack, radius)
        centre = _centre(rng, stack.canvases[middle])
        body = _Body.draw(rng, stack.grey.shape[1], centre, radius)
        edge = rng.uniform(0.02, 0.07)
        for k in np.flatnonzero(np.abs(heights) < 1.3):
            field = body.field(stack.canvases[k], float(heights[k]), int(k))
            mask[k] = np.maximum(mask[k], np.clip(field * radius / edge + 0.5, 0, 1))
    return mask


@dataclass(frozen=True)
class _Body:
    """A rough ellipsoid standing at (x, y) in brain coordinates."""

    centre: tuple[float, float]
    radius: float
    stretch: float
    angle: float
    rough: _Waves
    roughness: float

    @classmethod
    def draw(cls, rng: np.random.Generator, size: int, centre: tuple[float, float], radius: float) -> _Body:
        stretch, angle = float(rng.uniform(0.55, 1)), float(rng.uniform(0, np.pi))
        return cls(centre, radius, stretch, angle, _Waves.draw(rng, size, (6, 14)), float(rng.uniform(0.1, 0.35)))

    def field(self, canvas: Canvas, height: float, k: int) -> FloatArray:
        """(S, S) positive inside, about 1 at the middle; `height` in half-heights."""
        x, y = canvas.axes
        dx, dy = x - self.centre[0], y - self.centre[1]
        u = dx * np.cos(self.angle) + dy * np.sin(self.angle)
        v = -dx * np.sin(self.angle) + dy * np.cos(self.angle)
        far = np.sqrt((u / self.radius) ** 2 + (v / (self.radius * self.stretch)) ** 2 + height**2)
        return np.asarray(1 - far + self.roughness * self.rough.at(k), dtype=np.float32)


def _centre(rng: np.random.Generator, canvas: Canvas) -> tuple[float, float]:
    """Deep on either side, or anywhere in the brain a little inside its edge."""
    if rng.random() < 0.45:
        return float(rng.choice([-1, 1])) * rng.uniform(0.2, 0.5), float(rng.uniform(-0.3, 0.3))
    x, y = canvas.axes
    inside = np.flatnonzero(canvas.depth >= 0.12 * canvas.depth.max())
    at = int(rng.choice(inside))
    return float(x.flat[at]), float(y.flat[at])


def _extra_axial(rng: np.random.Generator, stack: Stack) -> FloatArray:
    """A crescent (subdural) or lens (epidural) under the skull on one side, thinner towards its ends."""
    size = stack.grey.shape[1]
    side, middle_angle, half_angle = float(rng.choice([-1, 1])), rng.uniform(-75, 75), rng.uniform(15, 75)
    lens, thickness, edge = rng.random() < 0.4, size * rng.uniform(0.02, 0.08), rng.uniform(1.0, 2.5) * size / 160
    rough = _Waves.draw(rng, size, (8, 9))
    _, heights = _heights(rng, stack, half_angle / 75 * rng.uniform(0.5, 1.0))
    mask = np.zeros_like(stack.grey)
    for k in np.flatnonzero(np.abs(heights) < 1):
        canvas = stack.canvases[k]
        x, y = canvas.axes
        along = np.clip(1 - ((np.degrees(np.arctan2(y, x * side)) - middle_angle) / half_angle) ** 2, 0, 1)
        profile = (along if lens else along**0.5) * np.sqrt(1 - heights[k] ** 2)
        width = thickness * profile * (1 + 0.25 * rough.at(int(k)))
        mask[k] = np.clip((width - canvas.depth) / edge + 0.5, 0, 1) * (profile > 0.05) * (canvas.depth > 0)
    return mask


def _fluid_filled(rng: np.random.Generator, stack: Stack) -> FloatArray:
    """Blood in fluid: deep in the ventricles, or in sulci and cisterns of one region."""
    radius = float(rng.uniform(0.35, 0.9))
    middle, heights = _heights(rng, stack, radius)
    body = _Body.draw(rng, stack.grey.shape[1], _centre(rng, stack.canvases[middle]), radius)
    deep, strength = rng.random() < 0.5, rng.uniform(0.6, 1)
    mask = np.zeros_like(stack.grey)
    for k in np.flatnonzero(np.abs(heights) < 1.2):
        canvas = stack.canvases[k]
        fluid = np.clip((0.32 - canvas.grey) / 0.1, 0, 1) * canvas.brain
        if deep:
            room = np.clip((canvas.depth - 0.25 * canvas.depth.max()) / 3 + 0.5, 0, 1) * (abs(heights[k]) < 1)
        else:
            room = np.clip(body.field(canvas, float(heights[k]), int(k)) / 0.3 + 0.5, 0, 1) * strength
        mask[k] = np.clip(cv2.GaussianBlur(fluid * room, (0, 0), stack.grey.shape[1] / 200) * 1.5, 0, 1)
    return mask


def slices_with(mask: FloatArray) -> BoolArray:
    """(n,) whether a lesion shows on each slice: at least LEAST_LESION of it."""
    return np.asarray(mask.sum(axis=(1, 2)) >= LEAST_LESION * mask.shape[1] ** 2)


def longest_run(free: Sequence[bool]) -> range:
    """The longest run of neighbouring slices for which `free` is true; empty where there is none."""
    best, start = range(0), 0
    for i, value in enumerate([*free, False]):
        if not value:
            if i - start > len(best):
                best = range(start, i)
            start = i + 1
    return best
