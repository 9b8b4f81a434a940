"""`python -m training scores`: result files to pictures of their confusion matrices and ROC curves.

    python -m training scores results/custom_cnn.json --out figures

A panel per result, the same pictures as in the report, which also sets protocols side by side.
"""

from __future__ import annotations

import argparse
from collections.abc import Sequence
from pathlib import Path

from training.measure.result import read_result
from training.results.tree import Entry

from .figures import confusion, roc

#: Name of a picture to what draws it.
PICTURES = {"confusion": confusion, "roc": roc}


def entry(file: Path) -> Entry:
    """A result file by itself. Raises DataError when it is none."""
    result = read_result(file)
    return Entry(result, str(result.model["task"]), str(result.data.get("protocol", "")))


def parser() -> argparse.ArgumentParser:
    """The command's flags."""
    p = argparse.ArgumentParser(prog="python -m training scores", description=__doc__.splitlines()[0])
    p.add_argument("results", type=Path, nargs="+", metavar="RESULT", help="written by `python -m training evaluate`")
    p.add_argument("--out", type=Path, required=True, help="folder for confusion.png and roc.png")
    return p


def main(argv: Sequence[str]) -> int:
    """Draw both pictures. Returns 0."""
    o = parser().parse_args(argv)
    entries = [entry(file) for file in o.results]
    o.out.mkdir(parents=True, exist_ok=True)
    for name, draw in PICTURES.items():
        target = o.out / f"{name}.png"
        draw(entries).savefig(target, dpi=120)
        print(target)
    return 0
