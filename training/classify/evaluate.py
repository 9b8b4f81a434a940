"""A classifier of slices on labelled records: its result."""

from __future__ import annotations

import argparse
import time
from collections.abc import Sequence
from dataclasses import replace

import numpy as np
import torch
from numpy.typing import NDArray
from torch import nn

from strokenext.errors import DataError
from strokenext.preprocess.contract import Preprocess
from strokenext.record.config import ModelConfig
from strokenext.types import Progress
from training.data.images import Views
from training.data.labels import class_name
from training.data.manifest import Record
from training.environment import environment
from training.explain.check import explanation
from training.measure.calibration import margin
from training.measure.measures import measure
from training.measure.result import Predictions, Result, facts
from training.splits.held_out import evaluation_records
from training.train.evaluation import Evaluated, Evaluation


def flags(group: argparse._ArgumentGroup) -> list[argparse.Action]:
    """What only classifiers of slices can be asked."""
    add = group.add_argument
    away = "unlabelled slices N or more from every annotated one count as free of a lesion"
    control = "evaluate by the labels of a control run; with --run as that run had them"
    return [
        add("--away", type=int, default=0, metavar="N", help=away),
        add("--random-labels", nargs="?", const="images", choices=("images", "patients"), help=control),
        add("--label-seed", type=int, default=1, help="seed of the control run, without --run"),
        add("--batch", type=int, default=32),
        add("--explain", action="store_true", help="also validate the heat maps, see `explain`"),
    ]


def evaluate(model: nn.Module, config: ModelConfig, given: Evaluation) -> list[Evaluated]:
    """The result on the records that the evaluation names. Raises DataError when none carries the task's label."""
    split, own = given.split, given.own
    if split is not None and split.task != config.task:
        raise DataError(f"The split is for {split.task}, the model answers {config.task}.")
    manifest, records, about = evaluation_records(
        given.manifest,
        split,
        part=given.part,
        sources=given.sources,
        away=own.get("away", 0),
        training=given.training,
        random_labels=own.get("random_labels"),
        label_seed=own.get("label_seed", 1),
    )
    labelled = [r for r in records if r.label(config.task) is not None]
    if not labelled:
        raise DataError(f"None of the {len(records)} images has a {config.task} label.")
    start = time.perf_counter()
    views, batch = given.views or Views(manifest), own.get("batch", 32)
    logits, seconds = predict(model, config.preprocess, views, labelled, given.device, batch, given.progress)
    predictions = predictions_of(labelled, config.task, logits)
    about |= {"n": len(labelled), "seconds_per_image": seconds, "seconds_in_all": time.perf_counter() - start}
    result = Result(
        model=facts(config),
        data={**given.data, **about},
        environment=environment(given.device),
        metrics=measure(predictions, config.threshold, config.calibration or config.temperature),
        predictions=predictions,
    )
    if own.get("explain"):
        explained = explanation(model, config, manifest, split, progress=given.progress)
        result = replace(result, extra={**result.extra, "explanation": explained})
    return [Evaluated(result)]


def predict(
    model: nn.Module,
    preprocess: Preprocess,
    views: Views,
    records: Sequence[Record],
    device: str = "cpu",
    batch: int = 32,
    progress: Progress | None = None,
) -> tuple[NDArray[np.float64], float]:
    """(N,) margins, positive minus negative logit, and the network's seconds per image without decoding."""
    margins: list[float] = []
    seconds = 0.0
    for pixels in views.batches(records, preprocess, batch):
        x = torch.from_numpy(pixels).to(device)
        start = time.perf_counter()
        with torch.inference_mode():
            logits = model(x).float().cpu()
        seconds += time.perf_counter() - start
        margins += margin(logits).tolist()
        if progress is not None:
            progress(len(margins), len(records))
    return np.array(margins), seconds / max(1, len(records))


def predictions_of(records: Sequence[Record], task: str, logits: NDArray[np.float64]) -> Predictions:
    """Records and their margins as columns."""
    return Predictions(
        paths=tuple(r.path for r in records),
        sources=tuple(r.source for r in records),
        units=tuple(r.unit for r in records),
        kinds=tuple(class_name(r) for r in records),
        types=tuple(str(r.extra.get("types", "")) for r in records),
        labels=np.array([r.label(task) for r in records], np.int64),
        logits=np.asarray(logits, np.float64),
    )
