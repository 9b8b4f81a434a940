"""What the model says about one image, or about every slice of one series."""

from __future__ import annotations

from dataclasses import dataclass, field, replace
from typing import Any

from strokenext.answer.answer import Files, pictures
from strokenext.answer.classification import Calibrated, Classification
from strokenext.answer.decision import Rule
from strokenext.frame.framed import Caption, Place
from strokenext.frame.naming import case_title
from strokenext.types import Caution, Gate, Heat, Label, LeftOut, Slice, Window


@dataclass(frozen=True, eq=False)
class Prediction(Calibrated):
    """One image and one question.

    `window` is the one that HU went through, None without HU. `image` is the slice itself, for drawing; it is not
    part of the JSON. `cautions` say what about the picture may have changed the answer.
    """

    heat: Heat | None
    window: Window | None
    image: Slice = field(repr=False)
    cautions: tuple[Caution, ...] = ()

    @property
    def forced(self) -> bool:
        """Whether there are numbers although the image is outside the model's scope."""
        return self.probability is not None and not self.gate.accepted

    def to_json(self) -> dict[str, Any]:
        """Plain JSON values, finite numbers only."""
        return super().to_json() | {
            "heat": None if self.heat is None else _heat(self.heat),
            "cautions": [dict(vars(caution)) for caution in self.cautions],
            "case": _case(self.image.label),
        }

    def caption(self, title: str = "", place: Place | None = None) -> Caption:
        """What stands around its picture; without a title the file's own label, else the start of its checksum."""
        named = case_title(self.image.label, self.input.sha256, title)
        return Caption(named, place, self.headline, self.cautions, self.window if self.image.unit == "HU" else None)

    def files(self, place: Place | None = None) -> Files:
        """slice.png and, with evidence, overlay.png and heat.npy ((E, h, w) float32)."""
        maps = None if self.heat is None else self.heat.maps
        return pictures(self.image, self.window, self.heat, maps, self.caption(place=place), self.lit(self.heat))


@dataclass(frozen=True, eq=False)
class SeriesPrediction(Classification):
    """A series: one Prediction per slice, from the feet to the head, and one probability for the whole.

    `probability` is the mean of the highest accepted slices (`pooled` many; `aggregation` says it in words)
    and is calibrated for slices, not for series. `peak` is the index of the slice with the highest
    probability. Both are None when every slice was refused. `cautions` are about the series and its slices, once each.
    `positions` of the slices are in mm, None where the files state none; `left_out` are files that were not used;
    `case` is the series' label where one was asked for.
    """

    slices: tuple[Prediction, ...]
    pooled: int
    aggregation: str
    peak: int | None
    sha256: str
    cautions: tuple[Caution, ...] = ()
    positions: tuple[float, ...] | None = None
    left_out: tuple[LeftOut, ...] = ()
    case: Label | None = None

    def __len__(self) -> int:
        return len(self.slices)

    @property
    def predicted(self) -> int:
        """How many slices have a probability."""
        return sum(p.probability is not None for p in self.slices)

    @property
    def curve(self) -> tuple[float | None, ...]:
        """The probability of each slice, None where it was refused."""
        return tuple(p.probability for p in self.slices)

    @property
    def gate(self) -> Gate:
        """Refused when every slice was, with the reason given most often."""
        if self.predicted:
            return Gate(True)
        gates = [p.gate for p in self.slices]
        common = max(gates, key=lambda gate: sum(other.code == gate.code for other in gates))
        return Gate(False, f"None of the {len(gates)} slices could be judged. {common.reason}", common.code)

    def under(self, rule: Rule) -> SeriesPrediction:
        """The same probabilities, decided by another rule."""
        p = self.probability
        if p is None:
            return self
        label, decision = rule.label(p), rule.decision(p)
        return replace(self, label=label, decision=decision, threshold=rule.threshold, band=rule.band)

    def place(self, index: int) -> Place:
        """Where a slice lies in the series."""
        return Place(index, len(self), None if self.positions is None else self.positions[index])

    def to_json(self) -> dict[str, Any]:
        """Plain JSON values; `slices` holds each slice's own."""
        return super().to_json() | {
            "aggregation": self.aggregation,
            "peak": self.peak,
            "judged": self.predicted,
            "gate": dict(vars(self.gate)),
            "sha256": self.sha256,
            "cautions": [dict(vars(caution)) for caution in self.cautions],
            "case": _case(self.case),
            "positions_mm": None if self.positions is None else [round(mm, 3) for mm in self.positions],
            "left_out": [dict(vars(left)) for left in self.left_out],
            "slices": [p.to_json() for p in self.slices],
        }

    def files(self) -> Files:
        """As `Prediction.files`, of the peak slice; empty when there is none."""
        return {} if self.peak is None else self.slices[self.peak].files(self.place(self.peak))


def _case(label: Label | None) -> dict[str, Any] | None:
    return None if label is None else dict(vars(label))


def _heat(heat: Heat) -> dict[str, Any]:
    return {
        "peak": heat.peak,
        "grid": list(heat.grid),
        "share": heat.share,
        "method": heat.method,
        "class": heat.class_name,
        "full_scale": heat.full_scale,
        "absolute": heat.absolute,
    }
