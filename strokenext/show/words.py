"""An answer in plain words, shared by the report, the command line and the page.

A low probability is called low, never "low confidence"; nothing is said about a person, only about an image
and a model; nothing is advised.
"""

from __future__ import annotations

import math
from collections.abc import Iterable
from typing import Protocol

from strokenext.explain.methods import METHODS
from strokenext.regions import Region
from strokenext.segment.segmentation import Segmentation
from strokenext.segment.series import Extent, SeriesSegmentation
from strokenext.slice.prediction import Prediction, SeriesPrediction
from strokenext.types import Caution, Heat
from strokenext.volume.prediction import VolumePrediction

NOTICE = "Research use only. Not a medical device."
NOTICE_LONG = (
    "Research use only. Not a medical device. These are the numbers of a statistical model about an image; they are "
    "no diagnosis and no advice, and they do not replace the reading of the study by a radiologist."
)
MARKS = (
    "Marks are drawn by a model, not by a radiologist, and the probability of stroke does not depend on them. Where "
    "nothing is marked there may still be a lesion: infarcts and many kinds of bleeds are never marked."
)
CAUTIONS = "What may have changed this answer"
EVIDENCE = "Evidence shows which cells of the image raise the model's score. It is not an outline of a lesion."

_DECISIONS = {
    "stroke": "Above the threshold: the model marks this {what} as stroke.",
    "non-stroke": "Below the threshold: the model does not mark this {what} as stroke.",
    "ischemic": "Below the threshold for hemorrhagic: the model reads this {what} as ischemic rather than hemorrhagic.",
    "hemorrhagic": "Above the threshold: the model reads this {what} as hemorrhagic rather than ischemic.",
    "indeterminate": "Inside the indeterminate band: the model does not decide.",
}


def percent(value: float) -> str:
    """0.834 -> "83 %"; the ends are never rounded to certainty."""
    if value < 0.01:
        return "< 1 %"
    return "> 99 %" if value > 0.99 else f"{value * 100:.0f} %"


def decision(answer: Prediction | SeriesPrediction | VolumePrediction) -> str:
    """What was decided, in one sentence."""
    if answer.probability is None:
        return f"Not judged. {answer.gate.reason}".strip()
    sentence = _DECISIONS.get(answer.decision, f"Decision: {answer.decision}.")
    return sentence.format(what="image" if isinstance(answer, Prediction) else "series")


def probability(answer: Prediction | SeriesPrediction | VolumePrediction) -> str:
    """The probability with the rule that was applied to it."""
    if answer.probability is None:
        return "There is no probability."
    low, high = answer.band
    number, threshold = percent(answer.probability), percent(answer.threshold)
    text = f"The {_kind(answer)} {answer.classes[1]} is {number}; the threshold is {threshold}"
    return f"{text}, and from {percent(low)} to {percent(high)} nothing is decided." if low < high else f"{text}."


def _kind(answer: Prediction | SeriesPrediction | VolumePrediction) -> str:
    """What the number is: where validation knows no such picture, it is the model's score and no frequency."""
    if isinstance(answer, SeriesPrediction):
        return "probability for the series of"
    alone = isinstance(answer, Prediction) and answer.interval is None
    return "model's score for" if alone else "calibrated probability of"


def interval(answer: Prediction) -> str:
    """How often validation slices with such a probability were positive."""
    if answer.probability is None:
        return ""
    if answer.interval is None:
        return "How often such a score is right on a picture like this one is not known."
    count = f"the {answer.similar} validation slices" if answer.similar else "validation slices"
    return f"Of {count} with a similar probability, {_observed(answer.task, answer.interval)} (95 % interval)."


def gate(answer: Prediction) -> str:
    """Whether the image is within the model's scope."""
    if answer.gate.accepted:
        return "The image is within the model's scope."
    if answer.forced:
        return f"Outside the model's scope, judged on request: {answer.gate.reason}"
    return f"Outside the model's scope: {answer.gate.reason}"


def evidence(heat: Heat) -> str:
    """How strong the evidence is, as a part of the colour scale."""
    if heat.peak <= 0:
        return f"No part of this image raises the model's score of {heat.class_name}."
    if not heat.absolute:
        return f"Where this image raises the model's score of {heat.class_name}, not comparable with another image."
    part = min(heat.peak / heat.full_scale, 1.0)
    reach = f"reaches {percent(part)} of" if part < 1 else "goes beyond"
    return f"The evidence for {heat.class_name} {reach} the colour scale, which is the same for every image."


