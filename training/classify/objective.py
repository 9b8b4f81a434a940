"""What a network learns: the module that is optimised, its loss on a batch, its score on held-back examples.

`classify` trains any classifier of the zoo on labels and stands here; the others stand in the modules of the table.
"""

from __future__ import annotations

import math
from importlib import import_module
from pathlib import Path
from typing import TYPE_CHECKING, Any, Protocol, cast

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn
from torch.nn.functional import cross_entropy

from strokenext.errors import DataError, OptionError
from strokenext.models import build
from strokenext.models.strokenext import StrokeNeXt
from training.measure.metrics import auroc
from training.train.recipe import Recipe
from training.train.run import read_run, trained_weights

from .dense import dense_encoder
from .examples import HEMORRHAGIC, NORMAL

if TYPE_CHECKING:
    from training.train.feed import Batch, Feed, Held

#: Recipe's objective to "module:class"; the class is called with the recipe alone, or with the run its encoder
#: comes from too where it says `takes_encoder = True`.
OBJECTIVES = {
    "classify": "training.classify.objective:Classify",
    "outline": "training.classify.fuse:Outline",
    "fuse": "training.classify.fuse:Fuse",
    "segment": "training.segment.feed:Segment",
    "volume": "training.volumes.feed:Volumes",
}


class Objective(Protocol):
    """What the training script asks of an objective.

    `module` is optimised and averaged and may wrap the network with decoders; `model` is the network that is saved,
    a part of `module`. An objective may also have `thaw(update)`, called before each update to say which
    parameters learn from now on.
    """

    module: nn.Module
    model: nn.Module

    def loss(self, module: nn.Module, batch: Batch, step: int) -> tuple[Tensor, dict[str, Any]]:
        """Mean loss of a batch, and sums for the epoch's line ({"right": n}); `module` is the wrapped one to call."""

    def score(self, module: nn.Module, feed: Feed) -> dict[str, Any]:
        """Figures on the validation part; they contain `loss` and what the recipe selects by."""


def make_objective(recipe: Recipe, encoder_from: Path | None = None) -> Objective:
    """The recipe's objective with a network of its own. Raises OptionError where `encoder_from` means nothing."""
    module, _, name = OBJECTIVES[recipe.objective].partition(":")
    kind = getattr(import_module(module), name)
    if getattr(kind, "takes_encoder", False):
        return cast(Objective, kind(recipe, encoder_from))
    if encoder_from is not None:
        raise OptionError(f"--encoder-from means nothing to the objective '{recipe.objective}'; leave it away.")
    return cast(Objective, kind(recipe))


def load_run(run: Path) -> tuple[nn.Module, Recipe]:
    """The best network of a run, in evaluation mode, and the recipe it was trained with."""
    recipe = Recipe.from_dict(read_run(run)["recipe"], f"record {run}/run.json")
    objective = make_objective(recipe.override(pretrained=False))
    objective.module.load_state_dict(trained_weights(run))
    return objective.model.eval(), recipe


def task_labels(labels: Tensor, recipe: Recipe) -> Tensor:
    """(N,) class index of the task; the lesions feed names normal, ischemic and hemorrhagic instead."""
    if recipe.feed != "lesions":
        return labels
    return (labels != NORMAL).long() if recipe.task == "presence" else (labels == HEMORRHAGIC).long()


class Classify:
    """Any classifier of the zoo on the task's two classes."""

    takes_encoder = True

    def __init__(self, recipe: Recipe, encoder_from: Path | None = None) -> None:
        self.recipe, self.held = recipe, cast("Held | None", None)
        options = dict(recipe.arguments) | ({"pretrained": True} if recipe.pretrained else {})
        self.model = self.module = build(recipe.model, classes=2, **options)
        if recipe.layer_scale and not recipe.pretrained:
            start_layer_scale(self.model, recipe.layer_scale)
        if encoder_from is not None:
            if not isinstance(self.model, StrokeNeXt):
                raise OptionError(f"--encoder-from starts the encoders of a StrokeNeXt; {recipe.model} has none.")
            start = dense_encoder(recipe, encoder_from).encoder.state_dict()
            self.model.encoder_a.load_state_dict(start)
            self.model.encoder_b.load_state_dict(start)
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
        self.held = self.held or feed.held("validation")
        return task_scores(answers(module, self.held), self.held, self.recipe)


def start_layer_scale(model: nn.Module, value: float) -> None:
    """Set the LayerScale of every ConvNeXt block: from 1e-6 and without ImageNet weights it barely learns."""
    for name, parameter in model.named_parameters():
        if name.rpartition(".")[2] == "gamma":
            nn.init.constant_(parameter, value)


@torch.no_grad()
def answers(forward: Any, held: Held) -> Tensor:
    """(N, K) float32 logits of held-back examples, on the CPU. Raises DataError where there are none."""
    if not len(held.labels):
        raise DataError("The split's validation part holds no labelled image; training cannot tell what to keep.")
    return torch.cat([forward(b.pixels).float().cpu() for b in held])


def task_scores(logits: Tensor, held: Held, recipe: Recipe) -> dict[str, Any]:
    """`classification_scores` of the examples that the task is about: a normal slice has no subtype."""
    labels, sources = torch.from_numpy(held.labels), np.asarray(held.sources)
    if recipe.feed == "lesions" and recipe.task == "subtype":
        asked = labels != NORMAL
        logits, labels, sources = logits[asked], labels[asked], sources[asked.numpy()]
    return classification_scores(logits, task_labels(labels, recipe), sources)


def classification_scores(logits: Tensor, labels: Tensor, sources: NDArray[np.str_]) -> dict[str, Any]:
    """loss, accuracy, balanced accuracy and auroc of (N, 2) logits; auroc by source, and the mean of those.

    An AUROC is None where there is one class only. `source_auroc` does not reward telling sources apart, `auroc` does.
    """
    truth = labels.numpy()
    margin = (logits[:, 1] - logits[:, 0]).double().numpy()
    right = (margin > 0) == (truth == 1)
    rates = [float(right[truth == k].mean()) for k in (0, 1) if (truth == k).any()]
    areas = {str(s): area(truth[sources == s], margin[sources == s]) for s in np.unique(sources)}
    by_source = {s: a for s, a in areas.items() if a is not None}
    return {
        "loss": round(float(cross_entropy(logits, labels)), 6),
        "accuracy": round(float(right.mean()), 6),
        "balanced_accuracy": round(float(np.mean(rates)), 6),
        "auroc": area(truth, margin),
        "images": len(truth),
        "source_auroc": round(float(np.mean(list(by_source.values()))), 6) if by_source else None,
        "by_source": by_source,
    }


def area(truth: NDArray[np.int64], margin: NDArray[np.float64]) -> float | None:
    """AUROC, or None where one class is missing or a margin is not a number."""
    if len(np.unique(truth)) < 2 or not math.isfinite(float(margin.sum())):
        return None
    return round(float(auroc(truth, margin)), 6)
