"""The model card of a classifier of slices: what it is, was trained on, does and does not do, from its own record."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from enum import Enum

from strokenext import zoo
from strokenext.record.config import ModelConfig
from training.data.manifest import Manifest
from training.splits.split import Split
from training.train.card import RESULT_HEAD, front_matter, licences, never_trained_on, result_row, source_title
from training.train.recipe import Recipe

from .card_rows import AWAY, NamedSet

_QUESTIONS = {
    "presence": "Is there a stroke on this head CT slice: non-stroke or stroke.",
    "subtype": "If there is a stroke on this head CT slice, which kind: ischemic or hemorrhagic. **Experimental.**",
}


class Infarcts(Enum):
    """Which ischemic strokes a model was trained on."""

    REAL = "real ones"
    SIMULATED = "simulated ones alone"
    NONE = "none"
    UNKNOWN = "strokes of unknown kind"


@dataclass(frozen=True)
class Training:
    """What was trained on, counted from manifest and split. `sentence` stands on the page beside every answer."""

    sentence: str
    infarcts: Infarcts
    slices: Mapping[str, int]
    unseen: tuple[str, ...]
    omitted: Mapping[str, int]
    unlabelled: int = 0
    sets: tuple[NamedSet, ...] = ()
    same_encoders: bool = False


def training_of(recipe: Recipe, manifest: Manifest, split: Split) -> Training:
    """Counts of the training part and one or two sentences a clinician understands."""
    train = [r for r in split.records(manifest, "train") if not recipe.sources or r.source in recipe.sources]
    external = split.records(manifest, "external") if "external" in split.parts else ()
    sources = sorted({r.source for r in train})
    infarcts = _infarcts(recipe, {r.subtype for r in train if r.presence == 1})
    units = "patients" if all(r.patient for r in train) else "patients or near-duplicate groups"
    who = f"of {len({r.unit for r in train})} {units} from {_number(len(sources))}"
    plural = "s" * (len(sources) > 1)
    if recipe.random_labels:
        sentence = f"A control: {len(train)} slices whose labels were permuted at random. It answers nothing."
    elif recipe.feed == "lesions":
        sentence = _SIMULATED[recipe.task].format(who=f"{who} public source{plural}")
        sentence += _INFARCTS_SIMULATED.get((recipe.task, infarcts), "")
    else:
        sentence = f"{len(train)} labelled slices {who} source{plural}."
        sentence += " Every stroke among them was a hemorrhage; none was ischemic." * (infarcts is Infarcts.NONE)
    return Training(
        sentence=sentence,
        infarcts=infarcts,
        slices={s: sum(r.source == s for r in train) for s in sources},
        unseen=tuple(sorted({r.source for r in external})),
        omitted={f"{source}: {why}": n for source, reasons in _omitted(manifest).items() for why, n in reasons.items()},
        unlabelled=sum(r.label(recipe.task) is None for r in train),
    )


_SIMULATED = {
    "presence": "Slices with and without hemorrhage {who}, and bleeds and infarcts simulated on their slices.",
    "subtype": "Hemorrhages {who} and simulated bleeds.",
}
_INFARCTS_SIMULATED = {
    ("presence", Infarcts.SIMULATED): " No real ischemic stroke was available for training.",
    ("subtype", Infarcts.REAL): " Ischemic training examples were real and simulated.",
    ("subtype", Infarcts.SIMULATED): " Every ischemic training example was simulated; none was real.",
}


def _infarcts(recipe: Recipe, kinds: set[int | None]) -> Infarcts:
    """From the kinds of stroke among the training slices: 0 ischemic, 1 hemorrhagic, None not said."""
    if recipe.feed == "lesions":
        used = 0 in kinds and (recipe.task == "presence" or recipe.mixture.real_infarct > 0)
        return Infarcts.REAL if used else Infarcts.SIMULATED
    if recipe.task == "presence" and kinds == {1}:
        return Infarcts.NONE
    return Infarcts.REAL if 0 in kinds else Infarcts.UNKNOWN


def _omitted(manifest: Manifest) -> Mapping[str, Mapping[str, int]]:
    """Source to reason to the number of its files that `prepare` left out."""
    return manifest.about.get("left_out", {})


def _number(n: int) -> str:
    return {1: "one", 2: "two", 3: "three"}.get(n, str(n))


def write_card(config: ModelConfig, recipe: Recipe, training: Training) -> str:
    """Markdown with the Hub's front matter; every figure is from the record that lies beside it."""
    return f"""{front_matter("image-classification")}
# {config.name}

{_QUESTIONS[config.task]} **Research use only. Not a medical device.**

{zoo.row(config.architecture).title}, {recipe.size} pixels, {_start(recipe, training.same_encoders)}

## Trained on
{config.trained_on}
{_sources(training)}

## Operating point
Threshold {config.threshold:.3f}; between {config.band[0]:.3f} and {config.band[1]:.3f} the answer is "indeterminate".
The probability is the share of positives among validation slices with such a margin of the logits (isotonic between
the rows below, linear), with its 95 % interval over patients. All chosen on the validation part.

{_calibration(config)}

## Results
95 % intervals by bootstrap over patients (groups). Sensitivity and specificity at the stored threshold.

{RESULT_HEAD}
{chr(10).join(result_row(name, values) for name, values in config.metrics.items())}

{_reading(recipe, training)}Made by `python -m training finish` from a run of the recipe `{recipe.name}`; the same
numbers are in `config.json`.

## Limits
{chr(10).join(f"- {line}" for line in limits(config, recipe, training))}

## Data licences
{licences(training.slices)}
"""


