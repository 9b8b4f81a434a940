"""StrokeNeXt without ImageNet: an encoder learns to outline lesions (`outline`), two of them are fused (`fuse`)."""

from __future__ import annotations

import copy
from pathlib import Path
from typing import TYPE_CHECKING, Any, cast

import torch
from torch import Tensor, nn
from torch.nn.functional import cross_entropy

from strokenext.errors import OptionError
from strokenext.models.strokenext import StrokeNeXt

from .config import Recipe
from .dense import DenseEncoder, dense_encoder, dense_loss
from .objectives import answers, task_labels, task_scores

if TYPE_CHECKING:
    from .feeds import Batch, Feed, Held


class Outline:
    """Dense pre-training of one encoder: outlines of infarct and blood, and the three classes."""

    takes_encoder = True

    def __init__(self, recipe: Recipe, encoder_from: Path | None = None) -> None:
        self.recipe, self.held = recipe, cast("Held | None", None)
        self.module = dense_encoder(recipe, encoder_from)
        self.model = self.module.encoder

    def loss(self, module: nn.Module, batch: Batch, step: int) -> tuple[Tensor, dict[str, Any]]:
        """Cross-entropy over normal, ischemic, hemorrhagic, plus the outline loss where the truth is known."""
        classes, outlines = module(batch.pixels)
        named = cross_entropy(classes.float(), batch.labels, label_smoothing=self.recipe.label_smoothing)
        drawn = dense_loss(outlines.float(), *_outlines(batch))
        return named + drawn, {"right": (classes.detach().argmax(1) == batch.labels).sum()}

    def score(self, module: nn.Module, feed: Feed) -> dict[str, Any]:
        """As for `classify`, of any lesion (presence) or of blood against infarct (subtype), from the three classes."""
        self.held = self.held or feed.held("validation")
        logits = answers(lambda x: module(x)[0], self.held)
        lesion = torch.stack([logits[:, 0], logits[:, 1:].logsumexp(1)], 1)
        return task_scores(lesion if self.recipe.task == "presence" else logits[:, 1:], self.held, self.recipe)


class Pair(nn.Module):
    """A StrokeNeXt whose two encoders also keep their outline decoders while it learns."""

    def __init__(self, start: DenseEncoder) -> None:
        super().__init__()
        other = copy.deepcopy(start)
        self.decoders = nn.ModuleList([start.decoder, other.decoder])
        self.model = StrokeNeXt(start.encoder, other.encoder, classes=2)

    def forward(self, x: Tensor, outlines: bool = False) -> tuple[Tensor, list[Tensor]]:
        """Class logits (N, 2) and, where wanted, each encoder's outline logits (N, 2, S/4, S/4)."""
        stages = [e.maps(x) for e in (self.model.encoder_a, self.model.encoder_b)]
        logits = self.model.head(tuple(maps[-1] for maps in stages))
        drawn = zip(self.decoders, stages, strict=True) if outlines else ()
        return logits, [decoder(maps) for decoder, maps in drawn]


class Fuse:
    """A StrokeNeXt from pre-trained encoders: first the fusion head alone, then everything, with outlines.

    A fresh head's first gradients would undo what the encoders learned (Kumar et al. 2022, arXiv 2202.10054).
    """

    takes_encoder = True

    def __init__(self, recipe: Recipe, encoder_from: Path | None = None) -> None:
        self.recipe, self.held = recipe, cast("Held | None", None)
        self.module = Pair(dense_encoder(recipe, encoder_from))
        self.model = self.module.model

    def thaw(self, update: int) -> None:
        """Encoders and decoders learn after the first `head_steps` updates."""
        for part in (self.model.encoder_a, self.model.encoder_b, self.module.decoders):
            part.requires_grad_(update >= self.recipe.head_steps)

    def loss(self, module: nn.Module, batch: Batch, step: int) -> tuple[Tensor, dict[str, Any]]:
        """Cross-entropy, and half of `outline_weight` for each encoder's outlines once the encoders learn."""
        logits, outlines = module(batch.pixels, step >= self.recipe.head_steps and batch.dense is not None)
        labels = task_labels(batch.labels, self.recipe)
        loss = cross_entropy(logits.float(), labels, label_smoothing=self.recipe.label_smoothing)
        for outline in outlines:
            loss = loss + self.recipe.outline_weight / 2 * dense_loss(outline.float(), *_outlines(batch))
        return loss, {"right": (logits.detach().argmax(1) == labels).sum()}

    def score(self, module: nn.Module, feed: Feed) -> dict[str, Any]:
        """As for `classify`."""
        self.held = self.held or feed.held("validation")
        return task_scores(answers(lambda x: module(x)[0], self.held), self.held, self.recipe)


def _outlines(batch: Batch) -> tuple[Tensor, Tensor]:
    if batch.dense is None or batch.known is None:
        raise OptionError("Outlines are learned from the feed 'lesions'; this recipe's feed draws none.")
    return batch.dense, batch.known
