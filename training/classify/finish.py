"""Turn a finished run of any classifier into a model folder: calibrate on validation, test what was held back, card.

    python -m training finish RUN --manifest data/manifest.jsonl --split SPLIT.json --into FOLDER

Temperature, threshold, band, reliability bins and heat scale come from the validation part alone; every other figure
of the card comes from the test part and from evaluation-only sources. Real slices are read through the same
`read_slice` and `Preprocess` as a user's file. Where validation has no real slice of a class that the run's lesions
feed simulates (`--cache` is needed then), infarcts simulated on its normal slices stand in for it.
"""

from __future__ import annotations

import argparse
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from functools import cached_property
from pathlib import Path

import numpy as np
import torch
from torch import nn

from strokenext.errors import DataError, OptionError
from strokenext.explain import gradcam as explain
from strokenext.models.strokenext import StrokeNeXt
from strokenext.preprocess.contract import Preprocess
from strokenext.record.config import ModelConfig, ReliabilityBin
from strokenext.record.weights import save_model
from strokenext.types import CLASSES
from training.cache.store import MIN_BRAIN, Cache, open_cache
from training.data.images import Views
from training.data.manifest import Manifest, Record, read_manifest
from training.environment import sha256
from training.measure import calibration
from training.splits.held_out import far_from_lesions, permuted, records_of
from training.splits.split import Split, read_split
from training.terminal import finished_lines
from training.train.recipe import Recipe
from training.train.run import read_run

from .card import Training, training_of, write_card
from .card_rows import AWAY, Held, Scored, measure, rows
from .evaluate import predict
from .examples import Mixture
from .lesions import LesionsFeed
from .objective import load_run as load_network

#: Sensitivity below the band and specificity above it that validation keeps; at 0.90 the subtype has no band at all.
BAND = {"presence": 0.90, "subtype": 0.95}
#: Simulated infarcts on validation slices, and the seed they are drawn with.
INFARCTS, INFARCT_SEED = 192, 4242
#: Positive validation slices, evenly spaced, whose heat sets the top of the colour bar.
HEATED = 64


@dataclass(frozen=True, eq=False)
class Judge:
    """A trained network behind the pixel contract it was trained with, on records of a manifest."""

    model: nn.Module
    preprocess: Preprocess
    recipe: Recipe
    manifest: Manifest
    split: Split
    views: Views
    cache: Cache | None = None
    device: str = "cpu"

    def scored(self, records: Sequence[Record]) -> Scored:
        """Margins of records whose label is known, through the contract a user's file goes through."""
        margins, _ = predict(self.model, self.preprocess, self.views, records, self.device)
        labels = np.array([r.label(self.recipe.task) for r in records], np.int64)
        return Scored(margins, labels, np.array([r.unit for r in records], dtype=np.str_))

    def low(self, record: Record) -> bool:
        """Whether a slice without lesion shows too little brain for a simulated one; only that feed leaves it out."""
        if self.recipe.feed != "lesions" or record.label(self.recipe.task) != 0 or self.recipe.task != "presence":
            return False
        return self.brain[record.path] < MIN_BRAIN

    @cached_property
    def brain(self) -> dict[str, float]:
        """Path to the brain's share of the frame, for the slices of the cache."""
        return {} if self.cache is None else {r.path: r.brain for r in self.cache.rows}

    def part(self, name: str, away: int) -> list[Record]:
        """The labelled records of a part and of the run's sources, with slices `away` from a lesion as free of it."""
        found = records_of(self.manifest, self.split, name, away if self.recipe.task == "presence" else 0)
        known = [r for r in found if r.label(self.recipe.task) is not None]
        wanted = self.recipe.sources if name == "validation" else ()
        return [r for r in known if not wanted or r.source in wanted]


def load_run(run: Path) -> tuple[nn.Module, Preprocess, Recipe]:
    """The best network of a run in evaluation mode, its pixel contract and its recipe.

    Raises OptionError for a run that trained no classifier of slices.
    """
    model, recipe = load_network(run)
    if recipe.task not in BAND or recipe.objective not in ("classify", "fuse"):
        raise OptionError(f"The run in {run} is of the objective '{recipe.objective}' for {recipe.task}; finish takes "
                          "classifiers of presence or subtype.")  # fmt: skip
    return model, recipe.preprocess(), recipe


