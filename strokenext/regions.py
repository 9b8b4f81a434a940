"""Probability maps of a segmentation model to regions on the original pixels.

`Masks` is stored in a segmentation model's config.json beside `Preprocess`: where each class is cut off, and what a
mark of it means. A region is what is left on the picture itself, with its area where the pixels have a size.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import asdict, dataclass, fields
from typing import Any

import cv2
import numpy as np
from numpy.typing import NDArray

from strokenext.preprocess.contract import on_picture

from .errors import ModelError
from .types import BoolArray, FloatArray

#: Outlines are traced at this many steps per pixel, so that they follow the pixels' edges.
STEPS = 4

Outline = tuple[tuple[float, float], ...]


@dataclass(frozen=True)
class Masks:
    """How maps become regions, one entry per class.

    `thresholds` on the probability sigmoid(logit / temperature); `least` is the smallest connected part that is
    kept, in pixels of the model's input; `says` is a sentence about what a mark of the class means.
    """

    thresholds: tuple[float, ...]
    least: tuple[float, ...]
    says: tuple[str, ...]

    def __post_init__(self) -> None:
        if not len(self.thresholds) == len(self.least) == len(self.says) > 0:
            raise ModelError("The record of masks needs a threshold, a least size and a sentence for every class.")
        if not all(within(t, 0, 1) for t in self.thresholds) or not all(within(n, 0, 1e6) for n in self.least):
            raise ModelError("The record of masks has a threshold outside 0..1 or an impossible least size.")
        if not all(isinstance(s, str) and s.strip() for s in self.says):
            raise ModelError("The record of masks must say in a sentence what each class marks.")

    def to_dict(self) -> dict[str, Any]:
        """Plain JSON values."""
        return {name: list(values) for name, values in asdict(self).items()}

    @classmethod
    def from_dict(cls, record: object) -> Masks:
        """Inverse of `to_dict`. Raises ModelError on unknown or missing keys."""
        names = {f.name for f in fields(cls)}
        if (
            not isinstance(record, dict)
            or set(record) != names
            or not all(isinstance(v, list) for v in record.values())
        ):
            raise ModelError(f"The record of masks must have exactly the lists {', '.join(sorted(names))}.")
        return cls(**{name: tuple(values) for name, values in record.items()})

    def regions(
        self,
        probabilities: FloatArray,
        classes: Sequence[str],
        affine: NDArray[np.float64],
        shape: tuple[int, int],
        spacing: tuple[float, float] | None = None,
    ) -> tuple[Region, ...]:
        """One region per class from its map (K, S, S) 0..1 over the model's input, on the picture of `shape` (H, W).

        `affine` (2, 3) takes a pixel (x, y) of the picture to the input; `spacing` is (row, column) in mm.
        """
        pixels = abs(float(np.linalg.det(affine[:, :2])))  # input pixels per pixel of the picture
        regions = []
        for i, name in enumerate(classes):
            spread = on_picture(probabilities[i], affine, shape)
            mask = without_specks(spread >= self.thresholds[i], self.least[i] / pixels)
            mask.flags.writeable = False
            regions.append(Region(name, self.says[i], mask, self.thresholds[i], float(spread.max()), spacing))
        return tuple(regions)


@dataclass(frozen=True, eq=False)
class Region:
    """What a model marks as one class on a picture: `mask` (H, W), True where marked, in the picture's own pixels.

    `says` is what a mark means, `threshold` the probability it was cut at, `peak` the highest probability anywhere;
    `spacing` is (row, column) in mm, None where the file does not state it.
    """

    name: str
    says: str
    mask: BoolArray
    threshold: float
    peak: float
    spacing: tuple[float, float] | None = None

    @property
    def pixels(self) -> int:
        """How many pixels are marked."""
        return int(self.mask.sum())

    @property
    def area(self) -> float | None:
        """Marked area in mm2; None where the pixels have no known size."""
        return None if self.spacing is None else self.pixels * self.spacing[0] * self.spacing[1]

    @property
    def diameter(self) -> float | None:
        """The longest straight line between two corners of one connected part, in mm; None without pixel size."""
        if self.spacing is None:
            return None
        count, labels = cv2.connectedComponents(self.mask.astype(np.uint8), connectivity=8)
        return max((_longest(labels == part, self.spacing) for part in range(1, count)), default=0.0)

    @property
    def parts(self) -> int:
        """How many connected parts there are."""
        return int(cv2.connectedComponents(self.mask.astype(np.uint8), connectivity=8)[0]) - 1

    @property
    def box(self) -> tuple[int, int, int, int] | None:
        """(x, y, width, height) in pixels around everything marked; None where nothing is."""
        if not self.pixels:
            return None
        x, y, width, height = cv2.boundingRect(self.mask.astype(np.uint8))
        return int(x), int(y), int(width), int(height)

    def outlines(self) -> tuple[Outline, ...]:
        """Closed lines (x, y) around what is marked, holes too; pixel (0, 0) reaches from 0 to 1."""
        large = np.repeat(np.repeat(self.mask.astype(np.uint8), STEPS, axis=0), STEPS, axis=1)
        lines, _ = cv2.findContours(large, cv2.RETR_CCOMP, cv2.CHAIN_APPROX_SIMPLE)
        edges = [((line[:, 0] + 0.5) / STEPS).round(3) for line in lines]
        return tuple(tuple((x, y) for x, y in edge.tolist()) for edge in edges)

    def to_json(self) -> dict[str, Any]:
        """Plain JSON values; the mask itself travels as a picture."""
        across = self.diameter  # takes the parts apart, once
        return {
            "name": self.name,
            "says": self.says,
            "pixels": self.pixels,
            "area_mm2": None if self.area is None else round(self.area, 2),
            "diameter_mm": None if across is None else round(across, 2),
            "parts": self.parts,
            "box": None if self.box is None else list(self.box),
            "threshold": self.threshold,
            "peak_probability": round(self.peak, 6),
        }


def _longest(mask: BoolArray, spacing: tuple[float, float]) -> float:
    """mm between the two farthest corners of pixels of a mask (H, W)."""
    rows, columns = np.nonzero(mask)
    corners = np.concatenate([np.stack([columns + x, rows + y], axis=1) for x in (0, 1) for y in (0, 1)])
    hull = cv2.convexHull((corners * (spacing[1], spacing[0])).astype(np.float32))[:, 0].astype(np.float64)
    return float(np.sqrt(((hull[:, None] - hull[None]) ** 2).sum(axis=-1)).max())


def without_specks(mask: BoolArray, least: float) -> BoolArray:
    """(H, W) without its connected parts of fewer than `least` pixels."""
    count, labels, stats, _ = cv2.connectedComponentsWithStats(mask.astype(np.uint8), connectivity=8)
    kept = [k for k in range(1, count) if stats[k, cv2.CC_STAT_AREA] >= least]
    return np.asarray(np.isin(labels, kept))


def within(value: object, low: float, high: float) -> bool:
    """Whether it is a finite number, not a truth value, within [low, high]."""
    plain = isinstance(value, int | float) and not isinstance(value, bool)
    return plain and math.isfinite(value) and low <= value <= high  # type: ignore[arg-type, operator]
