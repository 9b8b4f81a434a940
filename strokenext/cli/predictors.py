"""The predictors that the options ask for, loaded once, and their answer about one input."""

from __future__ import annotations

import argparse
from dataclasses import dataclass
from typing import Any

from strokenext.cascade import triage, triage_series
from strokenext.errors import ModelMismatchError, OptionError
from strokenext.loader import load
from strokenext.segment.segmenter import Segmenter
from strokenext.slice.predictor import Predictor
from strokenext.types import Progress, Slice, Volume
from strokenext.volume.predictor import VolumePredictor


@dataclass(frozen=True)
class Predictors:
    """`first` answers the task, or presence in a triage; `second` the subtype of a triage."""

    first: Predictor | VolumePredictor
    second: Predictor | None = None


def load_predictors(options: argparse.Namespace) -> Predictors:
    """The predictors of the task, by default what the model answers. Raises what `load` raises, and OptionError."""
    cascade = options.task == "triage"
    first = load(options.model, "presence" if cascade else options.task, device=options.device)
    if isinstance(first, Segmenter):
        raise ModelMismatchError(f"The model '{first.name}' marks lesions. Use it with: python -m strokenext segment.")
    if not cascade:
        return Predictors(first)
    if isinstance(first, VolumePredictor):
        raise OptionError("A model of whole series answers presence alone. Leave out --task triage.")
    return Predictors(first, load(options.subtype_model, "subtype", device=options.device, kind="slice"))


def answer(image: Slice | Volume, name: str, by: Predictors, options: argparse.Namespace, progress: Progress) -> Any:
    """What the library answers about an image of that name, or about a series."""
    common: dict[str, Any] = {"threshold": options.threshold, "force": options.force}
    if isinstance(by.first, VolumePredictor):
        return by.first.predict(image, explain=bool(options.overlays), **common)
    if isinstance(image, Volume):
        # The evidence of every slice of a series is worth its time only when it is drawn.
        common |= {"explain": bool(options.overlays), "progress": progress}
        if by.second is None:
            return by.first.predict_volume(image, **common)
        return triage_series(image, by.first, by.second, **common)
    common |= {"explain": options.explain, "name": name}
    if by.second is None:
        return by.first.predict(image, **common)
    return triage(image, presence=by.first, subtype=by.second, **common)
