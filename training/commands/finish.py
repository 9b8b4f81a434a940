"""A finished run of any system to a model folder: calibrated on validation, tested on what was held out, with its card.

python -m training finish RUN --manifest data/manifest.jsonl --split SPLIT.json --into FOLDER
"""

from __future__ import annotations

import argparse
from collections.abc import Sequence
from pathlib import Path

from strokenext.errors import DataError
from strokenext.record.config import ModelConfig
from strokenext.record.weights import save_model
from training.cache.store import Cache, open_cache
from training.data.images import Views
from training.data.manifest import Manifest, read_manifest
from training.environment import sha256
from training.splits.split import read_split
from training.systems import load_run, system_of
from training.terminal import finished_lines
from training.train.run import read_run
from training.train.trained import Report, TrainedRun


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
    system = system_of(recipe)
    parts, views = read_split(split), views or Views(manifest)
    trained = TrainedRun(name or into.name, model.to(device), recipe, manifest, parts, views, cache, device)
    config, about = system.finish(trained, report)
    return save_model(into, model.cpu(), config, system.card(config, recipe, about))


def parser() -> argparse.ArgumentParser:
    """The command's flags."""
    p = argparse.ArgumentParser(prog="python -m training finish", description=__doc__.splitlines()[0])
    p.add_argument("run", type=Path)
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

    config = finish_run(o.run, manifest, o.split, o.into, cache=cache, device=o.device, report=report)
    print(finished_lines(config, o.into))
    return 0
