"""A trained U-Net calibrated and tested, for `python -m training finish`.

Each class's threshold, and the smallest part that is kept, are those with the highest Dice of all validation pixels
together; slices free of a lesion are among them, so that false alarms count. No infarct is outlined there: infarcts
drawn on the slices free of a lesion stand in for real ones.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace
from typing import Any

import numpy as np
from numpy.typing import NDArray

from strokenext.preprocess.contract import Prepared, on_picture
from strokenext.preprocess.head import well_inside
from strokenext.record.config import ModelConfig
from strokenext.regions import Masks, without_specks
from strokenext.segment.segmenter import Segmenter
from strokenext.types import Slice
from training.data.images import open_image
from training.data.labels import BLOOD, EDEMA, mask_of
from training.data.manifest import Manifest, Record
from training.splits.split import Split
from training.train.card import source_title
from training.train.evaluation import Evaluation
from training.train.recipe import Mixture, Recipe
from training.train.trained import Report, TrainedRun

from .card import Training
from .drawn import INFARCT, drawn_on
from .evaluate import comparable_records, evaluate_masks
from .planes import MASK_CLASSES, truth_of

#: What is tried on validation: thresholds on the probability, and smallest parts in pixels of the model's input.
THRESHOLDS = tuple(round(0.2 + 0.05 * k, 2) for k in range(13))
LEAST = (0.0, 6.0, 12.0, 24.0)
#: Which class the drawn infarcts are of, the seed they are drawn with, and by what mixture where no recipe is at hand.
INFARCT_CLASS, INFARCT_SEED, MIXTURE = 2, 779, Mixture()
#: Slices without a lesion among the validation slices, at most this many for every one with a lesion.
FREE = 1.0
#: How slices with a mask of that are described.
OUTLINED = {
    EDEMA: "with a hemorrhage whose perihematomal edema was outlined (the hematoma beside it was derived by threshold)",
    BLOOD: "with a hemorrhage that was outlined itself",
}


def validation(manifest: Manifest, split: Split) -> list[Record]:
    """Validation slices with masks, and about as many without a lesion, evenly spaced."""
    records = [r for r in comparable_records(manifest, split, "validation") if not r.evaluation_only]
    lesions, free = [r for r in records if r.presence == 1], [r for r in records if r.presence == 0]
    wanted = min(len(free), round(FREE * len(lesions)))
    return lesions + [free[i * len(free) // wanted] for i in range(wanted)]


def choose(
    segmenter: Segmenter, masks: Masks, manifest: Manifest, records: Sequence[Record], mixture: Mixture = MIXTURE
) -> Masks:
    """The thresholds and smallest parts with the highest Dice of all validation pixels, class by class."""
    sums = np.zeros((len(MASK_CLASSES), len(THRESHOLDS), len(LEAST), 3))
    for number, record in enumerate(records):
        image = open_image(manifest.file(record))
        truth, prepared = truth_of(manifest, record, image), segmenter.config.preprocess.apply(image)
        maps = segmenter.probabilities(prepared)
        scale = abs(float(np.linalg.det(prepared.affine[:, :2])))
        for k in range(len(MASK_CLASSES)):
            if truth.known[k].any():
                spread = on_picture(maps[k], prepared.affine, image.shape)
                sums[k] += _tried(spread, truth.masks[k], truth.known[k], scale)
        if mixture.infarct and record.presence != 1:
            sums[INFARCT_CLASS] += _tried_infarct(segmenter, image, number, mixture.severity) / scale
    dice = 2 * sums[..., 0] / np.maximum(sums[..., 1] + sums[..., 2], 1)
    best = [np.unravel_index(int(d.argmax()), d.shape) for d in dice]
    return replace(
        masks, thresholds=tuple(THRESHOLDS[int(t)] for t, _ in best), least=tuple(LEAST[int(n)] for _, n in best)
    )


def _tried_infarct(
    segmenter: Segmenter, image: Slice, number: int, severity: tuple[float, float]
) -> NDArray[np.float64]:
    """As `_tried`, of an infarct drawn on a slice without a lesion, in pixels of the model's input."""
    preprocess = segmenter.config.preprocess
    framed, rng = preprocess.framed(image), np.random.default_rng((INFARCT_SEED, number))
    drawn = drawn_on(rng, framed.grey, well_inside(framed.head), INFARCT, severity)
    if drawn is None:
        return np.zeros((len(THRESHOLDS), len(LEAST), 3))
    pixels = preprocess.stack(replace(framed, grey=drawn.grey))
    maps = segmenter.probabilities(Prepared(pixels, framed.affine, framed.head, None))
    return _tried(maps[INFARCT_CLASS], drawn.mask > 0.5, np.ones(drawn.mask.shape, dtype=bool), 1.0)


