"""From logits to a decision: calibration, threshold, indeterminate band, and what validation says of such scores."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from strokenext.errors import OptionError
from strokenext.record.calibration import Observed
from strokenext.record.config import ModelConfig, ReliabilityBin

#: A series' probability is the mean of its highest slices: at most this many.
TOP = 3


@dataclass(frozen=True)
class Rule:
    """The operating threshold and the band [low, high) around it in which nothing is decided."""

    threshold: float
    band: tuple[float, float]
    classes: tuple[str, ...]

    def label(self, probability: float) -> str:
        """The side of the threshold; the threshold itself counts as positive."""
        return self.classes[1] if probability >= self.threshold else self.classes[0]

    def decision(self, probability: float) -> str:
        """The label, or "indeterminate" inside the band."""
        low, high = self.band
        return "indeterminate" if low <= probability < high else self.label(probability)


def rule(config: ModelConfig, threshold: float | None = None) -> Rule:
    """The model's own rule, or the same band moved to another threshold and clipped to 0..1.

    Raises OptionError for a threshold that is not between 0 and 1.
    """
    if threshold is None:
        return Rule(config.threshold, config.band, config.classes)
    if isinstance(threshold, bool) or not isinstance(threshold, int | float) or not 0 <= threshold <= 1:
        raise OptionError("A threshold is a probability between 0 and 1.")
    low = max(0.0, threshold - (config.threshold - config.band[0]))
    high = min(1.0, threshold + (config.band[1] - config.threshold))
    return Rule(float(threshold), (low, high), config.classes)


def decided(config: ModelConfig, rule: Rule, probability: float | None) -> dict[str, Any]:
    """The fields of a `Classification`; a `probability` of None was refused."""
    return {
        "task": config.task,
        "classes": config.classes,
        "label": None if probability is None else rule.label(probability),
        "decision": "refused" if probability is None else rule.decision(probability),
        "probability": probability,
        "threshold": rule.threshold,
        "band": rule.band,
    }


def answered(
    config: ModelConfig, rule: Rule, logits: tuple[float, ...] | None, experience: bool = True
) -> dict[str, Any]:
    """The fields of a `Calibrated` that follow from a network's raw logits; None was refused.

    Without `experience` of inputs like this one there is no interval: the probability is the model's score alone.
    """
    seen = None if logits is None else observed(config, logits)
    known = seen is not None and experience and seen.similar > 0
    return decided(config, rule, None if seen is None else seen.probability) | {
        "logit": None if logits is None else log_odds(logits),
        "logits": logits,
        "interval": (seen.low, seen.high) if seen is not None and known else None,
        "similar": seen.similar if seen is not None and known else None,
    }


def observed(config: ModelConfig, logits: Sequence[float]) -> Observed:
    """The probability with its interval, and how many validation examples stand behind it: 0, from 0 to 1, where none.

    A record without a calibration has intervals by bin of probability; one that leaves its own probability out says
    nothing of it.
    """
    if config.calibration is not None:
        return config.calibration.at(log_odds(logits))
    probability = calibrated(logits, config.temperature)
    similar = reliability(config, probability)
    if similar is None or not similar.interval[0] <= probability <= similar.interval[1]:
        return Observed(probability, 0.0, 1.0, 0)
    return Observed(probability, float(similar.interval[0]), float(similar.interval[1]), similar.n)


def log_odds(logits: Sequence[float]) -> float:
    """The raw logit of the positive class against the other: z[1] - z[0], before the temperature."""
    return float(logits[1]) - float(logits[0])


def calibrated(logits: Sequence[float], temperature: float) -> float:
    """softmax(logits / temperature)[1] of two classes, the positive one's probability (Guo 2017)."""
    scaled = log_odds(logits) / temperature
    if scaled >= 0:
        return 1.0 / (1.0 + math.exp(-scaled))
    grown = math.exp(max(scaled, -700.0))
    return grown / (1.0 + grown)


def reliability(config: ModelConfig, probability: float) -> ReliabilityBin | None:
    """The bin of validation slices with a probability like this one, or None where there were none."""
    for bin_ in config.reliability:
        if bin_.low <= probability < bin_.high or (probability == 1.0 and bin_.high >= 1.0):
            return bin_ if bin_.n > 0 else None
    return None


def pooled(probabilities: Sequence[float]) -> float:
    """One probability for a series: the mean of its TOP highest slices (top-k pooling).

    The highest slice alone would call nearly every long series positive, since each slice adds a chance of
    a false alarm; the mean of all would dilute a lesion that shows on three slices of forty.
    """
    highest = sorted(probabilities, reverse=True)[:TOP]
    return sum(highest) / len(highest)
