"""A trained classifier calibrated on validation and tested on everything held out, for `python -m training finish`.

Calibration, threshold, band and heat scale come from the validation part alone; every other figure
of the card comes from the test part and from evaluation-only sources. Real slices are read through the same
`read_slice` and `Preprocess` as a user's file. Where validation has no real slice of a class that the run's lesions
feed simulates, infarcts simulated on its normal slices stand in for it.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from functools import cached_property

import numpy as np
import torch
from torch import nn

from strokenext.errors import DataError, OptionError
from strokenext.explain import gradcam
from strokenext.models.strokenext import StrokeNeXt
from strokenext.preprocess.contract import Preprocess
from strokenext.record.config import ModelConfig
from strokenext.record.experience import Experience
from training.cache.planes import MIN_BRAIN
from training.data.manifest import Record
from training.inputs.familiar import experience
from training.measure import calibration
from training.measure.scored import Scored, measure
from training.splits.held_out import far_from_lesions, permuted, records_of
from training.train.recipe import Mixture
from training.train.trained import Report, TrainedRun, classifier_record

from .card import Training, training_of
from .card_rows import AWAY, HeldOutScores, named_sets
from .evaluate import predict
from .lesions import LesionsFeed

#: Sensitivity below the band and specificity above it that validation keeps; at 0.90 the subtype has no band at all.
BAND = {"presence": 0.90, "subtype": 0.95}
#: Simulated infarcts on validation slices, and the seed they are drawn with.
INFARCTS, INFARCT_SEED = 192, 4242
#: Positive validation slices, evenly spaced, whose heat sets the top of the colour bar.
HEATED = 64


@dataclass(frozen=True, eq=False)
class Candidate:
    """A trained run as a classifier of its manifest's records, through the pixel contract it was trained with."""

    run: TrainedRun

    @property
    def task(self) -> str:
        return self.run.recipe.task

    @cached_property
    def preprocess(self) -> Preprocess:
        return self.run.recipe.preprocess()

    def scored(self, records: Sequence[Record]) -> Scored:
        """Margins of records whose label is known, through the contract a user's file goes through."""
        margins, _ = predict(self.run.model, self.preprocess, self.run.views, records, self.run.device)
        labels = np.array([r.label(self.task) for r in records], np.int64)
        return Scored(margins, labels, np.array([r.unit for r in records], dtype=np.str_))

    def low(self, record: Record) -> bool:
        """Whether a slice without lesion shows too little brain for a simulated one; only that feed leaves it out."""
        if self.run.recipe.feed != "lesions" or record.label(self.task) != 0 or self.task != "presence":
            return False
        return self.brain[record.path] < MIN_BRAIN

    @cached_property
    def brain(self) -> dict[str, float]:
        """Path to the brain's share of the frame, for the slices of the cache."""
        return {row.path: row.brain for row in self.run.required_cache().rows}

    def part(self, name: str, away: int) -> list[Record]:
        """The labelled records of a part and of the run's sources, with slices `away` from a lesion as free of it."""
        records = records_of(self.run.manifest, self.run.split, name, away if self.task == "presence" else 0)
        wanted = self.run.recipe.sources if name == "validation" else ()
        return [r for r in records if r.label(self.task) is not None and (not wanted or r.source in wanted)]


def simulated(candidate: Candidate) -> Scored:
    """Infarcts drawn on normal validation slices; every example a group of its own."""
    run = candidate.run
    feed = LesionsFeed(run.recipe, run.required_cache(), run.split, torch.device(run.device), workers=0)
    mixture = Mixture(normal=0, infarct=1, bleed=0, real_bleed=0, severity=run.recipe.mixture.severity)
    held_out = feed.simulated("validation", INFARCTS, INFARCT_SEED, mixture)
    margins = []
    with torch.inference_mode():
        for batch in held_out:
            margins.append(calibration.margin(run.model(batch.pixels).cpu()))
    labels = np.full(len(held_out), 1 if candidate.task == "presence" else 0, dtype=np.int64)
    return Scored(np.concatenate(margins), labels, np.array(held_out.units, dtype=np.str_))


def validation(candidate: Candidate) -> Scored:
    """Labelled slices of the validation part, with simulated infarcts where the run simulated them and none is real."""
    recipe = candidate.run.recipe
    records = [r for r in candidate.part("validation", recipe.away_negatives) if not candidate.low(r)]
    scored = candidate.scored(records)
    if recipe.feed == "lesions" and not any(r.subtype == 0 for r in records):
        scored = scored + simulated(candidate)
    if not scored.ranked:
        raise DataError(
            "The split's validation part holds one class only; no temperature or threshold can be chosen on it. Make "
            "a split whose validation part has both, or set away_negatives."
        )
    return scored


