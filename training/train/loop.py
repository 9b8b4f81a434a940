"""The training loop of every system.

Interrupted, the same run resumes where it stopped and comes to the same numbers: what a step sees and drops out
depends on the seed and the step alone.
"""

from __future__ import annotations

import math
import time
from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from itertools import islice
from pathlib import Path
from typing import Any, cast

import torch
from lightning_fabric import Fabric
from timm.layers import convert_sync_batchnorm
from torch import nn

from strokenext.errors import DataError, OptionError

from .curves import draw_curves
from .feed import Batch, Feed
from .objective import Objective
from .recipe import Recipe
from .run import BEST, LAST, best_epoch, load_state, save_state, write_history
from .schedule import Average, dropout_seed, hold_statistics, learning_rate, make_optimiser, resized, stop_on_signal

#: Seconds between two progress lines.
EVERY = 10.0


@dataclass(frozen=True)
class Progress:
    """Where a run stands: steps taken, seconds spent, finished epochs, and the sums of the epoch under way."""

    step: int = 0
    seconds: float = 0.0
    history: tuple[dict[str, Any], ...] = ()
    sums: Mapping[str, Any] = field(default_factory=dict)

    def after(self, counted: Mapping[str, Any]) -> Progress:
        """One step later, what it counted added to the epoch's sums."""
        sums = {**self.sums, **{name: self.sums.get(name, 0.0) + value for name, value in counted.items()}}
        return replace(self, step=self.step + 1, sums=sums)


@dataclass(frozen=True, eq=False)
class Network:
    """What learns: `plain` is what is saved, `module` the same weights as the other processes and the compiler see
    them, `average` the moving average where the recipe asks for one; the optimiser, bare and as Fabric steps it."""

    plain: nn.Module
    module: Any
    average: Average | None
    optimiser: torch.optim.Optimizer
    stepper: Any

    @property
    def scored(self) -> nn.Module:
        """The weights that are scored and kept."""
        return self.average.model if self.average else self.plain


def train(fabric: Fabric, recipe: Recipe, objective: Objective, feed: Feed, run: Path) -> bool:
    """Train, or resume. Writes history, curves and checkpoints into `run`; returns False when a signal stopped it."""
    network = set_up(fabric, recipe, objective)
    per_epoch = recipe.epoch_steps(feed.images)
    total = per_epoch * recipe.epochs
    progress = restore(run, fabric, network)
    started, before, first, shown = time.monotonic(), progress.seconds, progress.step, 0.0
    batches = iter(feed.batches(progress.step, total, rank=fabric.global_rank, world=fabric.world_size))
    with stop_on_signal() as stopping:
        while progress.step < total and not stale(recipe, progress.history):
            begun, stop, epoch_started = progress.step, False, time.monotonic()
            for batch in islice(batches, per_epoch - begun % per_epoch):
                counted, stop = one_step(fabric, recipe, objective, network, batch, progress, total, stopping())
                progress = progress.after(counted)
                if fabric.is_global_zero and time.monotonic() - shown > EVERY:
                    shown = time.monotonic()
                    pace = (shown - started) / (progress.step - first)
                    print(progress_line(recipe, progress, total, pace), flush=True)
                if stop:
                    break
            if progress.step == begun:
                raise DataError("The feed gave no more batches before the training was over.")
            sums = over_processes(fabric, progress.sums)
            if not math.isfinite(sums["loss"]):
                raise OptionError("The loss is no longer a number. Lower the rate, or train with precision float32.")
            progress = replace(progress, sums=sums, seconds=before + time.monotonic() - started)
            if progress.step % per_epoch == 0:
                pace = (progress.step - begun) * recipe.batch / (time.monotonic() - epoch_started)
                line = epoch_line(recipe, progress, per_epoch, total, pace)
                line["validation"] = fabric.broadcast(scores(recipe, objective, network, feed))
                progress = replace(progress, history=(*progress.history, line), sums={})
            if fabric.is_global_zero:
                save(run, recipe, fabric, network, progress, finished=progress.step >= total)
            fabric.barrier()
            if not fabric.is_global_zero:  # the first process holds the sums of all
                progress = replace(progress, sums={})
            if stop and progress.step < total:
                return False
    return True


