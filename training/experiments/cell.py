"""One experiment from its split to its result file: train, finish, evaluate, explain, and a line in the index."""

from __future__ import annotations

import json
import subprocess
import sys
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, replace
from pathlib import Path

from strokenext.errors import DataError
from strokenext.preprocess.contract import Preprocess
from training.data.images import Views
from training.data.manifest import Manifest
from training.measure.result import Result, write_result
from training.train.recipe import Recipe, read_recipe

from .plan import Cell, Plan

ROOT = Path(__file__).resolve().parents[2]
INDEX = "experiments.json"
#: Side of the cached slices.
CACHED = 224
Say = Callable[[str], None]


class TrainingStopped(KeyboardInterrupt):
    """The training process was stopped by a signal and can be gone on with."""


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
        from training.splits.split import write_split

        file = self.work / "splits" / cell.split_name
        return file if file.is_file() else write_split(cell.split(self.manifest), file)

    def result(self, cell: Cell) -> Path:
        """Where the cell's result file goes."""
        return self.results / f"{cell.name}.json"

    def cache_of(self, cell: Cell, say: Say) -> Path:
        """The folder of framed slices that fits the cell's recipe, built when there is none."""
        from training.cache.store import build, open_cache

        recipe = cell.resolved()
        if self.cache is not None:
            try:
                there = open_cache(self.cache)
                there.require(recipe.frame, recipe.window)
                there.require_manifest(self.manifest)
                return self.cache
            except DataError as problem:
                say(f"the cache given does not fit: {problem}")
        width, level = recipe.window
        folder = self.work / f"cache-{recipe.frame}-{width:g}-{level:g}"
        with alone(folder.with_suffix(".lock")):
            if not (folder / "cache.json").is_file():
                say(f"framing {len(self.manifest)} slices into {folder}")
            framing = Preprocess(CACHED, recipe.window, recipe.frame, False, "stroke")  # type: ignore[arg-type]
            build(self.manifest, folder, framing)
        return folder


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


def run_cell(cell: Cell, plan: Plan, bench: Bench, say: Say) -> Result:
    """Train, finish, evaluate and explain one cell; its result file is written last and whole."""
    from training.classify.finish import finish_run

    run, model = bench.work / "runs" / cell.name, bench.work / "models" / cell.name
    split, cache = bench.split(cell), bench.cache_of(cell, say)
    clock: dict[str, float] = {}
    with timed(clock, "train"):
        encoder = train_encoder(cell, bench, cache, split, say)
        command = train(cell, cell.recipe, cell.settings(), cache, split, run, bench.device, encoder, say)
    say("finish")
    with timed(clock, "finish"):
        from training.cache.store import open_cache

        name = f"{cell.model}-{cell.task}"
        config = finish_run(run, bench.manifest, split, model, name=name, cache=open_cache(cache),
                            device=bench.device, views=bench.views)  # fmt: skip
    with timed(clock, "evaluate"):
        say("evaluate")
        result = judge(cell, bench, split, run, model)
        result = replace(result, extra={**result.extra, "rows": config.metrics})
    if cell.explain:
        say("explain")
        with timed(clock, "explain"):
            from training.explain.check import explanation
            from training.splits.split import read_split

            heat = explanation(model, bench.manifest, read_split(split), device=bench.device, limit=cell.explain)
            result = replace(result, extra={**result.extra, "explanation": heat})
    write_result(result, bench.result(cell))
    note(cell, plan, bench, result, command, clock)
    return result


def judge(cell: Cell, bench: Bench, split: Path, run: Path, model: Path) -> Result:
    """The result on the test part under the labels that the cell is judged by."""
    from training.classify.evaluate import evaluate
    from training.environment import sha256
    from training.splits.held_out import evaluation_records
    from training.splits.split import read_split
    from training.train.provenance import training_record

    manifest, records, about = evaluation_records(
        bench.manifest, read_split(split), away=cell.away, training=training_record(run)
    )
    files = {"manifest": bench.manifest_file.name, "manifest_sha256": sha256(bench.manifest_file),
             "split_sha256": sha256(split)}  # fmt: skip
    return evaluate(model, manifest, records, device=bench.device, data=files | about, views=bench.views)


def train_encoder(cell: Cell, bench: Bench, cache: Path, split: Path, say: Say) -> Path | None:
    """The run that the cell's encoders start from, shared by the cells of one split; None where none is asked for."""
    if cell.encoder is None:
        return None
    run = bench.work / "runs" / "encoders" / f"{cell.encoder.stem}-{cell.model}-{split.stem}"
    with alone(run.with_suffix(".lock")):
        settings = (f"model={cell.model}", *([f"away_negatives={cell.away}"] if cell.away else []))
        train(cell, cell.encoder, settings, cache, split, run, bench.device, None, say)
    return run


def train(
    cell: Cell, recipe: Path, settings: Sequence[str], cache: Path, split: Path, run: Path, device: str,
    encoder: Path | None, say: Say,
) -> list[str]:  # fmt: skip
    """Train in a process of its own, or go on where it stopped; what it prints goes to `train.log` in the run.

    Returns the command. Raises DataError when the process failed, TrainingStopped when a signal stopped it.
    """
    command = ["train", str(recipe), "--cache", str(cache), "--split", str(split), "--run", str(run),
               "--device", device, *(w for s in settings for w in ("--set", s))]  # fmt: skip
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
    starter = [sys.executable, "-c", f"import sys; sys.path.insert(0, {str(ROOT)!r}); "
               "from training.__main__ import main; sys.exit(main())"]  # fmt: skip
    # A session of its own: Ctrl-C reaches this process alone, which then asks the training once to stop and waits.
    child = subprocess.Popen([*starter, *command], text=True, stdout=subprocess.PIPE, stderr=subprocess.STDOUT,
                             start_new_session=True)  # fmt: skip
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
    from training.train.run import RECORD, read_history, read_run

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


def note(cell: Cell, plan: Plan, bench: Bench, result: Result, command: Sequence[str], clock: dict[str, float]) -> None:
    """Write the cell's line into the index of experiments."""
    from training.train.provenance import changed_entries
    from training.train.run import write_whole

    places = {str(bench.work): "WORK", str(bench.cache or ROOT / "no"): "CACHE", f"{ROOT}/": ""}
    outside = not cell.recipe.is_relative_to(ROOT)
    words = " ".join(command).replace(str(cell.recipe), cell.recipe.name if outside else str(cell.recipe))
    for folder, name in places.items():
        words = words.replace(folder, name)
    entry = {
        "plan": plan.name, "cell": cell.name, "recipe": changed_entries(cell.resolved()),
        "command": f"python -m training experiments PLAN --only '{cell.name}'", "train": f"python -m training {words}",
        "seconds": clock, "hardware": result.environment["hardware"], "threads": result.environment["threads"],
        "trained_on": result.data["training"]["device"], "training_seconds": result.data["training"]["seconds"],
    }  # fmt: skip
    index = bench.results / INDEX
    with alone(bench.work / "index.lock"):
        entries = json.loads(index.read_text(encoding="utf-8"))["experiments"] if index.is_file() else []
        entries = sorted([e for e in entries if e["cell"] != cell.name] + [entry], key=lambda e: str(e["cell"]))
        text = json.dumps({"experiments": entries}, indent=1, ensure_ascii=False)
        write_whole(index, text + "\n")
