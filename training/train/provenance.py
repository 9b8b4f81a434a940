"""What a run says of itself, short enough to stand in every result file: time, hardware, recipe, convergence."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from strokenext.errors import DataError

from .recipe import Recipe
from .run import best_epoch, read_history, read_run

#: Figures of an epoch that are kept; validation figures that are single numbers are kept under the same names.
KEPT = ("epoch", "seconds", "loss", "accuracy", "dice", "iou", "rate")
#: Longest history that is kept whole; of a longer one every n-th epoch and the last.
LONGEST = 60


def training_record(run: Path) -> dict[str, Any]:
    """Seconds (over all resumes), epochs, steps, median images/s, kept epoch, device, recipe and a short history.

    Raises DataError for a run without a finished epoch.
    """
    record, history = read_run(run), read_history(run)
    if not history:
        raise DataError(f"The run in {run} has not finished an epoch. Resume it: python -m training train.")
    recipe = Recipe.from_dict(record["recipe"], f"record {run}/run.json")
    last, machine = history[-1], record["environment"]
    pace = sorted(line["images_per_second"] for line in history)[len(history) // 2]
    return {
        "seconds": round(last["seconds"], 1),
        "epochs": last["epoch"],
        "steps": last["step"],
        "images": last["step"] * recipe.batch,
        "images_per_second": pace,
        "best_epoch": history[best_epoch(history, recipe.select)]["epoch"],
        "select": recipe.select,
        "device": machine["device"],
        "threads": machine.get("threads"),
        "commit": machine.get("commit", ""),
        "recipe": changed_entries(recipe),
        "size": recipe.size,
        "seed": recipe.seed,
        "history": [short(line) for line in thinned(history)],
    }


def changed_entries(recipe: Recipe) -> dict[str, Any]:
    """The recipe's name and the entries that differ from the defaults."""
    plain, usual = recipe.to_dict(), Recipe(name=recipe.name).to_dict()
    return {k: v for k, v in plain.items() if k == "name" or v != usual[k]}


def short(line: dict[str, Any]) -> dict[str, Any]:
    """An epoch's line with the single numbers that a curve is drawn from."""
    kept = {k: _rounded(line[k]) for k in KEPT if k in line}
    validation = {k: _rounded(v) for k, v in line["validation"].items() if isinstance(v, int | float)}
    return kept | {"validation": {k: v for k, v in validation.items() if k != "images"}}


def thinned(history: list[dict[str, Any]]) -> list[dict[str, Any]]:
    """At most LONGEST epochs, evenly spaced, the last one among them."""
    step = -(-len(history) // LONGEST)
    return history[::-1][::step][::-1]


def _rounded(value: Any) -> Any:
    return round(value, 5) if isinstance(value, float) else value
