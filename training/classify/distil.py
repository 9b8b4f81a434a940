"""A small encoder learns from larger ones: `distil` hands on what an ensemble of `outline` runs says and sees.

An ensemble that started from ImageNet carries to other hospitals; a network that learns its answers, on pictures of
which nobody has to know the truth, takes some of that over (Hinton et al. 2015, arXiv 1503.02531).
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn
from torch.nn.functional import binary_cross_entropy_with_logits, interpolate, kl_div, mse_loss, normalize

from strokenext.errors import DataError, OptionError
from training.train.feed import Batch
from training.train.recipe import Recipe
from training.train.run import read_recipe_of

from .dense import DenseEncoder, dense_encoder
from .fuse import Outline, outline_loss

#: Stages whose maps are compared, from the last one: the coarser two hold what is seen, the finer ones where.
STAGES = (-1, -2)


@dataclass(frozen=True, eq=False)
class Taught:
    """What an ensemble says of a batch: class probabilities (N, 3), outline probabilities (N, 2, S/4, S/4), both their
    mean, and of each teacher the likeness of places in its maps, by stage."""

    classes: Tensor
    outlines: Tensor
    places: list[list[Tensor]]


class Teachers:
    """The networks of `outline` runs, which only answer. Raises DataError for one that reads other pixels."""

    def __init__(self, recipe: Recipe, runs: Sequence[Path]) -> None:
        self.networks: list[tuple[DenseEncoder, int]] = []
        for run in runs:
            theirs = read_recipe_of(run)
            same = ("window", "frame", "level", "channels")
            if any(getattr(theirs, name) != getattr(recipe, name) for name in same):
                raise DataError(f"The teacher in {run} reads other pixels than the recipe {recipe.name} gives.")
            network = dense_encoder(theirs.override(pretrained=False), run).eval().requires_grad_(False)
            self.networks.append((network, theirs.size))

    @torch.no_grad()
    def __call__(self, pixels: Tensor) -> Taught:
        """Each teacher sees the batch at the side it learned at."""
        classes, outlines, places = [], [], []
        for network, size in self.networks:
            network.to(pixels.device)
            named, drawn, maps = network.seen(_at(pixels, size))
            classes.append(named.float().softmax(1))
            outlines.append(_at(drawn.float().sigmoid(), pixels.shape[-1] // 4))
            places.append([likeness(maps[stage]) for stage in STAGES])
        return Taught(torch.stack(classes).mean(0), torch.stack(outlines).mean(0), places)


def _at(planes: Tensor, size: int) -> Tensor:
    if planes.shape[-1] == size:
        return planes
    return interpolate(planes, size=(size, size), mode="bilinear", align_corners=False)


class Distil(Outline):
    """One encoder and its decoder learn from teachers; its run is one of `outline` to whatever starts from it."""

    takes_teachers = True

    def __init__(self, recipe: Recipe, encoder_from: Sequence[Path] = (), teachers: Sequence[Path] = ()) -> None:
        super().__init__(recipe, encoder_from)
        self.teachers = Teachers(recipe, teachers)

    def loss(self, module: nn.Module, batch: Batch, step: int) -> tuple[Tensor, dict[str, Any]]:
        """How far classes, outlines and the likeness of places are from the teachers', and `label_weight` times the
        loss of `outline` on what is labelled."""
        if not self.teachers.networks:
            raise OptionError("The objective 'distil' learns from teachers: give --teacher RUN once or several times.")
        taught = self.teachers(batch.pixels)
        classes, outlines, maps = module(batch.pixels, True)
        loss = kl_div(classes.float().log_softmax(1), taught.classes, reduction="batchmean")
        weight = 1 + 4 * taught.outlines
        loss = loss + binary_cross_entropy_with_logits(outlines.float(), taught.outlines, weight=weight)
        loss = loss + self.recipe.places_weight * places_loss(maps, taught.places)
        right = (classes.detach().argmax(1) == batch.labels).sum()
        if self.recipe.label_weight:
            loss = loss + self.recipe.label_weight * outline_loss(classes, outlines, batch, self.recipe)
        return loss, {"right": right}


def likeness(maps: Tensor) -> Tensor:
    """(N, h * w, h * w) cosines between the features (N, C, h, w) of every two places of an image.

    They compare networks of any width without a layer in between (Tung and Mori 2019, arXiv 1907.09682; Liu et al.
    2019, arXiv 1903.04197).
    """
    places = normalize(maps.float().flatten(2), dim=1)
    return places.transpose(1, 2) @ places


def places_loss(maps: Sequence[Tensor], taught: Sequence[Sequence[Tensor]]) -> Tensor:
    """Mean squared difference of the likenesses, over stages and teachers."""
    total = torch.zeros((), device=maps[0].device)
    for stage, of_teachers in zip(STAGES, zip(*taught, strict=True), strict=True):
        own = likeness(maps[stage])
        for theirs in of_teachers:
            side = round(theirs.shape[-1] ** 0.5)
            same = own if own.shape == theirs.shape else likeness(_at(maps[stage].float(), side))
            total = total + mse_loss(same, theirs)
    return total / (len(STAGES) * len(taught))
