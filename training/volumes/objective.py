"""What the volume network learns: the patient's class, and during training where the blood is."""

from __future__ import annotations

from typing import Any, cast

import numpy as np
import torch
from torch import Tensor, nn
from torch.nn.functional import binary_cross_entropy_with_logits, cross_entropy

from strokenext.errors import OptionError
from strokenext.models import build
from strokenext.models.volume import CNN3D
from strokenext.zoo import row
from training.train.feed import Batch, Feed
from training.train.objective import classification_scores, held_out_logits
from training.train.recipe import Recipe

#: Cells of a plane whose mean decides whether the plane holds blood.
TOP = 6
#: Blood is rare among cells; a missed cell of it counts this many times more.
RARE = 6.0
#: Whole volumes scored at once: their first feature maps take 100 MB each.
VOLUMES_AT_ONCE = 4


class Learner(nn.Module):
    """The 3-D CNN with a pointwise outline of its third convolution's map, which is thrown away after training."""

    def __init__(self, model: CNN3D) -> None:
        super().__init__()
        self.model = model
        convolutions = [(i, part) for i, part in enumerate(model.blocks) if isinstance(part, nn.Conv3d)]
        place, third = convolutions[2]
        self.outline = nn.Conv3d(third.out_channels, 1, 1)
        self.third = place + 1  # its ReLU

    def forward(self, x: Tensor, outlines: bool = False) -> tuple[Tensor, Tensor | None]:
        """(N, 1, D, H, W) -> class logits (N, 2) and, where wanted, outline logits (N, d, h, w)."""
        drawn = None
        for i, part in enumerate(self.model.blocks):
            x = part(x)
            if outlines and i == self.third:
                drawn = self.outline(x)[:, 0]
        return self.model.head((x,)), drawn


class VolumeObjective:
    """A volume network on the patients' labels, with outlines of blood as help while it learns."""

    def __init__(self, recipe: Recipe) -> None:
        if row(recipe.model).kind != "volume":
            raise OptionError(f"The objective 'volume' trains a network of volumes; {recipe.model} is none.")
        self.recipe = recipe
        self.module = Learner(cast(CNN3D, build(recipe.model, classes=2, **recipe.arguments)))
        self.module.to(memory_format=torch.channels_last_3d)
        self.model = self.module.model

    def loss(self, module: nn.Module, batch: Batch, step: int) -> tuple[Tensor, dict[str, Any]]:
        """Cross-entropy, plus `outline_weight` times the outlines' loss where the truth is known."""
        x = batch.pixels.contiguous(memory_format=torch.channels_last_3d)
        logits, drawn = module(x, self.recipe.outline_weight > 0 and batch.dense is not None)
        loss = cross_entropy(logits.float(), batch.labels, label_smoothing=self.recipe.label_smoothing)
        if drawn is not None and batch.dense is not None and batch.known is not None:
            loss = loss + self.recipe.outline_weight * outline_loss(drawn.float(), batch.dense, batch.known)
        return loss, {"right": (logits.detach().argmax(1) == batch.labels).sum()}

    def score(self, module: nn.Module, feed: Feed) -> dict[str, Any]:
        """Loss, accuracy, balanced accuracy and AUROC of whole validation patients."""
        held_out = feed.held_out("validation")
        logits = held_out_logits(lambda x: module(x)[0], held_out, VOLUMES_AT_ONCE)
        return classification_scores(logits, torch.from_numpy(held_out.labels), np.asarray(held_out.sources))


def outline_loss(drawn: Tensor, dense: Tensor, known: Tensor) -> Tensor:
    """Cross-entropy of cells, and of planes by the mean of their TOP highest cells; both where the truth is known.

    `drawn` (N, d, h, w) logits; `dense` and `known` (N, 2, d, h, w): blood by cell, and by plane.
    """
    weight = known[:, 0] * (1 + (RARE - 1) * dense[:, 0])
    cells = binary_cross_entropy_with_logits(drawn, dense[:, 0], weight=weight, reduction="sum") / weight.sum().clamp(1)
    highest = drawn.flatten(2).topk(min(TOP, drawn[0, 0].numel()), dim=2).values.mean(2)
    truth, clear = dense[:, 1, :, 0, 0], known[:, 1, :, 0, 0]
    planes = binary_cross_entropy_with_logits(highest, truth, weight=clear, reduction="sum") / clear.sum().clamp(1)
    return cells + planes
