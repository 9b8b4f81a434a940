"""`predict`: answer about every input, go on past the bad ones, write what was answered."""

from __future__ import annotations

import argparse
import os
import sys
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

from tqdm import tqdm

from strokenext.errors import OptionError, OutputError
from strokenext.frame.framed import Caption, framed_slice
from strokenext.overlay import png
from strokenext.slice.prediction import Prediction, SeriesPrediction
from strokenext.types import CLASSES, Caution, Heat, Progress, Slice, Volume
from strokenext.visible import visible
from strokenext.volume.prediction import VolumePrediction

from .exits import INTERRUPTED, NO_READER, exit_code, silence_stdout
from .inputs import OVERLAY_SUFFIX, Failure, Item, collected, find
from .predictors import Predictors, answer, load_predictors
from .readings import Reading, Unused, readings
from .tables import STDOUT, Outcome, check_target, to_csv, to_json, write

#: Bytes of a file's name on the usual file systems.
LONGEST_NAME = 255


def run(options: argparse.Namespace) -> int:
    """The command; returns the exit code that --help documents."""
    _check(options)
    items, failures = find(options.paths)
    outcomes: list[Outcome] = []
    unused: list[Unused] = []
    task, stopped = options.task or "presence", 0
    try:
        if items:
            predictors = load_predictors(options)
            task = options.task or predictors.first.task
            for done in _each(items, predictors, options, failures, unused):
                outcomes.append(done)
                if STDOUT not in (options.json, options.csv):
                    tqdm.write(visible(f"{done.title}: {sentence(done.prediction)}"), file=sys.stdout)
    except KeyboardInterrupt:
        stopped = INTERRUPTED
    except BrokenPipeError:
        silence_stdout()
        stopped = NO_READER
    finally:  # even when the program itself fails, what was answered is kept
        complain(unused, failures)
        if options.json:
            write(options.json, to_json(outcomes, failures, task, stopped == INTERRUPTED, unused))
        if options.csv:
            write(options.csv, to_csv(outcomes, failures, unused))
    return stopped or exit_code(outcomes, failures)


def _check(options: argparse.Namespace) -> None:
    if options.json == STDOUT and options.csv == STDOUT:
        raise OptionError("Only one of --json and --csv can go to standard output.")
    if options.overlays and not options.explain:
        raise OptionError("--overlays draws the evidence that --no-explain leaves out. Give one of the two.")
    check_target(options.json)
    check_target(options.csv)


def _each(
    items: list[Item],
    predictors: Predictors,
    options: argparse.Namespace,
    failures: list[Failure],
    unused: list[Unused],
) -> Iterator[Outcome]:
    pictures = Pictures(options.overlays)
    with tqdm(items, unit="input", disable=None, file=sys.stderr) as bar:
        for item in bar:
            with collected(item, failures):
                for reading in readings(item, failures, unused, _steps(bar, item), options.case_names):
                    with collected(Item(reading.path, reading.name), failures):
                        yield _outcome(reading, predictors, options, _steps(bar, item), pictures)


def _outcome(
    reading: Reading, predictors: Predictors, options: argparse.Namespace, progress: Progress, pictures: Pictures
) -> Outcome:
    image, facts = reading.image, reading.facts
    prediction = answer(image, reading.path.name, predictors, options, progress)
    pictures.draw(reading.name, image, prediction, reading.label)
    kind = "series" if isinstance(image, Volume) else "slice"
    place = (facts.study, facts.number, facts.words)
    return Outcome(
        str(reading.path), kind, prediction.to_json(), *place, reading.names, reading.of, label=reading.label
    )


def complain(unused: list[Unused], failures: list[Failure]) -> None:
    """What was not used, and what failed, on standard error."""
    for line in (*_not_used(unused), *(f"{failure.path}: {failure.error}" for failure in failures)):
        print(visible(line), file=sys.stderr)