def _tried(
    map_: NDArray[np.float32], true: NDArray[np.bool_], known: NDArray[np.bool_], scale: float
) -> NDArray[np.float64]:
    """(thresholds, least sizes, 3) pixels marked and true, marked, and true."""
    counts = np.zeros((len(THRESHOLDS), len(LEAST), 3))
    for t, threshold in enumerate(THRESHOLDS):
        for n, least in enumerate(LEAST):
            marked = without_specks(map_ >= threshold, least / scale) & known
            counts[t, n] = (marked & true).sum(), marked.sum(), (true & known).sum()
    return counts


def meanings(derived: Sequence[str], simulated: bool, outlined: Sequence[str]) -> tuple[str, str, str]:
    """What a mark of each class means; it stands on the page beside every overlay."""
    from_rule = "masks derived by threshold beside outlined edema" if derived else "masks that annotators drew"
    blood = f"Bright tissue the model takes for a hematoma. It was trained on {from_rule}"
    blood += " and on simulated bleeds" * simulated + ("; nobody outlined blood for it." if derived else ".")
    who = f" of {' and '.join(outlined)}" if outlined else ""
    edema = (
        f"The darker rim around a hematoma (perihematomal edema), as annotators{who} outlined it. It is not the blood."
    )
    infarct = (
        "Darker tissue the model takes for an infarct. It was trained on simulated infarcts alone; an old defect, the "
        "edema of a tumour or wide fluid can look like it."
    )
    return blood, edema, infarct


def finish(run: TrainedRun, report: Report) -> tuple[ModelConfig, Training]:
    """The model's record but for its weights, and what its card says of the training."""
    recipe, manifest, split = run.recipe, run.manifest, run.split
    train = [r for r in split.records(manifest, "train") if not recipe.sources or r.source in recipe.sources]
    masked = {of: [r for r in train if r.extra.get("mask") and mask_of(r) == of] for of in OUTLINED}
    outlined = sorted({r.source for r in masked[EDEMA]})
    training = Training(
        sources=sorted({r.source for r in train}),
        unseen=sorted({r.source for r in manifest if r.evaluation_only}),
        derived=outlined,
    )
    simulated = recipe.mixture.bleed > 0
    says = meanings(() if masked[BLOOD] else outlined, simulated, [source_title(s) for s in outlined])
    start = Masks((0.5,) * len(MASK_CLASSES), (0.0,) * len(MASK_CLASSES), says)
    config = record_of(run.name, recipe, start, trained_on(recipe, train, masked))
    report("validation")
    masks = choose(
        Segmenter(run.model, config, run.device), start, manifest, validation(manifest, split), recipe.mixture
    )
    config = record_of(run.name, recipe, masks, config.trained_on)
    report("what was held back")
    result = evaluate_masks(Segmenter(run.model, config, run.device), Evaluation(manifest, split))
    return replace(config, metrics={title: short(m) for title, m in result.metrics.items()}), training


def record_of(name: str, recipe: Recipe, masks: Masks, sentence: str) -> ModelConfig:
    """The record of the model before it is tested."""
    threshold = masks.thresholds[0]
    return ModelConfig(
        name=name,
        architecture=recipe.model,
        arguments=dict(recipe.arguments),
        task="segmentation",
        classes=MASK_CLASSES,
        preprocess=recipe.preprocess(),
        threshold=threshold,
        band=(threshold, threshold),
        temperature=1.0,
        heat_scale=1.0,
        trained_on=sentence,
        licence="Apache-2.0",
        experimental=True,
        masks=masks,
    )


def trained_on(recipe: Recipe, train: Sequence[Record], masked: Mapping[str, Sequence[Record]]) -> str:
    """Sentences a clinician understands; they stand on the page beside every overlay. `masked` by what is outlined."""

    def counted(records: Sequence[Record]) -> str:
        return f"{len(records)} slices of {len({r.unit for r in records})} patients"

    free = [r for r in train if r.presence == 0]
    parts = [f"{counted(records)} {OUTLINED[of]}" for of, records in masked.items() if records]
    parts.append(f"{len(free)} slices without a lesion of {len({r.unit for r in free})} patients")
    m = recipe.mixture
    whole = m.normal + m.bleed + m.real_bleed + m.infarct
    drawn = [f"{name} {share / whole:.0%}" for name, share in (("bleeds", m.bleed), ("infarcts", m.infarct)) if share]
    simulated = f" Drawn on lesion-free slices: {' and '.join(drawn)} of the examples." if drawn else ""
    return f"{', and '.join(parts)}.{simulated} No real infarct was learned from."


def short(scores: dict[str, Any]) -> dict[str, Any]:
    """The figures of a set that stand in the record and on the card."""
    names = ("slices", "patients", "dice", "iou", "dice_patients", "lesions_found", "slices_missed")
    return {k: scores[k] for k in (*names, "slices_marked", "marked_share_of_head") if k in scores}