def held_out_scores(candidate: Candidate) -> HeldOutScores:
    """Everything that training never saw: the test part, its slices far from a lesion, evaluation-only sources."""
    run, control = candidate.run, bool(candidate.run.recipe.random_labels)
    parts = {"test": candidate.part("test", 0), "external": [] if control else candidate.part("external", 0)}
    unlabelled = candidate.task == "presence" and not control
    parts["away"] = list(far_from_lesions(run.manifest, run.split, "test", AWAY)) if unlabelled else []
    records = [r for part in parts.values() for r in part]
    sizes = [len(part) for part in parts.values()]
    affected = {r.unit for r in run.manifest if r.presence == 1}
    return HeldOutScores(
        scored=candidate.scored(records),
        sources=np.array([r.source for r in records], dtype=np.str_),
        subtype=np.array([-1 if r.subtype is None else r.subtype for r in records], np.int64),
        external=np.repeat([False, True, False], sizes),
        away=np.repeat([False, False, True], sizes),
        low=np.array([candidate.low(r) for r in records], dtype=bool),
        affected=np.array([r.unit in affected for r in records], dtype=bool),
    )


def familiar(candidate: Candidate) -> Experience | None:
    """What the run's training pictures look like, within the limits of its validation pictures."""
    recipe = candidate.run.recipe
    sources = recipe.sources
    manifest, split = candidate.run.manifest, candidate.run.split
    trained, validated = (
        [r for r in records_of(manifest, split, part, recipe.away_negatives) if not sources or r.source in sources]
        for part in ("train", "validation")
    )
    return experience(manifest, trained, validated)


def heat_scale(candidate: Candidate) -> float:
    """95th percentile of the heat's peak on positive validation slices: the top of the colour bar, in logit units."""
    run = candidate.run
    positive = [r for r in candidate.part("validation", 0) if r.label(candidate.task) == 1]
    peaks = []
    for record in positive[:: max(1, -(-len(positive) // HEATED))]:
        x = torch.from_numpy(run.views.pixels(record, candidate.preprocess))[None].to(run.device)
        _, maps = gradcam.heat(run.model, x, 1)
        peaks.append(float(np.asarray(maps).sum(axis=0).max()))
    return calibration.heat_full_scale(peaks)


def finish(run: TrainedRun, report: Report) -> tuple[ModelConfig, Training]:
    """The model's record but for its weights, and what its card says of the training.

    Raises OptionError for a run that trained no classifier of presence or subtype.
    """
    recipe = run.recipe
    if recipe.task not in BAND or recipe.objective not in ("classify", "fuse"):
        raise OptionError(
            f"{run.name} is of the objective '{recipe.objective}' for {recipe.task}; finish takes classifiers of "
            "presence or subtype."
        )
    if recipe.feed == "lesions":
        run.required_cache()
    if recipe.random_labels:
        manifest = permuted(run.manifest, run.split, recipe.random_labels, recipe.seed, recipe.sources)
        run = replace(run, manifest=manifest)
    candidate = Candidate(run)
    report("validation")
    scored = validation(candidate)
    scale = calibration.fit_calibration(scored.labels, scored.margins, scored.groups)
    point = calibration.operating_point(scored.labels, scored.margins, BAND[recipe.task], scale)
    report("what was held back")
    sets = named_sets(held_out_scores(candidate), recipe.task, "patients" if run.split.grouped else "images")
    sets_of_card = [("validation", scored), *((s.name, s.scored) for s in sets)]
    report("what its pictures look like")
    seen = familiar(candidate)
    report("heat")
    training = training_of(recipe, run.manifest, run.split)
    config = ModelConfig(
        **classifier_record(run, point, training.sentence),
        heat_scale=heat_scale(candidate),
        experimental=recipe.task == "subtype" or bool(recipe.random_labels),
        calibration=scale,
        experience=seen,
        metrics={name: measure(s, scale, point.threshold) for name, s in sets_of_card},
    )
    return config, replace(training, sets=tuple(sets), same_encoders=encoders_alike(run.model))


def encoders_alike(model: nn.Module) -> bool:
    """Whether the two encoders of a StrokeNeXt hold the same weights; False for any other network."""
    if not isinstance(model, StrokeNeXt):
        return False
    pairs = zip(model.encoder_a.state_dict().values(), model.encoder_b.state_dict().values(), strict=True)
    return all(torch.equal(a, b) for a, b in pairs)
