"""One example of the volumes feed: cached slices to planes, as they are or augmented, with what is known of where.

All slices of a head are turned, stretched, windowed and blurred alike: they come from one scan. A network that is told
where a lesion is learns far more from eighty heads than one that is told only whether, so each example also says, on
the grid of the third convolution, which cells are blood and which planes hold any (training only; see
`volume_objective`).
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import cv2
import numpy as np

from strokenext.preprocess.contract import levelled
from strokenext.preprocess.head import tissue_level
from strokenext.preprocess.planes import Planes, normalised, resampled
from strokenext.types import ByteArray, FloatArray
from training.cache.store import Cache
from training.drawing import augment
from training.train.recipe import Recipe

from .bleeds import Stack, bleed, slices_with

#: Of the third convolution's map: input voxels between cells, and the first voxel that the first cell stands for.
CELL, FIRST = 4, 7


@dataclass(frozen=True, eq=False)
class Slices:
    """Cached planes (n, P, S, S) uint8 of a head or a part of one, with each slice's label (1, 0, -1 unknown)."""

    planes: ByteArray
    bleeds: tuple[int, ...]


@dataclass(frozen=True, eq=False)
class VolumeExample:
    """`pixels` (1, D, S, S); `label`; `dense`, `known` (2, d, h, w): blood by cell, and by plane repeated over it."""

    pixels: FloatArray
    label: int
    dense: FloatArray
    known: FloatArray


@dataclass(frozen=True, eq=False)
class _Warped:
    """Slices brought to the recipe's size: grey and depth (n, S, S), inner, blood 0..1, and where blood is unknown."""

    grey: FloatArray
    depth: FloatArray
    inner: FloatArray
    blood: FloatArray
    unknown: FloatArray


def slices_of(cache: Cache, rows: Sequence[int], bleeds: Sequence[int], free: Sequence[bool]) -> Slices:
    """The planes of these rows; a slice that may serve as free of lesions counts as labelled 0."""
    labels = tuple(0 if spare and label < 0 else label for label, spare in zip(bleeds, free, strict=True))
    return Slices(np.stack([cache.planes[i] for i in rows]), labels)


