"""A set of scored slices (or patients) and the figures that a model card shows of it."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from . import calibration, metrics
from .bootstrap import bootstrap


@dataclass(frozen=True, eq=False)
class Scored:
    """Margins (N,) of logits, positive minus negative, with each slice's label and patient."""

    margins: NDArray[np.float64]
    labels: NDArray[np.int64]
    groups: NDArray[np.str_]

    def __add__(self, other: Scored) -> Scored:
        return Scored(*(np.concatenate([getattr(self, k), getattr(other, k)]) for k in ("margins", "labels", "groups")))

    def where(self, keep: NDArray[np.bool_]) -> Scored:
        """The slices for which `keep` (N,) is true."""
        return Scored(self.margins[keep], self.labels[keep], self.groups[keep])

    @property
    def ranked(self) -> bool:
        """Whether both classes are there."""
        return len(np.unique(self.labels)) == 2


def measure(scored: Scored, scale: calibration.Scale, threshold: float) -> dict[str, Any]:
    """AUROC with its interval over patients, and what the stored threshold does."""
    p = calibration.calibrated(scored.margins, scale)
    estimate = bootstrap(metrics.auroc, scored.labels, p, scored.groups)
    positive = scored.labels == 1
    return {
        "slices": len(p),
        "positives": int(positive.sum()),
        "groups": len(np.unique(scored.groups)),
        "auroc": estimate.to_dict(),
        "sensitivity": float((p[positive] >= threshold).mean()),
        "specificity": float((p[~positive] < threshold).mean()),
        "sensitivity_at_specificity_0.85": metrics.sensitivity_at_specificity(scored.labels, p, 0.85),
        "balanced_accuracy": metrics.balanced_accuracy(scored.labels, p, threshold),
        "brier": calibration.brier(scored.labels, p),
        "ece": calibration.ece(scored.labels, p),
    }
