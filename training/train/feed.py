"""What the training script draws from: batches by step, and held-out examples as a user's file would reach the model.

A feed is made from a recipe, a cache and a split. What stands at place b of step s depends on the seed, s and b
alone: an interrupted run resumes with the examples it would have seen, and the shards of several processes joined
in order of their rank are the batch of one process.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from typing import Protocol

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from strokenext.errors import DataError
from training.cache.store import Cache, Row
from training.splits.split import Split

#: Held-out images of a batch.
HELD_OUT_BATCH = 64


@dataclass(frozen=True, eq=False)
class Batch:
    """`pixels` (N, C, S, S) or (N, 1, D, H, W) model input on the device; `labels` (N,) int64 class indices.

    The lesions feed's classes are 0 normal, 1 ischemic, 2 hemorrhagic, the others' those of the task. `soft` (N, K)
    are targets after mixup or cutmix; `dense` are outlines (N, 2, S/4, S/4) or masks (N, 1, S, S), and `known`, of
    the same shape, is 1 where their truth is known.
    """

    pixels: Tensor
    labels: Tensor
    soft: Tensor | None = None
    dense: Tensor | None = None
    known: Tensor | None = None


@dataclass(frozen=True, eq=False)
class HeldOut:
    """Examples without augmentation: labels (N,) with each one's source, unit (patient or group) and path.

    Iterating gives them as batches, in order; `draw` takes places in it and gives their batch.
    """

    labels: NDArray[np.int64]
    sources: tuple[str, ...]
    units: tuple[str, ...]
    paths: tuple[str, ...]
    draw: Callable[[Sequence[int]], Batch]

    @classmethod
    def of(cls, labels: NDArray[np.int64], rows: Sequence[Row], draw: Callable[[Sequence[int]], Batch]) -> HeldOut:
        """Cached rows with their labels."""
        sources, units, paths = (tuple(getattr(row, name) for row in rows) for name in ("source", "unit", "path"))
        return cls(labels, sources, units, paths, draw)

    def __len__(self) -> int:
        return len(self.labels)

    def __iter__(self) -> Iterator[Batch]:
        return self.batches()

    def batches(self, size: int = HELD_OUT_BATCH) -> Iterator[Batch]:
        """In order, `size` at a time; the last one may be short."""
        for start in range(0, len(self), size):
            yield self.draw(range(start, min(start + size, len(self))))

    def __add__(self, other: HeldOut) -> HeldOut:
        """Both, one after the other."""

        def draw(places: Sequence[int]) -> Batch:
            mine = [p for p in places if p < len(self)]
            theirs = [p - len(self) for p in places if p >= len(self)]
            parts = [held_out.draw(chosen) for held_out, chosen in ((self, mine), (other, theirs)) if chosen]
            back = torch.tensor(np.argsort(np.argsort([p >= len(self) for p in places], kind="stable")))
            pixels, labels = torch.cat([b.pixels for b in parts]), torch.cat([b.labels for b in parts])
            return Batch(pixels[back.to(pixels.device)], labels[back.to(labels.device)])

        labels = np.concatenate([self.labels, other.labels])
        return HeldOut(labels, self.sources + other.sources, self.units + other.units, self.paths + other.paths, draw)


class Feed(Protocol):
    """Training batches and held-out examples of one recipe."""

    #: Training images of one pass; 0 where examples are drawn without end.
    images: int

    def batches(self, first_step: int, last_step: int, *, rank: int = 0, world: int = 1) -> Iterator[Batch]:
        """Steps first_step..last_step - 1; process `rank` of `world` gets its contiguous shard of each."""

    def held_out(self, part: str) -> HeldOut:
        """The labelled examples of "validation", "test" or "external"."""


def shard(step: int, batch: int, rank: int = 0, world: int = 1) -> range:
    """Positions in the run of a process's examples at a step: contiguous, in order of rank, all of the batch."""
    return range(step * batch + batch * rank // world, step * batch + batch * (rank + 1) // world)


def parts_of(cache: Cache, split: Split) -> list[str]:
    """The part of every cached row: "train", "validation", "test", "external" or "" for a row to leave alone.

    A row that the split does not list (its label is not known, or not of the split's task) goes where the rest of
    its group went; a group of which the split lists nothing is assigned to a part by the split's seed, except
    that a left-out source stays on the test side and evaluation-only rows outside. Only lesion-free backgrounds are
    ever drawn from such rows.
    """
    listed = split.part_of()
    missing = set(listed) - {r.path for r in cache.rows}
    if missing:
        raise DataError(f"The split names {sorted(missing)[0]}, which is not in the cache. Build the cache again.")
    where: dict[str, set[str]] = defaultdict(set)
    for row in cache.rows:
        if row.path in listed:
            where[row.group].add(listed[row.path])
    tested = {r.source for r in cache.rows if listed.get(r.path) == "test"} if split.protocol == "source" else set()
    free = sorted({r.group for r in cache.rows if r.group not in where and r.source not in tested})
    where |= _assigned(free, split)
    order = ("external", "train", "validation", "test")

    def part(path: str, source: str, group: str, evaluation_only: bool) -> str:
        if path in listed:
            return listed[path]
        if evaluation_only:
            return "external"
        if source in tested:
            return "test"
        return next((p for p in order if p in where.get(group, ())), "")

    return [part(r.path, r.source, r.group, r.evaluation_only) for r in cache.rows]


def _assigned(groups: Sequence[str], split: Split) -> dict[str, set[str]]:
    """Groups to parts by a seeded permutation, in proportion to the split's own parts."""
    sizes = {p: len(split.parts.get(p, ())) for p in ("train", "validation", "test")}
    if split.protocol == "source":
        sizes["test"] = 0
    edges = np.rint(np.cumsum(list(sizes.values())) / max(1, sum(sizes.values())) * len(groups)).astype(int)
    order = np.random.default_rng((split.seed, 0xF00D)).permutation(len(groups))
    names = list(sizes)
    return {groups[g]: {names[int(np.searchsorted(edges, i, side="right"))]} for i, g in enumerate(order)}