def grid(sides: Sequence[int]) -> tuple[int, ...]:
    """Cells of the third convolution's map for these sides of the input."""
    return tuple(((side - 2) // 2 - 2) // 2 - 2 for side in sides)


def plain(slices: Slices, recipe: Recipe, planes: Planes) -> FloatArray:
    """(1, D, S, S) model input of a whole head, as `Planes.apply` makes it from the files."""
    matrix = augment.plain(slices.planes.shape[-1], recipe.size)
    head = _warped(slices, matrix, recipe.size)
    grey = levelled(head.grey, _levels(head)) if recipe.level else head.grey
    return normalised(resampled(grey, np.arange(len(grey), dtype=np.float64), planes.depth))[None]


def augmented(
    rng: np.random.Generator, slices: Slices, recipe: Recipe, planes: Planes, simulate: bool
) -> VolumeExample:
    """An augmented example, with a bleed drawn through it when `simulate` and there is room for one."""
    head = _warped(slices, augment.geometry(rng, slices.planes.shape[-1], recipe.size), recipe.size)
    grey, blood, bleeds = levelled(head.grey, _levels(head)), head.blood, np.array(slices.bleeds)
    lesion = bleed(rng, Stack(grey, head.depth)) if simulate else None
    if lesion is not None:
        grey, blood = lesion.grey, lesion.mask
        bleeds = slices_with(lesion.mask).astype(np.int64)
    grey = _degraded(rng, augment.window_jitter(rng, grey))
    levels = _levels(_Warped(grey, head.depth, head.inner, blood, head.unknown))
    grey = np.clip(levelled(grey, levels) * np.float32(np.exp(rng.normal(0, 0.03))), 0, 1)
    at = np.arange(len(grey), dtype=np.float64) + np.clip(rng.normal(0, 0.1, len(grey)), -0.3, 0.3)
    pixels = normalised(resampled(grey, at, planes.depth))[None]
    dense, known = _truth(blood, head.unknown, bleeds, at, planes.depth)
    return VolumeExample(pixels, int(1 in bleeds), dense, known)


def _warped(slices: Slices, matrix: np.ndarray, size: int) -> _Warped:
    """Each slice through the same matrix; when shrinking, blurred first, as `strokenext.preprocess.contract` does."""
    shrink = 1 / float(np.sqrt(abs(np.linalg.det(matrix[:, :2]))))
    out = np.empty((len(slices.planes), 5, size, size), dtype=np.float32)
    for k, planes in enumerate(slices.planes):
        grey = cv2.GaussianBlur(planes[0], (0, 0), 0.4 * shrink) if shrink > 1.2 else planes[0]
        together = np.ascontiguousarray(np.stack([grey, *planes[1:]], axis=-1))
        out[k] = augment.warp(together, matrix, size).transpose(2, 0, 1)
    return _Warped(
        grey=out[:, 0] / np.float32(255),
        depth=out[:, 1] / np.float32(shrink),
        inner=out[:, 2] / np.float32(255),
        blood=out[:, 3] / np.float32(255),
        unknown=(out[:, 4] > 60).astype(np.float32),
    )


def _levels(head: _Warped) -> list[float]:
    """Each slice's brain level, 0 where too little tissue tells it; as `strokenext.preprocess.head.brain_level`."""
    return [tissue_level(grey[inner > 0.5]) for grey, inner in zip(head.grey, head.inner, strict=True)]


def _degraded(rng: np.random.Generator, grey: FloatArray) -> FloatArray:
    """Blur or sharpen all slices alike, and noise of one strength that differs from slice to slice."""
    size, roll = grey.shape[1], rng.random()
    sigma, gain = rng.uniform(0.3, 1.2) * size / 160, rng.uniform(0.2, 0.8)
    noise = rng.uniform(0.004, 0.03) if rng.random() < 0.6 else 0.0
    out = np.empty_like(grey)
    for k, one in enumerate(grey):
        soft = augment.soften(one, sigma if roll < 0.35 else size / 160)
        changed = soft if roll < 0.35 else one + gain * (one - soft) if roll < 0.5 else one
        if noise:
            changed = changed + noise * rng.standard_normal(one.shape).astype(np.float32) * (one > 0.01)
        out[k] = changed
    return np.clip(out, 0, 1)


def _truth(
    blood: FloatArray, unknown: FloatArray, bleeds: np.ndarray, at: np.ndarray, depth: int
) -> tuple[FloatArray, FloatArray]:
    """`dense` and `known` of an example, each (2, d, h, w): blood by cell, and whether a plane holds any."""
    size = blood.shape[1]
    quiet = (bleeds == 0)[:, None, None]
    mask = np.where(quiet, np.float32(0), blood)
    open_ = np.where(quiet, np.float32(0), np.where((bleeds < 0)[:, None, None], np.float32(1), unknown))
    cells = [_pooled(resampled(np.asarray(a, np.float32), at, depth)) for a in (mask, open_)]
    sides = (len(bleeds), 1, 1)
    lines = [resampled((bleeds == v).astype(np.float32).reshape(sides), at, depth).ravel() for v in (1, -1)]
    wanted = grid((depth, size, size))
    positive, hidden = ([*_line(line, wanted[0])] for line in lines)
    plane = np.array(positive, np.float32)
    clear = ((plane > 0.6) | (plane < 0.05)) & (np.array(hidden) < 0.05)
    over = np.ones(wanted, np.float32)
    dense = np.stack([cells[0], (plane > 0.6)[:, None, None] * over])
    known = np.stack([(cells[1] < 0.1).astype(np.float32), clear[:, None, None] * over])
    return dense.astype(np.float32), known.astype(np.float32)


def _line(values: FloatArray, cells: int) -> FloatArray:
    """(D,) to the mean over each cell's planes."""
    return np.asarray(values[FIRST : FIRST + CELL * cells].reshape(cells, CELL).mean(axis=1), np.float32)


def _pooled(volume: FloatArray) -> FloatArray:
    """(D, S, S) to the mean over each cell of the third convolution's map."""
    d, h, w = grid(volume.shape)
    cut = volume[FIRST : FIRST + CELL * d, FIRST : FIRST + CELL * h, FIRST : FIRST + CELL * w]
    return np.asarray(cut.reshape(d, CELL, h, CELL, w, CELL).mean(axis=(1, 3, 5)), np.float32)
