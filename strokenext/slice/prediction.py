"""What the model says about one image or one series: frozen, JSON-able, and able to save itself whole.

A number that does not exist is None, never zero: a refused image has no probability.
"""

from __future__ import annotations

import hashlib
import io
import json
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np

from strokenext import overlay
from strokenext.saving import write_folder
from strokenext.types import Gate, Heat, Slice, Window

Files = dict[str, bytes]


@dataclass(frozen=True)
class InputFacts:
    """What was judged. `name` is the file's own name, empty when it came as bytes or an array."""

    name: str
    sha256: str
    kind: str
    unit: str
    shape: tuple[int, ...]


@dataclass(frozen=True)
class Provenance:
    """Where a number comes from, enough to compute it again.

    `architecture` is a row of the zoo; `preprocess` is the model's own record; `window` the one that HU went
    through, None without HU; `time` is ISO 8601 in UTC; `precision` is the encoders' arithmetic.
    """

    model: str
    architecture: str
    revision: str | None
    weights_sha256: str
    preprocess: dict[str, Any]
    window: Window | None
    versions: dict[str, str]
    device: str
    precision: str
    time: str
    input_sha256: str
    experimental: bool
    trained_on: str

    def to_json(self) -> dict[str, Any]:
        """Plain JSON values."""
        return {**{name: getattr(self, name) for name in self.__dataclass_fields__}, "window": _window(self.window)}


@dataclass(frozen=True, eq=False)
class Prediction:
    """One image and one question.

    `probability` is the calibrated probability of the positive class, `label` the side of the threshold it
    falls on, `decision` the label, "indeterminate" inside `band` [low, high), or "refused". `logit` is the
    raw log-odds z[1] - z[0] before the temperature. `interval` is the 95 % interval of the observed fraction
    of positives among the `similar` validation slices with a probability like this, None where there were
    none. `image` is the slice itself, for drawing; it is not part of the JSON.
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
    heat: Heat | None
    window: Window | None
    input: InputFacts
    provenance: Provenance
    image: Slice = field(repr=False)

    @property
    def probabilities(self) -> dict[str, float] | None:
        """Calibrated probability by class name; None when refused."""
        if self.probability is None:
            return None
        return {self.classes[0]: 1.0 - self.probability, self.classes[1]: self.probability}

    @property
    def refused(self) -> bool:
        """Whether there are no numbers because the image is outside the model's scope."""
        return self.probability is None

    @property
    def forced(self) -> bool:
        """Whether there are numbers although the image is outside the model's scope."""
        return self.probability is not None and not self.gate.accepted

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
            "gate": {"accepted": self.gate.accepted, "reason": self.gate.reason, "code": self.gate.code},
            "heat": None if self.heat is None else _heat(self.heat),
            "input": {**vars(self.input), "shape": list(self.input.shape)},
            "provenance": self.provenance.to_json(),
        }

    def save(self, folder: str | Path) -> Path:
        """Write prediction.json, slice.png and, with evidence, overlay.png and heat.npy as a new folder.

        All or nothing; nothing that exists is overwritten (the folder is numbered). Returns the folder.
        Raises OutputError.
        """
        return save_record(folder, self.to_json(), self.files())

    def files(self) -> Files:
        """The pictures and the map by file name: slice.png, overlay.png, heat.npy ((E, h, w) float32)."""
        window = self.window if self.image.unit == "HU" else None
        found = {"slice.png": overlay.png(overlay.grey(self.image, window))}
        if self.heat is not None:
            buffer = io.BytesIO()
            np.save(buffer, self.heat.maps, allow_pickle=False)
            found["overlay.png"] = overlay.png(overlay.render(self.image, self.heat, window=window))
            found["heat.npy"] = buffer.getvalue()
        return found


