"""The model card: what a model is, was trained on, does and does not do, from its run and its own record."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from strokenext import zoo
from strokenext.record.config import ModelConfig
from training.data.manifest import Manifest
from training.measure.estimate import card_text
from training.splits.split import Split
from training.train.recipe import Recipe

from .card_rows import AWAY, narrow_rows

_ABOUT = {
    "presence": "Is there a stroke on this head CT slice: non-stroke or stroke.",
    "subtype": "If there is a stroke on this head CT slice, which kind: ischemic or hemorrhagic. **Experimental.**",
}

#: Sources whose origin the card can name.
_KNOWN = {
    "ct_ich": "PhysioNet ct-ich v1.0 (Hssayeni 2020), head injury",
    "phe_sich": "PHE-SICH-CT-IDS (Figshare 23957937), spontaneous bleeds",
    "aisd": "AISD, acute ischemic stroke",
    "mbh": "MBH, hemorrhages in a wide window",
}


@dataclass(frozen=True)
class Training:
    """What was trained on, counted from manifest and split. `sentence` stands on the page beside every answer."""

    sentence: str
    slices: Mapping[str, int]
    patients: int
    validation: tuple[str, ...]
    unseen: tuple[str, ...]
    left_out: Mapping[str, int]
    unlabelled: int = 0
    alike: bool = False  # both encoders of the network hold the same weights


def training_of(recipe: Recipe, manifest: Manifest, split: Split) -> Training:
    """Counts of the training part and one or two sentences a clinician understands."""
    wanted = set(recipe.sources)
    train = [r for r in split.records(manifest, "train") if not wanted or r.source in wanted]
    sources = sorted({r.source for r in train})
    kinds = {r.subtype for r in train if r.presence == 1}
    patients = len({r.unit for r in train})
    units = "patients" if all(r.patient for r in train) else "patients or near-duplicate groups"
    if recipe.random_labels:
        sentence = f"A control: {len(train)} slices whose labels were permuted at random. It answers nothing."
    elif recipe.feed == "lesions":
        sentence = _simulated(recipe, patients, units, len(sources), kinds)
    else:
        sentence = _pictures(recipe.task, len(train), patients, units, len(sources), kinds)
    return Training(
        sentence, {s: sum(r.source == s for r in train) for s in sources}, patients,
        tuple(sorted({r.source for r in _part(manifest, split, "validation")})),
        tuple(sorted({r.source for r in _part(manifest, split, "external")})),
        _left_out(manifest), sum(r.label(recipe.task) is None for r in train),
    )  # fmt: skip


def _part(manifest: Manifest, split: Split, part: str) -> Any:
    return split.records(manifest, part) if part in split.parts else ()


def _left_out(manifest: Manifest) -> dict[str, int]:
    found: Any = manifest.about.get("left_out", {})
    return {f"{name}: {why}": int(n) for name, reasons in found.items() for why, n in reasons.items()}


def _number(n: int) -> str:
    return {1: "one", 2: "two", 3: "three"}.get(n, str(n))


def _simulated(recipe: Recipe, patients: int, units: str, sources: int, kinds: set[int | None]) -> str:
    of = f"of {patients} {units} from {_number(sources)} public source{'s' * (sources > 1)}"
    if recipe.task == "presence":
        said = f"Slices with and without hemorrhage {of}, and bleeds and infarcts simulated on their slices."
        return said if 0 in kinds else said + " No real ischemic stroke was available for training."
    said = f"Hemorrhages {of} and simulated bleeds."
    if 0 in kinds and recipe.mixture.real_infarct:
        return said + " Ischemic training examples were real and simulated."
    return said + " Every ischemic training example was simulated; none was real."


def _pictures(task: str, slices: int, patients: int, units: str, sources: int, kinds: set[int | None]) -> str:
    said = f"{slices} labelled slices of {patients} {units} from {_number(sources)} source{'s' * (sources > 1)}."
    if task == "presence" and kinds == {1}:
        return said + " Every stroke among them was a hemorrhage; none was ischemic."
    return said


def write_card(config: ModelConfig, recipe: Recipe, training: Training) -> str:
    """Markdown with the Hub's front matter; every figure is from the record that lies beside it."""
    title = zoo.row(config.architecture).title
    return f"""---
library_name: strokenext
license: apache-2.0
pipeline_tag: image-classification
tags: [medical, ct, stroke, research-only]
---
# {config.name}

{_ABOUT[config.task]} **Research use only. Not a medical device.**

{title}, {recipe.size} pixels, {_start(recipe, training.alike)}

## Trained on
{config.trained_on}
{_sources(training)}

## Operating point
Calibrated probability = softmax(logits / {config.temperature:.3f}); threshold {config.threshold:.3f}; between
{config.band[0]:.3f} and {config.band[1]:.3f} the answer is "indeterminate". All chosen on the validation part.

## Results
95 % intervals by bootstrap over patients (groups). Sensitivity and specificity at the stored threshold.

| set | slices (positive) | groups | AUROC | sensitivity | specificity | sensitivity at specificity 0.85 |
|---|---|---|---|---|---|---|
{chr(10).join(result_row(name, values) for name, values in config.metrics.items())}

{_reading(config, recipe)}Made by `python -m training finish` from a run of the recipe `{recipe.name}`; the same
numbers are in `config.json`.

## Limits
{chr(10).join(f"- {line}" for line in limits(config, recipe))}

## Data licences
The weights are released under Apache-2.0 by this project; the data they were trained on keep their publishers' terms.
"""


