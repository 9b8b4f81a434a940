"""The pictures feed: real slices as batches of tensors, resampled and augmented together on the device.

The cached grey levels stay in memory (on the GPU when training there) as bytes; a batch is gathered, warped and
changed as a whole. What is drawn for an example depends on the seed and its position in the run alone, by hashing
those two, so that neither batch, process nor device changes it.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator, Sequence

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor
from torch.nn.functional import one_hot

from strokenext.errors import DataError
from strokenext.preprocess.contract import stack_channels
from training.cache.planes import SLICE_PLANES
from training.cache.store import Cache
from training.drawing.batch_augment import Augmentation, mixed, relevelled, resample, uniform
from training.splits.random_labels import random_labels
from training.splits.split import Split
from training.train.feed import Batch, HeldOut, parts_of, shard
from training.train.recipe import Recipe


class Pixels:
    """Grey levels and the inside of the head of some cached rows, (N, 1, S, S) uint8 each, on the device."""

    def __init__(self, cache: Cache, rows: Sequence[int], device: torch.device) -> None:
        self.place = {row: i for i, row in enumerate(rows)}
        shape = (len(rows), 1, cache.size, cache.size)
        self.grey, self.inner = (torch.empty(shape, dtype=torch.uint8, device=device) for _ in range(2))
        for row, i in self.place.items():
            self.grey[i, 0] = torch.from_numpy(np.array(cache.planes[row, 0]))
            self.inner[i, 0] = torch.from_numpy(np.array(cache.planes[row, 2]))

    def of(self, rows: Sequence[int] | NDArray[np.int64]) -> tuple[Tensor, Tensor]:
        """(N, 1, S, S) float32 grey 0..1 and float32 0 or 1 well inside the head."""
        at = torch.tensor([self.place[int(r)] for r in rows], device=self.grey.device)
        return self.grey[at].float() / 255, (self.inner[at] > 127).float()


def model_input(pixels: Pixels, rows: Sequence[int] | NDArray[np.int64], recipe: Recipe) -> Tensor:
    """(N, 3, S, S) of cached rows without augmentation, as `strokenext.preprocess` gives it for a user's file."""
    grey, inner = (resample(t, recipe.size) for t in pixels.of(rows))
    return stack_channels(relevelled(grey, inner) if recipe.level else grey, recipe.channels)


def held_out_rows(
    cache: Cache, rows: Sequence[int], labels: Sequence[int], recipe: Recipe, device: torch.device
) -> HeldOut:
    """Cached rows with these labels as held-out examples."""
    pixels = Pixels(cache, rows, device)
    truth = np.asarray(labels, dtype=np.int64)

    def draw(places: Sequence[int]) -> Batch:
        chosen = [rows[p] for p in places]
        return Batch(model_input(pixels, chosen, recipe), torch.from_numpy(truth[list(places)]).to(device))

    return HeldOut.of(truth, [cache.rows[i] for i in rows], draw)


