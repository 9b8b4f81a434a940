"""What the model says about one image, or about every slice of one series."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any

from strokenext.answer.answer import Files, pictures
from strokenext.answer.classification import Calibrated, Classification
from strokenext.types import Caution, Gate, Heat, Slice, Window


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
        }

    def files(self) -> Files:
        """slice.png and, with evidence, overlay.png and heat.npy ((E, h, w) float32)."""
        return pictures(self.image, self.window, self.heat, None if self.heat is None else self.heat.maps)


@dataclass(frozen=True, eq=False)
class SeriesPrediction(Classification):
    """A series: one Prediction per slice, from the feet to the head, and one probability for the whole.

    `probability` is the mean of the highest accepted slices (`pooled` many; `aggregation` says it in words)
    and is calibrated for slices, not for series. `peak` is the index of the slice with the highest
    probability. Both are None when every slice was refused. `cautions` are about the series and its slices, once each.
    """

    slices: tuple[Prediction, ...]
    pooled: int
    aggregation: str
    peak: int | None
    sha256: str
    cautions: tuple[Caution, ...] = ()

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

    def to_json(self) -> dict[str, Any]:
        """Plain JSON values; `slices` holds each slice's own."""
        return super().to_json() | {
            "aggregation": self.aggregation,
            "peak": self.peak,
            "judged": self.predicted,
            "gate": dict(vars(self.gate)),
            "sha256": self.sha256,
            "cautions": [dict(vars(caution)) for caution in self.cautions],
            "slices": [p.to_json() for p in self.slices],
        }

    def files(self) -> Files:
        """As `Prediction.files`, of the peak slice; empty when there is none."""
        return {} if self.peak is None else self.slices[self.peak].files()


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
