"""Stroke on non-contrast head CT with StrokeNeXt: an answer with its evidence. Research use only.

    predictor = strokenext.load()
    prediction = predictor.predict("slice.dcm")
    prediction.probabilities, prediction.decision, prediction.heat.share
    prediction.save("out")

Names are resolved when first used: `import strokenext` loads neither torch nor a decoder.
"""

from __future__ import annotations

from importlib import import_module
from typing import TYPE_CHECKING, Any

from .version import __version__

if TYPE_CHECKING:
    from . import errors, overlay, report, windows, words
    from .cascade import SeriesTriage, triage, triage_series
    from .errors import StrokeNeXtError
    from .explain import heat
    from .gate import judge
    from .io import describe, read_any, read_series, read_slice
    from .masks import Region
    from .methods import METHODS
    from .overlay import COLORMAPS, STYLES, colorbar, png, render
    from .prediction import InputFacts, Prediction, Provenance, SeriesPrediction, Triage
    from .predictor import Predictor, load
    from .segmentation import Segmentation
    from .segmenter import Segmenter, load_segmenter
    from .types import CLASSES, Gate, Header, Heat, Slice, Volume, Window
    from .volume_model import VolumePredictor, load_volume
    from .volume_prediction import VolumePrediction
    from .windows import PRESETS
    from .zoo import ModelRow, list_models

#: Public name -> the room it lives in.
_ROOMS = {
    "errors": ("StrokeNeXtError",),
    "types": ("CLASSES", "Gate", "Header", "Heat", "Slice", "Volume", "Window"),
    "windows": ("PRESETS",),
    "io": ("describe", "read_any", "read_series", "read_slice"),
    "zoo": ("ModelRow", "list_models"),
    "gate": ("judge",),
    "masks": ("Region",),
    "methods": ("METHODS",),
    "explain": ("heat",),
    "overlay": ("COLORMAPS", "STYLES", "colorbar", "png", "render"),
    "prediction": ("InputFacts", "Prediction", "Provenance", "SeriesPrediction", "Triage"),
    "predictor": ("Predictor", "load"),
    "segmentation": ("Segmentation",),
    "segmenter": ("Segmenter", "load_segmenter"),
    "volume_prediction": ("VolumePrediction",),
    "volume_model": ("VolumePredictor", "load_volume"),
    "cascade": ("SeriesTriage", "triage", "triage_series"),
}
_MODULES = ("errors", "overlay", "report", "windows", "words")
_HOME = {name: room for room, names in _ROOMS.items() for name in names}

__all__ = [
    "CLASSES",
    "COLORMAPS",
    "METHODS",
    "PRESETS",
    "STYLES",
    "Gate",
    "Header",
    "Heat",
    "InputFacts",
    "ModelRow",
    "Prediction",
    "Predictor",
    "Provenance",
    "Region",
    "Segmentation",
    "Segmenter",
    "SeriesPrediction",
    "SeriesTriage",
    "Slice",
    "StrokeNeXtError",
    "Triage",
    "Volume",
    "VolumePrediction",
    "VolumePredictor",
    "Window",
    "__version__",
    "colorbar",
    "describe",
    "errors",
    "heat",
    "judge",
    "list_bundled",
    "list_models",
    "load",
    "load_segmenter",
    "load_volume",
    "overlay",
    "png",
    "read_any",
    "read_series",
    "read_slice",
    "render",
    "report",
    "triage",
    "triage_series",
    "windows",
    "words",
]


def list_bundled() -> list[dict[str, Any]]:
    """The records (config.json) of the models that come with the repository, by name."""
    from .sources import bundled

    return [config.to_dict() for config in bundled()]


def __getattr__(name: str) -> Any:
    if name in _MODULES:
        return import_module(f".{name}", __name__)
    if name not in _HOME:
        raise AttributeError(f"module 'strokenext' has no attribute '{name}'")
    value = getattr(import_module(f".{_HOME[name]}", __name__), name)
    globals()[name] = value
    return value


def __dir__() -> list[str]:
    return sorted({*globals(), *__all__})