class PicturesFeed:
    """Real slices of the split's parts with the task's labels."""

    def __init__(self, recipe: Recipe, cache: Cache, split: Split, device: torch.device) -> None:
        cache.require(SLICE_PLANES, recipe.frame, recipe.window)
        self.recipe, self.cache, self.device = recipe, cache, device
        self.parts = parts_of(cache, split)
        self.labels = self._labels(split)
        self.rows = np.array([i for i, p in enumerate(self.parts) if p == "train" and i in self.labels], dtype=np.int64)
        if not len(self.rows):
            raise DataError(f"The split's training part holds no image with a {recipe.task} label of these sources.")
        self.images = len(self.rows)
        self.pixels = Pixels(cache, [int(r) for r in self.rows], device)
        self.weights = self._weights()
        self._held_out: dict[str, HeldOut] = {}

    def _labels(self, split: Split) -> dict[int, int]:
        """Cached row to class: rows that the split lists with a label of the task, permuted for a control run, and
        for training and validation unlabelled ones far from a lesion where the recipe says so."""
        recipe, listed = self.recipe, split.part_of()
        labels = {
            i: label
            for i, row in enumerate(self.cache.rows)
            if row.path in listed and (label := row.label(recipe.task)) is not None
            if not recipe.sources or row.source in recipe.sources
        }
        if not recipe.random_labels:
            return dict(sorted((labels | self._presumed()).items()))
        drawn = [i for i in labels if self.parts[i] in ("train", "validation", "test")]
        rows = [self.cache.rows[i] for i in drawn]
        units = [r.unit for r in rows] if recipe.random_labels == "patients" else None
        given = random_labels([r.path for r in rows], [labels[i] for i in drawn], recipe.seed, units)
        return dict(zip(drawn, map(int, given), strict=True))

    def _presumed(self) -> dict[int, int]:
        """Unlabelled rows of training and validation that are taken as free of a stroke."""
        recipe = self.recipe
        if recipe.task != "presence":
            return {}
        return {
            i: 0
            for i, row in enumerate(self.cache.rows)
            if row.presence is None and row.lesion_free(recipe.away_negatives)
            if self.parts[i] in ("train", "validation") and (not recipe.sources or row.source in recipe.sources)
        }

    def _weights(self) -> NDArray[np.float64]:
        """(N,) how often each training row is drawn: alike, or the classes of a source equally often in all."""
        if not self.recipe.balance:
            return np.ones(self.images)
        strata = [(self.cache.rows[i].source, self.labels[i]) for i in map(int, self.rows)]
        images, of_stratum = Counter(source for source, _ in strata), Counter(strata)
        classes = Counter(source for source, _ in of_stratum)
        return np.array([images[s] / classes[s] / of_stratum[s, k] for s, k in strata])

    def rows_at(self, positions: Sequence[int]) -> NDArray[np.int64]:
        """(N,) cached rows at positions of the run: pass after pass, each in an order of its own.

        Every pass takes evenly spaced points of the summed weights, so a row of weight w comes w times on average
        and never less than w rounded down: with equal weights each comes exactly once.
        """
        picked = {p: self._one_pass(p) for p in {i // self.images for i in positions}}
        return np.array([picked[i // self.images][i % self.images] for i in positions], dtype=np.int64)

    def _one_pass(self, number: int) -> NDArray[np.int64]:
        rng = np.random.default_rng((self.recipe.seed, number))
        order = rng.permutation(self.images)
        sums = np.cumsum(self.weights[order])
        points = (np.arange(self.images) + rng.random()) / self.images * sums[-1]
        return np.asarray(rng.permutation(self.rows[order[np.searchsorted(sums, points, side="right")]]))

    def batches(self, first_step: int, last_step: int, *, rank: int = 0, world: int = 1) -> Iterator[Batch]:
        """Steps first_step..last_step - 1, this process's shard of each."""
        for step in range(first_step, last_step):
            mine = shard(step, self.recipe.batch, rank, world)
            if not (self.recipe.mixup or self.recipe.cutmix):
                grey, labels = self._pictures(mine)
                yield Batch(stack_channels(grey, self.recipe.channels), labels)
                continue
            partners = self._partners(mine, step)
            needed = sorted({*mine, *partners})
            grey, labels = self._pictures(needed)
            place = {p: i for i, p in enumerate(needed)}
            own, other = ([place[p] for p in chosen] for chosen in (mine, partners))
            numbers = uniform(self.recipe.seed + 1, mine, 5)
            targets, shares = one_hot(labels, 2).float(), (self.recipe.mixup, self.recipe.cutmix)
            grey, soft = mixed(grey[own], grey[other], targets[own], targets[other], numbers, *shares)
            yield Batch(stack_channels(grey, self.recipe.channels), labels[own], soft)

    def _partners(self, mine: range, step: int) -> list[int]:
        """Whom each example is mixed with: the whole batch turned by a number of places that the step decides."""
        batch = self.recipe.batch
        turn = 1 + int(uniform(self.recipe.seed + 2, [step], 1)[0, 0] * max(1, batch - 1))
        return [step * batch + (p - step * batch + turn) % batch for p in mine]

    def _pictures(self, positions: Sequence[int]) -> tuple[Tensor, Tensor]:
        """(N, 1, S, S) augmented grey levels and (N,) labels of the examples at these positions."""
        recipe, rows = self.recipe, self.rows_at(positions)
        drawn = Augmentation.draw(recipe.seed, positions, recipe.augment, recipe.window[0])
        grey, inner = self.pixels.of(rows)
        grey = drawn.apply(grey, inner, recipe.size, recipe.level)
        labels = torch.tensor([self.labels[int(r)] for r in rows], device=self.device)
        return grey, labels

    def held_out(self, part: str) -> HeldOut:
        """The labelled slices of a part, in the cache's order."""
        if part not in self._held_out:
            rows = [i for i in self.labels if self.parts[i] == part]
            labels = [self.labels[i] for i in rows]
            self._held_out[part] = held_out_rows(self.cache, rows, labels, self.recipe, self.device)
        return self._held_out[part]
