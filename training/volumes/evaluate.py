"""A volume model on whole patients of a manifest, beside a slice model's pooled answer about the same patients.

`python -m training evaluate --model FOLDER ...` comes here for a volume model. It writes two files next to each other:
the volume model's result, and that of the bundled presence model, whose answer about a series is the mean of its
three highest slices. In both a "slice" is a patient. A patient is positive when any slice is; sources in which every
patient is (phe_sich) rank nothing and are reported apart, by how many are called.
"""

from __future__ import annotations

import argparse
import math
import time
from collections import defaultdict
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np

from strokenext.errors import DataError
from strokenext.loader import load
from strokenext.slice.predictor import Predictor
from strokenext.types import Volume
from strokenext.volume.predictor import VolumePredictor
from training.classify.evaluate import facts, summary
from training.data.images import open_image
from training.data.labels import class_name
from training.data.manifest import Manifest, Record, read_manifest
from training.environment import environment
from training.measure.bootstrap import bootstrap
from training.measure.compare import compare
from training.measure.measures import measure
from training.measure.result import Predictions, Result, write_result
from training.splits.held_out import evaluation_records
from training.splits.split import read_split
from training.train.provenance import training_record

from .feed import patient_label

Progress = Callable[[int, int], None]
#: A probability is kept this far from 0 and 1 before it becomes a logit.
TINY = 1e-6


@dataclass(frozen=True, eq=False)
class Head:
    """One patient's series with its label; `kind` is its class in words, `types` the hemorrhage types of its slices."""

    unit: str
    source: str
    label: int
    kind: str
    types: str
    volume: Volume


@dataclass(frozen=True, eq=False)
class Judged:
    """What one model says of the heads: margins (N,) of logits, None for a head it refused, and seconds per head."""

    margins: tuple[float | None, ...]
    seconds: float


def heads(manifest: Manifest, records: Sequence[Record], task: str) -> Iterator[Head]:
    """Each patient's slices in their order, as a user would open them; patients without a known label left out."""
    together: dict[str, list[Record]] = defaultdict(list)
    for record in records:
        together[record.unit].append(record)
    for unit, rows in sorted(together.items()):
        rows.sort(key=lambda r: (int(r.extra.get("slice", -1)), r.path))
        label = patient_label([r.label(task) for r in rows], task)
        if label >= 0:
            types = sorted({w for r in rows for w in str(r.extra.get("types", "")).replace(",", " ").split()})
            slices = tuple(open_image(manifest.file(r)) for r in rows)
            shown = next((r for r in rows if r.label(task) == label), rows[0])
            yield Head(unit, rows[0].source, label, class_name(shown), " ".join(types), Volume(_one_shape(slices)))


def _one_shape(slices: Sequence[Any]) -> tuple[Any, ...]:
    """The slices that have the shape of most of them: a stray picture of another size belongs to no volume."""
    shapes = [(s.shape, s.unit) for s in slices]
    usual = max(set(shapes), key=shapes.count)
    return tuple(s for s, shape in zip(slices, shapes, strict=True) if shape == usual)


def whole_margin(model: VolumePredictor, volume: Volume) -> tuple[float | None, Sequence[Any]]:
    """The volume model's margin of a series, and its gate's verdict on each slice."""
    found = model.predict(volume, explain=False)
    return found.logit, [part.gate for part in found.slices]


def pooled_margin(model: Predictor, volume: Volume) -> float | None:
    """The log-odds of the slice model's pooled probability of a series; None where every slice was refused."""
    probability = model.predict_volume(volume, explain=False).probability
    if probability is None:
        return None
    kept = min(max(probability, TINY), 1 - TINY)
    return math.log(kept / (1 - kept))