def set_up(fabric: Fabric, recipe: Recipe, objective: Objective) -> Network:
    """The objective's network on the device, with its optimiser. Raises OptionError for a batch too small."""
    plain = objective.module
    if fabric.world_size > 1 and fabric.device.type == "cuda":  # batch norm over the shares of all GPUs
        plain = objective.module = convert_sync_batchnorm(plain)
    plain.to(fabric.device)
    if recipe.channels_last:
        solid = any(p.ndim == 5 for p in plain.parameters())
        plain.to(memory_format=torch.channels_last_3d if solid else torch.channels_last)
    if recipe.batch == 1 and any(isinstance(m, nn.BatchNorm1d) for m in plain.modules()):
        raise OptionError(f"{recipe.model} has batch norm on vectors, which needs two images or more in a batch.")
    average = Average(plain, recipe.average) if recipe.average else None
    optimiser = make_optimiser(recipe, plain)
    compiled = cast(nn.Module, torch.compile(plain)) if recipe.compile else plain
    module, stepper = fabric.setup(compiled, optimiser)
    return Network(plain, module, average, optimiser, stepper)


def one_step(
    fabric: Fabric,
    recipe: Recipe,
    objective: Objective,
    network: Network,
    batch: Batch,
    progress: Progress,
    total: int,
    stopping: bool,
) -> tuple[dict[str, Any], bool]:
    """Forward, backward and, once `accumulate` steps are complete, an update: what was counted, whether to stop."""
    step = progress.step
    update, complete = step // recipe.accumulate, (step + 1) % recipe.accumulate == 0
    torch.manual_seed(dropout_seed(recipe.seed, step * fabric.world_size + fabric.global_rank))
    for group in network.optimiser.param_groups:
        group["lr"] = group["share"] * learning_rate(recipe, update, total // recipe.accumulate, progress.history)
    if hasattr(objective, "thaw"):
        objective.thaw(update)
    batch = resized(batch, recipe.size_at(step / total))
    mine = len(batch.pixels)
    everywhere = over_processes(fabric, {"images": mine, "stop": int(stopping)})
    network.plain.train()
    if recipe.hold_statistics:
        hold_statistics(network.plain)
    with fabric.no_backward_sync(network.module, enabled=not complete):
        loss, counted = objective.loss(network.module, batch, update)
        # Processes are averaged evenly: one with a larger share of the batch weighs more, as it should.
        fabric.backward(loss * (mine * fabric.world_size / everywhere["images"] / recipe.accumulate))
    if complete:
        if recipe.clip:
            fabric.clip_gradients(network.module, network.stepper, max_norm=recipe.clip, error_if_nonfinite=False)
        network.stepper.step()
        network.stepper.zero_grad(set_to_none=True)  # a frozen weight without gradient is left alone, decay included
        if network.average:
            network.average.update(network.plain, update)
    return {"loss": loss.detach() * mine, "images": mine, **counted}, complete and bool(everywhere["stop"])


def over_processes(fabric: Fabric, values: Mapping[str, Any]) -> dict[str, Any]:
    """The same figures as plain numbers, summed over all processes."""
    numbers = [float(v) for v in values.values()]
    if fabric.world_size > 1:
        together = torch.tensor(numbers, dtype=torch.float64 if fabric.device.type != "mps" else None)
        numbers = cast(torch.Tensor, fabric.all_reduce(together, reduce_op="sum")).tolist()
    return dict(zip(values, numbers, strict=True))


def scores(recipe: Recipe, objective: Objective, network: Network, feed: Feed) -> dict[str, Any]:
    """Figures on the validation part. Raises OptionError where what the recipe selects by is not among them."""
    measured = objective.score(network.scored.eval(), feed)
    if recipe.select not in ("last", *measured):
        raise OptionError(f"Nothing can be selected by {recipe.select}; there are: {', '.join(measured)}.")
    return measured


def epoch_line(recipe: Recipe, progress: Progress, per_epoch: int, total: int, pace: float) -> dict[str, Any]:
    """An epoch's training figures: `right` gives the accuracy, the rest are means per image; `pace` in images/s."""
    counted = dict(progress.sums)
    images = counted.pop("images")
    accuracy = {"accuracy": counted.pop("right") / images} if "right" in counted else {}
    means = {name: round(value / images, 6) for name, value in counted.items()}
    last = (progress.step - 1) // recipe.accumulate
    rate = learning_rate(recipe, last, total // recipe.accumulate, progress.history)
    times = {"images_per_second": round(pace, 1), "seconds": round(progress.seconds, 1)}
    return {"epoch": progress.step // per_epoch, "step": progress.step, **means, **accuracy, "rate": rate, **times}


def restore(run: Path, fabric: Fabric, network: Network) -> Progress:
    """Load what an earlier, interrupted run left into the network; a run that begins has taken no step."""
    if not (run / LAST).exists():
        return Progress()
    state = load_state(run / LAST)
    network.plain.load_state_dict(state["module"])
    if state["optimiser"]:  # a finished run keeps none
        network.optimiser.load_state_dict(state["optimiser"])
    fabric.strategy.precision.load_state_dict(state["scaler"])
    if network.average:
        network.average.model.load_state_dict(state["average"])
    sums = state["sums"] if fabric.is_global_zero else {}
    return Progress(state["step"], state["seconds"], tuple(state["history"]), sums)


def save(run: Path, recipe: Recipe, fabric: Fabric, network: Network, progress: Progress, finished: bool) -> None:
    """Write what `restore` reads; at the end of an epoch also history, curves and, of the best so far, the weights."""
    if progress.history and not progress.sums:
        keep_best(run, recipe, network, progress)
    save_state(
        run / LAST,
        module=network.plain.state_dict(),
        average=network.average and network.average.model.state_dict(),
        optimiser=None if finished else network.optimiser.state_dict(),
        scaler=fabric.strategy.precision.state_dict(),
        step=progress.step,
        seconds=progress.seconds,
        history=list(progress.history),
        sums=dict(progress.sums),
    )


def keep_best(run: Path, recipe: Recipe, network: Network, progress: Progress) -> None:
    """Write history and curves, and the weights when the last epoch is the best so far."""
    history, line = progress.history, progress.history[-1]
    if best_epoch(history, recipe.select) == len(history) - 1:
        save_state(run / BEST, module=network.scored.state_dict(), epoch=line["epoch"], validation=line["validation"])
    write_history(run, history)
    draw_curves(history, recipe.select, run / "curves.png")
    figures = {name: value for name, value in line["validation"].items() if not isinstance(value, dict)}
    where = f"epoch {line['epoch']}/{recipe.epochs} {line['seconds']:.0f} s"
    print(f"{where} loss {line['loss']:.3f} validation {figures}", flush=True)


def progress_line(recipe: Recipe, progress: Progress, total: int, pace: float) -> str:
    """One line; `pace` in seconds per step."""
    loss = float(progress.sums["loss"] / progress.sums["images"])
    rest = pace * (total - progress.step) / 60
    return f"step {progress.step}/{total} loss {loss:.3f} {recipe.batch / pace:.0f} images/s {rest:.1f} min left"


def stale(recipe: Recipe, history: tuple[dict[str, Any], ...]) -> bool:
    """Whether `patience` epochs have gone by without a better one."""
    if not recipe.patience or not history:
        return False
    return len(history) - 1 - best_epoch(history, recipe.select) >= recipe.patience
