"""`segment`: mark lesions on every slice of every input, go on past the bad ones, write what was marked."""

from __future__ import annotations

import argparse
import json
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from tqdm import tqdm

import strokenext
from strokenext.errors import InputError, StrokeNeXtError
from strokenext.segment.segmentation import Segmentation
from strokenext.show import words
from strokenext.types import Slice, Volume

from .inputs import Failure, Item, find
from .predict import exit_code
from .tables import STDOUT, Outcome, check_target, write

SCHEMA = "strokenext-segmentations/1"


def run(options: argparse.Namespace) -> int:
    """The command; exit codes as for `predict`."""
    check_target(options.json)
    items, failures = find(options.paths)
    outcomes: list[Outcome] = []
    if items:
        segmenter = strokenext.load_segmenter(options.model, device=options.device)
        for item in tqdm(items, unit="input", disable=None, file=sys.stderr):
            try:
                for place, found in _each(item, segmenter, options.force):
                    folder = found.save(Path(options.out) / place)
                    outcomes.append(Outcome(str(item.path), "slice", found.to_json() | {"folder": str(folder)}))
                    if options.json != STDOUT:
                        tqdm.write(f"{place}: {words.marked(found)}", file=sys.stdout)
            except StrokeNeXtError as error:
                failures.append(Failure(str(item.path), error))
            except (OSError, MemoryError) as error:  # one file must not end a run over thousands
                reason = getattr(error, "strerror", None) or "it needs more memory than there is"
                failures.append(Failure(str(item.path), InputError(f"This file cannot be used: {reason}.")))
    for failure in failures:
        print(f"{failure.path}: {failure.error}", file=sys.stderr)
    if options.json:
        write(options.json, _json(outcomes, failures))
    return exit_code(outcomes, failures)


def _each(item: Item, segmenter: strokenext.Segmenter, force: bool) -> Iterator[tuple[str, Segmentation]]:
    """Every slice of an input with the name of its folder."""
    image: Slice | Volume = strokenext.read_series(list(item.files)) if item.files else strokenext.read_any(item.path)
    if isinstance(image, Slice):
        yield item.name, segmenter.segment(image, force=force)
        return
    for number, one in enumerate(image):
        yield f"{item.name}/slice-{number:04d}", segmenter.segment(one, force=force)


def _json(outcomes: list[Outcome], failures: list[Failure]) -> str:
    results: list[dict[str, Any]] = [{"path": o.path, "segmentation": o.prediction} for o in outcomes]
    errors = [
        {"path": f.path, "code": type(f.error).__name__.removesuffix("Error"), "message": str(f.error)}
        for f in failures
    ]
    record = {"schema": SCHEMA, "version": strokenext.__version__, "results": results, "errors": errors}
    return json.dumps(record, indent=2, ensure_ascii=False, allow_nan=False) + "\n"
