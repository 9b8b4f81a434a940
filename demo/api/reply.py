"""From what the library answers to the JSON of POST /predict."""

from __future__ import annotations

import base64
from typing import TYPE_CHECKING, Any

from demo.service import Answer, SeriesTriage
from strokenext.overlay import png, render
from strokenext.types import CLASSES, Slice, Volume

from . import schemas

if TYPE_CHECKING:
    from strokenext import Segmentation, VolumePrediction


def to_json(
    image: Slice | Volume,
    answer: Answer,
    task: str,
    overlay: bool,
    whole: VolumePrediction | None = None,
    marks: Segmentation | None = None,
) -> dict[str, Any]:
    """The JSON of one answer, checked against its promised schema.

    `whole` is the volume model's, of a series; `marks` the segmentation model's, of the slice or the peak slice.
    """
    body = answer.to_json()
    if isinstance(image, Volume):
        found = _series(body, task, isinstance(answer, SeriesTriage))
        found["volume"] = None if whole is None else whole.to_json()
        schema: type[schemas.Common] = schemas.SeriesAnswer
    elif task == "triage":
        found, schema = {**_headline(body["presence"]), **body, "task": task}, schemas.TriageAnswer
    else:
        found, schema = {**_headline(body), **body}, schemas.SliceAnswer
    found["overlay"] = _overlay(image, answer, marks) if overlay else None
    found["segmentation"] = None if marks is None else _marks(marks, answer)
    return schema.model_validate(found).model_dump(by_alias=True)


def shown(image: Slice | Volume, answer: Any) -> tuple[Slice, Any, int | None] | None:
    """The slice that a picture shows, its prediction (for presence where both were asked) and its place in a series.

    Of a series the peak slice, None where it has none.
    """
    first = getattr(answer, "presence", answer)
    if isinstance(image, Slice):
        return image, first, None
    return None if first.peak is None else (image[first.peak], first.slices[first.peak], first.peak)


def _overlay(image: Slice | Volume, answer: Any, marks: Segmentation | None) -> str | None:
    """Base64 PNG of the slice, or of a series' peak slice, with evidence and marks."""
    found = shown(image, answer)
    return None if found is None else picture(found[0], found[1], marks)


def picture(image: Slice, prediction: Any, marks: Segmentation | None = None) -> str:
    """The slice with evidence and marks drawn on it, as a base64 PNG; the plain slice where there is neither."""
    regions = () if marks is None else marks.regions
    drawn = render(image, prediction.heat, window=prediction.window, regions=regions)
    return base64.b64encode(png(drawn)).decode("ascii")


def _marks(marks: Segmentation, answer: Any) -> dict[str, Any]:
    labels = None if marks.refused else base64.b64encode(marks.labels()).decode("ascii")
    return marks.to_json() | {"labels": labels, "slice": getattr(getattr(answer, "presence", answer), "peak", None)}


def _headline(prediction: dict[str, Any]) -> dict[str, Any]:
    label, probabilities = prediction["label"], prediction["probabilities"]
    return {
        "class": label,
        "confidence": probabilities[label] if label is not None and probabilities else None,
        "decision": prediction["decision"],
        "notice": schemas.NOTICE,
    }


def _series(body: dict[str, Any], task: str, cascade: bool) -> dict[str, Any]:
    series = body["presence"] if cascade else body
    label, probability = series["label"], series["probability"]
    positive = CLASSES["subtype" if task == "subtype" else "presence"][1]
    confidence = None if probability is None else (probability if label == positive else 1 - probability)
    headline = {"class": label, "confidence": confidence, "decision": series["decision"], "notice": schemas.NOTICE}
    return {**headline, **series, "task": task, "subtype": body["subtype"] if cascade else None}
