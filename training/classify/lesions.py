"""The lesions feed: batches of simulated and real lesions by the recipe's mixture, and real slices held back."""

from __future__ import annotations

import os
from collections.abc import Iterator, Sequence
from dataclasses import replace

import torch
from torch import Tensor

from strokenext.errors import DataError
from strokenext.preprocess.contract import stack_channels
from training.cache.planes import SLICE_PLANES
from training.cache.store import Cache
from training.splits.split import Split
from training.train.feed import Batch, HeldOut, parts_of, shard
from training.train.recipe import Mixture, Recipe

from .examples import HEMORRHAGIC, ISCHEMIC, NORMAL, Examples, Pools, loaded, loader
from .pictures import held_out_rows

#: Simulated examples among the held-out ones, and the seed they are drawn with.
SIMULATED, SIMULATED_SEED = 384, 777


def spare_cores() -> int:
    """Processes that draw examples: one core is left to the network, eight feed a fast GPU."""
    return min(8, max(1, (os.cpu_count() or 2) - 1))


class LesionsFeed:
    """Batches of simulated and real lesions by the recipe's mixture; drawn without end."""

    images = 0

    def __init__(self, recipe: Recipe, cache: Cache, split: Split, device: torch.device, workers: int = -1) -> None:
        cache.require(SLICE_PLANES, "head", recipe.window)
        if recipe.random_labels:
            raise DataError("The lesions feed draws what it labels, random labels mean nothing to it; use `pictures`.")
        self.recipe, self.cache, self.device = recipe, cache, device
        self.workers = spare_cores() if workers < 0 else workers
        self.parts, self.listed = parts_of(cache, split), split.part_of()
        self._held_out: dict[str, HeldOut] = {}
        self.pools("train").check(recipe.mixture)

    def pools(self, part: str) -> Pools:
        """What the examples of a part are drawn from; lesions only from the slices that the split lists."""
        rows = [
            i
            for i, row in enumerate(self.cache.rows)
            if self.parts[i] == part and (row.path in self.listed or row.subtype is None)
        ]
        return Pools(self.cache, rows, self.recipe.sources, self.recipe.away_negatives)

    def batches(self, first_step: int, last_step: int, *, rank: int = 0, world: int = 1) -> Iterator[Batch]:
        """Steps first_step..last_step - 1, this process's shard of each."""
        recipe = self.recipe
        examples = Examples(self.pools("train"), recipe.size, recipe.mixture, recipe.seed, 0, last_step * recipe.batch)
        places = [list(shard(step, recipe.batch, rank, world)) for step in range(first_step, last_step)]
        for grey, labels, dense, known in loaded(examples, places, self.workers):
            on = self.device
            yield Batch(self._stacked(grey), labels.to(on), dense=dense.to(on), known=known.to(on))

    def _stacked(self, grey: Tensor) -> Tensor:
        return stack_channels(grey.to(self.device, non_blocking=True), self.recipe.channels)

    def held_out(self, part: str) -> HeldOut:
        """Real slices of a part; for validation also lesions simulated on its slices, as the source "simulated".

        Simulated ones are never part of a test. Slices far from an annotated one count as normal in validation
        where the recipe says so.
        """
        if part not in self._held_out:
            real = self.real(part, self.recipe.away_negatives if part == "validation" else 0)
            self._held_out[part] = real + self.simulated(part) if part == "validation" else real
        return self._held_out[part]

    def real(self, part: str, away: int = 0) -> HeldOut:
        """Slices whose class is known, in the cache's order, as the model would get them from a user's file.

        For subtype only strokes; `away` takes unlabelled slices that far from a lesion as normal.
        """
        recipe, labels = self.recipe, {}
        for i, row in enumerate(self.cache.rows):
            if self.parts[i] != part or (recipe.sources and row.source not in recipe.sources):
                continue
            if row.path in self.listed and row.subtype is not None:
                labels[i] = (ISCHEMIC, HEMORRHAGIC)[row.subtype]
            elif recipe.task == "presence" and row.lesion_free(away):
                labels[i] = NORMAL
        return held_out_rows(self.cache, list(labels), list(labels.values()), recipe, self.device)

    def simulated(
        self, part: str, count: int = SIMULATED, seed: int = SIMULATED_SEED, mixture: Mixture | None = None
    ) -> HeldOut:
        """Augmented examples drawn from a part's slices, each a unit of its own."""
        mixture, pools = mixture or self.recipe.mixture, self.pools(part)
        if not pools.bleeds:
            mixture = replace(mixture, real_bleed=0.0)
        if not pools.infarcts:
            mixture = replace(mixture, real_infarct=0.0)
        pools.check(mixture)
        examples = Examples(pools, self.recipe.size, mixture, seed, 0, count)
        drawn = [t for t, _ in zip(loader(examples, 1, 0), range(count), strict=True)]
        grey, labels = (torch.cat([d[k] for d in drawn]) for k in (0, 1))

        def draw(places: Sequence[int]) -> Batch:
            at = torch.as_tensor(list(places))
            return Batch(self._stacked(grey[at]), labels[at].to(self.device))

        names = tuple(f"simulated:{i}" for i in range(count))
        return HeldOut(labels.numpy(), ("simulated",) * count, names, names, draw)
