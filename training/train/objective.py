"""What a network learns: the contract of every objective, and the scores of a classifier on held-out examples."""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import Any, Protocol

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn
from torch.nn.functional import cross_entropy

from strokenext.errors import DataError
from training.measure.metrics import auroc

from .feed import Batch, Feed, HeldOut


class Objective(Protocol):
    """What the training loop asks of an objective.

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


@torch.no_grad()
def held_out_logits(forward: Callable[[Tensor], Tensor], held_out: HeldOut, size: int = 64) -> Tensor:
    """(N, K) float32 logits of held-out examples, on the CPU, `size` at once. Raises DataError where there are none."""
    if not len(held_out):
        raise DataError("The split's validation part holds no labelled image; training cannot tell what to keep.")
    return torch.cat([forward(batch.pixels).float().cpu() for batch in held_out.batches(size)])


def classification_scores(logits: Tensor, labels: Tensor, sources: NDArray[np.str_]) -> dict[str, Any]:
    """loss, accuracy, balanced accuracy and auroc of (N, 2) logits; auroc by source, and the mean of those.

    An AUROC is None where there is one class only. `source_auroc` does not reward telling sources apart, `auroc` does.
    """
    truth = labels.numpy()
    margin = (logits[:, 1] - logits[:, 0]).double().numpy()
    right = (margin > 0) == (truth == 1)
    rates = [float(right[truth == k].mean()) for k in (0, 1) if (truth == k).any()]
    areas = {str(s): _auroc(truth[sources == s], margin[sources == s]) for s in np.unique(sources)}
    by_source = {s: a for s, a in areas.items() if a is not None}
    return {
        "loss": round(float(cross_entropy(logits, labels)), 6),
        "accuracy": round(float(right.mean()), 6),
        "balanced_accuracy": round(float(np.mean(rates)), 6),
        "auroc": _auroc(truth, margin),
        "images": len(truth),
        "source_auroc": round(float(np.mean(list(by_source.values()))), 6) if by_source else None,
        "by_source": by_source,
    }


def _auroc(truth: NDArray[np.int64], margin: NDArray[np.float64]) -> float | None:
    """AUROC, or None where one class is missing or a margin is not a number."""
    if len(np.unique(truth)) < 2 or not math.isfinite(float(margin.sum())):
        return None
    return round(auroc(truth, margin), 6)
