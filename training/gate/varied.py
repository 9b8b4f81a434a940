"""The gate and the framing on the same slices before and after a variation: refusals, and where the head was found."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

import cv2
import numpy as np
from numpy.typing import NDArray

from strokenext.gate import check_scope
from strokenext.io.read import read_slice
from strokenext.preprocess.head import find_head
from strokenext.types import BoolArray, FloatArray, Gate, Slice

from .variations import VARIATIONS, Export, Variation, unvaried

#: Boxes that share less than this of what they take together are not the same head.
SAME_HEAD = 0.8


@dataclass(frozen=True)
class Varied:
    """What the gate says of a picture after the variation of that name, and how far the head's box stayed, 0..1."""

    variation: str
    gate: Gate
    overlap: float


def varied(path: Path, seed: int) -> Iterator[Varied]:
    """One picture of a head through every variation, the draws fixed by `seed`."""
    original = read_slice(path).pixels
    plain = find_head(original / np.float32(255))
    for number, (name, variation) in enumerate(VARIATIONS.items()):
        export = variation(unvaried(original.copy()), np.random.default_rng((seed, number)))
        found = find_head(export.grey / np.float32(255))
        stayed = 0.0
        if plain is not None and found is not None:
            stayed = box_overlap(found.mask, moved(plain.mask, export))
        yield Varied(name, check_scope(Slice(export.grey, "grey")), stayed)


def exported(pictures: Sequence[FloatArray], variation: Variation) -> Iterator[Gate]:
    """The gate's answers on pictures of any kind, grey levels 0..255, after one variation."""
    for seed, picture in enumerate(pictures):
        export = variation(unvaried(picture.copy()), np.random.default_rng(seed))
        yield check_scope(Slice(export.grey, "grey"))


def moved(mask: BoolArray, export: Export) -> BoolArray:
    """A mask of the original picture where it lies in the export."""
    size = (export.grey.shape[1], export.grey.shape[0])
    return np.asarray(cv2.warpPerspective(mask.astype(np.uint8), export.place, size) > 0)


def box_overlap(mask: BoolArray, other: BoolArray) -> float:
    """What the boxes of two masks share of what they take together, 0..1; single far pixels do not count."""
    if not mask.any() or not other.any():
        return 0.0
    a, b = _box(mask), _box(other)
    sides = np.minimum(a[1], b[1]) - np.maximum(a[0], b[0])
    common = float(np.prod(np.maximum(sides, 0)))
    return common / float(np.prod(a[1] - a[0]) + np.prod(b[1] - b[0]) - common)


def _box(mask: BoolArray) -> NDArray[np.float64]:
    """((top, left), (bottom, right)) of a mask."""
    return np.percentile(np.argwhere(mask), (0.3, 99.7), axis=0)
