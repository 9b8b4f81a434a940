"""From what the models answer to the JSON of POST /predict."""

from __future__ import annotations

import base64
from dataclasses import replace
from typing import Any

from demo.service import Result
from strokenext import Caution, Segmentation, SeriesPrediction, SeriesTriage, Slice, Volume, framed_slice, png, words

from . import schemas


def to_json(result: Result, form: schemas.PredictForm) -> dict[str, Any]:
    """The JSON of one result, checked against its promised schema."""
    body = result.answer.to_json()
    schema: type[schemas.Common] = schemas.SliceAnswer
    if isinstance(result.first, SeriesPrediction):
        whole = None if result.whole is None else result.whole.to_json()
        body = _series(body, isinstance(result.answer, SeriesTriage)) | {"task": form.task, "volume": whole}
        body |= _account(result.image)
        schema = schemas.SeriesAnswer
    elif form.task == "triage":
        body, schema = {**_headline(body["presence"]), **body, "task": form.task}, schemas.TriageAnswer
    else:
        body = {**_headline(body), **body}
    body["cautions"] = [dict(vars(one)) for one in _cautions(result)]
    body["overlay"] = _overlay(result) if form.overlay else None
    body["segmentation"] = None if result.marks is None else _marks(result.marks, result)
    return schema.model_validate(body).model_dump(by_alias=True)


def _account(image: Slice | Volume) -> dict[str, Any]:
    """The other series of what was sent, and every file that is not in this one, with the reason."""
    if isinstance(image, Slice):
        return {"others": [], "left_out": []}
    return {
        "others": [dict(vars(one)) for one in image.others],
        "left_out": [dict(vars(one)) for one in image.left_out],
    }


def _overlay(result: Result) -> str | None:
    """Base64 PNG of the slice, or of a series' peak slice, with evidence and marks drawn on it."""
    prediction = result.shown
    if prediction is None:
        return None
    regions = () if result.marks is None else result.marks.regions
    series = result.first if isinstance(result.first, SeriesPrediction) else None
    place = None if series is None or series.peak is None else series.place(series.peak)
    caption = replace(prediction.caption(place=place), cautions=_cautions(result))
    heat = prediction.heat
    drawn = framed_slice(prediction.image, caption, heat=heat, strength=prediction.lit(heat), regions=regions)
    return base64.b64encode(png(drawn)).decode("ascii")


def _cautions(result: Result) -> tuple[Caution, ...]:
    return words.cautions(result.answer, result.whole, result.marks, result.measured)


def _marks(marks: Segmentation, result: Result) -> dict[str, Any]:
    labels = None if marks.refused else base64.b64encode(marks.labels()).decode("ascii")
    whole = result.measured
    extents = None if whole is None else [extent.to_json() for extent in whole.extents]
    looked = None if whole is None else whole.looked
    return marks.to_json() | {"labels": labels, "slice": result.peak, "extents": extents, "looked_at": looked}


def _headline(prediction: dict[str, Any]) -> dict[str, Any]:
    label, probabilities = prediction["label"], prediction["probabilities"]
    return {
        "class": label,
        "confidence": probabilities[label] if probabilities else None,
        "decision": prediction["decision"],
        "notice": words.NOTICE,
    }


def _series(body: dict[str, Any], cascade: bool) -> dict[str, Any]:
    series = body["presence"] if cascade else body
    return {**_headline(series), **series, "subtype": body["subtype"] if cascade else None}