def _start(recipe: Recipe, alike: bool) -> str:
    if recipe.objective == "fuse":
        said = ("trained from scratch: one encoder was first trained to outline simulated and annotated lesions, and "
                "both encoders start from it.")  # fmt: skip
        if alike:
            said += (" Both still hold its weights, because validation was best "
                     "with frozen encoders; the fusion head alone weighs them differently.")  # fmt: skip
        return said
    return "from ImageNet weights." if recipe.pretrained else "trained from scratch."


def _sources(training: Training) -> str:
    listed = "; ".join(f"{s} ({_KNOWN.get(s, 'as prepared')}): {n}" for s, n in training.slices.items())
    lines = [f"Slices of the training part: {listed}."]
    if training.unlabelled:
        lines[0] += (f" {training.unlabelled} of them carry no label: those far enough from every annotated slice are "
                     "backgrounds, the rest is not used.")  # fmt: skip
    if training.left_out:
        lines.append("Left out when the data were prepared: "
                     + "; ".join(f"{why}, {n}" for why, n in training.left_out.items()) + ".")  # fmt: skip
    if training.unseen:
        names = ", ".join(f"{s} ({_KNOWN.get(s, 'as prepared')})" for s in training.unseen)
        lines.append(f"Never trained on: {names}. No threshold, temperature or checkpoint is chosen by them; their "
                     "scores were watched while this project was developed.")  # fmt: skip
    return "\n".join(lines)


def _reading(config: ModelConfig, recipe: Recipe) -> str:
    """How the rows are to be read where one of them was defined after an earlier model's result."""
    lines = []
    narrow = narrow_rows(tuple(config.metrics))
    if narrow:
        lines.append(
            "The rows against patients without any lesion were defined after the first bundled model had been seen on "
            "all normals, because they favoured it; the rows below them keep every held-back normal slice."
        )
    if recipe.feed == "lesions":
        lines.append(
            "Normal slices with too little brain for a simulated lesion (face, skull base, vertex) are left out of "
            "every row that does not say otherwise; the page's scope gate refuses most of them."
        )
    if any("slices away from it" in name for name in config.metrics):
        lines.append(
            f'"Slices away from it" are unlabelled slices at least {AWAY} from every annotated one: nobody marked '
            "them as free of blood."
        )
    return "\n".join(lines) + "\n\n" if lines else ""


def limits(config: ModelConfig, recipe: Recipe) -> list[str]:
    """What the model does not do, by its task and its training."""
    found = []
    if recipe.random_labels:
        found.append(f"**A control.** Its labels were permuted among {recipe.random_labels}; no answer of it means a "
                     "thing.")  # fmt: skip
    if config.task == "presence":
        found.append("One slice is judged at a time. A normal slice of a patient says nothing about the slices next "
                     "to it.")  # fmt: skip
        found += _infarcts(config, recipe)
        found += [
            "Tumours, abscesses, surgery, calcifications and motion are not labelled in the training data and can be "
            "called a stroke; isolated subarachnoid blood can be missed.",
            "The threshold was chosen where lesions are common. In a population with few strokes most positives are "
            "false.",
        ]  # fmt: skip
    else:
        if "none was real" in config.trained_on:
            found.append("**Every ischemic training example was simulated** on normal or unmarked real slices; none "
                         "was real.")  # fmt: skip
        found += [
            *_few(config), "It assumes that there is a stroke. On a normal slice its answer means nothing; the page "
            "asks it second.",
            "A bleed into an infarct, old infarcts next to new blood, and tumours have no class here.",
        ]  # fmt: skip
    return found


def _infarcts(config: ModelConfig, recipe: Recipe) -> list[str]:
    """What is known of ischemic strokes."""
    if recipe.feed == "lesions" and "No real ischemic" in config.trained_on:
        low, high = recipe.mixture.severity
        return [
            f"No real ischemic stroke was used in training; infarcts were simulated (darker by {low:g} to {high:g} HU "
            "in a part of an arterial territory, with a lost grey-white border). Early, small and brain-stem infarcts "
            "are missed often.", *_few(config),
        ]  # fmt: skip
    if "none was ischemic" in config.trained_on:
        return ["It has never seen an ischemic stroke and is a detector of hemorrhage; an infarct is called as it "
                "happens to fall.", *_few(config)]  # fmt: skip
    return []


def _few(config: ModelConfig) -> list[str]:
    """The evidence on real ischemic slices, counted from the rows."""
    rows = [m for name, m in config.metrics.items() if name.startswith("unseen source") and " ischemic against" in name]
    if not rows:
        return []
    n = min(min(m["positives"], m["slices"] - m["positives"]) for m in rows)
    return [f"The rows on real ischemic slices rest on {n} of them, most of patients without a name: intervals count "
            "those as one group."]  # fmt: skip


def result_row(name: str, m: Mapping[str, Any]) -> str:
    """One line of a results table in Markdown."""
    area = card_text(m["auroc"], m["groups"])
    return (
        f"| {name} | {m['slices']} ({m['positives']}) | {m['groups']} | {area} | {m['sensitivity']:.2f} | "
        f"{m['specificity']:.2f} | {m['sensitivity_at_specificity_0.85']:.2f} |"
    )
