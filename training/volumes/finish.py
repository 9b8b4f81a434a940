"""A trained network of volumes calibrated on validation patients and tested on those held out, for `finish`.

Few validation patients are little to choose a threshold by, so each stands whole and in augmented copies, and the
normal ones also with simulated bleeds; intervals count patients, not copies. The held-out figures are of real, whole
patients alone.
"""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import torch

from strokenext.errors import DataError
from strokenext.explain import gradcam
from strokenext.record.config import ModelConfig
from training.measure import calibration
from training.measure.scored import Scored, measure
from training.train.evaluation import Evaluation
from training.train.trained import Report, TrainedRun, classifier_record

from .card import Training
from .evaluate import evaluate_volumes
from .feed import VolumesFeed

#: Augmented copies of each validation patient, simulated bleeds on each normal one, and the seed of both.
COPIES, BLEEDS, SEED = 4, 4, 4242
#: Sensitivity below the indeterminate band and specificity above it that validation keeps.
BAND = 0.90


@torch.inference_mode()
def validation(model: torch.nn.Module, feed: VolumesFeed) -> Scored:
    """Validation patients whole, in augmented copies, and the normal ones with bleeds drawn through them."""
    margins, labels, units = [], [], []
    for unit, example in feed.copies("validation", COPIES, BLEEDS, SEED):
        logits = model(torch.from_numpy(example.pixels)[None]).double()[0]
        margins.append(float(logits[1] - logits[0]))
        labels.append(example.label)
        units.append(unit)
    return Scored(np.array(margins), np.array(labels, np.int64), np.array(units, dtype=np.str_))


def heat_scale(model: torch.nn.Module, feed: VolumesFeed) -> float:
    """95th percentile of the heat's peak on positive validation patients: the top of the colour bar, in logits."""
    peaks = []
    for batch in feed.held_out("validation").batches(1):
        if int(batch.labels[0]) == 1:
            _, maps = gradcam.heat(model, batch.pixels.contiguous(), 1)
            peaks.append(float(np.asarray(maps).sum(axis=0).max()))
    return calibration.heat_full_scale(peaks)


def finish(run: TrainedRun, report: Report) -> tuple[ModelConfig, Training]:
    """The model's record but for its weights, and what its card says of the training.

    It states no reliability bins: how often a probability is right cannot be told from so few patients.
    """
    recipe = run.recipe
    model = run.model.cpu().to(memory_format=torch.contiguous_format).eval()
    feed = VolumesFeed(recipe, run.required_cache(), run.split, torch.device("cpu"))
    report("validation")
    scored = validation(model, feed)
    if not scored.ranked:
        raise DataError("The validation part needs patients with and without a bleed to choose a threshold by.")
    point = calibration.operating_point(scored.labels, scored.margins, BAND)
    training = Training.of(feed, run.split)
    config = ModelConfig(
        **classifier_record(run, point, training.sentence),
        planes=feed.planes,
        heat_scale=heat_scale(model, feed),
        experimental=True,
    )
    report("what was held back")
    whole, single = evaluate_volumes(model, config, Evaluation(run.manifest, run.split))
    metrics = {"validation, with copies and simulated bleeds": measure(scored, point.temperature, point.threshold)}
    for title, result in (("held-back patients", whole), ("the same patients, slice model's 3 highest", single)):
        p = result.predictions
        held_out = Scored(p.logits, p.labels, np.array(p.units, dtype=np.str_))
        where = " and ".join(sorted(set(p.sources)))
        metrics[f"{title}, {where}"] = measure(held_out, result.scale, result.model["threshold"])
    return replace(config, metrics=metrics), replace(training, one_class=whole.extra["one_class_sources"])
