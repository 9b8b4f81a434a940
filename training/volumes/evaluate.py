"""A volume model on whole patients of a manifest, beside a slice model's pooled answer about the same patients.

Two results next to each other: the volume model's, and that of the bundled presence model, whose answer about a series
is the mean of its three highest slices. In both a "slice" is a patient. A patient is positive when any slice is;
sources in which every patient is (phe_sich) rank nothing and are reported apart, by how many are called.
"""

from __future__ import annotations

import argparse
import math
import time
from collections import defaultdict
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
from torch import nn

from strokenext.errors import DataError
from strokenext.loader import load
from strokenext.record.config import ModelConfig
from strokenext.slice.predictor import Predictor
from strokenext.types import Volume
from strokenext.volume.predictor import VolumePredictor
from training.data.images import open_image
from training.data.labels import class_name
from training.data.manifest import Manifest, Record
from training.environment import environment
from training.measure.bootstrap import bootstrap
from training.measure.compare import compare
from training.measure.measures import measure
from training.measure.result import Predictions, Result, facts, scale_of
from training.splits.held_out import evaluation_records
from training.train.evaluation import Evaluated, Evaluation

from .feed import patient_label

#: A probability is kept this far from 0 and 1 before it becomes a logit.
TINY = 1e-6


@dataclass(frozen=True, eq=False)
class PatientSeries:
    """One patient's series with its label; `kind` is its class in words, `types` the hemorrhage types of its slices."""

    unit: str
    source: str
    label: int
    kind: str
    types: str
    volume: Volume


def patient_series(manifest: Manifest, records: Sequence[Record], task: str) -> Iterator[PatientSeries]:
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
            yield PatientSeries(
                unit, rows[0].source, label, class_name(shown), " ".join(types), Volume(_one_shape(slices))
            )


def _one_shape(slices: Sequence[Any]) -> tuple[Any, ...]:
    """The slices that have the shape of most of them: a stray picture of another size belongs to no volume."""
    shapes = [(s.shape, s.unit) for s in slices]
    usual = max(set(shapes), key=shapes.count)
    return tuple(s for s, shape in zip(slices, shapes, strict=True) if shape == usual)


def pooled_margin(model: Predictor, volume: Volume) -> float | None:
    """The log-odds of the slice model's pooled probability of a series; None where every slice was refused."""
    probability = model.predict_volume(volume, explain=False).probability
    if probability is None:
        return None
    kept = min(max(probability, TINY), 1 - TINY)
    return math.log(kept / (1 - kept))


def flags(group: argparse._ArgumentGroup) -> list[argparse.Action]:
    """Networks of volumes can be asked nothing of their own."""
    return []


def evaluate(model: nn.Module, config: ModelConfig, given: Evaluation) -> list[Evaluated]:
    """The volume model's result and, beside it, the slice model's."""
    whole, single = evaluate_volumes(model, config, given)
    return [Evaluated(whole), Evaluated(single, f"{single.model['architecture']}-slices")]


def evaluate_volumes(
    model: nn.Module, config: ModelConfig, given: Evaluation, slices: Predictor | None = None, draws: int = 1000
) -> tuple[Result, Result]:
    """The results of a volume model and of a slice model (the bundled presence model) on the same patients.

    Raises DataError when no source has labelled patients of both classes.
    """
    manifest, records, about = evaluation_records(
        given.manifest, given.split, part=given.part, sources=given.sources, training=given.training
    )
    whole = VolumePredictor(model, config, given.device)
    single = slices or load(task="presence", device=given.device, kind="slice")
    ask: dict[str, Callable[[Volume], float | None]] = {
        "whole": lambda volume: whole.predict(volume, explain=False).logit,
        "single": lambda volume: pooled_margin(single, volume),
    }
    total = len({r.unit for r in records})
    rows: list[PatientSeries] = []
    margins: dict[str, list[float | None]] = {name: [] for name in ask}
    seconds = dict.fromkeys(ask, 0.0)
    for number, patient in enumerate(patient_series(manifest, records, whole.task), 1):
        for name, margin in ask.items():
            start = time.perf_counter()
            margins[name].append(margin(patient.volume))
            seconds[name] += time.perf_counter() - start
        rows.append(replace(patient, volume=Volume(patient.volume.slices[:1])))  # one slice: a series takes 50 MB
        if given.progress is not None:
            given.progress(number, total)
    models = {
        "whole": facts(whole.config) | {"planes": whole.config.planes and whole.config.planes.to_dict()},
        "single": facts(single.config)
        | {"name": f"{single.name}, mean of 3 highest slices", "temperature": 1.0, "calibration": None},
    }
    data = {**given.data, **about, "unit": "patient"}
    a, b = (_result(models[k], rows, margins[k], seconds[k], data, draws, given.device) for k in ask)
    if a.predictions.paths == b.predictions.paths:
        a = replace(a, extra={**a.extra, "against_slices": compare([a, b])["against"][0]})
    return a, b


def _result(
    model: dict[str, Any],
    rows: Sequence[PatientSeries],
    margins: Sequence[float | None],
    seconds: float,
    data: Mapping[str, Any],
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
        called = part.probabilities(scale_of(model)) >= model["threshold"]
        rate = bootstrap(lambda y, s: float(s.mean()), part.labels, called.astype(float), part.units)
        extra["one_class_sources"][source] = {"label": int(part.labels[0]), "called_positive": rate.to_dict()}
    measures = measure(predictions, model["threshold"], scale_of(model), draws=draws)
    return Result(model, {**data, **about}, environment(device), measures, predictions, extra)


def _columns(rows: Sequence[PatientSeries], margins: Sequence[float | None]) -> Predictions:
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
