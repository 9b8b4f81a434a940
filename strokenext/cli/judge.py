"""One input to its answer, with the models loaded once for all of them."""

from __future__ import annotations

import argparse
from collections.abc import Callable
from typing import Any

import strokenext
from strokenext.errors import ModelMismatchError, OptionError
from strokenext.record.find import load_config, resolve
from strokenext.types import CLASSES, Slice, Volume
from strokenext.volume.predictor import judges_series

from .inputs import Item


class Judge:
    """The predictors of the task, and the options of the run. Loads the models, so raises ModelError, DeviceError."""

    def __init__(self, options: argparse.Namespace) -> None:
        self.options = options
        if options.task is None:
            options.task = own_task(options.model)
        first = "presence" if options.task == "triage" else options.task
        self.second: strokenext.Predictor | None = None
        self.whole: strokenext.VolumePredictor | None = None
        if options.model is not None and judges_series(options.model, first):
            if options.task == "triage":
                raise OptionError("A model of whole series answers presence alone. Leave out --task triage.")
            self.whole = strokenext.load_volume(options.model, device=options.device)
            return
        self.first = strokenext.load(options.model, task=first, device=options.device)
        if options.task == "triage":
            self.second = strokenext.load(options.subtype_model, task="subtype", device=options.device)

    def __call__(self, item: Item, progress: Callable[[int, int], None]) -> tuple[Slice | Volume, Any]:
        """The decoded image or series, and what the library answers about it."""
        image = strokenext.read_series(list(item.files)) if item.files else strokenext.read_any(item.path)
        options = self.options
        common = {"threshold": options.threshold, "force": options.force}
        if self.whole is not None:
            return image, self.whole.predict(image, explain=bool(options.overlays), **common)
        if isinstance(image, Volume):
            # The evidence of every slice of a series is worth its time only when it is drawn.
            common |= {"explain": bool(options.overlays), "progress": progress}
            if self.second is None:
                return image, self.first.predict_volume(image, **common)
            return image, strokenext.triage_series(image, self.first, self.second, **common)
        common |= {"explain": options.explain, "name": item.path.name}
        if self.second is None:
            return image, self.first.predict(image, **common)
        return image, strokenext.triage(image, presence=self.first, subtype=self.second, **common)


def own_task(model: str | None) -> str:
    """What a named model answers, presence where it could be either or none is named. Raises what `load` raises."""
    if model is None:
        return "presence"
    try:
        return load_config(resolve(model, "presence")).task
    except ModelMismatchError:
        task = load_config(resolve(model)).task
        return task if task in CLASSES else "presence"
