"""A finished volume run to a model folder: calibrated on validation patients, tested on those held back, with its card.

`python -m training finish RUN ...` comes here for a run of the objective "volume". Ten validation patients are few to
choose a threshold by, so each stands whole and in augmented copies, and the normal ones also with simulated bleeds;
intervals count patients, not copies. The held-back figures are of real, whole patients alone.
"""

from __future__ import annotations

import argparse
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn

from strokenext.errors import DataError
from strokenext.explain import gradcam as explain
from strokenext.record.config import ModelConfig
from strokenext.record.weights import save_model
from strokenext.types import CLASSES
from training.cache.store import Cache, open_cache
from training.classify.card_rows import Scored, measure
from training.classify.objective import load_run
from training.data.manifest import Manifest, read_manifest
from training.environment import sha256
from training.measure import calibration
from training.splits.split import Split, read_split
from training.terminal import finished_lines
from training.train.recipe import Recipe
from training.train.run import read_run

from .card import write_volume_card
from .evaluate import evaluate_volumes
from .feed import VolumesFeed

#: Augmented copies of each validation patient, simulated bleeds on each normal one, and the seed of both.
COPIES, BLEEDS, SEED = 4, 4, 4242
#: Sensitivity below the indeterminate band and specificity above it that validation keeps.
BAND = 0.90


@dataclass(frozen=True, eq=False)
class Network:
    """A trained volume network with the feed that its validation patients come from."""

    model: nn.Module
    recipe: Recipe
    feed: VolumesFeed

    @torch.inference_mode()
    def margin(self, pixels: Tensor) -> float:
        """Positive minus negative logit of one volume (1, D, S, S)."""
        logits = self.model(pixels[None]).double()[0]
        return float(logits[1] - logits[0])


def validation(network: Network) -> Scored:
    """Validation patients whole, in augmented copies, and the normal ones with bleeds drawn through them."""
    found = [(network.margin(torch.from_numpy(e.pixels)), e.label, unit)
             for unit, e in network.feed.copies("validation", COPIES, BLEEDS, SEED)]  # fmt: skip
    margins, labels, units = zip(*found, strict=True)
    return Scored(np.array(margins), np.array(labels, np.int64), np.array(units, dtype=np.str_))


def heat_scale(network: Network) -> float:
    """95th percentile of the heat's peak on positive validation patients: the top of the colour bar, in logits."""
    peaks = []
    for batch in network.feed.held("validation").batches(1):
        if int(batch.labels[0]) == 1:
            _, maps = explain.heat(network.model, batch.pixels.contiguous(), 1)
            peaks.append(float(np.asarray(maps).sum(axis=0).max()))
    return max(round(float(np.percentile(peaks, 95)), 4) if peaks else 0.0, 1e-4)


def trained_on(network: Network) -> str:
    """Two sentences a clinician understands; they stand on the page beside every answer."""
    train = network.feed.patients["train"]
    sources = sorted({p.source for p in train})
    bleeding = sum(p.label == 1 for p in train)
    return (
        f"Whole head CT of {len(train)} patients ({bleeding} with a hemorrhage) from {', '.join(sources)}, parts of "
        "these heads, and bleeds simulated on the normal ones. No ischemic stroke was among them: it knows bleeds only."
    )


def finish(network: Network, name: str) -> ModelConfig:
    """Everything about the model but its weights and what was held back.

    It states no reliability bins: how often a probability is right cannot be told from ten patients.
    """
    held = validation(network)
    if not held.ranked:
        raise DataError("The validation part needs patients with and without a bleed to choose a threshold by.")
    temperature = calibration.fit_temperature(held.labels, held.margins, balanced=True)
    p = calibration.apply_temperature(held.margins, temperature)
    threshold = calibration.choose_threshold(held.labels, p)
    band = calibration.indeterminate_band(held.labels, p, threshold, sensitivity=BAND, specificity=BAND)
    recipe = network.recipe
    return ModelConfig(
        name=name, architecture=recipe.model, arguments=dict(recipe.arguments), task=recipe.task,
        classes=CLASSES[recipe.task], preprocess=recipe.preprocess(), planes=network.feed.planes,
        threshold=_in_unit(threshold), band=(_in_unit(band[0]), _in_unit(band[1])), temperature=round(temperature, 6),
        heat_scale=heat_scale(network), trained_on=trained_on(network), licence="Apache-2.0", experimental=True,
        metrics={"validation, with copies and simulated bleeds": measure(held, temperature, threshold)},
    )  # fmt: skip


def _in_unit(p: float) -> float:
    return min(max(round(p, 6), 0.0), 1.0)


def finish_run(run: Path, manifest: Manifest, split_file: Path, cache: Cache, into: Path) -> ModelConfig:
    """Write the model folder of a run. Raises DataError for another split than the one it was trained on."""
    if read_run(run)["data"].get("split") != sha256(split_file):
        raise DataError(f"The run in {run} was trained on another split than {split_file}; give the one it was "
                        "trained with.")  # fmt: skip
    model, recipe = load_run(run)
    split = read_split(split_file)
    feed = VolumesFeed(recipe, cache, split, torch.device("cpu"))
    network = Network(model.to(memory_format=torch.contiguous_format).eval(), recipe, feed)
    config = finish(network, into.name)
    save_model(into, network.model, config, "Not tested yet.\n")
    config, rows = tested(config, into, manifest, split)
    return save_model(into, network.model, config, write_volume_card(config, recipe, rows))


def tested(
    config: ModelConfig, folder: Path, manifest: Manifest, split: Split
) -> tuple[ModelConfig, dict[str, dict[str, Any]]]:
    """The record with the figures of held-back patients, and for the card those of sources of one class."""
    from dataclasses import replace

    whole, single = evaluate_volumes(folder, manifest, split.records(manifest, "test"), device="cpu")
    metrics = dict(config.metrics)
    for title, result in (("held-back patients", whole), ("the same patients, slice model's 3 highest", single)):
        p = result.predictions
        scored = Scored(p.logits, p.labels, np.array(p.units, dtype=np.str_))
        where = " and ".join(sorted(set(p.sources)))
        metrics[f"{title}, {where}"] = measure(scored, result.model["temperature"], result.model["threshold"])
    return replace(config, metrics=metrics), whole.extra["one_class_sources"]


def main(argv: Sequence[str]) -> int:
    """Run the command. Returns 0."""
    p = argparse.ArgumentParser(prog="python -m training finish", description=__doc__.splitlines()[0])
    p.add_argument("run", type=Path)
    p.add_argument("--manifest", type=Path, required=True)
    p.add_argument("--split", type=Path, required=True, help="the split the run was trained on")
    p.add_argument("--cache", type=Path, required=True, help="the cache the run was trained from")
    p.add_argument("--into", type=Path, required=True, help="the model folder to write; its name is the model's")
    p.add_argument("--device", default="cpu")
    o = p.parse_args(argv)
    manifest, cache = read_manifest(o.manifest), open_cache(o.cache)
    cache.require_manifest(manifest)
    config = finish_run(o.run, manifest, o.split, cache, o.into)
    print(finished_lines(config, o.into))
    return 0