def _calibration(config: ModelConfig) -> str:
    """The knots of the calibration as a table."""
    scale = config.calibration
    if scale is None:
        return f"Calibrated probability = softmax(logits / {config.temperature:.3f})."
    rows = zip(scale.margins, scale.probability, scale.low, scale.high, scale.similar, strict=True)
    lines = [f"| {z:.2f} | {p:.3f} | {low:.3f} to {high:.3f} | {n} |" for z, p, low, high, n in rows]
    return "\n".join(["| margin | probability | 95 % interval | slices |", "|---|---|---|---|", *lines])


def _start(recipe: Recipe, same_encoders: bool) -> str:
    """What the weights started from."""
    if recipe.objective != "fuse":
        return "from ImageNet weights." if recipe.pretrained else "trained from scratch."
    return (
        "trained from scratch: one encoder was first trained to outline simulated and annotated lesions, and both "
        "encoders start from it."
    ) + " Both still hold its weights: the fusion head alone weighs them differently." * same_encoders


def _sources(training: Training) -> str:
    listed = "; ".join(f"{source_title(s)}: {n}" for s, n in training.slices.items())
    lines = [f"Slices of the training part: {listed}."]
    if training.unlabelled:
        lines[0] += (
            f" {training.unlabelled} of them carry no label: those far enough from every annotated slice are "
            "backgrounds, the rest is not used."
        )
    if training.omitted:
        omitted = "; ".join(f"{why}, {n}" for why, n in training.omitted.items())
        lines.append(f"Left out when the data were prepared: {omitted}.")
    lines += filter(None, [never_trained_on(training.unseen)])
    return "\n".join(lines)


def _reading(recipe: Recipe, training: Training) -> str:
    """How rows are to be read whose negatives were a choice."""
    normals, lines = {s.normals for s in training.sets}, []
    if "narrow" in normals:
        lines.append(
            "Rows against patients without any lesion are the narrower choice of normals, which favours a model; the "
            "rows below them keep every held-back normal slice."
        )
    if recipe.feed == "lesions":
        lines.append(
            "Normal slices with too little brain for a simulated lesion (face, skull base, vertex) are left out of "
            "every row that does not say otherwise; the page's scope gate refuses most of them."
        )
    if "unlabelled" in normals:
        lines.append(
            f'"Slices away from it" are unlabelled slices at least {AWAY} from every annotated one: nobody marked them '
            "as free of blood."
        )
    return "\n".join(lines) + "\n\n" if lines else ""


def limits(config: ModelConfig, recipe: Recipe, training: Training) -> list[str]:
    """What the model does not do, by its task and its training."""
    lines = []
    if recipe.random_labels:
        among = recipe.random_labels
        lines.append(f"**A control.** Its labels were permuted among {among}; no answer of it means a thing.")
    if config.task == "presence":
        return [
            *lines,
            "It looks at one slice at a time. A normal slice of a patient says nothing about the slices next to it.",
            *_without_infarcts(recipe, training),
            "It knows two classes: tumours, abscesses, surgery, calcifications and motion have none and can be called "
            "a stroke; isolated subarachnoid blood can be missed.",
            f"The threshold was chosen {_validation(config)}. In a population with few strokes most positives are "
            "false.",
        ]
    if training.infarcts is Infarcts.SIMULATED:
        lines.append(
            "**Every ischemic training example was simulated** on normal or unmarked real slices; none was real."
        )
    return [
        *lines,
        *_few(training),
        "It assumes that there is a stroke. On a normal slice its answer means nothing; the page asks it second.",
        "A bleed into an infarct, old infarcts next to new blood, and tumours have no class here.",
    ]


def _validation(config: ModelConfig) -> str:
    """Where the threshold comes from, with the share of strokes there."""
    m = config.metrics.get("validation")
    share = f" of which {m['positives'] / m['slices']:.0%} show a stroke" if m else ""
    return f"on validation slices{share}"


def _without_infarcts(recipe: Recipe, training: Training) -> list[str]:
    """What follows where no real ischemic stroke was trained on."""
    if training.infarcts is Infarcts.SIMULATED:
        low, high = recipe.mixture.severity
        return [
            f"No real ischemic stroke was used in training; infarcts were simulated (darker by {low:g} to {high:g} HU "
            "in a part of an arterial territory, with a lost grey-white border). Early, small and brain-stem infarcts "
            "are missed often.",
            *_few(training),
        ]
    if training.infarcts is Infarcts.NONE:
        hemorrhage = "It has never seen an ischemic stroke and is a detector of hemorrhage"
        return [f"{hemorrhage}; an infarct is called as it happens to fall.", *_few(training)]
    return []


def _few(training: Training) -> list[str]:
    """How many real ischemic slices of unseen sources the rows rest on."""
    counts = [min(int((s.scored.labels == k).sum()) for k in (0, 1)) for s in training.sets if s.unseen_ischemic]
    if not counts:
        return []
    grouped = "slices of patients without a name count as one group"
    return [f"The rows on real ischemic slices rest on {min(counts)} of them; {grouped}."]
