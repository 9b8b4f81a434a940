"""One experiment from its split to its result file: train, finish, evaluate, explain, and a line in the index."""

from __future__ import annotations

import json
import subprocess
import sys
import time
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from strokenext.errors import DataError
from strokenext.record.weights import load_model
from strokenext.saving import write_file
from training.cache.store import build, open_cache
from training.commands.finish import finish_run
from training.data.images import Views
from training.data.manifest import Manifest
from training.explain.check import explanation
from training.measure.result import Result
from training.splits.split import read_split, write_split
from training.systems import system_of
from training.train.evaluation import Evaluation, files_record
from training.train.provenance import changed_entries, training_record
from training.train.recipe import Recipe, read_recipe
from training.train.run import RECORD, read_history, read_run
from training.train.trained import Report

from .plan import Cell, Plan

ROOT = Path(__file__).resolve().parents[2]
INDEX = "experiments.json"


class TrainingStopped(KeyboardInterrupt):
    """The training process was stopped by a signal and can be resumed."""


@dataclass(frozen=True, eq=False)
class Bench:
    """Where everything lies: the manifest, the work folder (splits, caches, runs, models) and the results."""

    manifest_file: Path
    manifest: Manifest
    work: Path
    results: Path
    cache: Path | None
    device: str
    views: Views

    def split(self, cell: Cell) -> Path:
        """The cell's split file, made when it is missing."""
        file = self.work / "splits" / cell.split_name
        return file if file.is_file() else write_split(cell.split(self.manifest), file)

    def result(self, cell: Cell) -> Path:
        """Where the cell's result file goes."""
        return self.results / f"{cell.name}.json"

    def cache_of(self, cell: Cell, say: Report) -> Path:
        """The folder of cached slices that fits the cell's recipe, built when there is none."""
        recipe = cell.resolved()
        planes = system_of(recipe).planes
        if self.cache is not None:
            try:
                there = open_cache(self.cache)
                there.require(planes, recipe.frame, recipe.window)
                there.require_manifest(self.manifest)
                return self.cache
            except DataError as problem:
                say(f"the cache given does not fit: {problem}")
        width, level = recipe.window
        kind = f"-{planes.flag}" if planes.flag else ""
        folder = self.work / f"cache{kind}-{recipe.frame}-{width:g}-{level:g}"
        with alone(folder.with_suffix(".lock")):
            if not (folder / "cache.json").is_file():
                say(f"framing {len(self.manifest)} slices into {folder}")
            framing = replace(planes.framing, frame=recipe.preprocess().frame, window=recipe.window)
            build(self.manifest, folder, planes, framing)
        return folder

    def evaluation(self, cell: Cell, split: Path, run: Path) -> Evaluation:
        """What the cell's model is evaluated on: the test part, under the labels that the run was trained on."""
        return Evaluation(
            self.manifest,
            read_split(split),
            training=training_record(run),
            data=files_record(self.manifest_file, split),
            device=self.device,
            own={"away": cell.away},
            views=self.views,
        )


@contextmanager
def alone(file: Path, wait: bool = True) -> Iterator[bool]:
    """Whether this process alone holds the lock file; it is let go when the block or the process ends."""
    import fcntl

    file.parent.mkdir(parents=True, exist_ok=True)
    with file.open("w") as handle:
        try:
            fcntl.flock(handle, fcntl.LOCK_EX | (0 if wait else fcntl.LOCK_NB))
        except BlockingIOError:
            yield False
            return
        yield True


def run_cell(cell: Cell, plan: Plan, bench: Bench, say: Report) -> str:
    """Train, finish, evaluate and explain one cell; its result file is written last and whole. Returns its figures."""
    run, folder = bench.work / "runs" / cell.name, bench.work / "models" / cell.name
    split, cache = bench.split(cell), bench.cache_of(cell, say)
    clock: dict[str, float] = {}
    with timed(clock, "train"):
        encoder = train_encoder(cell, bench, cache, split, say)
        command = train(cell, cell.recipe, cell.settings(), cache, split, run, bench.device, encoder, say)
    say("finish")
    with timed(clock, "finish"):
        name, slices = f"{cell.model}-{cell.task}", open_cache(cache)
        finish_run(run, bench.manifest, split, folder, name=name, cache=slices, device=bench.device, views=bench.views)
    say("evaluate")
    with timed(clock, "evaluate"):
        model, config = load_model(folder, bench.device)
        given = bench.evaluation(cell, split, run)
        result = system_of(cell.resolved()).evaluate(model, config, given)[0].result
    if isinstance(result, Result):
        result = replace(result, extra={**result.extra, "rows": config.metrics})
    if cell.explain and isinstance(result, Result):
        say("explain")
        with timed(clock, "explain"):
            explained = explanation(model, config, bench.manifest, given.split, limit=cell.explain)
        result = replace(result, extra={**result.extra, "explanation": explained})
    file = result.write(bench.result(cell))
    note(cell, plan, bench, json.loads(file.read_text(encoding="utf-8")), command, clock)
    return result.summary()


