"""`python -m training remeasure`: every measure of result files made anew from the predictions they hold.

For when the measures have changed: no network is run, the predictions stay as they are.
"""

from __future__ import annotations

import argparse
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path

from strokenext.errors import DataError
from training.measure.measures import measure
from training.measure.result import FORMAT, Result, read_result


def remeasured(result: Result, draws: int = 1000) -> Result:
    """The result with metrics from its own predictions, threshold and calibration."""
    model = result.model
    metrics = measure(result.predictions, float(model["threshold"]), result.scale, draws=draws)
    return replace(result, metrics=metrics)


def main(argv: Sequence[str]) -> int:
    """Run the command. Returns 0. Raises DataError where there is no result file."""
    p = argparse.ArgumentParser(prog="python -m training remeasure", description=__doc__.splitlines()[0])
    p.add_argument("results", type=Path, nargs="?", default=Path("results"), help="a result file or a folder of them")
    o = p.parse_args(argv)
    files = [o.results] if o.results.is_file() else sorted(o.results.rglob("*.json"))
    files = [f for f in files if f'"format": "{FORMAT}"' in f.read_text(encoding="utf-8")[:200]]
    if not files:
        raise DataError(f"There is no result file in {o.results}. Make some with: python -m training experiments.")
    for file in files:
        remeasured(read_result(file)).write(file)
        print(file)
    return 0
