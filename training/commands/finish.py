"""A finished run of any system to a model folder: calibrated on validation, tested on what was held out, with its card.

python -m training finish RUN --manifest data/manifest.jsonl --split SPLIT.json --into FOLDER

A model folder in place of the run, with the --recipe it was trained by, is calibrated and tested anew; weights stay.
"""

from __future__ import annotations

import argparse
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from strokenext.errors import DataError
from strokenext.record.config import ModelConfig
from strokenext.record.weights import load_model, save_model
from training.cache.store import Cache, open_cache
from training.data.images import Views
from training.data.manifest import Manifest, read_manifest
from training.environment import sha256
from training.splits.split import read_split
from training.systems import load_run, system_of
from training.terminal import finished_lines
from training.train.recipe import Recipe, read_recipe
from training.train.run import read_run
from training.train.trained import Report, TrainedRun

#: Weights stored in half precision move the AUROC of a model's validation part by less.
SAME_RANKING = 5e-4


def finish_run(
    run: Path,
    manifest: Manifest,
    split: Path,
    into: Path,
    *,
    name: str = "",
    cache: Cache | None = None,
    device: str = "cpu",
    views: Views | None = None,
    report: Report = lambda _: None,
) -> ModelConfig:
    """Write the model folder of a run. Raises DataError for another split than the one it was trained on."""
    if read_run(run)["data"].get("split") != sha256(split):
        raise DataError(
            f"The run in {run} was trained on another split than {split}; its test part may have been trained on. "
            "Give the file that it was trained with."
        )
    model, recipe = load_run(run)
    parts, views = read_split(split), views or Views(manifest)
    trained = TrainedRun(name or into.name, model.to(device), recipe, manifest, parts, views, cache, device)
    return _saved(trained, into, *system_of(recipe).finish(trained, report))


def finish_again(
    folder: Path,
    recipe: Recipe,
    manifest: Manifest,
    split: Path,
    into: Path,
    *,
    cache: Cache | None = None,
    device: str = "cpu",
    report: Report = lambda _: None,
) -> ModelConfig:
    """Write a finished model anew, its weights as they are. Raises DataError unless its validation ranks as recorded.

    A model folder does not name its split. The AUROC on the validation part tells whether this is the one: any other
    would calibrate on patients that the model was trained on.
    """
    model, there = load_model(folder, device)
    if (recipe.task, recipe.model, recipe.preprocess()) != (there.task, there.architecture, there.preprocess):
        raise DataError(f"The model in {folder} was not trained by the recipe {recipe.name}. Give the one it was.")
    trained = TrainedRun(there.name, model, recipe, manifest, read_split(split), Views(manifest), cache, device)
    config, about = system_of(recipe).finish(trained, report)
    before, now = (c.metrics.get("validation", {}).get("auroc", {}).get("value") for c in (there, config))
    if before is None or now is None or abs(before - now) > SAME_RANKING:
        raise DataError(
            f"On this split's validation part the model's AUROC is {now}, and its record says {before}: it was trained "
            "on another split or prepared otherwise. Give the split that it was trained with."
        )
    return _saved(trained, into, config, about)


def _saved(trained: TrainedRun, into: Path, config: ModelConfig, about: Any) -> ModelConfig:
    """The model folder with the card of the run's system."""
    card = system_of(trained.recipe).card(config, trained.recipe, about)
    return save_model(into, trained.model.cpu(), config, card)


def parser() -> argparse.ArgumentParser:
    """The command's flags."""
    p = argparse.ArgumentParser(prog="python -m training finish", description=__doc__.splitlines()[0])
    p.add_argument("run", type=Path, help="the run; with --recipe, a model folder to calibrate anew")
    p.add_argument("--recipe", type=Path, help="the recipe that a model folder was trained by")
    p.add_argument("--manifest", type=Path, required=True)
    p.add_argument("--split", type=Path, required=True, help="the split the run was trained on")
    p.add_argument("--cache", type=Path, help="the cache the run was trained from; for feed lesions and volumes")
    p.add_argument("--into", type=Path, required=True, help="the model folder to write; its name is the model's")
    p.add_argument("--device", default="cpu")
    return p


def main(argv: Sequence[str]) -> int:
    """Run the command. Returns 0."""
    o = parser().parse_args(argv)
    manifest, cache = read_manifest(o.manifest), open_cache(o.cache) if o.cache else None
    if cache is not None:
        cache.require_manifest(manifest)

    def report(stage: str) -> None:
        print(f"{o.into.name}: {stage}", flush=True)

    if o.recipe is None:
        config = finish_run(o.run, manifest, o.split, o.into, cache=cache, device=o.device, report=report)
    else:
        recipe, more = read_recipe(o.recipe), {"cache": cache, "device": o.device, "report": report}
        config = finish_again(o.run, recipe, manifest, o.split, o.into, **more)
    print(finished_lines(config, o.into))
    return 0
