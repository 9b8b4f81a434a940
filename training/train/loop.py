"""Train any system of the zoo: `python -m training train RECIPE.toml --cache DIR --split SPLIT.json --run DIR`.

Reads top to bottom as the recipe: settings, data, model, optimiser, loop. Interrupted, the same command goes on where
it stopped and comes to the same numbers: what a step sees and drops out depends on the seed and the step alone.
"""

from __future__ import annotations

import argparse
import math
import time
from collections.abc import Sequence
from itertools import islice
from pathlib import Path
from typing import TYPE_CHECKING, Any, cast

import torch
from lightning_fabric import Fabric
from torch import nn

from strokenext.errors import DataError, OptionError
from training.classify.objective import Objective, make_objective
from training.environment import sha256

from .curves import draw_curves
from .processes import launch, share_batch_norm, whole_batch
from .recipe import Recipe, read_recipe
from .run import BEST, LAST, best_epoch, load_state, save_state, start_run, write_history
from .schedule import Average, drop_seed, learning_rate, make_optimiser, resized, stop_on_signal

if TYPE_CHECKING:
    from .feed import Feed

#: Seconds between two progress lines.
EVERY = 10.0


def parser() -> argparse.ArgumentParser:
    p = argparse.ArgumentParser(prog="python -m training train", description=__doc__)
    p.add_argument("recipe", type=Path)
    p.add_argument("--cache", type=Path, required=True, help="folder written by `python -m training cache`")
    p.add_argument("--split", type=Path, required=True, help="file written by `python -m training split`")
    p.add_argument("--run", type=Path, required=True, help="checkpoints, history, curves; gone on with when it exists")
    p.add_argument("--encoder-from", type=Path, metavar="RUN", help="run of an `outline` recipe to start encoders from")
    p.add_argument("--random-labels", nargs="?", const="images", choices=("images", "patients"), help="the control run")
    p.add_argument("--epochs", type=int)
    p.add_argument("--set", action="append", default=[], metavar="KEY=VALUE", help="another recipe entry; repeatable")
    p.add_argument("--device", default="auto", help="auto, cpu, cuda, cuda:N or mps")
    p.add_argument("--processes", type=int, default=1, help="processes that share every batch, one GPU each")
    return p


def main(argv: Sequence[str]) -> int:
    """Train, or go on training. Returns 0, or 130 when a signal stopped it at a step it can go on from."""
    o = parser().parse_args(argv)
    recipe = read_recipe(o.recipe, o.set).override(epochs=o.epochs, random_labels=o.random_labels)
    finished = launch(prepare, recipe, o.cache, o.split, o.run, o.encoder_from, device=o.device,
                      processes=o.processes, precision=recipe.precision, unused=recipe.objective == "fuse")  # fmt: skip
    return 0 if finished else 130


def prepare(fabric: Fabric, recipe: Recipe, cache: Path, split: Path, run: Path, encoder_from: Path | None) -> bool:
    """Data and model of one process, then training. Returns False when a signal stopped it."""
    from training.cache.store import open_cache
    from training.splits.split import read_split

    from .feed import make_feed

    slices = open_cache(cache)
    if recipe.size > slices.size:
        fabric.print(f"The cache holds slices of {slices.size} pixels, enlarged to the recipe's {recipe.size}. In full "
                     f"detail: python -m training cache MANIFEST FOLDER --size {recipe.size}.")  # fmt: skip
    feed = make_feed(recipe, slices, read_split(split), fabric.device)
    torch.manual_seed(recipe.seed)
    objective = make_objective(recipe, encoder_from)
    data = {"cache": sha256(cache / "rows.jsonl"), "split": sha256(split), "split_file": split.name}
    if encoder_from is not None:
        kept = BEST if (encoder_from / BEST).exists() else LAST
        data |= {"encoder": sha256(encoder_from / kept), "encoder_from": encoder_from.name}
    start_run(run, recipe, data, str(fabric.device))
    return train(fabric, recipe, objective, feed, run)


