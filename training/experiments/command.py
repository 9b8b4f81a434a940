"""Run a matrix of experiments: `python -m training experiments PLAN.toml --manifest M --work DIR --results results`.

Each cell is train, finish, evaluate and where the plan says so explain; its result file lies below `results/` by its
name, and a cell whose file is there is not run again. An interrupted training is resumed. Splits and the
cache of framed slices are made in the work folder when they are missing.
"""

from __future__ import annotations

import argparse
import fnmatch
import signal
import subprocess
import sys
import time
from collections.abc import Sequence
from pathlib import Path

from strokenext.errors import OptionError, StrokeNeXtError
from training.data.images import Views
from training.data.manifest import read_manifest
from training.systems import system_of

from .cell import Bench, alone, run_cell
from .plan import Cell, Plan, read_plan


class Clock:
    """How long is left, from the seconds that a unit of cost took so far."""

    def __init__(self, plan: Plan, cells: Sequence[Cell]) -> None:
        self.plan, self.left = plan, list(cells)
        self.cost = self.seconds = 0.0

    def done(self, cell: Cell, seconds: float, ran: bool) -> None:
        """Count a cell off; one that was skipped says nothing about the pace."""
        self.left.remove(cell)
        if ran:
            self.cost += self.of(cell)
            self.seconds += seconds

    def of(self, cell: Cell) -> float:
        """The cell's cost in units of the plan."""
        return float(self.plan.cost.get(cell.model, 1.0))

    def __str__(self) -> str:
        if not self.cost:
            return "time left is known after the first cell"
        return f"{sum(map(self.of, self.left)) * self.seconds / self.cost / 60:.0f} min left"


def run(
    plan: Plan, cells: Sequence[Cell], bench: Bench, minutes: float | None = None, again: bool = False
) -> list[str]:
    """Run the cells that have no result yet (or all, `again`), in order; returns what failed.

    No cell is begun after `minutes`.
    """
    clock, started, failed = Clock(plan, cells), time.monotonic(), []
    for n, cell in enumerate(cells, 1):
        head = f"[{n}/{len(cells)}] {cell.name}"

        def say(text: str, head: str = head) -> None:
            print(f"{time.strftime('%H:%M:%S')} {head}: {text}", flush=True)

        begun, ran = time.monotonic(), False
        with alone(bench.work / "locks" / f"{cell.name.replace('/', '--')}.lock", wait=False) as free:
            if bench.result(cell).is_file() and not again:
                say("has its result")
            elif not free:
                say("another process is at it")
            elif minutes is not None and begun - started > 60 * minutes:
                say(f"not begun, the {minutes:g} minutes are over")
            else:
                say(f"train; {clock}")
                ran = True
                try:
                    figures = run_cell(cell, plan, bench, say)
                    say(f"{time.monotonic() - begun:.0f} s\n{figures}")
                except StrokeNeXtError as problem:
                    failed.append(f"{cell.name}: {problem}")
                    say(f"FAILED: {problem}")
        clock.done(cell, time.monotonic() - begun, ran)
    return failed


def listing(cells: Sequence[Cell], bench: Bench) -> str:
    """One line per cell: its name, whether it is done, and the entries of its recipe."""
    rows = []
    for cell in cells:
        recipe = cell.resolved()
        state = "done" if bench.result(cell).is_file() else "to do"
        what = f"{recipe.size} px, {recipe.epochs} epochs" + (f", explain {cell.explain}" if cell.explain else "")
        rows.append(f"{state:5s}  {cell.name:60s} {cell.recipe.stem}: {what}; {' '.join(cell.changes)}".rstrip("; "))
    return "\n".join(rows)


def parser() -> argparse.ArgumentParser:
    """The command's flags."""
    p = argparse.ArgumentParser(prog="python -m training experiments", description=__doc__.splitlines()[0])
    p.add_argument("plan", type=Path, help="a TOML file, or the name of one of the package's plans")
    p.add_argument("--manifest", type=Path, default=Path("data/manifest.jsonl"))
    p.add_argument("--cache", type=Path, help="framed slices that are there already (else WORK/cache-...)")
    p.add_argument("--work", type=Path, default=Path("runs"), help="splits, runs and models (default: runs)")
    p.add_argument("--results", type=Path, default=Path("results"))
    p.add_argument("--only", action="append", metavar="PATTERN", help="cells by name, such as '*/grouped/resnet*'")
    p.add_argument("--dry-run", action="store_true", help="list the cells and run none")
    p.add_argument("--again", action="store_true", help="finish and evaluate anew what has its result; no new training")
    p.add_argument("--jobs", type=int, default=1, help="processes that each take the next free cell")
    p.add_argument("--minutes", type=float, help="begin no cell after that many minutes")
    p.add_argument("--device", default="cpu")
    return p


def main(argv: Sequence[str]) -> int:
    """Run the command. Returns 0, or 1 when a cell failed; the others are run all the same."""
    o = parser().parse_args(argv)
    named = Path(__file__).parents[1] / "plans" / f"{o.plan}.toml"
    plan = read_plan(named if not o.plan.is_file() and named.is_file() else o.plan)
    cells = [c for c in plan.cells if not o.only or any(fnmatch.fnmatch(c.name, p) for p in o.only)]
    if not cells:
        raise OptionError(f"No cell matches {', '.join(o.only)}. List them with --dry-run.")
    for cell in cells:
        system_of(cell.resolved())  # none is begun when one cannot be trained
    manifest = read_manifest(o.manifest)
    bench = Bench(o.manifest, manifest, o.work, o.results, o.cache, o.device, Views(manifest))
    if o.dry_run:
        print(listing(cells, bench))
        return 0
    signal.signal(signal.SIGTERM, signal.default_int_handler)
    same = [sys.executable, "-m", "training", "experiments", *argv, "--jobs", "1"]
    others = [subprocess.Popen(same) for _ in range(o.jobs - 1)]
    failed = run(plan, cells, bench, o.minutes, o.again)
    codes = [p.wait() for p in others]
    done = sum(bench.result(c).is_file() for c in cells)
    print("\n".join([f"{done} of {len(cells)} cells have their result.", *failed]))
    return int(bool(failed) or any(codes))
