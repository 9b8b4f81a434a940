"""Pieces of the training script that are arithmetic: schedules, optimiser, averaged weights, image sizes, signals."""

from __future__ import annotations

import copy
import math
import signal
import threading
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import replace
from types import FrameType
from typing import Any

import torch
from torch import Tensor, nn
from torch.nn.functional import interpolate

from strokenext.models.strokenext import Encoder

from .feed import Batch
from .recipe import Recipe

#: Schedule "step": the rate is divided by ten at these shares of the training.
MILESTONES = (0.5, 0.75)
#: Schedule "plateau": the rate is halved after this many epochs without a lower validation loss.
PLATEAU_PATIENCE = 3


def learning_rate(recipe: Recipe, update: int, updates: int, history: Sequence[Mapping[str, Any]] = ()) -> float:
    """The rate of an update of `updates`: linear warm-up to the peak, then the recipe's schedule.

    With `head_steps` there are two phases, each with its own warm-up and decay: the fusion head on frozen encoders
    at `head_rate`, then everything at `rate`.
    """
    if update < recipe.head_steps:
        return recipe.head_rate * factor(recipe, update, recipe.head_steps, history)
    return recipe.rate * factor(recipe, update - recipe.head_steps, updates - recipe.head_steps, history)


def factor(recipe: Recipe, update: int, updates: int, history: Sequence[Mapping[str, Any]] = ()) -> float:
    """Learning-rate factor 0..1; the cosine ends at 1 %."""
    if update < recipe.warmup:
        return (update + 1) / recipe.warmup
    done = min(1.0, (update - recipe.warmup) / max(1, updates - recipe.warmup))
    if recipe.schedule == "cosine":
        return 0.01 + 0.99 * 0.5 * (1 + math.cos(math.pi * done))
    if recipe.schedule == "step":
        return 0.1 ** sum(done >= m for m in MILESTONES)
    return 0.5 ** plateaus(history) if recipe.schedule == "plateau" else 1.0


def plateaus(history: Sequence[Mapping[str, Any]]) -> int:
    """How often the validation loss stayed for PLATEAU_PATIENCE epochs at or above its lowest."""
    count, waited, lowest = 0, 0, math.inf
    for epoch in history:
        loss = float(epoch["validation"]["loss"])
        waited = 0 if loss < lowest else waited + 1
        lowest = min(lowest, loss)
        if waited == PLATEAU_PATIENCE:
            count, waited = count + 1, 0
    return count


def parameter_groups(model: nn.Module, weight_decay: float, encoder_share: float = 1.0) -> list[dict[str, Any]]:
    """Matrices and kernels decay; biases, norms and LayerScale do not. `share` is a group's part of the rate."""
    inside = {id(p) for m in encoders_of(model) for p in m.parameters()} if encoder_share != 1 else set()
    groups: list[dict[str, Any]] = []
    for share, chosen in ((1.0, False), (encoder_share, True)):
        learn = [p for p in model.parameters() if p.requires_grad and (id(p) in inside) is chosen]
        for matrices, decay in ((True, weight_decay), (False, 0.0)):
            parameters = [p for p in learn if (p.ndim > 1) is matrices]
            groups += [{"params": parameters, "weight_decay": decay, "share": share}] if parameters else []
    return groups


def encoders_of(model: nn.Module) -> list[nn.Module]:
    """The encoders of a StrokeNeXt or of its pre-training network."""
    return [m for m in model.modules() if isinstance(m, Encoder)]


def hold_statistics(model: nn.Module) -> None:
    """The batch norms of the encoders in evaluation mode: they use and keep the statistics that they came with."""
    for encoder in encoders_of(model):
        for module in encoder.modules():
            if isinstance(module, nn.modules.batchnorm._BatchNorm):
                module.eval()


def make_optimiser(recipe: Recipe, module: nn.Module) -> torch.optim.Optimizer:
    """The recipe's optimiser, its update fused into one kernel (not for fp16, whose gradients are unscaled first)."""
    groups = parameter_groups(module, recipe.weight_decay, recipe.encoder_share)
    fused = recipe.precision != "fp16"
    if recipe.optimiser == "adamw":
        return torch.optim.AdamW(groups, lr=recipe.rate, betas=(0.9, 0.99), fused=fused)
    if recipe.optimiser == "adam":
        return torch.optim.Adam(groups, lr=recipe.rate, fused=fused)
    return torch.optim.SGD(groups, lr=recipe.rate, momentum=0.9, nesterov=True, fused=fused)


class Average:
    """Exponential moving average of a model's weights; buffers are copied."""

    def __init__(self, model: nn.Module, decay: float = 0.998) -> None:
        self.model = copy.deepcopy(model).eval()
        self.decay = decay

    @torch.no_grad()
    def update(self, model: nn.Module, step: int) -> None:
        """Move towards `model`; faster at the start, when the average is still the initial noise."""
        decay = min(self.decay, (step + 1) / (step + 10))
        mine: list[Tensor] = list(self.model.parameters())
        theirs: list[Tensor] = list(model.parameters())
        torch._foreach_lerp_(mine, theirs, 1 - decay)
        for kept, now in zip(self.model.buffers(), model.buffers(), strict=True):
            kept.copy_(now)


def resized(batch: Batch, side: int) -> Batch:
    """The batch with images of `side` pixels, targets at the same fraction of it; itself when it has that side."""
    now = batch.pixels.shape[-1]
    if now == side or batch.pixels.ndim != 4:
        return batch

    def to_side(x: Tensor, mode: str) -> Tensor:
        to = round(x.shape[-1] * side / now)
        return interpolate(x, (to, to), mode=mode, antialias=mode == "bilinear")

    dense = None if batch.dense is None else to_side(batch.dense, "bilinear")
    known = None if batch.known is None else to_side(batch.known, "nearest")
    return replace(batch, pixels=to_side(batch.pixels, "bilinear"), dense=dense, known=known)


@contextmanager
def stop_on_signal() -> Iterator[Callable[[], bool]]:
    """Turns the first SIGINT or SIGTERM into a question the loop asks between steps; a second one acts at once."""
    requested = threading.Event()
    before: dict[int, Any] = {}

    def note(number: int, _: FrameType | None) -> None:
        requested.set()
        signal.signal(number, before[number] if before[number] is not None else signal.SIG_DFL)

    if threading.current_thread() is threading.main_thread():
        before = {number: signal.signal(number, note) for number in (signal.SIGINT, signal.SIGTERM)}
    try:
        yield requested.is_set
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)


def dropout_seed(seed: int, place: int) -> int:
    """What torch's generator, which dropout draws from, is seeded with at a step of a process."""
    return ((seed << 40) + place) % (2**63 - 25)  # prime, so that a date as seed does not overflow