def evaluate_volumes(
    folder: str | Path,
    manifest: Manifest,
    records: Sequence[Record],
    *,
    slices: str | Path | None = None,
    data: dict[str, Any] | None = None,
    draws: int = 1000,
    device: str = "cpu",
    progress: Progress | None = None,
) -> tuple[Result, Result]:
    """The results of a volume model and of a slice model (None: the bundled presence model) on the same patients.

    Raises DataError when no source has labelled patients of both classes.
    """
    whole = load(folder, device=device, kind="series")
    single = load(slices, task="presence", device=device, kind="slice")
    total = len({r.unit for r in records})
    rows: list[Head] = []
    margins: dict[str, list[float | None]] = {"whole": [], "single": []}
    seconds = {"whole": 0.0, "single": 0.0}
    for number, head in enumerate(heads(manifest, records, whole.task), 1):
        rows.append(head)
        for name, ask in (
            ("whole", lambda v: whole_margin(whole, v)[0]),
            ("single", lambda v: pooled_margin(single, v)),
        ):
            start = time.perf_counter()
            margins[name].append(ask(head.volume))
            seconds[name] += time.perf_counter() - start
        rows[-1] = replace(head, volume=Volume(head.volume.slices[:1]))
        if progress is not None:
            progress(number, total)
    names = {"whole": facts(whole.config) | {"planes": whole.config.planes and whole.config.planes.to_dict()},
             "single": facts(single.config) | {"name": f"{single.name}, mean of 3 highest slices",
                                               "temperature": 1.0}}  # fmt: skip
    found = [
        _result(names[key], rows, margins[key], seconds[key], (data or {}) | {"unit": "patient"}, draws, device)
        for key in ("whole", "single")
    ]
    if found[0].predictions.paths == found[1].predictions.paths:
        found[0] = _with(found[0], against_slices=compare(found)["against"][0])
    return found[0], found[1]


def _result(
    model: dict[str, Any],
    rows: Sequence[Head],
    margins: Sequence[float | None],
    seconds: float,
    data: dict[str, Any],
    draws: int,
    device: str,
) -> Result:
    """One model's result: ranked over the sources with both classes, the others in `extra`."""
    ranked = {s for s in {r.source for r in rows} if {r.label for r in rows if r.source == s} == {0, 1}}
    kept = [i for i, m in enumerate(margins) if m is not None and rows[i].source in ranked]
    if len({rows[i].label for i in kept}) < 2:
        raise DataError("No source has patients with and without a bleed in this part; volumes cannot be ranked.")
    predictions = _columns([rows[i] for i in kept], [margins[i] for i in kept])
    refused = sum(m is None for m in margins)
    about = {"n": len(kept), "refused": refused, "seconds_per_image": seconds / max(1, len(rows))}
    extra: dict[str, Any] = {"one_class_sources": {}}
    for source in sorted({r.source for r in rows} - ranked):
        there = [i for i, r in enumerate(rows) if r.source == source and margins[i] is not None]
        part = _columns([rows[i] for i in there], [margins[i] for i in there])
        called = part.probabilities(model["temperature"]) >= model["threshold"]
        rate = bootstrap(lambda y, s: float(s.mean()), part.labels, called.astype(float), part.units)
        extra["one_class_sources"][source] = {"label": int(part.labels[0]), "called_positive": rate.to_dict()}
    found = measure(predictions, model["threshold"], model["temperature"], draws=draws)
    return Result(model, data | about, environment(device), found, predictions, extra)


def _columns(rows: Sequence[Head], margins: Sequence[float | None]) -> Predictions:
    units = tuple(r.unit for r in rows)
    return Predictions(
        paths=units,
        sources=tuple(r.source for r in rows),
        units=units,
        kinds=tuple(r.kind for r in rows),
        types=tuple(r.types for r in rows),
        labels=np.array([r.label for r in rows], np.int64),
        logits=np.array(margins, np.float64),
    )


def _with(result: Result, **more: Any) -> Result:
    return Result(result.model, result.data, result.environment, result.metrics, result.predictions,
                  {**result.extra, **more})  # fmt: skip


def run(o: argparse.Namespace, folder: Path) -> None:
    """What `evaluate` does for a volume model: both results, the slice model's beside the file asked for."""
    from training.environment import sha256
    from training.terminal import progress_bar

    manifest = read_manifest(o.manifest)
    split = read_split(o.split) if o.split else None
    data: dict[str, Any] = {"manifest": o.manifest.name, "manifest_sha256": sha256(o.manifest)}
    data |= {"split_sha256": sha256(o.split)} if o.split else {}
    manifest, records, about = evaluation_records(
        manifest, split, part=o.part, sources=o.source, training=training_record(o.run) if o.run else None
    )
    with progress_bar("evaluate") as progress:
        results = evaluate_volumes(folder, manifest, records, data=data | about, device=o.device, progress=progress)
    other = o.out.with_name(f"{results[1].model['architecture']}-slices.json")
    for result, file in zip(results, (o.out, other), strict=True):
        print(summary(result))
        for source, row in result.extra["one_class_sources"].items():
            rate = row["called_positive"]
            print(f"  {source}, all of class {row['label']}: {rate['value']:.3f} of {rate['n']} called positive")
        print(f"written to {write_result(result, file)}")
