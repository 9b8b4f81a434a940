"""One question of two classes answered: a probability, a decision, and how such probabilities turned out.

A number that does not exist is None, never zero: a refused image has no probability.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from strokenext.types import Gate, Heat

from .answer import Answer
from .decision import Rule
from .provenance import InputFacts, Provenance

#: How strongly evidence is drawn, 0..1, for a class that was just not decided for.
FAINT = 0.25


@dataclass(frozen=True, eq=False)
class Classification(Answer):
    """One question about one image or series.

    `probability` is that of the positive class, `label` the side of the threshold it falls on, `decision` the label,
    "indeterminate" inside `band` [low, high), or "refused".
    """

    task: str
    classes: tuple[str, str]
    label: str | None
    decision: str
    probability: float | None
    threshold: float
    band: tuple[float, float]

    @property
    def probabilities(self) -> dict[str, float] | None:
        """The probability by class name; None when refused."""
        if self.probability is None:
            return None
        return {self.classes[0]: 1.0 - self.probability, self.classes[1]: self.probability}

    @property
    def rule(self) -> Rule:
        """What it was decided by."""
        return Rule(self.threshold, self.band, self.classes)

    @property
    def refused(self) -> bool:
        """Whether there are no numbers because the input is outside the model's scope."""
        return self.probability is None

    @property
    def headline(self) -> str:
        """The decision with its numbers: "stroke (probability of stroke 0.83, threshold 0.40)"."""
        if self.probability is None:
            return "not judged"
        number = f"probability of {self.classes[1]} {self.probability:.2f}, threshold {self.threshold:.2f}"
        return f"{self.decision} ({number})"

    def strength(self, class_name: str) -> float:
        """How strongly evidence for a class is drawn, 0..1, so that a picture glows no more than its answer says.

        1 where the class was decided for, rising from FAINT to 1 through the indeterminate band, and from 0 to FAINT
        where it was decided against: it never falls as the probability of the class rises.
        """
        if self.probability is None:
            return 0.0
        p, (low, high) = self.probability, self.band
        if class_name != self.classes[1]:
            p, low, high = 1 - p, 1 - high, 1 - low
        if p >= high:
            return 1.0
        return FAINT * p / low if p < low else FAINT + (1 - FAINT) * (p - low) / (high - low)

    def against(self, class_name: str) -> bool:
        """Whether it was decided for another class."""
        return self.decision in self.classes and self.decision != class_name

    def lit(self, heat: Heat | None, asked: bool | None = None) -> float:
        """How strongly this evidence is drawn, 0..1; 0 for not at all.

        As strongly as the answer says, and not at all where it was decided against the class; a reader who asked for
        it has it at least FAINT, one who asked it away has none.
        """
        if heat is None or self.refused or asked is False or (asked is None and self.against(heat.class_name)):
            return 0.0
        strength = self.strength(heat.class_name)
        return max(strength, FAINT) if asked else strength

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
        }


@dataclass(frozen=True, eq=False)
class Calibrated(Classification):
    """One question answered by one pass of a network, with what validation says of such a probability.

    `probability` is calibrated. `logit` is the raw log-odds z[1] - z[0] before the temperature. `interval` is the 95 %
    interval of the observed fraction of positives among the `similar` validation examples with a probability like
    this, None where there were none.
    """

    logit: float | None
    logits: tuple[float, ...] | None
    interval: tuple[float, float] | None
    similar: int | None
    gate: Gate
    input: InputFacts
    provenance: Provenance

    def to_json(self) -> dict[str, Any]:
        """Plain JSON values, finite numbers only."""
        return super().to_json() | {
            "interval": None if self.interval is None else list(self.interval),
            "similar": self.similar,
            "logit": self.logit,
            "logits": None if self.logits is None else dict(zip(self.classes, self.logits, strict=True)),
            "gate": dict(vars(self.gate)),
            "input": self.input.to_json(),
            "provenance": self.provenance.to_json(),
        }
