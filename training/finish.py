"""Turn a finished run into a bundled model: calibrate on validation, test on what was held back, write the card.

    python -m training finish RUN --cache DIR --shared ../shared/data --into assets/NAME

Temperature, threshold, band, reliability bins and heat scale come from validation patients alone; every figure
of the card comes from the test part, read through the same `read_slice` and `Preprocess` as a user's file.
"""

from __future__ import annotations

import argparse
import json
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray

from strokenext import explain
from strokenext.io import read_slice
from strokenext.model_config import ModelConfig, ReliabilityBin
from strokenext.models.strokenext import StrokeNeXt
from strokenext.preprocess import Preprocess
from strokenext.types import CLASSES, FloatArray, Slice
from strokenext.weights import save_model

from . import calibration, metrics
from .batches import Examples, Mixture, Pools, loader
from .card import write_card
from .config import Recipe
from .data import MIN_BRAIN, Cache, Row, open_cache
from .engine import load_state, logits_of
from .resampling import bootstrap
from .train import Pair, label_of, start_encoder

#: Sensitivity below the band and specificity above it that validation keeps; at 0.90 the subtype has no band at all.
BAND = {"presence": 0.90, "subtype": 0.95}


@dataclass(frozen=True, eq=False)
class Scored:
    """Margins (N,) of logits, positive minus negative, with each slice's label and patient."""

    margins: NDArray[np.float64]
    labels: NDArray[np.int64]
    groups: NDArray[np.str_]

    def __add__(self, other: Scored) -> Scored:
        return Scored(*(np.concatenate([getattr(self, k), getattr(other, k)]) for k in ("margins", "labels", "groups")))


@dataclass(frozen=True)
class Network:
    """The trained network with the pixel contract it was trained behind."""

    model: StrokeNeXt
    preprocess: Preprocess

    def margin(self, image: Slice) -> float:
        """Positive minus negative logit of one slice."""
        return float(self.margins_of([image])[0])

    def margins_of(self, images: Sequence[Slice]) -> NDArray[np.float64]:
        """(N,) margins of slices, through the contract a user's file goes through."""
        x = torch.from_numpy(np.stack([self.preprocess.apply(i).pixels for i in images]))
        with torch.inference_mode():
            z = self.model(x).double().numpy()
        return np.asarray(z[:, 1] - z[:, 0])


def load_run(run: Path) -> tuple[Network, Recipe]:
    """The averaged weights of a run and its recipe."""
    record = json.loads((run / "run.json").read_text())["recipe"]
    recipe = Recipe(**record | {"mixture": Mixture(**record["mixture"]), "sources": tuple(record["sources"])})
    pair = Pair(start_encoder(recipe, None))
    pair.load_state_dict(load_state(run / "last.pt")["average"])
    preprocess = Preprocess(size=recipe.size, window=(80.0, 40.0), frame="head", level=True, channels="stroke")
    return Network(pair.model.eval(), preprocess), recipe


def real(network: Network, cache: Cache, shared: Path, label: Callable[[Row], int | None], **wanted: object) -> Scored:
    """Margins of the cached rows with these fields, read again from their files."""
    folder = {"aisd": "lesion_masks", "mbh": "lesion_masks"}
    rows = [cache.rows[i] for i in cache.where(**wanted)]
    kept = [(r, value) for r in rows if (value := label(r)) is not None]
    margins = [network.margin(read_slice(shared / folder.get(r.source, r.source) / r.path)) for r, _ in kept]
    return Scored(np.array(margins), np.array([v for _, v in kept]), np.array([r.patient for r, _ in kept]))


def simulated(network: Network, cache: Cache, role: str, recipe: Recipe, mixture: Mixture, count: int) -> Scored:
    """Margins of lesions drawn on real slices of that role; every example its own group."""
    pools = Pools(cache, role, recipe.sources)
    batches = list(loader(Examples(pools, recipe.size, mixture, 4242, 0, count), 32, workers=0))
    labels = label_of(torch.cat([b[1] for b in batches]), recipe.task).numpy()
    z = logits_of(network.model, torch.cat([b[0] for b in batches])).astype(np.float64)
    return Scored(z[:, 1] - z[:, 0], labels, np.array([f"simulated:{i}" for i in range(len(labels))]))


def stroke(row: Row) -> int | None:
    """1 for a slice with a stroke, 0 without, None where nobody looked or too little brain shows."""
    if row.hemorrhage < 0 or (row.hemorrhage + row.ischemia == 0 and row.brain < MIN_BRAIN):
        return None
    return int(row.hemorrhage == 1 or row.ischemia == 1)


def kind(row: Row) -> int | None:
    """1 hemorrhagic, 0 ischemic, None for neither."""
    return 1 if row.hemorrhage == 1 else 0 if row.ischemia == 1 else None


def validation(network: Network, recipe: Recipe, cache: Cache, shared: Path) -> Scored:
    """Slices of validation patients, with infarcts simulated on their normal slices (there are no real ones)."""
    label = stroke if recipe.task == "presence" else kind
    parts = [real(network, cache, shared, label, source=s, role="validation") for s in recipe.sources]
    lesions = Mixture(normal=0, infarct=1, bleed=0, real_bleed=0)
    return parts[0] + parts[1] + simulated(network, cache, "validation", recipe, lesions, 192)


def without(scored: Scored) -> Scored:
    """The slices of patients who have no positive slice at all."""
    affected = np.isin(scored.groups, np.unique(scored.groups[scored.labels == 1]))
    return Scored(scored.margins[~affected], scored.labels[~affected], scored.groups[~affected])


