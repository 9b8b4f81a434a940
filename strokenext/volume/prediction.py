"""What a volume model says about a whole series: one probability, and evidence on each slice it read."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any

from strokenext.answer.answer import Files, pictures
from strokenext.answer.classification import Calibrated
from strokenext.frame.framed import Caption, Place
from strokenext.frame.naming import case_title
from strokenext.types import Caution, FloatArray, Gate, Heat, Volume, Window


@dataclass(frozen=True, eq=False)
class VolumeSlice:
    """One slice of the series: whether the model read it, and the evidence that falls on it, None where not."""

    gate: Gate
    heat: Heat | None
    window: Window | None

    def to_json(self) -> dict[str, Any]:
        """Plain JSON values."""
        return {"gate": dict(vars(self.gate)), "heat": None if self.heat is None else {"peak": self.heat.peak}}


@dataclass(frozen=True, eq=False)
class VolumePrediction(Calibrated):
    """One series and one question, answered by a model that sees all its slices at once.

    `probability` is calibrated for series; None when the series was refused because too few slices are in scope.
    `slices` are those of `volume`, from the feet to the head; `planes` is how many the model saw in their place.
    `maps` is the evidence on the model's own grid, (E, d, h, w) in logit units, None without evidence.
    `cautions` say what about the series may have changed the answer.
    """

    planes: int
    slices: tuple[VolumeSlice, ...]
    maps: FloatArray | None
    volume: Volume = field(repr=False)
    cautions: tuple[Caution, ...] = ()

    def __len__(self) -> int:
        return len(self.slices)

    @property
    def accepted(self) -> int:
        """How many slices the gate accepts."""
        return sum(part.gate.accepted for part in self.slices)

    @property
    def peak(self) -> int | None:
        """Index of the slice with the highest evidence, None where there is none."""
        peaks = [(part.heat.peak, -i) for i, part in enumerate(self.slices) if part.heat is not None]
        highest, index = max(peaks, default=(0.0, 0))
        return -index if highest > 0 else None

    def caption(self, index: int, title: str = "") -> Caption:
        """What stands around the picture of a slice, as `Prediction.caption`."""
        positions, window = self.volume.positions, self.slices[index].window
        named = case_title(self.volume.label, self.input.sha256, title)
        place = Place(index, len(self), None if positions is None else positions[index])
        return Caption(named, place, self.headline, self.cautions, window if self.volume.unit == "HU" else None)

    def to_json(self) -> dict[str, Any]:
        """Plain JSON values, finite numbers only."""
        return super().to_json() | {
            "cautions": [dict(vars(caution)) for caution in self.cautions],
            "case": None if self.volume.label is None else dict(vars(self.volume.label)),
            "left_out": [dict(vars(left)) for left in self.volume.left_out],
            "planes": self.planes,
            "judged": self.accepted,
            "peak": self.peak,
            "heat": None if self.maps is None else self._heat(self.maps),
            "slices": [part.to_json() for part in self.slices],
        }

    def files(self) -> Files:
        """slice.png and overlay.png of the slice with the highest evidence, heat.npy (E, d, h, w) float32."""
        if self.peak is None:
            return {}
        part = self.slices[self.peak]
        strength = self.lit(part.heat)
        return pictures(self.volume[self.peak], part.window, part.heat, self.maps, self.caption(self.peak), strength)

    def _heat(self, maps: FloatArray) -> dict[str, Any]:
        some = next(part.heat for part in self.slices if part.heat is not None)
        return {
            "peak": float(maps.sum(axis=0).max()),
            "grid": list(maps.shape[1:]),
            "method": some.method,
            "class": some.class_name,
            "full_scale": some.full_scale,
        }
