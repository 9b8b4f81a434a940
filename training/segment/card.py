"""The model card of a segmentation model, from its record."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from strokenext import zoo
from strokenext.record.config import ModelConfig
from training.measure.estimate import card_text, text
from training.train.recipe import Recipe


def write_segment_card(config: ModelConfig, recipe: Recipe) -> str:
    """Markdown with the Hub's front matter; every figure is from the record that lies beside it."""
    masks = config.masks
    assert masks is not None  # the record of a segmentation model has them
    marks = "\n".join(
        f"- **{name}** (marked from a probability of {masks.thresholds[k]:.2f}): {masks.says[k]}"
        for k, name in enumerate(config.classes)
    )
    return f"""---
library_name: strokenext
license: apache-2.0
pipeline_tag: image-segmentation
tags: [medical, ct, stroke, research-only]
---
# {config.name}

Marks a hematoma and the edema around it on a head CT slice. **Experimental. Research use only. Not a medical device.**

{zoo.row(config.architecture).title}, {recipe.size} pixels, {width(config)}trained from scratch on the picture in
place: noise removed, what is not head blacked out, nothing centred or turned.

## What the marks mean
{marks}

The masks in the training data mark **perihematomal edema, not blood**. Nothing marked does not mean that there is no
stroke: infarcts have no class; subdural, epidural, subarachnoid and ventricular bleeds were {_other_bleeds(recipe)}.

## Trained on
{config.trained_on}

Sources: phe_sich is PHE-SICH-CT-IDS (Figshare 23957937, arXiv 2308.10521), ct_ich is PhysioNet ct-ich (Hssayeni 2020;
slices labelled as free of hemorrhage). mbh (blood masks, wide window) and aisd (infarcts) were never trained on and
nothing was chosen by them.

## Results
Held-back patients and sources never trained on; 95 % intervals by bootstrap over patients. Pixels of the slice
itself, the scope gate passed by. Thresholds and the smallest part that is kept were chosen on validation patients.

| set | slices | patients | Dice | IoU | Dice by patient | lesions found |
|---|---|---|---|---|---|---|
{chr(10).join(_lesion_row(k, m) for k, m in config.metrics.items() if "dice" in m)}

| nothing to mark | slices | patients | slices with a mark | share of the head marked |
|---|---|---|---|---|
{chr(10).join(_free_row(k, m) for k, m in config.metrics.items() if "slices_marked" in m)}

Dice and IoU are means over the slices that show the class; a lesion is found when a tenth of it is marked. The
hematoma of phe_sich is itself derived from grey levels beside the outlined edema, so agreement with it says how well
that rule was learned; agreement with drawn blood is the row of mbh. A rim is two to four pixels wide: one pixel of
disagreement along it halves the Dice.

Made by `python -m training finish` from a run of the recipe `{recipe.name}`; the same numbers are in `config.json`.

## Limits
- One slice is looked at a time. Areas are of marked pixels; they are no volumetry.
- Calcification, surgery, tumours and contrast medium can be marked as hematoma.
- Edema was outlined in the first days after a spontaneous bleed; that of tumours or infarcts is another thing.

## Data licences
The weights are released under Apache-2.0 by this project; the data they were trained on keep their publishers' terms:
the authors of PHE-SICH-CT-IDS publish it "for non-commercial purpose" (arXiv 2308.10521), ct-ich is under CC BY 4.0
(Data 2020, 5, 14). Whoever uses the weights should respect both.
"""


def width(config: ModelConfig) -> str:
    """How wide the network is, where its record says so."""
    given = config.arguments.get("width")
    return f"{given} channels at its first level, " if given else ""


def _other_bleeds(recipe: Recipe) -> str:
    return "shown as a simulator draws them only" if recipe.mixture.bleed else "never shown as something to mark"


def _lesion_row(title: str, m: Mapping[str, Any]) -> str:
    figures = " | ".join(card_text(m[k], m[k]["units"]) for k in ("dice", "iou", "dice_patients", "lesions_found"))
    return f"| {title} | {m['slices']} | {m['patients']} | {figures} |"


def _free_row(title: str, m: Mapping[str, Any]) -> str:
    marked, share = m["slices_marked"], text(m["marked_share_of_head"], percent=True)
    return f"| {title} | {m['slices']} | {m['patients']} | {card_text(marked, marked['units'])} | {share} |"
