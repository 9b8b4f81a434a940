"""The clinical cascade over a series: presence on every slice, then subtype on the slice with the most evidence."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from .types import Volume

if TYPE_CHECKING:
    from .prediction import Prediction, SeriesPrediction
    from .predictor import Predictor


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
    if series.decision not in {"stroke", "indeterminate"} or series.peak is None:
        return SeriesTriage(series)
    kind = subtype.predict(volume[series.peak], explain=explain, method=method, force=force)
    return SeriesTriage(series, kind, series.peak)