def evidence_measured(heat: Heat) -> str:
    """The map in technical terms: method, grid, peak and full scale in logits, each encoder's share."""
    method = METHODS[heat.method].title if heat.method in METHODS else heat.method
    rows, columns = heat.grid
    scale = f"; peak {heat.peak:.3g}, full scale {heat.full_scale:.3g} logits" if heat.absolute else ""
    share = "".join(f"; encoder {name} {percent(part)}" for name, part in heat.share.items()) if heat.peak > 0 else ""
    return f"{method}, {rows} × {columns} cells{scale}{share}."


def size(region: Region) -> str:
    """How much is marked: "412 mm² in 2 parts, up to 24 mm across", in pixels where the file states no spacing, or that
    nothing is."""
    if not region.pixels:
        return "nothing marked"
    much = f"{region.pixels:,} pixels" if region.area is None else f"{region.area:,.0f} mm²"
    parts, across = region.parts, region.diameter
    apart = f" in {parts} parts" if parts > 1 else ""
    if across is None:
        return much + apart
    return f"{much}{apart}, {'up to ' if parts > 1 else ''}{across:.0f} mm across"


def marked(segmentation: Segmentation) -> str:
    """Every region with its size, in one sentence; or why nothing was looked for."""
    if segmentation.refused:
        return f"Not marked. {segmentation.gate.reason}".strip()
    sentence = "; ".join(f"{region.name}: {size(region)}" for region in segmentation.regions)
    return f"{sentence[:1].upper()}{sentence[1:]}."


def extents(series: SeriesSegmentation) -> str:
    """How large each class is in a series, in one sentence: "Hematoma: 12.3 ml on 8 slices, up to 41 mm across."."""
    if not series.looked:
        return f"Not marked: none of the {len(series)} slices could be looked at."
    sentence = "; ".join(f"{extent.name}: {_extent(extent)}" for extent in series.extents)
    passed = len(series) - series.looked
    left = f" {passed} of {len(series)} slices were not looked at." if passed else ""
    return f"{sentence[:1].upper()}{sentence[1:]}.{left}"


def _extent(extent: Extent) -> str:
    if not extent.slices:
        return "nothing marked"
    on = f"on {len(extent.slices)} slice{'s' * (len(extent.slices) > 1)}"
    across = "" if extent.diameter is None else f", up to {extent.diameter:.0f} mm across"
    if extent.volume is None:
        return f"{on}{across}, no volume without the slices' positions"
    return f"{extent.volume:.1f} ml {on}{across}"


class Cautioned(Protocol):
    """A picture, a series or an answer."""

    @property
    def cautions(self) -> tuple[Caution, ...]:
        """What about the input may change an answer."""


def cautions(*about: Cautioned | None) -> tuple[Caution, ...]:
    """What may have changed any of these answers about one input, once each; None is no answer."""
    return tuple(dict.fromkeys(caution for one in about if one is not None for caution in one.cautions))


def warning(given: Iterable[Caution]) -> str:
    """All of them in one line, "" without any: "Caution: Contrast medium was given."."""
    sentences = " ".join(dict.fromkeys(caution.sentence for caution in given))
    return f"Caution: {sentences}" if sentences else ""


def trained(answer: Prediction) -> str:
    """What the model learned from."""
    sentence = f"The model was trained on: {answer.provenance.trained_on.rstrip('.')}."
    return f"{sentence} It is experimental." if answer.provenance.experimental else sentence


def series(answer: SeriesPrediction) -> str:
    """Where the series' number comes from; slices are counted from 1."""
    total = len(answer.slices)
    if answer.peak is None:
        return f"None of the {total} slices could be judged."
    return f"{answer.predicted} of {total} slices judged; highest on slice {answer.peak + 1}; {answer.aggregation}."


def whole(answer: VolumePrediction) -> str:
    """What the volume model read, where its evidence is highest, and how such series turned out on validation."""
    total = len(answer)
    if answer.probability is None:
        return answer.gate.reason
    read = sum(part.heat is not None for part in answer.slices) or answer.accepted
    text = f"{read} of {total} slices read at once, as {answer.planes} planes."
    if answer.peak is not None:
        text += f" Evidence is highest on slice {answer.peak + 1}."
    if answer.interval is not None and answer.similar:
        outcome = _observed(answer.task, answer.interval)
        text += f" Of the {answer.similar} validation series with a similar probability, {outcome}."
    return text


def summary(answer: Prediction) -> str:
    """Decision, probability and interval together."""
    return " ".join(part for part in (decision(answer), probability(answer), interval(answer)) if part)


def _observed(task: str, interval: tuple[float, float]) -> str:
    """The interval in whole percent, its ends rounded outwards: the probability stays within it as it is shown."""
    low, high = math.floor(round(interval[0] * 100, 6)), math.ceil(round(interval[1] * 100, 6))
    return f"{low} to {high} % {'showed a stroke' if task == 'presence' else 'were hemorrhagic'}"
