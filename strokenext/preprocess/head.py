"""Where the head is in a slice: its mask, its midline and the grey level of its brain.

Plain image processing on grey levels 0..1, so that it works on any window and needs no HU.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Any

import cv2
import numpy as np
from numpy.typing import NDArray

from strokenext.types import BoolArray, FloatArray

from .outline import outline

#: Searches run on a copy of at most this many pixels a side: enough for an outline, and fast.
SEARCH_SIZE = 256
#: The midline is looked for within this many degrees of upright. Beyond it the picture is not a usual axial slice.
MAX_TILT = 27
#: Midline search resolution in pixels, and the gain in symmetry that justifies turning by a degree.
SYMMETRY_SIZE = 64
TILT_PENALTY = 0.0008
#: Share of the head's shorter half-axis that skull and scalp can take; the brain level is read inside it.
SKULL_SHARE = 0.22
#: Grey levels 0..1 between which tissue lies, and how many pixels of it a level is read from.
TISSUE, LEAST_TISSUE = (0.012, 0.985), 20


@dataclass(frozen=True, eq=False)
class Head:
    """The head found in an image.

    `mask` is (H, W), filled; `extent` is (width, height) in pixels along the head's own axes and `middle`
    the middle (x, y) of that box; `tilt` is the angle of the midline in degrees, positive when the top
    leans to the right.
    """

    mask: BoolArray
    extent: tuple[float, float]
    middle: tuple[float, float]
    tilt: float


def find_head(grey: FloatArray) -> Head | None:
    """The head in an image (H, W) of grey levels 0..1, or None where nothing stands out from the background."""
    scale = min(1.0, SEARCH_SIZE / max(grey.shape))
    small = grey
    if scale < 1:
        small = np.asarray(cv2.resize(grey, None, fx=scale, fy=scale, interpolation=cv2.INTER_AREA), dtype=np.float32)
    found = outline(small)
    if found is None:
        return None
    center = _centroid(found)
    tilt = _tilt(small, found, center)
    extent, middle = _extent(found, center, tilt)
    mask = found
    if scale < 1:
        size = (grey.shape[1], grey.shape[0])
        mask = cv2.resize(found.astype(np.float32), size, interpolation=cv2.INTER_LINEAR) > 0.5
    sx, sy = grey.shape[1] / small.shape[1], grey.shape[0] / small.shape[0]
    return Head(
        mask=np.asarray(mask, dtype=np.bool_),
        extent=(extent[0] * sx, extent[1] * sy),
        middle=((middle[0] + 0.5) * sx - 0.5, (middle[1] + 0.5) * sy - 0.5),  # pixel centres sit at whole numbers
        tilt=tilt,
    )


def brain_level(grey: FloatArray, mask: BoolArray) -> float:
    """Median grey level 0..1 of the tissue well inside the head, bone and air left out; 0 when there is none."""
    return tissue_level(grey[well_inside(mask)])


def well_inside(mask: BoolArray) -> BoolArray:
    """(H, W) well inside a head mask, away from skull and scalp."""
    distance = edge_distance(mask)
    return np.asarray(distance > SKULL_SHARE * float(distance.max(initial=0.0)))


def edge_distance(mask: NDArray[Any]) -> FloatArray:
    """(H, W) distance in pixels to the nearest pixel outside a mask; what lies beyond the picture is outside."""
    padded = np.pad(mask, 1).astype(np.uint8)
    return np.asarray(cv2.distanceTransform(padded, cv2.DIST_L2, 3)[1:-1, 1:-1], dtype=np.float32)


def tissue_level(grey: FloatArray) -> float:
    """Median of the grey levels 0..1 that are neither air nor bone; 0 where there are too few."""
    tissue = grey[(grey > TISSUE[0]) & (grey < TISSUE[1])]
    return float(np.median(tissue)) if tissue.size >= LEAST_TISSUE else 0.0


def _centroid(mask: BoolArray) -> tuple[float, float]:
    moments = cv2.moments(mask.astype(np.uint8), binaryImage=True)
    return moments["m10"] / moments["m00"], moments["m01"] / moments["m00"]


def _tilt(grey: FloatArray, mask: BoolArray, center: tuple[float, float]) -> float:
    """The angle in degrees at which the head equals its mirror image best, within MAX_TILT of upright."""
    ys, xs = np.nonzero(mask)
    radius = float(np.hypot(xs - center[0], ys - center[1]).max()) * 1.02 + 1
    picture = np.clip(grey, 0, 1) * mask

    def cost(angle: float) -> float:
        turned = cv2.warpAffine(picture, rotation(center, angle, radius, SYMMETRY_SIZE), (SYMMETRY_SIZE,) * 2)
        turned = cv2.GaussianBlur(turned, (0, 0), 1.5)
        asymmetry = float(np.abs(turned - turned[:, ::-1]).mean()) / max(float(turned.mean()), 1e-6)
        return asymmetry + TILT_PENALTY * abs(angle)

    coarse = min(range(-MAX_TILT + 3, MAX_TILT - 2, 4), key=cost)
    return float(min((coarse + step for step in (-3, -2, -1, 0, 1, 2, 3)), key=cost))


def rotation(center: tuple[float, float], angle: float, radius: float, size: int) -> np.ndarray:
    """(2, 3) matrix from image pixels to a square of `size` pixels that holds the circle, midline upright."""
    scale = size / (2 * radius)
    cos, sin = math.cos(math.radians(angle)) * scale, math.sin(math.radians(angle)) * scale
    middle = (size - 1) / 2
    return np.array(
        [
            [cos, sin, middle - cos * center[0] - sin * center[1]],
            [-sin, cos, middle + sin * center[0] - cos * center[1]],
        ]
    )


def _extent(
    mask: BoolArray, center: tuple[float, float], tilt: float
) -> tuple[tuple[float, float], tuple[float, float]]:
    """(width, height) of the mask along its own axes and the middle of that box (x, y), in pixels."""
    ys, xs = np.nonzero(mask)
    cos, sin = math.cos(math.radians(tilt)), math.sin(math.radians(tilt))
    dx, dy = xs - center[0], ys - center[1]
    u, v = cos * dx + sin * dy, -sin * dx + cos * dy
    # Percentiles, not extremes: an ear or a tube must not move the box.
    (u0, u1), (v0, v1) = np.percentile(u, (0.3, 99.7)), np.percentile(v, (0.3, 99.7))
    mu, mv = (u0 + u1) / 2, (v0 + v1) / 2
    middle = (center[0] + cos * mu - sin * mv, center[1] + sin * mu + cos * mv)
    return (float(u1 - u0 + 1), float(v1 - v0 + 1)), (float(middle[0]), float(middle[1]))
