"""Train the network that finds which way up a head is: `python -m training orientation`.

It learns from the training patients of a split alone and replaces the file in the package.
"""

from __future__ import annotations

import argparse
from collections.abc import Sequence
from pathlib import Path

from strokenext.preprocess.orientation import WEIGHTS
from training.cache.store import open_cache
from training.splits.split import read_split

from .orientation import learn, usable, write


def main(argv: Sequence[str]) -> int:
    """Run the command. Returns 0."""
    p = argparse.ArgumentParser(prog="python -m training orientation", description=__doc__.splitlines()[0])
    p.add_argument("--cache", type=Path, required=True)
    p.add_argument("--split", type=Path, required=True)
    p.add_argument("--seed", type=int, default=7)
    p.add_argument("--out", type=Path, default=WEIGHTS)
    o = p.parse_args(argv)
    cache, split = open_cache(o.cache), read_split(o.split)
    unit = {row.path: row.unit for row in cache.rows}
    units = {part: {unit[path] for path in paths if path in unit} for part, paths in split.parts.items()}
    train = units.pop("train").difference(*units.values())
    rows = usable(cache, train)
    print(f"{len(rows)} slices of {len(train)} patients", flush=True)
    write(learn(cache, rows, o.seed, lambda done, of: print(f"step {done} of {of}", flush=True)), o.out)
    return 0
