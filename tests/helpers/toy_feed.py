"""Training on made-up pictures, for its tests: noise, and in half of them a bright blob."""

from __future__ import annotations

import signal
from collections.abc import Iterator, Sequence
from contextlib import nullcontext
from pathlib import Path
from typing import Any
from unittest.mock import patch

import numpy as np
import torch
from lightning_fabric import Fabric
from torch import Tensor, nn
from torch.nn.functional import cross_entropy

from strokenext.models import build
from training.train.feed import Batch, Feed, HeldOut
from training.train.loop import train
from training.train.objective import Objective, classification_scores, held_out_logits
from training.train.recipe import Recipe
from training.train.run import start_run


class ToyFeed:
    """Example i depends on its number alone; step s shows the numbers s * batch and following."""

    def __init__(self, batch: int, size: int = 32, images: int = 64, channels: int = 3, dense: bool = False) -> None:
        self.images, self.batch, self.size, self.channels, self.dense = images, batch, size, channels, dense

    def example(self, number: int) -> tuple[Tensor, int, tuple[int, int]]:
        """Noise; an odd number has a blob of a quarter of the side at a place of its own."""
        draw = torch.Generator().manual_seed(number)
        pixels = 0.3 * torch.randn(self.channels, self.size, self.size, generator=draw)
        side = self.size // 4
        y, x = (int(v) for v in torch.randint(0, self.size - side, (2,), generator=draw))
        if number % 2:
            pixels[:, y : y + side, x : x + side] += 1.5
        return pixels, number % 2, (y, x)

    def together(self, numbers: list[int]) -> Batch:
        """A batch of these examples."""
        found = [self.example(n) for n in numbers]
        labels = torch.tensor([f[1] for f in found])
        coarse = torch.zeros(len(found), 2, self.size // 4, self.size // 4)
        for i, (_, label, (y, x)) in enumerate(found):
            coarse[i, 1, y // 4 : y // 4 + self.size // 16, x // 4 : x // 4 + self.size // 16] = label
        pixels = torch.stack([f[0] for f in found])
        if not self.dense:
            return Batch(pixels, labels)
        return Batch(pixels, 2 * labels, dense=coarse, known=torch.ones_like(coarse))

    def batches(self, first_step: int, last_step: int, *, rank: int = 0, world: int = 1) -> Iterator[Batch]:
        for step in range(first_step, last_step):
            yield self.together([(step * self.batch + b) % self.images for b in range(rank, self.batch, world)])

    def held_out(self, part: str) -> HeldOut:
        """Forty examples that training never shows."""
        numbers = list(range(10_000, 10_040))
        names = tuple(map(str, numbers))

        def draw(places: Sequence[int]) -> Batch:
            return self.together([numbers[p] for p in places])

        labels = draw(range(len(numbers))).labels.numpy()
        return HeldOut(labels, tuple(f"source{n % 4 // 2}" for n in numbers), names, names, draw)


class Broken(ToyFeed):
    """Presses Ctrl-C before a step."""

    def __init__(self, batch: int, at: int, size: int = 32, dense: bool = False) -> None:
        super().__init__(batch, size, dense=dense)
        self.at = at

    def batches(self, first_step: int, last_step: int, **shares: int) -> Any:
        for step, batch in enumerate(super().batches(first_step, last_step, **shares), start=first_step):
            if step == self.at:
                signal.raise_signal(signal.SIGINT)
            yield batch


class TinyCNN(nn.Module):
    """Two convolutions under batch norm (or layer norm), no dropout; the same numbers each time."""

    def __init__(self, norm: str = "batch") -> None:
        super().__init__()
        torch.manual_seed(3)
        normed = nn.BatchNorm2d(8) if norm == "batch" else nn.GroupNorm(1, 8)
        self.body = nn.Sequential(
            nn.Conv2d(3, 8, 5, stride=2, padding=2),
            normed,
            nn.ReLU(),
            nn.Conv2d(8, 16, 3, stride=2, padding=1),
            nn.ReLU(),
        )
        self.classifier = nn.Linear(16, 2)

    def forward(self, x: Tensor) -> Tensor:
        return self.classifier(self.body(x).mean(dim=(2, 3)))


def toy_recipe(**changes: object) -> Recipe:
    """A recipe of a few short epochs at 32 pixels in float32."""
    start = {"name": "toy", "size": 32, "batch": 16, "epochs": 2, "epoch_images": 64, "precision": "float32"}
    return Recipe.from_dict({**start, "warmup": 2, "model": "custom_cnn", **changes})


class ToyObjective:
    """Two classes by cross-entropy: the smallest objective, of the recipe's model or another network."""

    def __init__(self, recipe: Recipe, network: nn.Module | None = None) -> None:
        self.model = self.module = network or build(recipe.model, classes=2)

    def loss(self, module: nn.Module, batch: Batch, step: int) -> tuple[Tensor, dict[str, Any]]:
        logits = module(batch.pixels).float()
        return cross_entropy(logits, batch.labels), {"right": (logits.detach().argmax(1) == batch.labels).sum()}

    def score(self, module: nn.Module, feed: Feed) -> dict[str, Any]:
        held_out = feed.held_out("validation")
        logits = held_out_logits(module, held_out)
        return classification_scores(logits, torch.from_numpy(held_out.labels), np.asarray(held_out.sources))


def learn(
    run: Path, recipe: Recipe, objective: Objective | None = None, feed: Feed | None = None, curves: bool = False
) -> bool:
    """One process on the CPU, as the command starts it, on a toy feed; drawing curves takes a fifth of a second."""
    torch.manual_seed(recipe.seed)
    chosen = objective or ToyObjective(recipe)
    start_run(run, recipe, {}, "cpu")
    fabric = Fabric(accelerator="cpu", devices=1)
    with nullcontext() if curves else patch("training.train.loop.draw_curves"):
        return train(fabric, recipe, chosen, feed or ToyFeed(recipe.batch, recipe.size), run)
