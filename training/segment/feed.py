"""The feed "masks": slices with what is known of their lesions pixel by pixel, from a cache made with `--masks`.

The recipe's mixture says which examples: `real_bleed` slices with masks; `normal` ones without a lesion, from every
source alike (labelled normal, and in training and validation unlabelled ones `away_negatives` slices or more from an
annotated one); `bleed` and `infarct` the same with one drawn in. Without the second a network learns that every slice
has a lesion, without the third that blood is what one hospital outlined. `real_infarct` counts for nothing. Where a
class is not known, nothing is learned and nothing scored.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from strokenext.errors import DataError
from strokenext.preprocess.contract import stack_channels
from training.cache.store import Cache
from training.drawing.batch_augment import relevelled, resample
from training.splits.split import Split
from training.train.feed import Batch, HeldOut, parts_of, shard
from training.train.recipe import Recipe

from .augment import augmented, to_size
from .drawn import REAL, with_lesions
from .planes import MASK_CLASSES, SEGMENTATION_PLANES

K = len(MASK_CLASSES)
#: Lesion-free slices in a held-out part, for every one with a lesion.
FREE_SHARE = 1.0


class MasksFeed:
    """Slices with and without lesions, and their masks."""

    def __init__(self, recipe: Recipe, cache: Cache, split: Split, device: torch.device) -> None:
        cache.require(SEGMENTATION_PLANES, recipe.frame, recipe.window)
        self.recipe, self.cache, self.device = recipe, cache, device
        self.parts = parts_of(cache, split)
        self.marked = [i for i in range(len(cache.rows)) if self._usable(i) and _marked(cache, i)]
        self.free = [i for i in range(len(cache.rows)) if self._usable(i) and self._free(i)]
        self.lesions = self._of("train", self.marked)
        self.without = [self._of("train", rows) for rows in _by_source(cache, self.free)]
        self.without = [rows for rows in self.without if rows]
        if not self.lesions or not self.without:
            raise DataError("The training part needs slices with masks and slices that are free of a lesion.")
        self.images = len(self.lesions) + sum(map(len, self.without))

    def batches(self, first_step: int, last_step: int, *, rank: int = 0, world: int = 1) -> Iterator[Batch]:
        """Steps first_step..last_step - 1; each example depends on the seed and its place alone."""
        for step in range(first_step, last_step):
            places = shard(step, self.recipe.batch, rank, world)
            kinds, rows = zip(*(self.example_at(place) for place in places), strict=True)
            grey, inner, masks, known = self._planes(rows)
            keys = [(self.recipe.seed, place) for place in places]
            severity = self.recipe.mixture.severity
            grey, masks, known, lesions = with_lesions(grey, inner, masks, known, kinds, keys, severity)
            grey, masks, known = augmented(grey, inner, masks, known, self.recipe, places, self.recipe.size)
            yield self._batch(grey, masks, known, lesions)

    def example_at(self, place: int) -> tuple[int, int]:
        """Kind (FREE, BLEED, REAL, INFARCT) and cached row at a place of the run."""
        rng = np.random.default_rng((self.recipe.seed, place))
        mixture = self.recipe.mixture
        shares = np.cumsum([mixture.normal, mixture.bleed, mixture.real_bleed, mixture.infarct])
        kind = int(np.searchsorted(shares / shares[-1], rng.random(), side="right"))
        pool = self.lesions if kind == REAL else self.without[int(rng.integers(len(self.without)))]
        return kind, pool[int(rng.integers(len(pool)))]

    def held_out(self, part: str) -> HeldOut:
        """A part's slices with masks, and about as many without a lesion, evenly spaced; label 1 with a lesion.

        Slices that are only presumed to be free of one are among them in validation alone.
        """
        lesions = self._of(part, self.marked)
        free = [i for i in self._of(part, self.free) if part == "validation" or self.cache.rows[i].presence == 0]
        wanted = min(len(free), max(1, round(FREE_SHARE * len(lesions))))
        chosen = [free[i * len(free) // wanted] for i in range(wanted)] if free else []
        rows = sorted(lesions + chosen)
        labels: NDArray[np.int64] = np.array([int(i in set(lesions)) for i in rows], dtype=np.int64)

        def draw(places: Sequence[int]) -> Batch:
            picked = [rows[p] for p in places]
            grey, inner, masks, known = self._planes(picked)
            size = self.recipe.size
            plain = resample(grey, size)
            plain = relevelled(plain, resample(inner, size)) if self.recipe.level else plain
            return self._batch(
                plain, to_size(masks, size), (to_size(known, size) > 0.5).float(), labels[list(places)].tolist()
            )

        return HeldOut.of(labels, [self.cache.rows[i] for i in rows], draw)

    # -- inside ------------------------------------------------------------------------------------

    def _usable(self, i: int) -> bool:
        row, sources = self.cache.rows[i], self.recipe.sources
        return bool(self.parts[i]) and (not sources or row.source in sources or row.evaluation_only)

    def _free(self, i: int) -> bool:
        away = self.recipe.away_negatives if self.parts[i] in ("train", "validation") else 0
        return self.cache.rows[i].lesion_free(away)

    def _of(self, part: str, rows: Sequence[int]) -> list[int]:
        return [i for i in rows if self.parts[i] == part]

    def _planes(self, rows: Sequence[int]) -> tuple[Tensor, Tensor, Tensor, Tensor]:
        """grey, inner (N, 1, C, C), masks and known (N, K, C, C) of cached rows, 0..1, on the device."""
        planes = torch.from_numpy(np.stack([self.cache.planes[i] for i in rows])).to(self.device).float() / 255
        known = (planes[:, 2 + K :] > 0.5).float()
        free = torch.tensor([self._free(i) for i in rows], device=self.device)
        known[free] = 1.0
        return planes[:, :1], (planes[:, 1:2] > 0.5).float(), planes[:, 2 : 2 + K], known

    def _batch(self, grey: Tensor, masks: Tensor, known: Tensor, lesions: Sequence[bool]) -> Batch:
        labels = torch.tensor([int(lesion) for lesion in lesions], device=self.device)
        return Batch(stack_channels(grey, self.recipe.channels), labels, dense=masks, known=known)


def _marked(cache: Cache, i: int) -> bool:
    """Whether a row has a mask of some class in which anything is marked."""
    return cache.rows[i].presence == 1 and bool((np.asarray(cache.planes[i, 2 : 2 + K]) > 127).any())


def _by_source(cache: Cache, rows: Sequence[int]) -> list[list[int]]:
    """Rows of each source, so that every source is drawn as often."""
    sources = sorted({cache.rows[i].source for i in rows})
    return [[i for i in rows if cache.rows[i].source == source] for source in sources]
