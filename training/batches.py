"""Training batches: real slices and the same backgrounds with lesions drawn in, augmented.

Classes of an example: 0 normal, 1 ischemic, 2 hemorrhagic; `presence` and `subtype` labels derive from it.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

import cv2
import numpy as np
import torch
from torch import Tensor
from torch.utils.data import DataLoader, Dataset

from strokenext.types import FloatArray

from . import augment, simulate
from .data import CACHE_SIZE, MIN_BRAIN, Cache

NORMAL, ISCHEMIC, HEMORRHAGIC = 0, 1, 2
#: Stride of the dense target: lesion masks at a quarter of the input's side.
DENSE_STRIDE = 4


@dataclass(frozen=True)
class Mixture:
    """Shares of a batch by kind of example, and the infarcts' darkening in HU."""

    normal: float = 0.32
    infarct: float = 0.28
    bleed: float = 0.20
    real_bleed: float = 0.20
    severity: tuple[float, float] = (3.0, 24.0)

    def shares(self) -> FloatArray:
        """In the order normal, infarct, simulated bleed, real bleed; sums to 1."""
        parts = np.array([self.normal, self.infarct, self.bleed, self.real_bleed], dtype=np.float32)
        return np.asarray(parts / parts.sum(), dtype=np.float32)


@dataclass(frozen=True, eq=False)
class Example:
    """grey (S, S) 0..1, not stacked yet; label; masks (2, S/4, S/4) of infarct and blood, and where they are known."""

    grey: FloatArray
    label: int
    dense: FloatArray
    known: FloatArray


class Pools:
    """Which cached rows each kind of example is drawn from; sources are balanced within each."""

    def __init__(self, cache: Cache, role: str, sources: tuple[str, ...]) -> None:
        self.cache = cache
        self.backgrounds = [self._rows(s, role, 0, MIN_BRAIN) for s in sources]
        self.normals = [self._rows(s, role, 0, 0.0) for s in sources]
        self.bleeds = [rows for s in sources if (rows := self._rows(s, role, 1, 0.0))]

    def _rows(self, source: str, role: str, hemorrhage: int, least_brain: float) -> list[int]:
        rows = self.cache.where(source=source, role=role, hemorrhage=hemorrhage)
        return [i for i in rows if self.cache.rows[i].brain >= least_brain]

    def draw(self, rng: np.random.Generator, pools: list[list[int]]) -> np.ndarray:
        """(S, S, P) uint8 planes of one row."""
        pool = pools[int(rng.integers(len(pools)))]
        return np.ascontiguousarray(self.cache.planes[int(rng.choice(pool))].transpose(1, 2, 0))


def make_example(rng: np.random.Generator, pools: Pools, size: int, mixture: Mixture) -> Example:
    """One augmented example at `size` pixels a side."""
    kind = int(rng.choice(4, p=mixture.shares()))
    planes = augment.warp(_planes(rng, pools, kind), augment.geometry(rng, CACHE_SIZE, size), size)
    inner, ignore = planes[..., 2] > 127, planes[..., 4] > 60
    depth: FloatArray = planes[..., 1] * np.float32(size / CACHE_SIZE)
    grey = augment.relevel(planes[..., 0] / np.float32(255), inner)
    infarct, blood = np.zeros_like(grey), planes[..., 3] / np.float32(255)
    if depth.max() > 3:
        canvas = simulate.Canvas(simulate.mimic(rng, simulate.Canvas(grey, depth)), depth)
        grey = canvas.grey
        if kind == 1:
            lesion = simulate.infarct(rng, canvas, mixture.severity)
            grey, infarct = lesion.grey, lesion.mask
        elif kind == 2:
            lesion = simulate.bleed(rng, canvas)
            grey, blood = lesion.grey, lesion.mask
    grey = augment.degrade(rng, augment.window_jitter(rng, grey))
    grey = augment.erase(rng, augment.relevel(grey, inner, float(np.exp(rng.normal(0, 0.03)))))
    dense = np.stack([_coarse(infarct), _coarse(blood)])
    known = np.repeat((_coarse(ignore.astype(np.float32)) <= 0.1).astype(np.float32)[None], 2, axis=0)
    label = (NORMAL, ISCHEMIC, HEMORRHAGIC, HEMORRHAGIC)[kind]
    return Example(grey.astype(np.float32), label, dense, known)


def _planes(rng: np.random.Generator, pools: Pools, kind: int) -> np.ndarray:
    """(S, S, P) uint8 of a slice for that kind of example."""
    if kind == 3:
        return pools.draw(rng, pools.bleeds)
    if kind == 0 and rng.random() < 0.35:
        return pools.draw(rng, pools.normals)  # skull base and vertex too, which no lesion is drawn on
    return pools.draw(rng, pools.backgrounds)


def _coarse(mask: FloatArray) -> FloatArray:
    """A mask at the outline decoder's stride."""
    side = mask.shape[0] // DENSE_STRIDE
    return np.asarray(cv2.resize(mask, (side, side), interpolation=cv2.INTER_AREA), dtype=np.float32)


class Examples(Dataset[tuple[Tensor, Tensor, Tensor, Tensor]]):
    """Example i of a run: the same for the same seed, whichever worker draws it."""

    def __init__(self, pools: Pools, size: int, mixture: Mixture, seed: int, first: int, count: int) -> None:
        self.pools, self.size, self.mixture = pools, size, mixture
        self.seed, self.first, self.count = seed, first, count

    def __len__(self) -> int:
        return self.count

    def __getitem__(self, index: int) -> tuple[Tensor, Tensor, Tensor, Tensor]:
        rng = np.random.default_rng((self.seed, self.first + index))
        example = make_example(rng, self.pools, self.size, self.mixture)
        return (
            torch.from_numpy(example.grey)[None],
            torch.tensor(example.label),
            torch.from_numpy(example.dense),
            torch.from_numpy(example.known),
        )


def loader(examples: Examples, batch: int, workers: int = 1) -> Iterator[tuple[Tensor, ...]]:
    """Batches in order; the last short one is dropped (batch norm needs more than one image).

    A worker is forked: start it before this process has used OpenCV, whose threads do not survive a fork.
    """
    # Its own generator: by default a loader draws a seed from the global one, and a resumed run would differ.
    own = torch.Generator().manual_seed(0)
    return iter(
        DataLoader(examples, batch, num_workers=workers, drop_last=True, worker_init_fn=_one_thread, generator=own)
    )


def _one_thread(_: int) -> None:
    cv2.setNumThreads(1)
    torch.set_num_threads(1)
