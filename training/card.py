"""The model card: what a bundled model is, was trained on, does and does not do, from its own record."""

from __future__ import annotations

from typing import Any

from strokenext.model_config import ModelConfig

from .config import Recipe

_ABOUT = {
    "presence": "Is there a stroke on this head CT slice: non-stroke or stroke.",
    "subtype": "If there is a stroke on this head CT slice, which kind: ischemic or hemorrhagic. **Experimental.**",
}

_LIMITS = {
    "presence": """\
- The MBH and AISD rows were redefined after their first result was seen. Against all held-back ct_ich slices without
  blood, those of bleeding patients included, MBH had AUROC 0.877 (0.792 to 0.945) and AISD 0.795 (0.659 to 0.901). Two
  rows with the GE head series as normals (MBH 0.720, AISD 0.566) were dropped: it has no label, and some of its slices
  show a dark area that looks like an infarct to the developers; no radiologist has read it.
- One slice is judged at a time. A normal slice of a patient says nothing about the slices next to it.
- No real ischemic stroke was used in training; infarcts were simulated (darker by 3 to 24 HU in a part of an
  arterial territory, with a lost grey-white border). Early, small and brain-stem infarcts are missed often: the
  ischemic rows above are the only evidence, and they rest on 36 slices.
- Training hemorrhages come from head injury (ct_ich) and spontaneous bleeds (phe_sich). Tumours, abscesses, surgery,
  calcifications and motion are not represented and can be called a stroke; isolated subarachnoid blood can be missed.
- In phe_sich nobody marked slices free of blood; slices at least three away from a marked one were taken as normal.
- The threshold was chosen where lesions are common. In a population with few strokes most positives are false.""",
    "subtype": """\
- **Every ischemic training example was simulated** on normal or unmarked real slices; none was real.
- Tested on 36 real ischemic slices only (AISD), most of patients without a name: intervals count them as few groups.
- It assumes that there is a stroke. On a normal slice its answer means nothing; the page asks it second.
- A bleed into an infarct, old infarcts next to new blood, and tumours have no class here.""",
}


def write_card(config: ModelConfig, recipe: Recipe) -> str:
    """Markdown with the Hub's front matter; every figure is from the record that lies beside it."""
    return f"""---
library_name: strokenext
license: apache-2.0
pipeline_tag: image-classification
tags: [medical, ct, stroke, research-only]
---
# {config.name}

{_ABOUT[config.task]} **Research use only. Not a medical device.**

StrokeNeXt-{recipe.encoder} (two ConvNeXt-{recipe.encoder} encoders, arXiv 2602.15087), {recipe.size} pixels,
trained from scratch: one encoder was first trained to outline simulated and annotated lesions, and both encoders start
from it.

## Trained on
{config.trained_on}
Patients were drawn to training (70 %), validation (12 %) and test (18 %) before anything else; two patients of
ct_ich with doubtful labels were left out. AISD and MBH were never trained on; their scores were watched
during development, but no threshold, temperature or checkpoint was chosen by them.
Sources: PhysioNet ct-ich v1.0 (Hssayeni 2020) and PHE-SICH-CT-IDS (Figshare 23957937). No source of normal slices was
left unseen: the normals that AISD and MBH are compared with come from held-back patients of ct_ich.

## Operating point
Calibrated probability = softmax(logits / {config.temperature:.3f}); threshold {config.threshold:.3f}; between
{config.band[0]:.3f} and {config.band[1]:.3f} the answer is "indeterminate". All chosen on validation patients.

## Results
95 % intervals by bootstrap over patients (groups). Sensitivity and specificity at the stored threshold.

| set | slices (positive) | groups | AUROC | sensitivity | specificity | sensitivity at specificity 0.85 |
|---|---|---|---|---|---|---|
{chr(10).join(result_row(name, values) for name, values in config.metrics.items())}

Made by `python -m training finish` on the run of `training/recipes/{config.task}-{recipe.encoder}.toml`; the same
numbers are in `config.json`.

## Limits
{_LIMITS[config.task]}

## Data licences
The weights are released under Apache-2.0 by this project; the data they were trained on keep their publishers' terms.
"""


def result_row(name: str, m: dict[str, Any]) -> str:
    """One line of a results table in Markdown."""
    a = m["auroc"]
    if a["low"] is None or m["groups"] < 5:
        area = f"{a['value']:.3f} (too few patients for an interval)"
    else:
        area = f"{a['value']:.3f} ({a['low']:.3f} to {a['high']:.3f})"
    return (
        f"| {name} | {m['slices']} ({m['positives']}) | {m['groups']} | {area} | {m['sensitivity']:.2f} | "
        f"{m['specificity']:.2f} | {m['sensitivity_at_specificity_0.85']:.2f} |"
    )
