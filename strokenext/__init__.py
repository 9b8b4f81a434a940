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
    from strokenext.answer.decision import Rule
    from strokenext.explain.gradcam import heat
    from strokenext.explain.methods import METHODS
    from strokenext.segment.segmentation import Segmentation
    from strokenext.segment.segmenter import Segmenter
    from strokenext.segment.series import Extent, SeriesSegmentation
    from strokenext.slice.prediction import Prediction, SeriesPrediction
    from strokenext.slice.predictor import Predictor
    from strokenext.volume.prediction import VolumePrediction
    from strokenext.volume.predictor import VolumePredictor

    from . import errors, overlay, windows
    from .answer.provenance import InputFacts, Provenance
    from .cascade import SeriesTriage, Triage, triage, triage_series
    from .errors import StrokeNeXtError
    from .frame.framed import Caption, Place, framed, framed_slice
    from .frame.naming import case_label, file_stem, readable
    from .gate import check_scope
    from .io.read import describe, read_any, read_series, read_slice
    from .io.series.survey import SeriesFacts, Survey, survey
    from .loader import load
    from .overlay import COLORMAPS, STYLES, colorbar, png, render
    from .regions import Region
    from .show import report, words
    from .types import CLASSES, Caution, CautionCode, Gate, Header, Heat, Label, LeftOut, Slice, Volume, Window
    from .windows import PRESETS
    from .zoo import ModelRow, list_models

#: Public name -> the file it lives in.
_ROOMS = {
    "errors": ("StrokeNeXtError",),
    "types": (
        "CLASSES",
        "Caution",
        "CautionCode",
        "Gate",
        "Header",
        "Heat",
        "Label",
        "LeftOut",
        "Slice",
        "Volume",
        "Window",
    ),
    "windows": ("PRESETS",),
    "io.read": ("describe", "read_any", "read_series", "read_slice"),
    "io.series.survey": ("SeriesFacts", "Survey", "survey"),
    "zoo": ("ModelRow", "list_models"),
    "gate": ("check_scope",),
    "answer.decision": ("Rule",),
    "regions": ("Region",),
    "explain.methods": ("METHODS",),
    "explain.gradcam": ("heat",),
    "overlay": ("COLORMAPS", "STYLES", "colorbar", "png", "render"),
    "frame.framed": ("Caption", "Place", "framed", "framed_slice"),
    "frame.naming": ("case_label", "file_stem", "readable"),
    "answer.provenance": ("InputFacts", "Provenance"),
    "slice.prediction": ("Prediction", "SeriesPrediction"),
    "slice.predictor": ("Predictor",),
    "segment.segmentation": ("Segmentation",),
    "segment.segmenter": ("Segmenter",),
    "segment.series": ("Extent", "SeriesSegmentation"),
    "volume.prediction": ("VolumePrediction",),
    "volume.predictor": ("VolumePredictor",),
    "loader": ("load",),
    "cascade": ("SeriesTriage", "Triage", "triage", "triage_series"),
}
_MODULES = {name.rpartition(".")[2]: name for name in ("errors", "overlay", "show.report", "show.words", "windows")}
_HOME = {name: room for room, names in _ROOMS.items() for name in names}

__all__ = [
    "CLASSES",
    "COLORMAPS",
    "METHODS",
    "PRESETS",
    "STYLES",
    "Caption",
    "Caution",
    "CautionCode",
    "Extent",
    "Gate",
    "Header",
    "Heat",
    "InputFacts",
    "Label",
    "LeftOut",
    "ModelRow",
    "Place",
    "Prediction",
    "Predictor",
    "Provenance",
    "Region",
    "Rule",
    "Segmentation",
    "Segmenter",
    "SeriesFacts",
    "SeriesPrediction",
    "SeriesSegmentation",
    "SeriesTriage",
    "Slice",
    "StrokeNeXtError",
    "Survey",
    "Triage",
    "Volume",
    "VolumePrediction",
    "VolumePredictor",
    "Window",
    "__version__",
    "case_label",
    "check_scope",
    "colorbar",
    "describe",
    "errors",
    "file_stem",
    "framed",
    "framed_slice",
    "heat",
    "list_bundled",
    "list_models",
    "load",
    "overlay",
    "png",
    "read_any",
    "read_series",
    "read_slice",
    "readable",
    "render",
    "report",
    "survey",
    "triage",
    "triage_series",
    "windows",
    "words",
]


def list_bundled() -> list[dict[str, Any]]:
    """The records (config.json) of the models that come with the repository, by name."""
    from strokenext.record.find import bundled

    return [config.to_dict() for config in bundled()]


def __getattr__(name: str) -> Any:
    if name in _MODULES:
        return import_module(f".{_MODULES[name]}", __name__)
    if name not in _HOME:
        raise AttributeError(f"module 'strokenext' has no attribute '{name}'")
    value = getattr(import_module(f".{_HOME[name]}", __name__), name)
    globals()[name] = value
    return value


def __dir__() -> list[str]:
    return sorted({*globals(), *__all__})
