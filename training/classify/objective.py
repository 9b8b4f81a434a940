"""What a classifier of slices learns: the labels of the task, by cross-entropy."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any, cast

import numpy as np
import torch
from torch import Tensor, nn
from torch.nn.functional import cross_entropy

from strokenext.errors import OptionError
from strokenext.models import build
from strokenext.models.strokenext import StrokeNeXt
from training.train.feed import Batch, Feed, HeldOut
from training.train.objective import classification_scores, held_out_logits
from training.train.recipe import Recipe

from .dense import dense_encoders
from .examples import HEMORRHAGIC, NORMAL


def task_labels(labels: Tensor, recipe: Recipe) -> Tensor:
    """(N,) class index of the task; the lesions feed names normal, ischemic and hemorrhagic instead."""
    if recipe.feed != "lesions":
        return labels
    return (labels != NORMAL).long() if recipe.task == "presence" else (labels == HEMORRHAGIC).long()


class Classify:
    """Any classifier of the zoo on the task's two classes."""

    takes_encoder = True

    def __init__(self, recipe: Recipe, encoder_from: Sequence[Path] = ()) -> None:
        self.recipe, self.held_out = recipe, cast("HeldOut | None", None)
        options = dict(recipe.arguments) | ({"pretrained": True} if recipe.pretrained is True else {})
        self.model = self.module = build(recipe.model, classes=2, **options)
        if recipe.layer_scale and not recipe.pretrained:
            start_layer_scale(self.model, recipe.layer_scale)
        if encoder_from:
            if not isinstance(self.model, StrokeNeXt):
                raise OptionError(f"--encoder-from starts the encoders of a StrokeNeXt; {recipe.model} has none.")
            starts = [dense.encoder.state_dict() for dense in dense_encoders(recipe, encoder_from)]
            self.model.encoder_a.load_state_dict(starts[0])
            self.model.encoder_b.load_state_dict(starts[-1])
        for name in recipe.freeze:
            frozen = dict(self.model.named_modules()).get(name)
            if frozen is None:
                names = ", ".join(n for n, _ in self.model.named_children())
                raise OptionError(f"{recipe.model} has no part '{name}' to freeze. Its parts are: {names}.")
            frozen.requires_grad_(False)

    def loss(self, module: nn.Module, batch: Batch, step: int) -> tuple[Tensor, dict[str, Any]]:
        """Cross-entropy with the recipe's label smoothing, on soft targets where the feed mixed images."""
        logits = module(batch.pixels).float()
        labels = task_labels(batch.labels, self.recipe)
        target = labels if batch.soft is None else batch.soft
        loss = cross_entropy(logits, target, label_smoothing=self.recipe.label_smoothing)
        return loss, {"right": (logits.detach().argmax(1) == labels).sum()}

    def score(self, module: nn.Module, feed: Feed) -> dict[str, Any]:
        """Loss, accuracy, balanced accuracy and AUROC on validation, and AUROC of each source with both classes."""
        self.held_out = self.held_out or feed.held_out("validation")
        return task_scores(held_out_logits(module, self.held_out), self.held_out, self.recipe)


def start_layer_scale(model: nn.Module, value: float) -> None:
    """Set the LayerScale of every ConvNeXt block: from 1e-6 and without ImageNet weights it barely learns."""
    for name, parameter in model.named_parameters():
        if name.rpartition(".")[2] == "gamma":
            nn.init.constant_(parameter, value)


def task_scores(logits: Tensor, held: HeldOut, recipe: Recipe) -> dict[str, Any]:
    """`classification_scores` of the examples that the task is about: a normal slice has no subtype."""
    labels, sources = torch.from_numpy(held.labels), np.asarray(held.sources)
    if recipe.feed == "lesions" and recipe.task == "subtype":
        stroke = labels != NORMAL
        logits, labels, sources = logits[stroke], labels[stroke], sources[stroke.numpy()]
    return classification_scores(logits, task_labels(labels, recipe), sources)
