"""`segment`: mark lesions on every slice of every input, go on past the bad ones, write what was marked."""

from __future__ import annotations

import argparse
import json
import sys
from collections.abc import Iterator
from pathlib import Path

from tqdm import tqdm

from strokenext.loader import load
from strokenext.segment.segmentation import Segmentation
from strokenext.segment.segmenter import Segmenter
from strokenext.show import words
from strokenext.types import Slice
from strokenext.version import __version__

from .exits import exit_code
from .inputs import Failure, Item, collected, find, read
from .tables import STDOUT, Outcome, check_target, write

SCHEMA = "strokenext-segmentations/1"


def run(options: argparse.Namespace) -> int:
    """The command; exit codes as for `predict`."""
    check_target(options.json)
    items, failures = find(options.paths)
    outcomes: list[Outcome] = []
    if items:
        segmenter = load(options.model, device=options.device, kind="segmentation")
        for item in tqdm(items, unit="input", disable=None, file=sys.stderr):
            with collected(item, failures):
                for place, marked in _each(item, segmenter, options.force):
                    folder = marked.save(Path(options.out) / place)
                    outcomes.append(Outcome(str(item.path), "slice", marked.to_json() | {"folder": str(folder)}))
                    if options.json != STDOUT:
                        tqdm.write(f"{place}: {words.marked(marked)}", file=sys.stdout)
    for failure in failures:
        print(f"{failure.path}: {failure.error}", file=sys.stderr)
    if options.json:
        write(options.json, _json(outcomes, failures))
    return exit_code(outcomes, failures)


def _each(item: Item, segmenter: Segmenter, force: bool) -> Iterator[tuple[str, Segmentation]]:
    """Every slice of an input with the name of its folder."""
    image = read(item)
    if isinstance(image, Slice):
        yield item.name, segmenter.segment(image, force=force)
        return
    for number, one in enumerate(image):
        yield f"{item.name}/slice-{number:04d}", segmenter.segment(one, force=force)


def _json(outcomes: list[Outcome], failures: list[Failure]) -> str:
    results = [{"path": o.path, "segmentation": o.prediction} for o in outcomes]
    errors = [failure.to_json() for failure in failures]
    record = {"schema": SCHEMA, "version": __version__, "results": results, "errors": errors}
    return json.dumps(record, indent=2, ensure_ascii=False, allow_nan=False) + "\n"