def train(fabric: Fabric, recipe: Recipe, objective: Objective, feed: Feed, run: Path) -> bool:
    """The loop. Writes history, curves and checkpoints into `run`; returns False when a signal stopped it."""
    # Model: `plain` is what is saved, `module` the same weights as the other processes and the compiler see them.
    plain = objective.module = share_batch_norm(objective.module, fabric)
    plain.to(fabric.device)
    if recipe.channels_last:
        solid = any(p.ndim == 5 for p in plain.parameters())
        plain.to(memory_format=torch.channels_last_3d if solid else torch.channels_last)
    average = Average(plain, recipe.average) if recipe.average else None
    scored = average.model if average else plain

    # Optimiser
    optimiser = make_optimiser(recipe, plain)
    if recipe.batch == 1 and any(isinstance(m, nn.BatchNorm1d) for m in plain.modules()):
        raise OptionError(f"{recipe.model} has batch norm on vectors, which needs two images or more in a batch.")
    compiled = cast(nn.Module, torch.compile(plain)) if recipe.compile else plain
    module, stepper = fabric.setup(compiled, optimiser)
    per_epoch = recipe.epoch_steps(feed.images)
    total, step, seconds = per_epoch * recipe.epochs, 0, 0.0
    history: list[dict[str, Any]] = []
    sums: dict[str, Any] = {}

    # What an earlier, interrupted run left
    if (run / LAST).exists():
        state = load_state(run / LAST)
        plain.load_state_dict(state["module"])
        if state["optimiser"]:  # a finished run keeps none
            optimiser.load_state_dict(state["optimiser"])
        fabric.strategy.precision.load_state_dict(state["scaler"])
        if average:
            average.model.load_state_dict(state["average"])
        step, seconds, history = state["step"], state["seconds"], state["history"]
        sums = state["sums"] if fabric.is_global_zero else {}

    # Loop
    started, first, said = time.monotonic(), step, 0.0
    batches = iter(feed.batches(step, total, rank=fabric.global_rank, world=fabric.world_size))
    with stop_on_signal() as stopping:
        while step < total and not stale(recipe, history):
            epoch_started, epoch_first, stop = time.monotonic(), step, 0
            for batch in islice(batches, per_epoch - step % per_epoch):
                update, ends = step // recipe.accumulate, (step + 1) % recipe.accumulate == 0
                torch.manual_seed(drop_seed(recipe.seed, step * fabric.world_size + fabric.global_rank))
                rate = learning_rate(recipe, update, total // recipe.accumulate, history)
                for group in optimiser.param_groups:
                    group["lr"] = rate
                if hasattr(objective, "thaw"):
                    objective.thaw(update)
                batch = resized(batch, recipe.size_at(step / total))
                mine = len(batch.pixels)
                images, stop = over_all(fabric, [mine, int(stopping())])
                plain.train()
                with fabric.no_backward_sync(module, enabled=not ends), whole_batch(fabric):
                    loss, counted = objective.loss(module, batch, update)
                    # Processes are averaged evenly: one with a larger share of the batch weighs more, as it should.
                    fabric.backward(loss * (mine * fabric.world_size / images / recipe.accumulate))
                for name, value in {"loss": loss.detach() * mine, "images": mine, **counted}.items():
                    sums[name] = sums.get(name, 0.0) + value
                step += 1
                if not ends:
                    continue
                if recipe.clip:
                    fabric.clip_gradients(module, stepper, max_norm=recipe.clip, error_if_nonfinite=False)
                stepper.step()
                stepper.zero_grad(set_to_none=True)  # a frozen weight without gradient is left alone, decay included
                if average:
                    average.update(plain, update)
                if time.monotonic() - said > EVERY and fabric.is_global_zero:
                    said = time.monotonic()
                    print(progress(recipe, step, total, sums, (said - started) / (step - first)), flush=True)
                if stop:
                    break
            if step == epoch_first:
                raise DataError("The feed gave no more batches before the training was over.")

            sums = dict(zip(sums, over_all(fabric, [float(v) for v in sums.values()]), strict=True))
            if not math.isfinite(sums["loss"]):
                raise OptionError("The loss is no longer a number. Lower the rate, or train with precision float32.")
            if step % per_epoch == 0:
                pace = (step - epoch_first) * recipe.batch / (time.monotonic() - epoch_started)
                found = objective.score(scored.eval(), feed)
                if recipe.select not in ("last", *found):
                    raise OptionError(f"Nothing can be selected by {recipe.select}; there are: {', '.join(found)}.")
                line = {"epoch": step // per_epoch, "step": step, **means(sums), "rate": rate,
                        "images_per_second": round(pace, 1),
                        "seconds": round(seconds + time.monotonic() - started, 1)}  # fmt: skip
                history, sums = [*history, line | {"validation": fabric.broadcast(found)}], {}
            if fabric.is_global_zero:
                if history and not sums:
                    keep(run, recipe, history, scored)
                save_state(run / LAST, module=plain.state_dict(), average=average and average.model.state_dict(),
                           optimiser=optimiser.state_dict() if step < total else None, step=step,
                           scaler=fabric.strategy.precision.state_dict(),
                           seconds=seconds + time.monotonic() - started, history=history, sums=sums)  # fmt: skip
            fabric.barrier()
            sums = sums if fabric.is_global_zero else {}
            if stop and step < total:
                return False
    return True


def over_all(fabric: Fabric, values: list[Any]) -> list[Any]:
    """The sums of these numbers over all processes."""
    if fabric.world_size == 1:
        return values
    together = torch.tensor(values, dtype=torch.float64 if fabric.device.type != "mps" else None)
    return list(cast(torch.Tensor, fabric.all_reduce(together, reduce_op="sum")).tolist())


def means(sums: dict[str, float]) -> dict[str, float]:
    """An epoch's figures: `right` out of `seen` (else of all images) is the accuracy, the rest are means per image."""
    images, counted = sums["images"], dict(sums)
    seen = counted.pop("seen", images)
    accuracy = {"accuracy": counted.pop("right") / max(1.0, seen)} if "right" in counted else {}
    return {k: round(v / images, 6) for k, v in counted.items() if k != "images"} | accuracy


def progress(recipe: Recipe, step: int, total: int, sums: dict[str, Any], pace: float) -> str:
    """One line; `pace` in seconds per step."""
    loss = float(sums["loss"] / sums["images"])
    return (f"step {step}/{total} loss {loss:.3f} {recipe.batch / pace:.0f} images/s "
            f"{pace * (total - step) / 60:.1f} min left")  # fmt: skip


def stale(recipe: Recipe, history: list[dict[str, Any]]) -> bool:
    """Whether `patience` epochs have gone by without a better one."""
    return (
        bool(recipe.patience and history) and len(history) - 1 - best_epoch(history, recipe.select) >= recipe.patience
    )


def keep(run: Path, recipe: Recipe, history: list[dict[str, Any]], scored: nn.Module) -> None:
    """Write history and curves, and the weights when the last epoch is the best so far."""
    line = history[-1]
    if best_epoch(history, recipe.select) == len(history) - 1:
        save_state(run / BEST, module=scored.state_dict(), epoch=line["epoch"], validation=line["validation"])
    write_history(run, history)
    draw_curves(history, recipe.select, run / "curves.png")
    figures = {k: v for k, v in line["validation"].items() if not isinstance(v, dict)}
    print(f"epoch {line['epoch']}/{recipe.epochs} {line['seconds']:.0f} s loss {line['loss']:.3f} validation {figures}",
          flush=True)  # fmt: skip
