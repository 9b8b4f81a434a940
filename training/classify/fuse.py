"""StrokeNeXt without ImageNet: an encoder learns to outline lesions (`outline`), two of them are fused (`fuse`)."""

from __future__ import annotations

import copy
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any, cast

import torch
from torch import Tensor, nn
from torch.nn.functional import (
    adaptive_avg_pool2d,
    adaptive_max_pool2d,
    binary_cross_entropy_with_logits,
    cross_entropy,
)

from strokenext.errors import OptionError
from strokenext.models.strokenext import StrokeNeXt
from training.train.feed import Batch, Feed, HeldOut
from training.train.objective import held_out_logits
from training.train.recipe import Recipe

from .dense import DenseEncoder, dense_encoders, dense_loss
from .examples import UNLABELLED
from .objective import task_labels, task_scores

#: Heat below which an image counts as having none; the second keeps the ratio finite (see `heat_loss`).
LEAST_HEAT, SMOOTH_HEAT = 1e-2, 1e-4
#: How much more a cell with a lesion weighs than one without: they are about a quarter of the known cells.
CELL_BALANCE = 3.0


class Outline:
    """Dense pre-training of one encoder: outlines of infarct and blood, and the three classes."""

    takes_encoder = True

    def __init__(self, recipe: Recipe, encoder_from: Sequence[Path] = ()) -> None:
        self.recipe, self.held_out = recipe, cast("HeldOut | None", None)
        self.module = dense_encoders(recipe, encoder_from)[0]
        self.model = self.module.encoder

    def loss(self, module: nn.Module, batch: Batch, step: int) -> tuple[Tensor, dict[str, Any]]:
        """Cross-entropy over normal, ischemic, hemorrhagic, plus the outline loss where the truth is known."""
        classes, outlines = module(batch.pixels)
        loss = outline_loss(classes, outlines, batch, self.recipe)
        return loss, {"right": (classes.detach().argmax(1) == batch.labels).sum()}

    def score(self, module: nn.Module, feed: Feed) -> dict[str, Any]:
        """As for `classify`, of any lesion (presence) or of blood against infarct (subtype), from the three classes."""
        self.held_out = self.held_out or feed.held_out("validation")
        logits = held_out_logits(lambda x: module(x)[0], self.held_out)
        lesion = torch.stack([logits[:, 0], logits[:, 1:].logsumexp(1)], 1)
        return task_scores(lesion if self.recipe.task == "presence" else logits[:, 1:], self.held_out, self.recipe)


def outline_loss(classes: Tensor, outlines: Tensor, batch: Batch, recipe: Recipe) -> Tensor:
    """Cross-entropy of the labelled images (mean over these) plus the outline loss where the truth is known."""
    smoothing, labelled = recipe.label_smoothing, batch.labels != UNLABELLED
    named = cross_entropy(classes.float()[labelled], batch.labels[labelled], label_smoothing=smoothing)
    return (named if labelled.any() else 0) + dense_loss(outlines.float(), *_outlines(batch))


class Pair(nn.Module):
    """A StrokeNeXt whose two encoders also keep their outline decoders while it learns.

    Encoder B starts from `other`, or from a copy of what A starts from.
    """

    def __init__(self, start: DenseEncoder, other: DenseEncoder | None = None) -> None:
        super().__init__()
        self.alike = other is None
        other = copy.deepcopy(start) if other is None else other
        self.decoders = nn.ModuleList([start.decoder, other.decoder])
        self.model = StrokeNeXt(start.encoder, other.encoder, classes=2)
        self.frozen = False

    def forward(
        self, x: Tensor, outlines: bool = False, cells: bool = False, heat_of: Tensor | None = None
    ) -> tuple[Tensor, list[Tensor], Tensor | None, Tensor | None]:
        """Class logits (N, 2) and, where wanted, each encoder's outline logits (N, 2, S/4, S/4), the logits
        (N, 2, h, w) that the head gives each cell of the last maps as if it were the whole picture, and the heat
        (N, h, w) of each image's class in `heat_of` (N,)."""
        encoders = (self.model.encoder_a, self.model.encoder_b)
        if self.training and self.frozen and self.alike:  # they still hold the same weights
            stages = [encoders[0].maps(x)] * 2
        else:
            stages = [e.maps(x) for e in encoders]
        last = tuple(maps[-1] for maps in stages)
        logits = self.model.head(last)
        drawn = zip(self.decoders, stages, strict=True) if outlines else ()
        outlined = [decoder(maps) for decoder, maps in drawn]
        heat = None if heat_of is None else self._heat(last, heat_of)
        return logits, outlined, self._cells(last) if cells else None, heat

    def _heat(self, last: tuple[Tensor, ...], classes: Tensor) -> Tensor:
        """Grad-CAM of both encoders, summed, as `strokenext.explain` computes it up to a constant factor: channels
        weighed by the gradient of the class's logit, in evaluation mode, with a graph so that it can be learned."""
        head = (self.model.fusion, self.model.classifier)
        with _evaluating(head), torch.autocast(last[0].device.type, enabled=False):
            maps = [f.float() for f in last]
            pooled = [f.mean(dim=(2, 3), keepdim=True).detach().requires_grad_() for f in maps]
            logit = self.model.head(tuple(pooled)).gather(1, classes[:, None]).sum()
            weights = torch.autograd.grad(logit, pooled, create_graph=True)
            heat = [torch.relu((w * f).sum(1)) for w, f in zip(weights, maps, strict=True)]
        return heat[0] + heat[1]

    def _cells(self, last: tuple[Tensor, ...]) -> Tensor:
        n, width, h, w = last[0].shape
        apart = tuple(f.permute(0, 2, 3, 1).reshape(-1, width, 1, 1) for f in last)
        # One cell's features spread wider than pooled ones: batch norm keeps the statistics of whole pictures.
        with _evaluating([m for m in self.model.modules() if isinstance(m, nn.modules.batchnorm._BatchNorm)]):
            logits = self.model.head(apart)
        return logits.reshape(n, h, w, -1).permute(0, 3, 1, 2)


