"""A finished U-Net run to a model folder: thresholds chosen on validation, tested on what was held back, with its card.

`python -m training finish RUN ...` comes here for a run of the objective "segment". Each class's threshold, and the
smallest part that is kept, are those with the highest Dice of all validation pixels together; slices free of a lesion
are among them, so that false alarms count.
"""

from __future__ import annotations

import argparse
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray
from torch import nn

from strokenext.errors import DataError
from strokenext.preprocess.contract import on_picture
from strokenext.record.config import ModelConfig
from strokenext.record.weights import save_model
from strokenext.regions import Masks, without_specks
from strokenext.segment.segmenter import Segmenter
from training.classify.objective import load_run
from training.data.images import open_image
from training.data.manifest import Manifest, Record, read_manifest
from training.environment import sha256
from training.splits.split import Split, read_split
from training.terminal import finished_lines
from training.train.recipe import Recipe
from training.train.run import read_run

from .card import write_segment_card
from .evaluate import evaluate_masks, judged_records
from .planes import CLASSES, truth_of

#: What is tried on validation: thresholds on the probability, and smallest parts in pixels of the model's input.
THRESHOLDS = tuple(round(0.2 + 0.05 * k, 2) for k in range(13))
LEAST = (0.0, 6.0, 12.0, 24.0)
#: Slices without a lesion among the validation slices, at most this many for every one with a lesion.
FREE = 1.0
#: What a mark of each class means; it stands on the page beside every overlay.
SAYS = (
    "Bright tissue the model takes for a hematoma. It was trained on masks derived by threshold beside outlined edema "
    "and on simulated bleeds; nobody outlined blood for it.",
    "The darker rim around a hematoma (perihematomal edema), as annotators of PHE-SICH-CT-IDS outlined it. It is not "
    "the blood.",
)


