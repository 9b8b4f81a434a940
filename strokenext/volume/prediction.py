"""What a volume model says about a whole series: one probability, and evidence on each slice it read."""

from __future__ import annotations

import io
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np

from strokenext import overlay
from strokenext.slice.prediction import Files, InputFacts, Provenance, save_record
from strokenext.types import FloatArray, Gate, Heat, Volume, Window


@dataclass(frozen=True, eq=False)
class VolumeSlice:
    """One slice of the series: whether the model read it, and the evidence that falls on it, None where not."""

    gate: Gate
    heat: Heat | None
    window: Window | None


@dataclass(frozen=True, eq=False)
class VolumePrediction:
    """One series and one question, answered by a model that sees all its slices at once.

    `probability` is calibrated for series; None when the series was refused because too few slices may be judged.
    `logit`, `label`, `decision`, `threshold` and `band` are as in `Prediction`; `interval` is the 95 % interval of
    the observed fraction of positives among the `similar` validation series with a probability like this.
    `slices` are those of `volume`, from the feet to the head; `planes` is how many the model saw in their place.
    `maps` is the evidence on the model's own grid, (E, d, h, w) in logit units, None without evidence.
    """

    task: str
    classes: tuple[str, str]
    label: str | None
    decision: str
    probability: float | None
    logit: float | None
    logits: tuple[float, ...] | None
    threshold: float
    band: tuple[float, float]
    interval: tuple[float, float] | None
    similar: int | None
    gate: Gate
    planes: int
    slices: tuple[VolumeSlice, ...]
    maps: FloatArray | None
    input: InputFacts
    provenance: Provenance
    volume: Volume = field(repr=False)

    def __len__(self) -> int:
        return len(self.slices)

    @property
    def probabilities(self) -> dict[str, float] | None:
        """Calibrated probability by class name; None when refused."""
        if self.probability is None:
            return None
        return {self.classes[0]: 1.0 - self.probability, self.classes[1]: self.probability}

    @property
    def refused(self) -> bool:
        """Whether there are no numbers because too few slices may be judged."""
        return self.probability is None

    @property
    def judged(self) -> int:
        """How many slices the gate accepts."""
        return sum(part.gate.accepted for part in self.slices)

    @property
    def peak(self) -> int | None:
        """Index of the slice with the highest evidence, None where there is none."""
        found = [(part.heat.peak, -i) for i, part in enumerate(self.slices) if part.heat is not None]
        highest, index = max(found, default=(0.0, 0))
        return -index if highest > 0 else None

    def to_json(self) -> dict[str, Any]:
        """Plain JSON values, finite numbers only."""
        return {
            "task": self.task,
            "label": self.label,
            "decision": self.decision,
            "probability": self.probability,
            "probabilities": self.probabilities,
            "threshold": self.threshold,
            "band": list(self.band),
            "interval": None if self.interval is None else list(self.interval),
            "similar": self.similar,
            "logit": self.logit,
            "logits": None if self.logits is None else dict(zip(self.classes, self.logits, strict=True)),
            "gate": _gate(self.gate),
            "planes": self.planes,
            "judged": self.judged,
            "peak": self.peak,
            "heat": None if self.maps is None else self._heat(self.maps),
            "input": {**vars(self.input), "shape": list(self.input.shape)},
            "provenance": self.provenance.to_json(),
            "slices": [
                {"gate": _gate(part.gate), "heat": None if part.heat is None else {"peak": part.heat.peak}}
                for part in self.slices
            ],
        }

    def save(self, folder: str | Path) -> Path:
        """Write prediction.json and, with evidence, the pictures of its highest slice and heat.npy.

        As `Prediction.save`: a new folder, all or nothing. Raises OutputError.
        """
        return save_record(folder, self.to_json(), self.files())

    def files(self) -> Files:
        """slice.png and overlay.png of the slice with the highest evidence, heat.npy (E, d, h, w) float32."""
        if self.peak is None or self.maps is None:
            return {}
        image, part = self.volume[self.peak], self.slices[self.peak]
        buffer = io.BytesIO()
        np.save(buffer, self.maps, allow_pickle=False)
        return {
            "slice.png": overlay.png(overlay.grey(image, part.window)),
            "overlay.png": overlay.png(overlay.render(image, part.heat, window=part.window)),
            "heat.npy": buffer.getvalue(),
        }

    def _heat(self, maps: FloatArray) -> dict[str, Any]:
        some = next(part.heat for part in self.slices if part.heat is not None)
        return {
            "peak": float(maps.sum(axis=0).max()),
            "grid": list(maps.shape[1:]),
            "method": some.method,
            "class": some.class_name,
            "full_scale": some.full_scale,
        }


def _gate(gate: Gate) -> dict[str, Any]:
    return {"accepted": gate.accepted, "reason": gate.reason, "code": gate.code}
