"""`predict`: judge every input, go on past the bad ones, write what was judged."""

from __future__ import annotations

import argparse
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from tqdm import tqdm

from strokenext.errors import InputError, OptionError, OutputError, StrokeNeXtError
from strokenext.overlay import png, render
from strokenext.types import Slice, Volume

from .inputs import OVERLAY_SUFFIX, Failure, Item, find
from .judge import Judge
from .tables import STDOUT, Outcome, check_target, to_csv, to_json, write


def run(options: argparse.Namespace) -> int:
    """The command; returns the exit code that --help documents."""
    _check(options)
    items, failures = find(options.paths)
    outcomes: list[Outcome] = []
    stopped = 0
    try:
        if items:
            judge = Judge(options)
            pictures = Pictures(options.overlays)
            for done in _each(items, judge, pictures):
                if isinstance(done, Failure):
                    failures.append(done)
                    continue
                outcomes.append(done)
                if STDOUT not in (options.json, options.csv):
                    tqdm.write(f"{done.path}: {sentence(done.prediction)}", file=sys.stdout)
    except KeyboardInterrupt:
        stopped = 130
    except BrokenPipeError:
        from . import silence_stdout

        silence_stdout()
        stopped = 141
    finally:  # even when the program itself fails, what was judged is kept
        _finish(options, outcomes, failures, stopped == 130)
    return stopped or exit_code(outcomes, failures)


def _check(options: argparse.Namespace) -> None:
    if options.json == STDOUT and options.csv == STDOUT:
        raise OptionError("Only one of --json and --csv can go to standard output.")
    if options.overlays and not options.explain:
        raise OptionError("--overlays draws the evidence that --no-explain leaves out. Give one of the two.")
    check_target(options.json)
    check_target(options.csv)


def _each(items: list[Item], judge: Judge, pictures: Pictures) -> Iterator[Outcome | Failure]:
    with tqdm(items, unit="input", disable=None, file=sys.stderr) as bar:
        for item in bar:
            try:
                image, answer = judge(item, _steps(bar, item))
                pictures.draw(item, image, answer)
                yield Outcome(str(item.path), _kind(image), answer.to_json())
            except StrokeNeXtError as error:
                yield Failure(str(item.path), error)
            except (OSError, MemoryError) as error:  # one file must not end a run over thousands
                reason = getattr(error, "strerror", None) or "it needs more memory than there is"
                yield Failure(str(item.path), InputError(f"This file cannot be used: {reason}."))


def _steps(bar: Any, item: Item) -> Any:
    def progress(done: int, total: int) -> None:
        bar.set_postfix_str(f"{item.path.name} slice {done}/{total}")

    return progress


def _kind(image: Slice | Volume) -> str:
    return "series" if isinstance(image, Volume) else "slice"


def _finish(options: argparse.Namespace, outcomes: list[Outcome], failures: list[Failure], interrupted: bool) -> None:
    for failure in failures:
        print(f"{failure.path}: {failure.error}", file=sys.stderr)
    if options.json:
        write(options.json, to_json(outcomes, failures, options.task or "presence", interrupted))
    if options.csv:
        write(options.csv, to_csv(outcomes, failures))


def exit_code(outcomes: list[Outcome], failures: list[Failure]) -> int:
    """0 all judged, 1 some failed, and when none was judged the failures' own code where they share one, else 2."""
    if not failures:
        return 0
    if outcomes:
        return 1
    codes = {failure.error.exit_code for failure in failures}
    return codes.pop() if len(codes) == 1 else 2


def sentence(prediction: dict[str, Any]) -> str:
    """One line for a person: the decision with its probability, or why there is none."""
    if "presence" in prediction:
        parts = [sentence(prediction["presence"])]
        if prediction["subtype"] is not None:
            parts.append(sentence(prediction["subtype"]))
        return "; ".join(parts)
    if prediction["decision"] == "refused" or prediction["probability"] is None:
        return f"not judged: {prediction['gate']['reason']}"
    positive = {"presence": "stroke", "subtype": "hemorrhagic"}[prediction["task"]]
    return (
        f"{prediction['decision']} (probability of {positive} {prediction['probability']:.3f}, "
        f"threshold {prediction['threshold']:.3f})"
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

    def draw(self, item: Item, image: Slice | Volume, answer: Any) -> None:
        """One PNG of a slice, or a folder with one per slice of a series."""
        if self.folder is None:
            return
        first = getattr(answer, "presence", answer)
        if isinstance(image, Slice):
            self._save(self._free(self.folder / f"{item.name}{OVERLAY_SUFFIX}"), image, first)
            return
        place = self._free(self.folder / item.name)
        for number, (one, prediction) in enumerate(zip(image, first.slices, strict=True)):
            self._save(place / f"slice-{number:04d}{OVERLAY_SUFFIX}", one, prediction)

    def _free(self, path: Path) -> Path:
        wanted, number = path, 1
        while path in self.taken:
            number += 1
            path = wanted.with_name(f"{number}-{wanted.name}")
        self.taken.add(path)
        return path

    def _save(self, path: Path, image: Slice, prediction: Any) -> None:
        picture = png(render(image, prediction.heat, window=prediction.window))
        path.parent.mkdir(parents=True, exist_ok=True)
        write(str(path), picture)