def tests(network: Network, recipe: Recipe, cache: Cache, shared: Path) -> dict[str, Scored]:
    """Named test sets, each with both classes."""
    label = stroke if recipe.task == "presence" else kind
    held = {s: real(network, cache, shared, label, source=s, role="test") for s in (*recipe.sources, "mbh", "aisd")}
    if recipe.task == "subtype":
        bleeds = held["ct_ich"] + held["phe_sich"]
        return {
            "unseen sources: AISD ischemic against MBH hemorrhagic": held["aisd"] + held["mbh"],
            "AISD ischemic against held-back hemorrhagic patients": held["aisd"] + bleeds,
        }
    normals = without(held["ct_ich"])
    return {
        "held-back patients, ct_ich: hemorrhage against the other slices": held["ct_ich"],
        "held-back patients, phe_sich: hemorrhage against slices away from it": held["phe_sich"],
        "unseen source MBH: hemorrhage against held-back ct_ich patients without any": held["mbh"] + normals,
        "unseen source AISD: ischemic against held-back ct_ich patients without any": held["aisd"] + normals,
    }


def measure(scored: Scored, temperature: float, threshold: float) -> dict[str, Any]:
    """AUROC with its interval over patients, and what the stored threshold does."""
    p = calibration.apply_temperature(scored.margins, temperature)
    estimate = bootstrap(metrics.auroc, scored.labels, p, scored.groups)
    positive = scored.labels == 1
    return {
        "slices": len(p), "positives": int(positive.sum()), "groups": len(np.unique(scored.groups)),
        "auroc": estimate.to_dict(),
        "sensitivity": float((p[positive] >= threshold).mean()),
        "specificity": float((p[~positive] < threshold).mean()),
        "sensitivity_at_specificity_0.85": metrics.sensitivity_at_specificity(scored.labels, p, 0.85),
        "balanced_accuracy": metrics.balanced_accuracy(scored.labels, p, threshold),
        "brier": calibration.brier(scored.labels, p), "ece": calibration.ece(scored.labels, p),
    }  # fmt: skip


def heat_scale(network: Network, cache: Cache, recipe: Recipe, shared: Path) -> float:
    """95th percentile of the heat's peak on validation bleeds: the top of the colour bar, in logit units."""
    found = [i for s in recipe.sources for i in cache.where(source=s, role="validation", hemorrhage=1)[::2]]
    peaks = []
    for row in (cache.rows[i] for i in found):
        x: FloatArray = network.preprocess.apply(read_slice(shared / row.source / row.path)).pixels
        _, maps = explain.heat(network.model, torch.from_numpy(x)[None], 1)
        peaks.append(float(np.asarray(maps).sum(axis=0).max()))
    return round(float(np.percentile(peaks, 95)), 4)


def finish(network: Network, recipe: Recipe, cache: Cache, shared: Path, name: str) -> ModelConfig:
    """Everything about the model but its weights."""
    held = validation(network, recipe, cache, shared)
    temperature = calibration.fit_temperature(held.labels, held.margins, balanced=True)
    p = calibration.apply_temperature(held.margins, temperature)
    threshold = calibration.choose_threshold(held.labels, p)
    band = calibration.indeterminate_band(
        held.labels, p, threshold, sensitivity=BAND[recipe.task], specificity=BAND[recipe.task]
    )
    bins = calibration.reliability_bins(held.labels, p, held.groups)
    sets = tests(network, recipe, cache, shared)
    results = {"validation": measure(held, temperature, threshold)}
    results |= {key: measure(scored, temperature, threshold) for key, scored in sets.items()}
    return ModelConfig(
        name=name, architecture=f"strokenext_{recipe.encoder}", arguments={}, task=recipe.task,
        classes=CLASSES[recipe.task], preprocess=network.preprocess, threshold=round(threshold, 6),
        band=(round(band[0], 6), round(band[1], 6)), temperature=round(temperature, 6),
        heat_scale=heat_scale(network, cache, recipe, shared), trained_on=trained_on(recipe, cache),
        licence="Apache-2.0", experimental=recipe.task == "subtype",
        reliability=tuple(ReliabilityBin(b.low, b.high, b.n, b.positives, b.interval) for b in bins),
        metrics=results,
    )  # fmt: skip


def trained_on(recipe: Recipe, cache: Cache) -> str:
    """One or two sentences a clinician understands; they stand on the page beside every answer."""
    patients = len({r.patient for r in cache.rows if r.role == "train"})
    if recipe.task == "presence":
        return (
            f"Slices with and without hemorrhage of {patients} patients from two public sources, and bleeds and "
            "infarcts simulated on their slices. No real ischemic stroke was available for training."
        )
    return (
        f"Hemorrhages of {patients} patients from two public sources and simulated bleeds. "
        "Every ischemic training example was simulated; none was real."
    )


def main(argv: Sequence[str]) -> int:
    p = argparse.ArgumentParser(prog="python -m training finish", description=__doc__)
    p.add_argument("run", type=Path)
    p.add_argument("--cache", type=Path, required=True)
    p.add_argument("--shared", type=Path, default=Path("../shared/data"))
    p.add_argument("--into", type=Path, required=True)
    args = p.parse_args(argv)
    network, recipe = load_run(args.run)
    config = finish(network, recipe, open_cache(args.cache), args.shared, args.into.name)
    save_model(args.into, network.model, config, write_card(config, recipe))
    print(json.dumps(config.to_dict() | {"reference_logits": []}, indent=1))
    return 0