@contextmanager
def _evaluating(parts: Sequence[nn.Module]) -> Iterator[None]:
    """The parts in evaluation mode, each as it was afterwards."""
    before = [part.training for part in parts]
    for part in parts:
        part.eval()
    try:
        yield
    finally:
        for part, was in zip(parts, before, strict=True):
            part.train(was)


class Fuse:
    """A StrokeNeXt from pre-trained encoders: first the fusion head alone, then everything, with outlines.

    A fresh head's first gradients would undo what the encoders learned (Kumar et al. 2022, arXiv 2202.10054).
    """

    takes_encoder = True

    def __init__(self, recipe: Recipe, encoder_from: Sequence[Path] = ()) -> None:
        self.recipe, self.held_out = recipe, cast("HeldOut | None", None)
        self.module = Pair(*dense_encoders(recipe, encoder_from))
        self.model = self.module.model

    def thaw(self, update: int) -> None:
        """Encoders and decoders learn after the first `head_steps` updates."""
        self.module.frozen = update < self.recipe.head_steps
        for part in (self.model.encoder_a, self.model.encoder_b, self.module.decoders):
            part.requires_grad_(not self.module.frozen)

    def loss(self, module: nn.Module, batch: Batch, step: int) -> tuple[Tensor, dict[str, Any]]:
        """Cross-entropy, `cell_weight` times that of the cells, `heat_weight` times that of the heat, and half of
        `outline_weight` for each encoder's outlines once the encoders learn."""
        weight, heat_weight = self.recipe.cell_weight, self.recipe.heat_weight
        drawn = step >= self.recipe.head_steps and batch.dense is not None
        labels = task_labels(batch.labels, self.recipe)
        logits, outlines, cells, heat = module(batch.pixels, drawn, weight > 0, labels if heat_weight > 0 else None)
        loss = cross_entropy(logits.float(), labels, label_smoothing=self.recipe.label_smoothing)
        for outline in outlines:
            loss = loss + self.recipe.outline_weight / 2 * dense_loss(outline.float(), *_outlines(batch))
        if cells is not None:
            loss = loss + weight * cell_loss(cells.float(), *_outlines(batch), self.recipe.task)
        if heat is not None:
            loss = loss + heat_weight * heat_loss(heat, *_outlines(batch))
        return loss, {"right": (logits.detach().argmax(1) == labels).sum()}

    def score(self, module: nn.Module, feed: Feed) -> dict[str, Any]:
        """As for `classify`."""
        self.held_out = self.held_out or feed.held_out("validation")
        return task_scores(held_out_logits(lambda x: module(x)[0], self.held_out), self.held_out, self.recipe)


def cell_loss(cells: Tensor, dense: Tensor, known: Tensor, task: str) -> Tensor:
    """Binary cross-entropy of the cells' margins (N, 2, h, w) against where the lesion is; dense, known (N, 2, H, W)
    hold infarct and blood.

    Grad-CAM weighs each cell's features by the head's gradient: a head that was only ever asked about whole pictures
    need not find its evidence in the lesion. For presence a cell with a lesion is positive and one without negative;
    for subtype blood is positive, infarct negative and the rest of the brain speaks for neither (a target of one half).
    """
    side = (cells.shape[-2], cells.shape[-1])
    infarct, blood = adaptive_max_pool2d(dense, side).unbind(1)
    sure = adaptive_avg_pool2d(known[:, 0], side) > 0.5
    lesion = torch.maximum(infarct, blood)
    sure &= (lesion > 0.5) | (lesion < 0.05)
    if task == "presence":
        target = (lesion > 0.5).float()
    else:
        target = torch.where(lesion > 0.5, (blood >= infarct).float(), 0.5)
    weight = sure.float() * torch.where(lesion > 0.5, CELL_BALANCE, 1.0)
    total = binary_cross_entropy_with_logits(cells[:, 1] - cells[:, 0], target, weight=weight, reduction="sum")
    return total / weight.sum().clamp(min=1)


def heat_loss(heat: Tensor, dense: Tensor, known: Tensor) -> Tensor:
    """Minus the logarithm of the share of the heat (N, h, w) that lies in cells with a lesion, mean over the images
    that show one; dense, known (N, 2, H, W) hold infarct and blood.

    Explanations can be trained like answers (Ross et al. 2017, arXiv 1703.03717; for Grad-CAM Li et al. 2018, arXiv
    1802.10171). An image without any heat costs as much as one whose heat lies elsewhere: a map that shows nothing
    helps nobody.
    """
    side = (heat.shape[-2], heat.shape[-1])
    sure = (adaptive_avg_pool2d(known[:, 0], side) > 0.5).float()
    lesion = (adaptive_max_pool2d(dense.amax(1), side) > 0.5).float() * sure
    inside, all_ = (heat * lesion).sum(dim=(1, 2)), (heat * sure).sum(dim=(1, 2))
    shows = lesion.sum(dim=(1, 2)) > 0
    cost = -torch.log((inside + SMOOTH_HEAT) / (all_ + LEAST_HEAT))
    return (cost * shows).sum() / shows.sum().clamp(min=1)


def _outlines(batch: Batch) -> tuple[Tensor, Tensor]:
    if batch.dense is None or batch.known is None:
        raise OptionError("Outlines are learned from the feed 'lesions'; this recipe's feed draws none.")
    return batch.dense, batch.known
