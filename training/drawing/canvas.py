"""What everything that is drawn into a head shares: the canvas, soft masks, and where things lie in a brain.

Grey levels are those of `strokenext.preprocess.contract`: 0..1 over 80 HU, normal brain at BRAIN_LEVEL (36 HU). Brain
coordinates run -1..1 over the brain's own box: x to the right, y to the back. Every function takes a numpy Generator
and returns new arrays; the same seed draws the same.
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property

import cv2
import numpy as np

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


def soft(signed: FloatArray, edge: float) -> FloatArray:
    """Signed distance-like field (positive inside) to a mask 0..1 with a border of width `edge`."""
    return np.asarray(np.clip(signed / edge + 0.5, 0, 1), dtype=np.float32)


def ellipse(rng: np.random.Generator, canvas: Canvas, cx: float, cy: float, radius: float) -> FloatArray:
    """Signed field of a wobbly ellipse in brain coordinates, positive inside, about 1 at its middle."""
    x, y = canvas.axes
    angle = rng.uniform(0, np.pi)
    stretch = rng.uniform(0.55, 1.0)
    u = (x - cx) * np.cos(angle) + (y - cy) * np.sin(angle)
    v = -(x - cx) * np.sin(angle) + (y - cy) * np.cos(angle)
    wobble = smooth_noise(rng, canvas.size, int(rng.integers(6, 14))) * rng.uniform(0.1, 0.35)
    return np.asarray(1 - np.sqrt((u / radius) ** 2 + (v / (radius * stretch)) ** 2) + wobble, dtype=np.float32)


def point(rng: np.random.Generator, canvas: Canvas, min_depth: float) -> tuple[float, float]:
    """A random point of the brain in brain coordinates, at least `min_depth` of its half-width inside."""
    x, y = canvas.axes
    deep = np.flatnonzero(canvas.depth >= min_depth * canvas.depth.max())
    at = int(rng.choice(deep))
    return float(x.flat[at]), float(y.flat[at])


def fluid(canvas: Canvas) -> FloatArray:
    """(S, S) 0..1: where CSF is, ventricles, cisterns and sulci, by its grey level below about 20 HU."""
    return np.asarray(np.clip((0.32 - canvas.grey) / 0.1, 0, 1) * canvas.brain, dtype=np.float32)


def put(grey: FloatArray, mask: FloatArray, level: FloatArray | float) -> FloatArray:
    """(S, S) with `level` where the mask is, at least as bright as what was there: dense things hide softer ones."""
    return np.asarray(grey * (1 - mask) + np.maximum(grey, np.float32(level)) * mask, dtype=np.float32)


def fill(grey: FloatArray, mask: FloatArray, level: FloatArray | float) -> FloatArray:
    """(S, S) with `level` where the mask is, whatever was there."""
    return np.asarray(grey * (1 - mask) + np.float32(level) * mask, dtype=np.float32)
