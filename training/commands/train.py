"""Train any system of the zoo: `python -m training train RECIPE.toml --cache DIR --split SPLIT.json --run DIR`.

Interrupted, the same command resumes where it stopped and comes to the same numbers.
"""

from __future__ import annotations

import argparse
from collections.abc import Sequence
from pathlib import Path

import torch
from lightning_fabric import Fabric

from training.cache.store import open_cache
from training.environment import sha256
from training.splits.split import read_split
from training.systems import make_feed, make_objective
from training.train.loop import train
from training.train.processes import launch
from training.train.recipe import Recipe, read_recipe
from training.train.run import BEST, LAST, start_run


def parser() -> argparse.ArgumentParser:
    """The command's flags."""
    p = argparse.ArgumentParser(prog="python -m training train", description=__doc__)
    p.add_argument("recipe", type=Path)
    p.add_argument("--cache", type=Path, required=True, help="folder written by `python -m training cache`")
    p.add_argument("--split", type=Path, required=True, help="file written by `python -m training split`")
    p.add_argument("--run", type=Path, required=True, help="checkpoints, history, curves; resumed when it exists")
    p.add_argument(
        "--encoder-from",
        type=Path,
        action="append",
        default=[],
        metavar="RUN",
        help="run of an `outline` recipe to start encoders from; given twice, A from the first and B from the second",
    )
    p.add_argument(
        "--teacher",
        type=Path,
        action="append",
        default=[],
        metavar="RUN",
        help="run of an `outline` recipe that a `distil` recipe learns from; their mean where given several times",
    )
    p.add_argument("--random-labels", nargs="?", const="images", choices=("images", "patients"), help="the control run")
    p.add_argument("--epochs", type=int)
    p.add_argument("--set", action="append", default=[], metavar="KEY=VALUE", help="another recipe entry; repeatable")
    p.add_argument("--device", default="auto", help="auto, cpu, cuda, cuda:N or mps")
    several = "processes that share every batch, one GPU each; several on a CPU are for tests"
    p.add_argument("--processes", type=int, default=1, help=several)
    return p


def main(argv: Sequence[str]) -> int:
    """Train, or resume. Returns 0, or 130 when a signal stopped it at a step that it can resume from."""
    o = parser().parse_args(argv)
    recipe = read_recipe(o.recipe, o.set).override(epochs=o.epochs, random_labels=o.random_labels)
    finished = launch(
        prepare,
        *(recipe, o.cache, o.split, o.run, tuple(o.encoder_from), tuple(o.teacher)),
        device=o.device,
        processes=o.processes,
        precision=recipe.precision,
        unused=recipe.objective == "fuse",
    )
    return 0 if finished else 130


def prepare(
    fabric: Fabric,
    recipe: Recipe,
    cache: Path,
    split: Path,
    run: Path,
    encoder_from: Sequence[Path] = (),
    teachers: Sequence[Path] = (),
) -> bool:
    """Data and model of one process, then training. Returns False when a signal stopped it."""
    slices = open_cache(cache)
    if recipe.size > slices.size:
        fabric.print(
            f"The cache holds slices of {slices.size} pixels, enlarged to the recipe's {recipe.size}. In full "
            f"detail: python -m training cache MANIFEST FOLDER --size {recipe.size}."
        )
    feed = make_feed(recipe, slices, read_split(split), fabric.device)
    torch.manual_seed(recipe.seed)
    objective = make_objective(recipe, encoder_from, teachers)
    data = {"cache": sha256(cache / "rows.jsonl"), "split": sha256(split), "split_file": split.name}
    starts = zip(("encoder", "encoder_b"), encoder_from, strict=False)
    for name, source in (*starts, *((f"teacher_{i}", source) for i, source in enumerate(teachers, 1))):
        kept = BEST if (source / BEST).exists() else LAST
        data |= {name: sha256(source / kept), f"{name}_from": source.name}
    start_run(run, recipe, data, str(fabric.device))
    return train(fabric, recipe, objective, feed, run)
