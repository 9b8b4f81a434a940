"""The clinical cascade: presence first, subtype only when presence is positive or indeterminate.

Over a series: presence on every slice, then subtype on the slice with the most evidence.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from strokenext.types import Volume

from .prediction import Prediction, SeriesPrediction, Triage, cascade_files, save_record

if TYPE_CHECKING:
    from .predictor import Predictor

#: Answers to the first question that lead to the second.
ASK_FURTHER = frozenset({"stroke", "indeterminate"})


@dataclass(frozen=True)
class SeriesTriage:
    """Presence of the series, and the subtype of its slice `subtype_slice` where the cascade goes on."""

    presence: SeriesPrediction
    subtype: Prediction | None = None
    subtype_slice: int | None = None

    def to_json(self) -> dict[str, Any]:
        """The two answers in the form each has alone; `subtype` is null where the cascade stops."""
        subtype = None if self.subtype is None else self.subtype.to_json()
        return {"presence": self.presence.to_json(), "subtype": subtype, "subtype_slice": self.subtype_slice}

    def save(self, folder: str | Path) -> Path:
        """As `Prediction.save`, with the pictures of the peak slice and, in `subtype`, those of the second question."""
        return save_record(folder, self.to_json(), cascade_files(self.presence, self.subtype))


def triage(
    image: Any,
    *,
    presence: Predictor | None = None,
    subtype: Predictor | None = None,
    explain: bool = True,
    method: str = "gradcam",
    threshold: float | None = None,
    force: bool = False,
    progress: Callable[[int, int], None] | None = None,
    name: str | None = None,
) -> Triage | SeriesTriage:
    """Both questions about a Slice, a Volume, or anything `read_any` takes; a series gives a SeriesTriage.

    `threshold` is that of presence; `name` is recorded in place of a slice's own. Without predictors the bundled
    ones are loaded, at every call: keep your own when judging more than one image. Raises what `load`, `read_any`
    and `Predictor.predict` raise.
    """
    from .predictor import as_image, load  # here, so that a page that only needs the types loads no torch

    given, own = as_image(image)
    name = own if name is None else name
    first = presence or load(task="presence")
    asked: dict[str, Any] = {"explain": explain, "method": method, "force": force}
    if isinstance(given, Volume):
        second = subtype or load(task="subtype")
        return triage_series(given, first, second, threshold=threshold, progress=progress, **asked)
    found = first.predict(given, threshold=threshold, name=name, **asked)
    if found.decision not in ASK_FURTHER:
        return Triage(found, None)
    second = subtype or load(task="subtype")
    return Triage(found, second.predict(given, name=name, **asked))


def triage_series(
    volume: Volume,
    presence: Predictor,
    subtype: Predictor,
    *,
    explain: bool = False,
    method: str = "gradcam",
    threshold: float | None = None,
    force: bool = False,
    progress: Callable[[int, int], None] | None = None,
) -> SeriesTriage:
    """Judge a series; `threshold` is that of presence, `progress` receives (slices done, slices in all).

    Subtype is asked only when presence is positive or indeterminate, and of the peak slice alone: the subtype
    model was made for slices that show a lesion.
    """
    series = presence.predict_volume(
        volume, explain=explain, method=method, threshold=threshold, force=force, progress=progress
    )
    if series.decision not in ASK_FURTHER or series.peak is None:
        return SeriesTriage(series)
    kind = subtype.predict(volume[series.peak], explain=explain, method=method, force=force)
    return SeriesTriage(series, kind, series.peak)