@dataclass(frozen=True, eq=False)
class SeriesPrediction:
    """A series: one Prediction per slice, from the feet to the head, and one probability for the whole.

    `probability` is the mean of the highest accepted slices (`pooled` many; `aggregation` says it in words)
    and is calibrated for slices, not for series. `peak` is the index of the slice with the highest
    probability. Both are None when every slice was refused.
    """

    task: str
    classes: tuple[str, str]
    slices: tuple[Prediction, ...]
    label: str | None
    decision: str
    probability: float | None
    pooled: int
    aggregation: str
    peak: int | None
    threshold: float
    band: tuple[float, float]
    sha256: str

    def __len__(self) -> int:
        return len(self.slices)

    @property
    def judged(self) -> int:
        """How many slices have a probability."""
        return sum(p.probability is not None for p in self.slices)

    @property
    def curve(self) -> tuple[float | None, ...]:
        """The probability of each slice, None where it was refused."""
        return tuple(p.probability for p in self.slices)

    @property
    def gate(self) -> Gate:
        """Refused when every slice was, with the reason given most often."""
        if self.judged:
            return Gate(True)
        gates = [p.gate for p in self.slices]
        common = max(gates, key=lambda gate: sum(other.code == gate.code for other in gates))
        return Gate(False, f"None of the {len(gates)} slices could be judged. {common.reason}", common.code)

    def to_json(self) -> dict[str, Any]:
        """Plain JSON values; `slices` holds each slice's own."""
        probabilities = None
        if self.probability is not None:
            probabilities = {self.classes[0]: 1.0 - self.probability, self.classes[1]: self.probability}
        gate = self.gate
        return {
            "task": self.task,
            "label": self.label,
            "decision": self.decision,
            "probability": self.probability,
            "probabilities": probabilities,
            "aggregation": self.aggregation,
            "peak": self.peak,
            "judged": self.judged,
            "threshold": self.threshold,
            "band": list(self.band),
            "gate": {"accepted": gate.accepted, "reason": gate.reason, "code": gate.code},
            "sha256": self.sha256,
            "slices": [p.to_json() for p in self.slices],
        }

    def save(self, folder: str | Path) -> Path:
        """As `Prediction.save`, with the pictures of the peak slice."""
        return save_record(folder, self.to_json(), self.files())

    def files(self) -> Files:
        """As `Prediction.files`, of the peak slice; empty when there is none."""
        return {} if self.peak is None else self.slices[self.peak].files()


@dataclass(frozen=True, eq=False)
class Triage:
    """The clinical cascade: is there a stroke, and only when that is positive or undecided, of which kind."""

    presence: Prediction
    subtype: Prediction | None

    def to_json(self) -> dict[str, Any]:
        """Both answers, each in the form it has alone; `subtype` is null where the cascade stops."""
        return {
            "presence": self.presence.to_json(),
            "subtype": None if self.subtype is None else self.subtype.to_json(),
        }

    def save(self, folder: str | Path) -> Path:
        """As `Prediction.save`; the subtype's overlay and map lie in the subfolder `subtype`."""
        return save_record(folder, self.to_json(), cascade_files(self.presence, self.subtype))


def cascade_files(presence: Prediction | SeriesPrediction, subtype: Prediction | None) -> Files:
    """The pictures of both questions, those of the second in the folder `subtype`; the slice itself once."""
    more = {} if subtype is None else subtype.files()
    return presence.files() | {f"subtype/{name}": data for name, data in more.items() if name != "slice.png"}


def save_record(folder: str | Path, record: dict[str, Any], pictures: Files) -> Path:
    """Write the pictures and prediction.json, which lists their checksums, all or nothing. Raises OutputError."""
    sums = {name: hashlib.sha256(data).hexdigest() for name, data in sorted(pictures.items())}
    text = json.dumps({**record, "files": sums}, indent=2, ensure_ascii=False, allow_nan=False)
    return write_folder(folder, {**pictures, "prediction.json": f"{text}\n".encode()})


def _window(window: Window | None) -> dict[str, Any] | None:
    return None if window is None else {"width": window.width, "level": window.level, "name": window.name}


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