def train_encoder(cell: Cell, bench: Bench, cache: Path, split: Path, say: Report) -> Path | None:
    """The run that the cell's encoders start from, shared by the cells of one split; None where none is asked for."""
    if cell.encoder is None:
        return None
    run = bench.work / "runs" / "encoders" / f"{cell.encoder.stem}-{cell.model}-{split.stem}"
    with alone(run.with_suffix(".lock")):
        settings = (f"model={cell.model}", *([f"away_negatives={cell.away}"] if cell.away else []))
        train(cell, cell.encoder, settings, cache, split, run, bench.device, None, say)
    return run


def train(
    cell: Cell,
    recipe: Path,
    settings: Sequence[str],
    cache: Path,
    split: Path,
    run: Path,
    device: str,
    encoder: Path | None,
    say: Report,
) -> list[str]:
    """Train in a process of its own, or go on where it stopped; what it prints goes to `train.log` in the run.

    Returns the command. Raises DataError when the process failed, TrainingStopped when a signal stopped it.
    """
    command = ["train", str(recipe), "--cache", str(cache), "--split", str(split), "--run", str(run)]
    command += ["--device", device, *(w for s in settings for w in ("--set", s))]
    command += ["--encoder-from", str(encoder)] if encoder else []
    command += ["--random-labels", cell.random_labels] if cell.random_labels and recipe == cell.recipe else []
    wanted = read_recipe(recipe, settings)
    if recipe == cell.recipe:
        wanted = cell.resolved()
    if trained(run, wanted):
        say("was trained before")
        return command
    run.mkdir(parents=True, exist_ok=True)
    lines: list[str] = []
    start = f"import sys; sys.path.insert(0, {str(ROOT)!r}); from training.__main__ import main; sys.exit(main())"
    # A session of its own: Ctrl-C reaches this process alone, which then asks the training once to stop and waits.
    pipes: dict[str, Any] = {"stdout": subprocess.PIPE, "stderr": subprocess.STDOUT, "text": True}
    child = subprocess.Popen([sys.executable, "-c", start, *command], **pipes, start_new_session=True)
    with child:
        try:
            assert child.stdout is not None
            with (run / "train.log").open("a", encoding="utf-8") as log:
                for line in child.stdout:
                    lines.append(line)
                    log.write(line)
                    log.flush()
                    if line.startswith("epoch"):
                        say(line.strip()[:110])
            code = child.wait()
        except BaseException:
            child.terminate()
            raise
    if code == 130:
        raise TrainingStopped
    if code:
        raise DataError(f"The training of {cell.name} failed, see {run / 'train.log'}: {''.join(lines[-3:]).strip()}")
    return command


def trained(run: Path, recipe: Recipe) -> bool:
    """Whether a run of that very recipe has its last epoch."""
    if not (run / RECORD).is_file() or read_run(run)["recipe"] != recipe.to_dict():
        return False
    history = read_history(run)
    return bool(history) and history[-1]["epoch"] >= recipe.epochs


@contextmanager
def timed(clock: dict[str, float], name: str) -> Iterator[None]:
    """Add the seconds of the block to the clock."""
    start = time.monotonic()
    yield
    clock[name] = round(time.monotonic() - start, 1)


def note(
    cell: Cell, plan: Plan, bench: Bench, result: Mapping[str, Any], command: Sequence[str], clock: dict[str, float]
) -> None:
    """Write the cell's line into the index of experiments."""
    places = {str(bench.work): "WORK", str(bench.cache or ROOT / "no"): "CACHE", f"{ROOT}/": ""}
    outside = not cell.recipe.is_relative_to(ROOT)
    words = " ".join(command).replace(str(cell.recipe), cell.recipe.name if outside else str(cell.recipe))
    for folder, name in places.items():
        words = words.replace(folder, name)
    entry = {
        "plan": plan.name,
        "cell": cell.name,
        "recipe": changed_entries(cell.resolved()),
        "command": f"python -m training experiments PLAN --only '{cell.name}'",
        "train": f"python -m training {words}",
        "seconds": clock,
        "hardware": result["environment"]["hardware"],
        "threads": result["environment"]["threads"],
        "trained_on": result["data"]["training"]["device"],
        "training_seconds": result["data"]["training"]["seconds"],
    }
    index = bench.results / INDEX
    with alone(bench.work / "index.lock"):
        entries = json.loads(index.read_text(encoding="utf-8"))["experiments"] if index.is_file() else []
        entries = sorted([e for e in entries if e["cell"] != cell.name] + [entry], key=lambda e: str(e["cell"]))
        write_file(index, json.dumps({"experiments": entries}, indent=1, ensure_ascii=False) + "\n")
