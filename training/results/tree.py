"""Everything below `results/` as one value: what the report and the tables in docs/ are made from.

    results/<task>/<protocol>[-<detail>]/<model>.json   what `evaluate` wrote, placed by `experiments`
    results/segmentation/*.json, results/volume/*.json  the U-Net's and the 3-D network's figures
    results/explain*.json, results/explain*/*.json      explanation checks kept apart from the result they belong to
    results/gate.json, results/inputs.json              the scope gate; pictures unlike the training ones
    results/benchmark*.json                             the cost of every model
    results/experiments.json                            how each result was made, by `experiments`
    results/not_run.toml (or .json)                     what was not run, and why

`<protocol>` is image, grouped, kfold, source (`<detail>`: the source left out), simulated, or image-random-labels and
grouped-random-labels. A part that is not there is absent from the value, never made up.
"""

from __future__ import annotations

import json
import tomllib
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from strokenext import zoo
from strokenext.errors import DataError
from training.measure.result import FORMAT, Result, read_result

#: Order of protocols in every table.
PROTOCOLS = ("image", "grouped", "patients", "kfold", "simulated", "source", "published", "")
_WORDS = {
    "image": "image level",
    "grouped": "by patient",
    "patients": "by patient",
    "kfold": "by patient, fold",
    "source": "unseen source",
    "simulated": "by patient, trained with simulated lesions",
}
_RANDOM = "-random-labels"
TASKS = ("presence", "subtype")


@dataclass(frozen=True, eq=False)
class Entry:
    """One result file and where it stands: `detail` is the left-out source, fold or seed; `random` the control run."""

    result: Result
    task: str
    protocol: str
    detail: str = ""
    random: bool = False

    @property
    def architecture(self) -> str:
        """The zoo row's name."""
        return str(self.result.model.get("architecture", ""))

    @property
    def ours(self) -> bool:
        """Whether it is a StrokeNeXt."""
        return self.architecture.startswith("strokenext")

    @property
    def title(self) -> str:
        """The zoo row's title, with the model's own name where that says more (two recipes of one architecture)."""
        known = short_titles().get(self.architecture)
        name = self.result.name
        if known is None:
            return name
        return known if _same(name, self.architecture) else f"{known} [{name}]"

    @property
    def tested(self) -> str:
        """Protocol, detail and part in words."""
        part = str(self.result.data.get("part") or "test")
        protocol = _WORDS.get(self.protocol, self.protocol) or "all labelled"
        return ", ".join(x for x in (protocol, self.detail, "" if part in ("test", self.protocol) else part) if x)

    @property
    def where(self) -> str:
        """As `tested`, and whether it is the control."""
        return f"{self.tested}, random labels" if self.random else self.tested

    @property
    def metrics(self) -> Mapping[str, Any]:
        """Every measure, by its place."""
        return self.result.metrics

    @property
    def auroc(self) -> dict[str, Any]:
        """AUROC with its interval."""
        return self.metrics["ranking"]["auroc"]

    def point(self, name: str) -> float | None:
        """A measure at the stored threshold; None where it is undefined."""
        row = self.metrics["at_threshold"].get(name)
        value = row.get("value") if isinstance(row, Mapping) else row
        return None if value is None else float(value)

    @property
    def training(self) -> Mapping[str, Any]:
        """What the run says of itself: seconds, epochs, device, size, history. Empty where it was not recorded."""
        record = self.result.data.get("training")
        return record if isinstance(record, Mapping) else {}

    @property
    def permuted_among(self) -> str:
        """Among what the control's labels were permuted, "images" or "patients"; empty where the run says nothing."""
        return str((self.training.get("recipe") or {}).get("random_labels") or "")

    @property
    def hours(self) -> float | None:
        """Hours of training; None where not recorded."""
        seconds = self.training.get("seconds")
        return self.result.extra.get("training_hours") if seconds is None else float(seconds) / 3600


def short_titles() -> dict[str, str]:
    """The zoo's titles by name, in their short form where they have one."""
    return {r.name: r.short or r.title for r in zoo.list_models()}


def _same(name: str, architecture: str) -> bool:
    """Whether a model's name says no more than its architecture and task."""
    plain = name.lower().replace("-", "_").removesuffix("_presence").removesuffix("_subtype")
    return plain == architecture


@dataclass(frozen=True, eq=False)
class Material:
    """What a report is made from; every part may be missing."""

    entries: tuple[Entry, ...] = ()
    gate: Mapping[str, Any] | None = None
    inputs: Mapping[str, Any] | None = None
    benchmarks: tuple[Mapping[str, Any], ...] = ()
    segmentation: Mapping[str, Mapping[str, Any]] = field(default_factory=dict)
    volume: Mapping[str, Mapping[str, Any]] = field(default_factory=dict)
    explanations: Mapping[str, Mapping[str, Any]] = field(default_factory=dict)
    not_run: tuple[Mapping[str, str], ...] = ()
    experiments: tuple[Mapping[str, Any], ...] = ()

    def of(self, task: str, *protocols: str, random: bool = False) -> list[Entry]:
        """The entries of a task, of these protocols (all when none is named), in the order of every table."""
        return [
            e
            for e in self.entries
            if e.task == task and e.random == random and (not protocols or e.protocol in protocols)
        ]

    def one(self, task: str, protocol: str, architecture: str) -> Entry | None:
        """The first plain entry of an architecture (no detail, test part); None where there is none."""
        tests = [e for e in self.of(task, protocol) if e.architecture == architecture and _is_test(e)]
        return next((e for e in tests if not e.detail), tests[0] if tests and protocol != "source" else None)