def validation(manifest: Manifest, split: Split) -> list[Record]:
    """Validation slices with masks, and about as many without a lesion, evenly spaced."""
    found = [r for r, only in judged_records(manifest, split, "validation") if not only]
    lesions, free = [r for r in found if r.presence == 1], [r for r in found if r.presence == 0]
    wanted = min(len(free), round(FREE * len(lesions)))
    return lesions + [free[i * len(free) // wanted] for i in range(wanted)]


def choose(segmenter: Segmenter, manifest: Manifest, records: Sequence[Record]) -> Masks:
    """The thresholds and smallest parts with the highest Dice of all validation pixels, class by class."""
    sums = np.zeros((len(CLASSES), len(THRESHOLDS), len(LEAST), 3))
    for record in records:
        image = open_image(manifest.file(record))
        truth, prepared = truth_of(manifest, record, image), segmenter.config.preprocess.apply(image)
        maps = segmenter.probabilities(prepared)
        scale = abs(float(np.linalg.det(prepared.affine[:, :2])))
        for k in range(len(CLASSES)):
            if truth.known[k].any():
                spread = on_picture(maps[k], prepared.affine, image.shape)
                sums[k] += _tried(spread, truth.masks[k], truth.known[k], scale)
    dice = 2 * sums[..., 0] / np.maximum(sums[..., 1] + sums[..., 2], 1)
    best = [np.unravel_index(int(d.argmax()), d.shape) for d in dice]
    return Masks(tuple(THRESHOLDS[int(t)] for t, _ in best), tuple(LEAST[int(n)] for _, n in best), SAYS)


def _tried(
    map_: NDArray[np.float32], true: NDArray[np.bool_], known: NDArray[np.bool_], scale: float
) -> NDArray[np.float64]:
    """(thresholds, least sizes, 3) pixels marked and true, marked, and true."""
    found = np.zeros((len(THRESHOLDS), len(LEAST), 3))
    for t, threshold in enumerate(THRESHOLDS):
        for n, least in enumerate(LEAST):
            marked = without_specks(map_ >= threshold, least / scale) & known
            found[t, n] = (marked & true).sum(), marked.sum(), (true & known).sum()
    return found


def record_of(recipe: Recipe, name: str, manifest: Manifest, split: Split, masks: Masks) -> ModelConfig:
    """The record of the model before it is tested."""
    return ModelConfig(
        name=name, architecture=recipe.model, arguments=dict(recipe.arguments), task="segmentation", classes=CLASSES,
        preprocess=recipe.preprocess(), threshold=masks.thresholds[0], band=(masks.thresholds[0],) * 2,
        temperature=1.0, heat_scale=1.0, trained_on=trained_on(recipe, manifest, split), licence="Apache-2.0",
        experimental=True, masks=masks,
    )  # fmt: skip


def trained_on(recipe: Recipe, manifest: Manifest, split: Split) -> str:
    """Sentences a clinician understands; they stand on the page beside every overlay."""
    train = [r for r in split.records(manifest, "train") if not recipe.sources or r.source in recipe.sources]
    outlined = [r for r in train if r.extra.get("mask_of") == "perihematomal edema"]
    free = [r for r in train if r.presence == 0]
    drawn = recipe.mixture.bleed / (recipe.mixture.normal + recipe.mixture.bleed + recipe.mixture.real_bleed)
    simulated = f" Simulated bleeds on lesion-free slices made {drawn:.0%} of the examples." if drawn else ""
    return (
        f"{len(outlined)} slices of {len({r.unit for r in outlined})} patients with a spontaneous hemorrhage whose "
        "perihematomal edema was outlined (the hematoma beside it was derived by threshold), and "
        f"{len(free)} slices without a lesion of {len({r.unit for r in free})} patients."
        f"{simulated} No infarct has a class."
    )


def finish_run(run: Path, manifest: Manifest, split_file: Path, into: Path, device: str = "cpu") -> ModelConfig:
    """Write the model folder of a run. Raises DataError for another split than the one it was trained on."""
    if read_run(run)["data"].get("split") != sha256(split_file):
        raise DataError(f"The run in {run} was trained on another split than {split_file}; give the one it was "
                        "trained with.")  # fmt: skip
    model, recipe = load_run(run)
    split = read_split(split_file)
    first = record_of(recipe, into.name, manifest, split, Masks((0.5,) * len(CLASSES), (0.0,) * len(CLASSES), SAYS))
    masks = choose(Segmenter(model, first, device), manifest, validation(manifest, split))
    config = replace(first, masks=masks, threshold=masks.thresholds[0], band=(masks.thresholds[0],) * 2)
    result = evaluate_masks(Segmenter(model, config, device), manifest, split)
    config = replace(config, metrics={k: short(v) for k, v in result["metrics"].items()})
    return save(into, model, config, recipe)


def save(into: Path, model: nn.Module, config: ModelConfig, recipe: Recipe) -> ModelConfig:
    """Weights in half precision, record and card."""
    return save_model(into, model.cpu(), config, write_segment_card(config, recipe))


def short(scores: dict[str, Any]) -> dict[str, Any]:
    """The figures of a set that stand in the record and on the card."""
    kept = ("slices", "patients", "dice", "iou", "dice_patients", "lesions_found", "slices_missed", "slices_marked",
            "marked_share_of_head")  # fmt: skip
    return {k: scores[k] for k in kept if k in scores}


def main(argv: Sequence[str]) -> int:
    """Run the command. Returns 0."""
    p = argparse.ArgumentParser(prog="python -m training finish", description=__doc__.splitlines()[0])
    p.add_argument("run", type=Path)
    p.add_argument("--manifest", type=Path, required=True)
    p.add_argument("--split", type=Path, required=True, help="the split the run was trained on")
    p.add_argument("--cache", type=Path, help="not needed here: thresholds are chosen on the files themselves")
    p.add_argument("--into", type=Path, required=True, help="the model folder to write; its name is the model's")
    p.add_argument("--device", default="cpu")
    o = p.parse_args(argv)
    config = finish_run(o.run, read_manifest(o.manifest), o.split, o.into, o.device)
    print(finished_lines(config, o.into))
    return 0
