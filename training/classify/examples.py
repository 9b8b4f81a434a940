"""Examples of the lesions feed: real slices and the same backgrounds with lesions drawn in, augmented.

Classes of an example: 0 normal, 1 ischemic, 2 hemorrhagic; `presence` and `subtype` labels derive from it.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass

import cv2
import numpy as np
import torch
from torch import Tensor
from torch.utils.data import DataLoader, Dataset

from strokenext.errors import DataError
from strokenext.types import FloatArray
from training.cache.planes import MIN_BRAIN
from training.cache.store import Cache
from training.drawing import augment
from training.drawing.bleed import bleed
from training.drawing.canvas import Canvas
from training.drawing.infarct import infarct
from training.drawing.mimics.mimic import mimic
from training.train.recipe import Mixture

NORMAL, ISCHEMIC, HEMORRHAGIC = 0, 1, 2
#: Label of a slice of which nobody said what it shows: teachers answer for it.
UNLABELLED = -1
#: Stride of the dense target: lesion masks at a quarter of the input's side.
DENSE_STRIDE = 4


@dataclass(frozen=True, eq=False)
class SliceExample:
    """grey (S, S) 0..1, not stacked yet; label; masks (2, S/4, S/4) of infarct and blood, and where they are known."""

    grey: FloatArray
    label: int
    dense: FloatArray
    known: FloatArray


class Pools:
    """Which of the given cached rows each kind of example is drawn from; sources are balanced within each.

    `away` lets unlabelled slices that many slices from an annotated one serve as free of lesions; 0: none do.
    """

    def __init__(self, cache: Cache, rows: Sequence[int], sources: tuple[str, ...] = (), away: int = 0) -> None:
        self.cache, self.away = cache, away
        of_source = {s: [i for i in rows if cache.rows[i].source == s] for s in sources or self._names(rows)}
        free = [[i for i in r if cache.rows[i].lesion_free(away)] for r in of_source.values()]
        self.normals = [r for r in free if r]
        self.backgrounds = [r for pool in free if (r := [i for i in pool if cache.rows[i].brain >= MIN_BRAIN])]
        unsaid = [[i for i in r if cache.rows[i].presence is None] for r in of_source.values()]
        self.unlabelled = [left for r in unsaid if (left := [i for i in r if not cache.rows[i].lesion_free(away)])]
        self.infarcts, self.bleeds = (
            [r for pool in of_source.values() if (r := [i for i in pool if cache.rows[i].subtype == kind])]
            for kind in (0, 1)
        )

    def _names(self, rows: Sequence[int]) -> list[str]:
        return sorted({self.cache.rows[i].source for i in rows})

    def check(self, mixture: Mixture) -> None:
        """Raise DataError when a kind of example has a share of the batch and no slice to be drawn from."""
        for share, pools, what in (
            (mixture.normal + mixture.infarct + mixture.bleed, self.backgrounds, "lesion-free slice with enough brain"),
            (mixture.real_bleed, self.bleeds, "slice labelled hemorrhagic"),
            (mixture.real_infarct, self.infarcts, "slice labelled ischemic"),
            (mixture.unlabelled, self.unlabelled, "unlabelled slice"),
        ):
            if share > 0 and not pools:
                raise DataError(f"The split's part holds no {what}, of which the recipe's mixture wants {share:.0%}.")

    def draw(self, rng: np.random.Generator, pools: list[list[int]]) -> np.ndarray:
        """(S, S, P) uint8 planes of one row."""
        pool = pools[int(rng.integers(len(pools)))]
        return np.ascontiguousarray(self.cache.planes[int(rng.choice(pool))].transpose(1, 2, 0))


def make_example(rng: np.random.Generator, pools: Pools, size: int, mixture: Mixture) -> SliceExample:
    """One augmented example at `size` pixels a side."""
    kind = int(rng.choice(6, p=mixture.shares()))
    cached = pools.cache.size
    planes = augment.warp(_planes(rng, pools, kind), augment.geometry(rng, cached, size), size)
    if rng.random() < 0.5:
        planes = augment.bend(rng, planes)
    inner, ignore = planes[..., 2] > 127, planes[..., 4] > 60
    depth: FloatArray = planes[..., 1] * np.float32(size / cached)
    grey = augment.relevel(planes[..., 0] / np.float32(255), inner)
    dead, blood = np.zeros_like(grey), planes[..., 3] / np.float32(255)
    if depth.max() > 3:
        canvas = Canvas(mimic(rng, Canvas(grey, depth)), depth)
        grey = canvas.grey
        if kind == 1:
            lesion = infarct(rng, canvas, mixture.severity)
            grey, dead = lesion.grey, lesion.mask
        elif kind == 2:
            lesion = bleed(rng, canvas)
            grey, blood = lesion.grey, lesion.mask
    grey = augment.exported(rng, augment.degrade(rng, augment.window_jitter(rng, grey)))
    grey = augment.erase(rng, augment.relevel(grey, inner, float(np.exp(rng.normal(0, 0.03)))))
    dense = np.stack([_coarse(dead), _coarse(blood)])
    known = np.repeat((_coarse(ignore.astype(np.float32)) <= 0.1).astype(np.float32)[None], 2, axis=0)
    label = (NORMAL, ISCHEMIC, HEMORRHAGIC, HEMORRHAGIC, ISCHEMIC, UNLABELLED)[kind]
    known *= label != UNLABELLED
    return SliceExample(grey.astype(np.float32), label, dense, known)


def _planes(rng: np.random.Generator, pools: Pools, kind: int) -> np.ndarray:
    """(S, S, P) uint8 of a slice for that kind of example."""
    if kind >= 3:
        return pools.draw(rng, (pools.bleeds, pools.infarcts, pools.unlabelled)[kind - 3])
    if kind == 0 and rng.random() < 0.35:
        return pools.draw(rng, pools.normals)  # skull base and vertex too, which no lesion is drawn on
    return pools.draw(rng, pools.backgrounds)


def _coarse(mask: FloatArray) -> FloatArray:
    """A mask at the outline decoder's stride."""
    side = mask.shape[0] // DENSE_STRIDE
    return np.asarray(cv2.resize(mask, (side, side), interpolation=cv2.INTER_AREA), dtype=np.float32)


class Examples(Dataset[tuple[Tensor, Tensor, Tensor, Tensor]]):
    """SliceExample i of a run: the same for the same seed, whichever worker draws it."""

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
    """Batches in order; the last short one is dropped (batch norm needs more than one image)."""
    places = [list(range(i, i + batch)) for i in range(0, len(examples) - batch + 1, batch)]
    return loaded(examples, places, workers)


def loaded(examples: Examples, places: Sequence[list[int]], workers: int) -> Iterator[tuple[Tensor, ...]]:
    """The examples at these places, a batch each. A worker is forked: OpenCV's threads would not survive that."""
    cv2.setNumThreads(1)
    # Its own generator: by default a loader draws a seed from the global one, and a resumed run would differ.
    own = torch.Generator().manual_seed(0)
    return iter(
        DataLoader(examples, batch_sampler=places, num_workers=workers, worker_init_fn=_one_thread, generator=own)
    )


def _one_thread(_: int) -> None:
    cv2.setNumThreads(1)
    torch.set_num_threads(1)
