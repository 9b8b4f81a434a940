"""A run's folder: `run.json` (recipe, data, machine), `history.jsonl` (a line per epoch), `last.pt`, `best.pt`.

Every file is written whole or not at all, so that a run can be stopped at any moment and resumed.
"""

from __future__ import annotations

import json
import os
from collections.abc import Mapping, Sequence
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from strokenext.errors import DataError, OptionError
from strokenext.saving import write_file
from training.environment import run_environment

from .recipe import Recipe

RECORD, HISTORY, LAST, BEST = "run.json", "history.jsonl", "last.pt", "best.pt"
#: Entries of run.json that must agree before a run is resumed.
SAME = ("recipe", "data")


def start_run(folder: Path, recipe: Recipe, data: Mapping[str, Any], device: str) -> None:
    """Write run.json, or make sure that the one already there is of the same recipe and data.

    Raises OptionError naming what differs: going on would give numbers that neither recipe describes.
    """
    about: dict[str, Any] = {"recipe": recipe.to_dict(), "seed": recipe.seed, "data": dict(data)}
    if (folder / RECORD).exists():
        there = read_run(folder)
        for part in SAME:
            differ = sorted(k for k in {*there[part], *about[part]} if there[part].get(k) != about[part].get(k))
            if differ:
                raise OptionError(
                    f"The folder {folder} holds a run with another {part}: {', '.join(differ)} differ. "
                    "Give --run another folder, or remove this one."
                )
        return
    folder.mkdir(parents=True, exist_ok=True)
    about |= {"environment": run_environment(device), "started": datetime.now(UTC).isoformat(timespec="seconds")}
    write_file(folder / RECORD, json.dumps(about, indent=1, ensure_ascii=False) + "\n")


def read_run(folder: Path) -> dict[str, Any]:
    """The record of a run. Raises DataError where there is none."""
    try:
        return dict(json.loads((folder / RECORD).read_text(encoding="utf-8")))
    except (OSError, ValueError) as problem:
        raise DataError(
            f"There is no run in {folder}: {problem}. Train one with: python -m training train."
        ) from problem


def read_recipe_of(folder: Path) -> Recipe:
    """The recipe that a run was trained with."""
    return Recipe.from_dict(read_run(folder)["recipe"], f"record {folder}/{RECORD}")


def read_history(folder: Path) -> list[dict[str, Any]]:
    """The epochs of a run, the first first; none when no epoch has ended yet."""
    if not (folder / HISTORY).exists():
        return []
    return [json.loads(line) for line in (folder / HISTORY).read_text(encoding="utf-8").splitlines()]


def write_history(folder: Path, history: Sequence[Mapping[str, Any]]) -> None:
    """One line of JSON per epoch."""
    write_file(folder / HISTORY, "".join(json.dumps(line) + "\n" for line in history))


def best_epoch(history: Sequence[Mapping[str, Any]], select: str) -> int:
    """Index of the epoch to keep: the highest `select` on validation, the lowest loss, or the last one.

    Of equals the first. Where the figure could not be measured (one class only) it is the last epoch, too.
    """
    values = [epoch["validation"].get(select) for epoch in history]
    if select == "last" or all(v is None for v in values):
        return len(history) - 1
    sign = -1.0 if select == "loss" else 1.0
    return max(range(len(values)), key=lambda i: (values[i] is not None, sign * (values[i] or 0.0), -i))


def save_state(path: Path, **parts: Any) -> None:
    """Write a checkpoint whole or not at all; streamed, since it may be larger than what memory is left."""
    temporary = path.with_suffix(".part")
    torch.save(parts, temporary)
    os.replace(temporary, path)


def load_state(path: Path) -> dict[str, Any]:
    """A checkpoint this machine wrote; tensors and plain values only."""
    return torch.load(path, map_location="cpu", weights_only=True)


def trained_weights(run: Path) -> dict[str, Tensor]:
    """The weights a run kept: the best on validation, or the averaged ones of a run that kept no best."""
    if (run / BEST).exists():
        return dict(load_state(run / BEST)["module"])
    if (run / LAST).exists() and (averaged := load_state(run / LAST).get("average")):
        return dict(averaged)
    raise DataError(f"There is no trained network in {run}; give the folder that `python -m training train` wrote.")
