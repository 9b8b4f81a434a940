"""`segment`: mark lesions on every slice of every input, go on past the bad ones, write what was marked."""

from __future__ import annotations

import argparse
import json
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from tqdm import tqdm

from strokenext.loader import load
from strokenext.segment.segmentation import Segmentation
from strokenext.segment.segmenter import Segmenter
from strokenext.segment.series import SeriesSegmentation
from strokenext.show import words
from strokenext.types import Slice, Volume
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
    wholes: list[dict[str, Any]] = []
    unused: list[Unused] = []
    try:
        if items:
            segmenter = load(options.model, device=options.device, kind="segmentation")
            for item in tqdm(items, unit="input", disable=None, file=sys.stderr):
                with collected(item, failures):
                    for reading in readings(item, failures, unused, lambda done, total: None, options.case_names):
                        with collected(Item(reading.path, reading.name), failures):
                            _mark(reading, segmenter, options, outcomes, wholes)
    finally:  # also when it is told to end: what has been marked is accounted for
        complain(unused, failures)
        if options.json:
            write(options.json, _json(outcomes, wholes, failures, unused))
    return exit_code(outcomes, failures)


def _mark(
    reading: Reading,
    segmenter: Segmenter,
    options: argparse.Namespace,
    outcomes: list[Outcome],
    wholes: list[dict[str, Any]],
) -> None:
    """Mark every slice of a series, each in a folder of its own, and measure the whole."""
    facts, done = reading.facts, []
    place_of = (facts.study, facts.number, facts.words)
    for number, (place, marked) in enumerate(_each(reading, segmenter, options.force)):
        done.append(marked)
        folder = marked.save(Path(options.out) / place)
        body = marked.to_json() | {"folder": str(folder)}
        names = reading.names[number : number + 1]
        outcomes.append(Outcome(str(reading.path), "slice", body, *place_of, names, label=reading.label))
        _say(f"{place}: {words.marked(marked)}", marked, options)
    if isinstance(reading.image, Volume):
        whole = SeriesSegmentation.of(reading.image, done)
        named = {"path": str(reading.path), "case": reading.label, "study": facts.study, "series": facts.number}
        wholes.append(named | {"segmentation": {k: v for k, v in whole.to_json().items() if k != "slices"}})
        _say(f"{reading.name}: {words.extents(whole)}", whole, options)


def _say(line: str, about: words.Cautioned, options: argparse.Namespace) -> None:
    if options.json != STDOUT:
        tqdm.write(visible(" ".join(filter(None, (line, words.warning(about.cautions))))), file=sys.stdout)


def _each(reading: Reading, segmenter: Segmenter, force: bool) -> Iterator[tuple[str, Segmentation]]:
    """Every slice of a series with the name of its folder."""
    if isinstance(reading.image, Slice):
        yield reading.name, segmenter.segment(reading.image, force=force)
        return
    for number, one in enumerate(segmenter.each(reading.image, force=force)):
        yield f"{reading.name}/slice-{number:04d}", one


def _json(outcomes: list[Outcome], wholes: list[dict[str, Any]], failures: list[Failure], unused: list[Unused]) -> str:
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
    record = {"schema": SCHEMA, "version": __version__, "results": results, "series": wholes, "errors": errors}
    record["left_out"] = [dict(vars(one)) for one in unused]
    return json.dumps(record, indent=2, ensure_ascii=False, allow_nan=False) + "\n"
