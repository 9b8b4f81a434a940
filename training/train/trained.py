"""A finished run with the data that its network is calibrated and tested on."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

from torch import nn

from strokenext.errors import DataError
from strokenext.types import CLASSES
from training.cache.store import Cache
from training.data.images import Views
from training.data.manifest import Manifest
from training.measure.calibration import OperatingPoint
from training.splits.split import Split

from .recipe import Recipe

#: Called with the name of the stage that begins.
Report = Callable[[str], None]


@dataclass(frozen=True, eq=False)
class TrainedRun:
    """The network that a run kept, in evaluation mode on the device; `name` is that of the model it becomes."""

    name: str
    model: nn.Module
    recipe: Recipe
    manifest: Manifest
    split: Split
    views: Views
    cache: Cache | None = None
    device: str = "cpu"

    def required_cache(self) -> Cache:
        """The cache the run was trained from. Raises DataError where none was given."""
        if self.cache is None:
            raise DataError("This run was trained from a cache: give --cache, the folder of that cache.")
        return self.cache


def classifier_record(run: TrainedRun, point: OperatingPoint, trained_on: str) -> dict[str, Any]:
    """What the `ModelConfig` of every classifier says: its network, classes, pixels and operating point."""
    recipe = run.recipe
    named = {"name": run.name, "architecture": recipe.model, "arguments": dict(recipe.arguments)}
    answers = {"task": recipe.task, "classes": CLASSES[recipe.task], "preprocess": recipe.preprocess()}
    return {**named, **answers, **point.record(), "trained_on": trained_on, "licence": "Apache-2.0"}
