"""The card of a volume model: what it is, was trained on, does and does not do, from its own record."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from strokenext import zoo
from strokenext.record.config import ModelConfig
from training.classify.card import result_row
from training.measure import estimate
from training.train.recipe import Recipe

LIMITS = """\
- **It knows bleeds only.** No ischemic stroke was trained on or tested; a low probability says nothing about one.
- Few patients stand behind it, and fewer still were held back: read the intervals, not the values.
- Every slice is framed by itself, so the head's own shape along its axis is lost; thin subdural, small cortical and
  subarachnoid bleeds that show on one or two slices are missed easily.
- Labels of its patients were mapped from slices: a patient is positive when any slice was labelled with a bleed.
- Trained on head injury from one hospital; tumours, surgery, calcification and motion are not represented.
- It needs most of the head: a series with few slices that show brain is refused.
- Its evidence map is coarse, a cell is about an eighth of the head wide, and tells where the score rises, not where a
  lesion ends."""


def write_volume_card(config: ModelConfig, recipe: Recipe, one_class: Mapping[str, Mapping[str, Any]]) -> str:
    """Markdown with the Hub's front matter; `one_class` are sources all of whose patients are of one class."""
    assert config.planes is not None
    depth, size = config.planes.depth, config.preprocess.size
    return f"""---
library_name: strokenext
license: apache-2.0
pipeline_tag: image-classification
tags: [medical, ct, stroke, volume, research-only]
---
# {config.name}

Does this whole head CT show a bleed: non-stroke or stroke. **Experimental. Research use only. Not a medical device.**

{zoo.row(config.architecture).title}: the well-known Keras layout of four Conv3D blocks (after Zunair et al., arXiv
2007.13224), {depth} planes of {size} x {size} pixels made from the slices that the scope gate accepts. During training
it was also told where blood is (simulated bleeds) and on which slices (real ones); that part is not in the file.

## Trained on
{config.trained_on}
Patients were drawn to training (70 %), validation (12 %) and test (18 %) before anything else.

## Operating point
Calibrated probability = softmax(logits / {config.temperature:.3f}); threshold {config.threshold:.3f}; between
{config.band[0]:.3f} and {config.band[1]:.3f} the answer is "indeterminate". All chosen on validation patients.

## Results
A row counts patients as "slices". 95 % intervals by bootstrap over patients.

| set | slices (positive) | groups | AUROC | sensitivity | specificity | sensitivity at specificity 0.85 |
|---|---|---|---|---|---|---|
{chr(10).join(result_row(name, values) for name, values in config.metrics.items())}

{chr(10).join(_line(source, row, recipe) for source, row in one_class.items())}

Made by `python -m training finish` from a run of the recipe `{recipe.name}`; the same numbers are in `config.json`.

## Limits
{LIMITS}

## Data licences
The weights are released under Apache-2.0 by this project; the data they were trained on keep their publishers' terms.
"""


def _line(source: str, row: Mapping[str, Any], recipe: Recipe) -> str:
    rate = row["called_positive"]
    what = "all with a bleed" if row["label"] else "all without a bleed"
    seen = "" if source in recipe.sources or not recipe.sources else ", never trained on"
    return f"Source {source}, {what}{seen}: {estimate.text(rate, 2)} of {rate['n']} patients called positive."