def _is_test(entry: Entry) -> bool:
    return entry.result.data.get("part") in (None, "test")


def collect(folder: Path) -> Material:
    """Read every file below the folder. Raises DataError when the folder is absent or a file of ours is broken."""
    if not folder.is_dir():
        raise DataError(f"There is no folder {folder}. Make result files with: python -m training experiments.")
    entries, records = [], {}
    for file in sorted(folder.rglob("*.json")):
        values = _json(file)
        inside = file.relative_to(folder)
        if values is not None and values.get("format") == FORMAT:
            entries.append(entry_of(read_result(file), inside.parts[:-1]))
        elif values is not None:
            records[inside.with_suffix("").as_posix()] = values
    return Material(
        entries=tuple(ordered(entries)),
        gate=records.get("gate"),
        inputs=records.get("inputs"),
        benchmarks=tuple(v for k, v in records.items() if k.startswith("benchmark")),
        segmentation=_below(records, "segmentation"),
        volume=_below(records, "volume"),
        explanations=_below(records, "explain"),
        not_run=not_run(folder),
        experiments=tuple(records.get("experiments", {}).get("experiments", [])),
    )


def entry_of(result: Result, folders: Sequence[str]) -> Entry:
    """Where a result stands, from its folders `<task>/<protocol>[-<detail>]`, else from what it says itself."""
    task = str(result.model["task"])
    protocol, detail = str(result.data.get("protocol", "")), ""
    random = bool(result.data.get("control"))
    if folders and folders[0] in ("segmentation", "volume"):
        task = folders[0]
    elif len(folders) >= 2:
        task = folders[0]
        name = "-".join(folders[1:])
        random = random or name.endswith(_RANDOM)
        protocol, _, detail = name.removesuffix(_RANDOM).partition("-")
    return Entry(result, task, protocol, detail, random)


def record_title(name: str, values: Mapping[str, Any]) -> str:
    """Title of the architecture that a record of any form names, with its protocol; else the file's name."""
    model, data = values.get("model") or {}, values.get("data")
    model = model if isinstance(model, Mapping) else {"name": model}
    architecture = str(model.get("architecture") or values.get("architecture") or "")
    title = short_titles().get(architecture) or str(model.get("name") or "")
    protocol = str(data.get("protocol") or "") if isinstance(data, Mapping) else ""
    return ", ".join(x for x in (title, protocol) if x) + (f" ({name})" if title else "") or name


def ordered(entries: Sequence[Entry]) -> list[Entry]:
    """By task, protocol, detail, then the zoo's order."""
    zoo_order = {r.name: i for i, r in enumerate(zoo.list_models())}

    def key(e: Entry) -> tuple[Any, ...]:
        protocol = PROTOCOLS.index(e.protocol) if e.protocol in PROTOCOLS else len(PROTOCOLS)
        part = str(e.result.data.get("part") or "")
        return (e.task, e.random, protocol, e.detail, part, zoo_order.get(e.architecture, 99), e.result.name)

    return sorted(entries, key=key)


def _below(records: Mapping[str, Mapping[str, Any]], prefix: str) -> dict[str, Mapping[str, Any]]:
    return {name.partition("/")[2] or name: values for name, values in records.items() if name.startswith(prefix)}


def _json(file: Path) -> dict[str, Any] | None:
    """The object in a file; None where it holds a list or a number. Raises DataError where it is no JSON."""
    try:
        values = json.loads(file.read_text(encoding="utf-8"))
    except ValueError as problem:
        raise DataError(f"{file} is not JSON ({problem}). Delete it, or make it again.") from problem
    return values if isinstance(values, dict) else None


def not_run(folder: Path) -> tuple[Mapping[str, str], ...]:
    """The rows of not_run.toml or .json: `what`, `why`, and where they help `instead`, `command` and `parts`.

    `parts` names parts of the report (a list, here joined by "; ") that stay empty for that reason.

    Raises DataError when a row lacks `what` or `why`.
    """
    toml, plain = folder / "not_run.toml", folder / "not_run.json"
    values: Mapping[str, Any] = {}
    if toml.is_file():
        values = tomllib.loads(toml.read_text(encoding="utf-8"))
    elif plain.is_file():
        values = json.loads(plain.read_text(encoding="utf-8"))
    rows = values.get("not_run", [])
    for row in rows:
        if not row.get("what") or not row.get("why"):
            raise DataError(f"A row of {toml.name} in {folder} lacks `what` or `why`: {dict(row)}.")
    return tuple({k: "; ".join(v) if isinstance(v, list) else str(v) for k, v in row.items()} for row in rows)