def _not_used(unused: list[Unused]) -> Iterator[str]:
    """A line for each reason, with every file that it holds for."""
    by_reason: dict[str, list[str]] = {}
    for one in unused:
        by_reason.setdefault(one.reason, []).append(one.path)
    for reason, paths in by_reason.items():
        yield f"Not used: {', '.join(paths)}: {reason}"


def _steps(bar: Any, item: Item) -> Progress:
    def progress(done: int, total: int) -> None:
        bar.set_postfix_str(visible(f"{item.path.name} slice {done}/{total}"))

    return progress


def sentence(prediction: dict[str, Any]) -> str:
    """One line for a person: the decision with its probability, or why there is none, and what may have changed it."""
    parts = [prediction["presence"], prediction["subtype"]] if "presence" in prediction else [prediction]
    given = [part for part in parts if part is not None]
    cautions = dict.fromkeys(caution["sentence"] for part in given for caution in part.get("cautions", ()))
    warned = f". Caution: {' '.join(cautions)}" if cautions else ""
    return "; ".join(decided(part) for part in given) + warned


def decided(prediction: dict[str, Any]) -> str:
    """The decision on one question with its probability, or why there is none."""
    if prediction["decision"] == "refused" or prediction["probability"] is None:
        return f"not judged: {prediction['gate']['reason']}"
    return (
        f"{prediction['decision']} (probability of {CLASSES[prediction['task']][1]} {prediction['probability']:.3f}, "
        f"threshold {prediction['threshold']:.3f})"
    )


def fitting(name: str) -> str:
    """A relative path whose parts are short enough for a file's name, an overlay's ending and a number added."""
    most = LONGEST_NAME - len(OVERLAY_SUFFIX) - 6
    return "/".join(
        os.fsencode(part)[:most].decode("utf-8", "ignore") if len(os.fsencode(part)) > most else part
        for part in name.split("/")
    )


class Pictures:
    """Overlays in one folder, named after the inputs; does nothing without a folder."""

    def __init__(self, folder: str | None) -> None:
        self.folder = Path(folder) if folder else None
        self.taken: set[Path] = set()
        if self.folder is not None:
            try:
                self.folder.mkdir(parents=True, exist_ok=True)
            except OSError as error:
                raise OutputError(f"The folder '{folder}' cannot be made: {error.strerror}.") from error

    def draw(self, name: str, image: Slice | Volume, prediction: Any, label: str) -> None:
        """One PNG of a slice, or a folder with one per slice of a series; `label` stands on each."""
        if self.folder is None:
            return
        name = fitting(name)
        first = getattr(prediction, "presence", prediction)
        if isinstance(image, Slice):
            picture = _drawn(image, first, first.heat, first.caption(label), prediction.cautions)
            self._save(self._free(self.folder / f"{name}{OVERLAY_SUFFIX}"), picture)
            return
        folder = self._free(self.folder / name)
        for number, (one, part) in enumerate(zip(image, first.slices, strict=True)):
            answered = first if isinstance(first, VolumePrediction) else part
            caption = _caption(first, number, label)
            picture = _drawn(one, answered, part.heat, caption, prediction.cautions)
            self._save(folder / f"slice-{number:04d}{OVERLAY_SUFFIX}", picture)

    def _free(self, path: Path) -> Path:
        wanted, number = path, 1
        while path in self.taken:
            number += 1
            path = wanted.with_name(f"{number}-{wanted.name}")
        self.taken.add(path)
        return path

    def _save(self, path: Path, picture: bytes) -> None:
        path.parent.mkdir(parents=True, exist_ok=True)
        write(str(path), picture)


def _caption(answer: SeriesPrediction | VolumePrediction, number: int, title: str) -> Caption:
    if isinstance(answer, VolumePrediction):
        return answer.caption(number, title)
    return answer.slices[number].caption(title, answer.place(number))


def _drawn(
    image: Slice,
    answer: Prediction | VolumePrediction,
    heat: Heat | None,
    caption: Caption,
    cautions: tuple[Caution, ...],
) -> bytes:
    caption = replace(caption, cautions=cautions)
    return png(framed_slice(image, caption, heat=heat, strength=answer.lit(heat)))
