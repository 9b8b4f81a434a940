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
from strokenext.visible import visible

from .exits import exit_code
from .inputs import Failure, Item, collected, find
from .predict import complain
from .readings import Reading, Unused, readings
from .tables import STDOUT, Outcome, check_target, write

SCHEMA = "strokenext-segmentations/1"


def run(options: argparse.Namespace) -> int:
    """The command; exit codes as for `predict`."""
    check_target(options.json)
    items, failures = find(options.paths)
    outcomes: list[Outcome] = []
    unused: list[Unused] = []
    try:
        if items:
            segmenter = load(options.model, device=options.device, kind="segmentation")
            for item in tqdm(items, unit="input", disable=None, file=sys.stderr):
                with collected(item, failures):
                    for reading in readings(item, failures, unused, lambda done, total: None, options.case_names):
                        with collected(Item(reading.path, reading.name), failures):
                            _mark(reading, segmenter, options, outcomes)
    finally:  # also when it is told to end: what has been marked is accounted for
        complain(unused, failures)
        if options.json:
            write(options.json, _json(outcomes, failures, unused))
    return exit_code(outcomes, failures)


def _mark(reading: Reading, segmenter: Segmenter, options: argparse.Namespace, outcomes: list[Outcome]) -> None:
    """Mark every slice of a series, each in a folder of its own."""
    for number, (place, marked) in enumerate(_each(reading, segmenter, options.force)):
        folder = marked.save(Path(options.out) / place)
        body = marked.to_json() | {"folder": str(folder)}
        facts = reading.facts
        names = reading.names[number : number + 1]
        place_of = (facts.study, facts.number, facts.words)
        outcomes.append(Outcome(str(reading.path), "slice", body, *place_of, names, label=reading.label))
        line = f"{place}: {words.marked(marked)}"
        if options.json != STDOUT:
            tqdm.write(visible(" ".join(filter(None, (line, words.warning(marked.cautions))))), file=sys.stdout)


def _each(reading: Reading, segmenter: Segmenter, force: bool) -> Iterator[tuple[str, Segmentation]]:
    """Every slice of a series with the name of its folder."""
    if isinstance(reading.image, Slice):
        yield reading.name, segmenter.segment(reading.image, force=force)
        return
    for number, one in enumerate(reading.image):
        yield f"{reading.name}/slice-{number:04d}", segmenter.segment(one, force=force)


def _json(outcomes: list[Outcome], failures: list[Failure], unused: list[Unused]) -> str:
    results = [
        {
            "path": o.path,
            "case": o.label,
            "study": o.study,
            "series": o.series,
            "files": list(o.files),
            "segmentation": o.prediction,
        }
        for o in outcomes
    ]
    errors = [failure.to_json() for failure in failures]
    record = {"schema": SCHEMA, "version": __version__, "results": results, "errors": errors}
    record["left_out"] = [dict(vars(one)) for one in unused]
    return json.dumps(record, indent=2, ensure_ascii=False, allow_nan=False) + "\n"