def simulated(judge: Judge) -> Scored:
    """Infarcts drawn on normal validation slices; every example a group of its own."""
    if judge.cache is None:
        raise DataError("This run was trained with simulated lesions; give --cache to simulate on validation too.")
    feed = LesionsFeed(judge.recipe, judge.cache, judge.split, torch.device(judge.device), workers=0)
    mixture = Mixture(normal=0, infarct=1, bleed=0, real_bleed=0, severity=judge.recipe.mixture.severity)
    held = feed.simulated("validation", INFARCTS, INFARCT_SEED, mixture)
    margins = []
    with torch.inference_mode():
        for batch in held:
            logits = judge.model(batch.pixels).double().cpu()
            margins.append((logits[:, 1] - logits[:, 0]).numpy())
    labels = np.full(len(held), 1 if judge.recipe.task == "presence" else 0, dtype=np.int64)
    return Scored(np.concatenate(margins), labels, np.array(held.units, dtype=np.str_))


def validation(judge: Judge) -> Scored:
    """Labelled slices of the validation part, with simulated infarcts where the run simulated them and none is real."""
    records = [r for r in judge.part("validation", judge.recipe.away_negatives) if not judge.low(r)]
    found = judge.scored(records)
    if judge.recipe.feed == "lesions" and not any(r.subtype == 0 for r in records):
        found = found + simulated(judge)
    if not found.ranked:
        raise DataError("The split's validation part holds one class only; no temperature or threshold can be chosen "
                        "on it. Make a split whose validation part has both, or set away_negatives.")  # fmt: skip
    return found


def held_back(judge: Judge) -> Held:
    """Everything that training never saw: the test part, its slices far from a lesion, evaluation-only sources."""
    parts = {p: judge.part(p, 0) for p in ("test", "external")}
    if judge.recipe.random_labels:
        parts["external"] = []
    far = far_from_lesions(judge.manifest, judge.split, "test", AWAY) if judge.recipe.task == "presence" else ()
    parts["away"] = [] if judge.recipe.random_labels else list(far)
    records = [r for found in parts.values() for r in found]
    sizes = [len(found) for found in parts.values()]
    affected = {r.unit for r in judge.manifest if r.presence == 1}
    return Held(
        judge.scored(records),
        np.array([r.source for r in records], dtype=np.str_),
        np.array([-1 if r.subtype is None else r.subtype for r in records], np.int64),
        np.repeat([False, True, False], sizes),
        np.repeat([False, False, True], sizes),
        np.array([judge.low(r) for r in records], dtype=bool),
        np.array([r.unit in affected for r in records], dtype=bool),
    )


