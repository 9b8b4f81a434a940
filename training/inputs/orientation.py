"""The network that finds which way up a head is, trained on cached slices of training patients.

A cached slice counts as upright; it is shown turned by each of the angles, and the network is to score the upright view
highest. Grey levels, zoom, place and tilt vary, so that it learns the head and not the picture. Some patients of the
public sets lie upside down in their pictures: those that a first network finds so are left out for the second.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from pathlib import Path

import cv2
import numpy as np
import torch
from torch import Tensor, nn
from torch.nn.functional import cross_entropy

from strokenext.preprocess import orientation
from strokenext.saving import write_file
from strokenext.types import ByteArray, FloatArray, Progress
from training.cache.store import Cache

#: Passes over the slices of the first network and of the second, heads in a batch, the highest rate.
EPOCHS, BATCH, RATE = (12, 26), 64, 2e-3
#: Slices with less brain than this share of the frame show face, neck or the vertex's bone.
LEAST_BRAIN = 0.05
#: A patient lies upside down when the first network finds it so on this share of the slices.
SURE = 0.5


def usable(cache: Cache, units: set[str]) -> list[int]:
    """Rows of these patients with enough brain to say which way up it is."""
    return [i for i, row in enumerate(cache.rows) if row.unit in units and row.brain >= LEAST_BRAIN]


def learn(cache: Cache, rows: Sequence[int], seed: int = 7, progress: Progress | None = None) -> nn.Module:
    """The trained network, in evaluation mode."""
    first = _trained(cache, rows, EPOCHS[0], seed, progress)
    turned = upside_down(first, cache, rows)
    kept = [i for i in rows if cache.rows[i].unit not in turned]
    return _trained(cache, kept, EPOCHS[1], seed + 1, progress)


def upside_down(net: nn.Module, cache: Cache, rows: Sequence[int]) -> set[str]:
    """The patients that lie upside down on most of their slices."""
    found: dict[str, list[bool]] = {}
    rng, half = np.random.default_rng(0), orientation.TURNS // 2
    with torch.inference_mode():
        for i in rows:
            scores = net(torch.from_numpy(augmented(cache.planes[i, 0], rng))[:, None])[:, 0]
            away = abs(int(scores.argmax()) - half)
            found.setdefault(cache.rows[i].unit, []).append(away <= 1)
    return {unit for unit, slices in found.items() if np.mean(slices) > SURE}


def _trained(cache: Cache, rows: Sequence[int], epochs: int, seed: int, progress: Progress | None) -> nn.Module:
    torch.manual_seed(seed)
    rng, net = np.random.default_rng(seed), orientation.network().train()
    steps = max(1, epochs * len(rows) // BATCH)
    optimiser = torch.optim.AdamW(net.parameters(), lr=RATE, weight_decay=0.05)
    schedule = torch.optim.lr_scheduler.OneCycleLR(optimiser, RATE, total_steps=steps)
    for step, views in enumerate(_batches(cache, rows, rng, steps), 1):
        scores = net(views.flatten(0, 1)[:, None]).view(-1, orientation.TURNS)
        loss = cross_entropy(scores, torch.zeros(len(scores), dtype=torch.long))
        optimiser.zero_grad()
        loss.backward()
        optimiser.step()
        schedule.step()
        if progress is not None and step % 50 == 0:
            progress(step, steps)
    return net.eval()


def _batches(cache: Cache, rows: Sequence[int], rng: np.random.Generator, steps: int) -> Iterator[Tensor]:
    """(BATCH, TURNS, SIDE, SIDE), the first view of each head upright."""
    for _ in range(steps):
        chosen = rng.choice(rows, BATCH)
        yield torch.from_numpy(np.stack([augmented(cache.planes[i, 0], rng) for i in chosen]))


def augmented(plane: ByteArray, rng: np.random.Generator) -> FloatArray:
    """(TURNS, SIDE, SIDE) of one cached slice as another picture might show it."""
    grey = plane.astype(np.float32) / 255
    ys, xs = np.nonzero(grey > 0.04)
    if len(xs) < 50:
        return np.zeros((orientation.TURNS, orientation.SIDE, orientation.SIDE), np.float32)
    (x, y), radius = cv2.minEnclosingCircle(np.column_stack([xs, ys]).astype(np.float32))
    shift = rng.normal(0, 0.03, 2) * radius
    radius *= orientation.MARGIN * float(np.exp(rng.normal(0, 0.06)))
    grey = np.clip(grey * np.float32(rng.uniform(0.8, 1.2)), 0, 1) ** np.float32(np.exp(rng.normal(0, 0.25)))
    grey = np.asarray(grey, dtype=np.float32)
    if rng.random() < 0.3:  # a wide window: tissue alike, bone no longer white
        grey = np.where(grey > 0.04, 0.3 + 0.5 * grey, 0).astype(np.float32)
    if rng.random() < 0.5:
        grey = np.ascontiguousarray(grey[:, ::-1], dtype=np.float32)
        x = grey.shape[1] - 1 - x
    tilt = float(np.clip(rng.normal(0, 6), -14, 14))
    shown: FloatArray = np.asarray(grey, dtype=np.float32)
    return orientation.turned_views(shown, (x + float(shift[0]), y + float(shift[1])), radius, tilt)


def write(net: nn.Module, file: Path = orientation.WEIGHTS) -> None:
    """The network's numbers as safetensors in half precision."""
    from safetensors.torch import save

    write_file(file, save({name: tensor.half().contiguous() for name, tensor in net.state_dict().items()}))
