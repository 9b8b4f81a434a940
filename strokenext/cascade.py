"""The clinical cascade: presence first, subtype only when presence is positive or indeterminate.

Over a series: presence on every slice, then subtype on the slice with the most evidence.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from strokenext.answer.answer import Answer, Files
from strokenext.io.read import read_named
from strokenext.slice.prediction import Prediction, SeriesPrediction
from strokenext.types import Caution, Progress, Volume

if TYPE_CHECKING:
    from strokenext.slice.predictor import Predictor

#: Answers to the first question that lead to the second.
ASK_FURTHER = frozenset({"stroke", "indeterminate"})


@dataclass(frozen=True, eq=False)
class _Cascade(Answer):
    """Presence, and the subtype where the cascade goes on."""

    presence: Prediction | SeriesPrediction
    subtype: Prediction | None = None

    @property
    def cautions(self) -> tuple[Caution, ...]:
        """Those of both answers, once each."""
        second = () if self.subtype is None else self.subtype.cautions
        return tuple(dict.fromkeys((*self.presence.cautions, *second)))

    def to_json(self) -> dict[str, Any]:
        """Both answers, each in the form it has alone, and the cautions of both; `subtype` is null where it stops."""
        return {
            "cautions": [dict(vars(caution)) for caution in self.cautions],
            "presence": self.presence.to_json(),
            "subtype": None if self.subtype is None else self.subtype.to_json(),
        }

    def files(self) -> Files:
        """The pictures of both questions, those of the second in the folder `subtype`; the slice itself once."""
        more = {} if self.subtype is None else self.subtype.files()
        return self.presence.files() | {f"subtype/{name}": data for name, data in more.items() if name != "slice.png"}


@dataclass(frozen=True, eq=False)
class Triage(_Cascade):
    """The clinical cascade: is there a stroke, and only when that is positive or undecided, of which kind."""

    presence: Prediction


@dataclass(frozen=True, eq=False)
class SeriesTriage(_Cascade):
    """Presence of the series, and the subtype of its slice `subtype_slice` where the cascade goes on."""

    presence: SeriesPrediction
    subtype_slice: int | None = None

    def to_json(self) -> dict[str, Any]:
        """As `Triage.to_json`, with the index of the slice."""
        return super().to_json() | {"subtype_slice": self.subtype_slice}


def triage(
    image: Any,
    *,
    presence: Predictor | None = None,
    subtype: Predictor | None = None,
    explain: bool = True,
    method: str = "gradcam",
    threshold: float | None = None,
    force: bool = False,
    progress: Progress | None = None,
    name: str | None = None,
) -> Triage | SeriesTriage:
    """Both questions about a Slice, a Volume, or anything `read_any` takes; a series gives a SeriesTriage.

    `threshold` is that of presence; `name` is recorded in place of a slice's own. Without predictors the bundled
    ones are loaded, at every call: keep your own for more than one image. Raises what `load`, `read_any`
    and `Predictor.predict` raise.
    """
    from strokenext.loader import load  # here, so that a page that only needs the types loads no torch

    given, own = read_named(image)
    first = presence or load(task="presence", kind="slice")
    options: dict[str, Any] = {"explain": explain, "method": method, "force": force}
    if isinstance(given, Volume):
        second = subtype or load(task="subtype", kind="slice")
        return triage_series(given, first, second, threshold=threshold, progress=progress, **options)
    options["name"] = own if name is None else name
    answer = first.predict(given, threshold=threshold, **options)
    if answer.decision not in ASK_FURTHER:
        return Triage(answer)
    second = subtype or load(task="subtype", kind="slice")
    return Triage(answer, second.predict(given, **options))


def triage_series(
    volume: Volume,
    presence: Predictor,
    subtype: Predictor,
    *,
    explain: bool = False,
    method: str = "gradcam",
    threshold: float | None = None,
    force: bool = False,
    progress: Progress | None = None,
) -> SeriesTriage:
    """Both questions about a series; `threshold` is that of presence, `progress` gets (slices done, slices in all).

    Subtype is asked only when presence is positive or indeterminate, and of the peak slice alone: the subtype
    model was made for slices that show a lesion.
    """
    options: dict[str, Any] = {"explain": explain, "method": method, "force": force}
    series = presence.predict_volume(volume, threshold=threshold, progress=progress, **options)
    if series.decision not in ASK_FURTHER or series.peak is None:
        return SeriesTriage(series)
    return SeriesTriage(series, subtype.predict(volume[series.peak], **options), series.peak)