def heat_scale(judge: Judge) -> float:
    """95th percentile of the heat's peak on positive validation slices: the top of the colour bar, in logit units."""
    positive = [r for r in judge.part("validation", 0) if r.label(judge.recipe.task) == 1]
    peaks = []
    for record in positive[:: max(1, -(-len(positive) // HEATED))]:
        x = torch.from_numpy(judge.views.pixels(record, judge.preprocess))[None].to(judge.device)
        _, maps = explain.heat(judge.model, x, 1)
        peaks.append(float(np.asarray(maps).sum(axis=0).max()))
    top = float(np.percentile(peaks, 95)) if peaks else 0.0
    return max(round(top, 4), 1e-4)


def finish(judge: Judge, name: str, progress: Callable[[str], None] | None = None) -> tuple[ModelConfig, Training]:
    """Everything about the model but its weights, and what its card says of the training."""
    say = progress or (lambda _: None)
    say("validation")
    held = validation(judge)
    temperature = calibration.fit_temperature(held.labels, held.margins, balanced=True)
    p = calibration.apply_temperature(held.margins, temperature)
    threshold = calibration.choose_threshold(held.labels, p)
    keep = BAND[judge.recipe.task]
    band = calibration.indeterminate_band(held.labels, p, threshold, sensitivity=keep, specificity=keep)
    bins = calibration.reliability_bins(held.labels, p, held.groups)
    say("what was held back")
    sets = rows(held_back(judge), judge.recipe.task, "patients" if judge.split.grouped else "images")
    results = {"validation": measure(held, temperature, threshold)}
    results |= {key: measure(scored, temperature, threshold) for key, scored in sets.items()}
    say("heat")
    about = training_of(judge.recipe, judge.manifest, judge.split)
    config = ModelConfig(
        name=name, architecture=judge.recipe.model, arguments=dict(judge.recipe.arguments), task=judge.recipe.task,
        classes=CLASSES[judge.recipe.task], preprocess=judge.preprocess, threshold=_in_unit(threshold),
        band=(_in_unit(band[0]), _in_unit(band[1])), temperature=round(temperature, 6), heat_scale=heat_scale(judge),
        trained_on=about.sentence, licence="Apache-2.0",
        experimental=judge.recipe.task == "subtype" or bool(judge.recipe.random_labels),
        reliability=tuple(ReliabilityBin(b.low, b.high, b.n, b.positives, b.interval) for b in bins),
        metrics=results,
    )  # fmt: skip
    return config, about


def _in_unit(p: float) -> float:
    """A probability with six digits; a threshold just outside the scores stays within 0..1."""
    return min(max(round(p, 6), 0.0), 1.0)


def finish_run(
    run: Path, manifest: Manifest, split_file: Path, into: Path, *, name: str = "", cache: Cache | None = None,
    device: str = "cpu", views: Views | None = None, progress: Callable[[str], None] | None = None,
) -> ModelConfig:  # fmt: skip
    """Write the model folder of a run. Raises DataError for another split than the one it was trained on."""
    model, preprocess, recipe = load_run(run)
    split = read_split(split_file)
    if read_run(run)["data"].get("split") != sha256(split_file):
        raise DataError(f"The run in {run} was trained on another split than {split_file}; its test part may have been "
                        "trained on. Give the file that it was trained with.")  # fmt: skip
    if recipe.feed == "lesions" and cache is None:
        raise DataError("This run was trained with simulated lesions; give --cache, the folder it was trained from.")
    if recipe.random_labels:
        manifest = permuted(manifest, split, recipe.random_labels, recipe.seed, recipe.sources)
    judge = Judge(model.to(device), preprocess, recipe, manifest, split, views or Views(manifest), cache, device)
    config, about = finish(judge, name or into.name, progress)
    about = replace(about, alike=encoders_alike(model))
    return save_model(into, model.cpu(), config, write_card(config, recipe, about))


def encoders_alike(model: nn.Module) -> bool:
    """Whether the two encoders of a StrokeNeXt hold the same weights; False for any other network."""
    if not isinstance(model, StrokeNeXt):
        return False
    pairs = zip(model.encoder_a.state_dict().values(), model.encoder_b.state_dict().values(), strict=True)
    return all(torch.equal(a, b) for a, b in pairs)


def main(argv: Sequence[str]) -> int:
    """Run the command. Returns 0."""
    p = argparse.ArgumentParser(prog="python -m training finish", description=__doc__.splitlines()[0])
    p.add_argument("run", type=Path)
    p.add_argument("--manifest", type=Path, required=True)
    p.add_argument("--split", type=Path, required=True, help="the split the run was trained on")
    p.add_argument("--cache", type=Path, help="needed for a run trained with simulated lesions")
    p.add_argument("--into", type=Path, required=True, help="the model folder to write; its name is the model's")
    p.add_argument("--device", default="cpu")
    o = p.parse_args(argv)
    objective = read_run(o.run)["recipe"].get("objective")
    if objective == "volume":
        from training.volumes import finish as volume_finish

        return volume_finish.main(argv)
    if objective == "segment":
        from training.segment import finish as segment_finish

        return segment_finish.main(argv)
    manifest, cache = read_manifest(o.manifest), open_cache(o.cache) if o.cache else None
    if cache is not None:
        cache.require_manifest(manifest)
    config = finish_run(o.run, manifest, o.split, o.into, cache=cache, device=o.device,
                        progress=lambda stage: print(f"{o.into.name}: {stage}", flush=True))  # fmt: skip
    print(finished_lines(config, o.into))
    return 0
