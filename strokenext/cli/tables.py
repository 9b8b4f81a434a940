"""Outcomes as JSON and CSV, written to files or standard output."""

from __future__ import annotations

import csv
import io
import json
import os
import sys
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from strokenext.errors import OptionError, OutputError
from strokenext.saving import write_file
from strokenext.version import __version__
from strokenext.visible import visible

from .inputs import Failure
from .readings import Unused

SCHEMA = "strokenext-predictions/1"
STDOUT = "-"
COLUMNS = (
    *("path", "kind", "slice", "task", "label", "decision", "probability", "threshold"),
    *("band_low", "band_high", "interval_low", "interval_high", "logit"),
    *("gate_accepted", "gate_reason", "heat_peak", "model", "weights_sha256", "error"),
    *("study", "series", "file", "cautions", "case"),
)


@dataclass(frozen=True)
class Outcome:
    """One answered series: `prediction` is the library's own JSON of a slice or a series.

    `study` and `series` are its numbers among those of the input (study 0: none stated), `files` names the file of
    each slice, `of` is how many series the input holds, `label` is what the case is called.
    """

    path: str
    kind: str
    prediction: dict[str, Any]
    study: int = 0
    series: int = 1
    description: str = ""
    files: tuple[str, ...] = ()
    of: int = 1
    label: str = ""

    @property
    def title(self) -> str:
        """The path, and of several series or files which ones."""
        files = tuple(dict.fromkeys(self.files))
        where = [f"study {self.study}"] if self.study and self.of > 1 else []
        where += [f"series {self.series} of {self.of}, {self.description}"] if self.of > 1 else []
        where += [f"{len(files)} files: {', '.join(files)}"] if len(files) > 1 else []
        return f"{self.path} ({'; '.join(where)})" if where else self.path

    def to_json(self) -> dict[str, Any]:
        """Plain JSON values."""
        account = {"study": self.study, "series": self.series, "description": self.description}
        files = list(dict.fromkeys(self.files))
        return {
            "path": self.path,
            "case": self.label,
            "kind": self.kind,
            **account,
            "files": files,
            "prediction": self.prediction,
        }


def to_json(
    outcomes: list[Outcome], failures: list[Failure], task: str, interrupted: bool, unused: Sequence[Unused] = ()
) -> str:
    """The document that --help describes."""
    document = {
        "schema": SCHEMA,
        "version": __version__,
        "task": task,
        "interrupted": interrupted,
        "results": [outcome.to_json() for outcome in outcomes],
        "left_out": [dict(vars(one)) for one in unused],
        "errors": [failure.to_json() for failure in failures],
    }
    return json.dumps(document, indent=2, allow_nan=False) + "\n"


def to_csv(outcomes: list[Outcome], failures: list[Failure], unused: Sequence[Unused] = ()) -> str:
    """The table that --help describes, RFC 4180 with one header line."""
    buffer = io.StringIO()
    writer = csv.DictWriter(buffer, COLUMNS, restval="")
    writer.writeheader()
    for outcome in outcomes:
        for row in _rows(outcome):
            writer.writerow({key: _cell(value) for key, value in row.items()})
    for one in unused:
        writer.writerow({"path": _cell(one.path), "kind": "left out", "error": _cell(one.reason)})
    for failure in failures:
        writer.writerow({"path": _cell(failure.path), "error": _cell(str(failure.error))})
    return buffer.getvalue()


def check_target(target: str | None) -> None:
    """Before hours of work: raises OptionError when a file cannot be written there."""
    if target is None or target == STDOUT:
        return
    path = Path(target)
    if path.is_dir():
        raise OptionError(f"'{target}' is a folder. Give the name of a file to write.")
    if not path.absolute().parent.is_dir():
        raise OptionError(f"The folder of '{target}' does not exist. Create it first.")
    if not os.access(path.absolute().parent, os.W_OK):
        raise OptionError(f"The folder of '{target}' cannot be written to.")


def write(target: str, content: str | bytes) -> None:
    """To standard output for "-", else whole or not at all to a file. Raises OutputError."""
    data = content.encode("utf-8", "backslashreplace") if isinstance(content, str) else content
    if target == STDOUT:
        sys.stdout.flush()
        sys.stdout.buffer.write(data)
        sys.stdout.flush()
        return
    try:
        write_file(target, data)
    except OSError as error:
        raise OutputError(f"'{target}' cannot be written: {error.strerror}.") from error


def _rows(outcome: Outcome) -> Iterator[dict[str, Any]]:
    body = outcome.prediction
    parts = [body["presence"], body["subtype"]] if "presence" in body else [body]
    account = {"path": outcome.path, "case": outcome.label, "study": outcome.study, "series": outcome.series}
    for part in parts:
        if part is None:
            continue
        kind = "series" if "slices" in part else "slice"
        index = body.get("subtype_slice", "") if kind != outcome.kind else ""
        singles = part.get("slices", ())
        named = len(singles) == len(outcome.files) > 0
        files = "; ".join(dict.fromkeys(outcome.files)) if not named else ""
        if isinstance(index, int) and index < len(outcome.files):
            files = outcome.files[index]
        yield {**account, "slice": index, **_row(part), "kind": kind, "file": files}
        for number, single in enumerate(singles):
            name = outcome.files[number] if named else ""
            yield {**account, "slice": number, **_row(single), "kind": "slice", "file": name}


def _row(part: dict[str, Any]) -> dict[str, Any]:
    band, interval = part.get("band") or ("", ""), part.get("interval") or ("", "")
    gate, provenance = part.get("gate") or {}, part.get("provenance") or {}
    plain = {key: part.get(key) for key in ("task", "label", "decision", "probability", "threshold", "logit")}
    return {
        **plain,
        "band_low": band[0],
        "band_high": band[1],
        "interval_low": interval[0],
        "interval_high": interval[1],
        "gate_accepted": gate.get("accepted"),
        "gate_reason": gate.get("reason"),
        "heat_peak": (part.get("heat") or {}).get("peak"),
        "model": provenance.get("model"),
        "weights_sha256": provenance.get("weights_sha256"),
        "cautions": " | ".join(f"{one['code']}: {one['sentence']}" for one in part.get("cautions", ())),
    }


def _cell(value: object) -> object:
    """Numbers as they are, text safe to print; what a spreadsheet would take for a formula gets an apostrophe."""
    if value is None:
        return ""
    if isinstance(value, str) and value.startswith(("=", "+", "-", "@", "\t", "\r", "\n")):
        return "'" + visible(value)
    return visible(value) if isinstance(value, str) else value
