"""Predictions to every measure that the report shows: overall, calibrated, by patient, source, class and type."""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray

from . import metrics as m
from .resampling import Statistic
from .results import Predictions

SPECIFICITIES = (0.85, 0.90, 0.95)
SENSITIVITIES = (0.85, 0.90, 0.95)


def measure(
    predictions: Predictions, threshold: float, temperature: float = 1.0, *, draws: int = 1000, seed: int = 0
) -> dict[str, Any]:
    """All measures. `threshold` acts on the calibrated probability; both come from validation, never from here."""
    p = predictions.probabilities(temperature)
    found: dict[str, Any] = {
        "slices": len(predictions),
        "units": len(set(predictions.units)),
        "at_threshold": at_threshold(predictions, p, threshold, draws, seed),
        "ranking": ranking(predictions, p, draws, seed),
        "by_source": by_source(predictions, p, threshold, draws, seed),
        "by_class": rates(predictions, p, threshold, dict.fromkeys(predictions.kinds), predictions.kinds),
        "by_type": by_type(predictions, p, threshold),
    }
    if len(set(predictions.labels.tolist())) == 2:
        sens, spec = (found["at_threshold"][n]["value"] for n in ("sensitivity", "specificity"))
        found |= {
            "calibration": {"before": calibration(predictions, 1.0), "after": calibration(predictions, temperature)},
            "reliability": [b._asdict() for b in m.reliability_bins(predictions.labels, p, predictions.units)],
            "predictive_values": m.predictive_values(sens, spec),
            "decision_curve": m.decision_curve(predictions.labels, p),
            "patients": by_patient(predictions, p, draws, seed),
            "source_probe": m.source_probe(predictions.labels, predictions.sources),
        }
    return found


def at_threshold(
    predictions: Predictions, p: NDArray[np.float64], threshold: float, draws: int, seed: int
) -> dict[str, Any]:
    """The paper's measures at the operating threshold; those of a reader's interest with intervals over units."""
    found: dict[str, Any] = m.classification(predictions.labels, p, threshold)
    statistics: dict[str, Statistic] = {
        "accuracy": lambda y, s: float(((s >= threshold) == (y == 1)).mean()),
        "sensitivity": lambda y, s: float((s[y == 1] >= threshold).mean()) if (y == 1).any() else float("nan"),
        "specificity": lambda y, s: float((s[y == 0] < threshold).mean()) if (y == 0).any() else float("nan"),
        "balanced_accuracy": lambda y, s: m.balanced_accuracy(y, s, threshold),
    }
    for name, statistic in statistics.items():
        estimate = m.bootstrap(statistic, predictions.labels, p, predictions.units, draws=draws, seed=seed)
        found[name] = estimate.to_dict()
    return found


def ranking(predictions: Predictions, p: NDArray[np.float64], draws: int, seed: int) -> dict[str, Any]:
    """Measures of the order of the scores alone."""
    y, units = predictions.labels, predictions.units
    return {
        "auroc": m.auroc_interval(y, p, units, draws=draws, seed=seed).to_dict(),
        "auprc": m.bootstrap(m.auprc, y, p, units, draws=draws // 5, seed=seed).to_dict(),
        "prevalence": float(y.mean()),
        "sensitivity_at_specificity": {str(v): m.sensitivity_at_specificity(y, p, v) for v in SPECIFICITIES},
        "specificity_at_sensitivity": {str(v): m.specificity_at_sensitivity(y, p, v) for v in SENSITIVITIES},
    }


def calibration(predictions: Predictions, temperature: float) -> dict[str, float]:
    """ECE, Brier score, intercept and slope of the probabilities at a temperature."""
    p = predictions.probabilities(temperature)
    intercept, slope = m.intercept_slope(predictions.labels, p)
    return {
        "temperature": temperature, "ece": m.ece(predictions.labels, p), "brier": m.brier(predictions.labels, p),
        "intercept": intercept, "slope": slope,
    }  # fmt: skip


def by_patient(predictions: Predictions, p: NDArray[np.float64], draws: int, seed: int) -> dict[str, Any]:
    """AUROC of patients: a patient is positive when any slice is; the score is the mean of the three highest."""
    found = m.aggregate(predictions.labels, p, predictions.units)
    estimate = m.auroc_interval(found.labels, found.scores, draws=draws, seed=seed)
    return {"auroc": estimate.to_dict(), "n": len(found.labels), "positives": int(found.labels.sum()), "how": "top3"}


def by_source(
    predictions: Predictions, p: NDArray[np.float64], threshold: float, draws: int, seed: int
) -> dict[str, Any]:
    """For each source alone: its AUROC where it has both classes, sensitivity and specificity at the threshold."""
    found = {}
    for source in sorted(set(predictions.sources)):
        keep = np.array([s == source for s in predictions.sources])
        part = predictions.where(keep)
        auroc = m.auroc_interval(part.labels, p[keep], part.units, draws=draws // 2, seed=seed).to_dict()
        found[source] = {"auroc": auroc, **_rate_of(part.labels, p[keep], threshold), "units": len(set(part.units))}
    return found


def _rate_of(labels: NDArray[np.int64], p: NDArray[np.float64], threshold: float) -> dict[str, Any]:
    row = m.classification(labels, p, threshold)
    return {name: row[name] for name in ("n", "positives", "sensitivity", "specificity")}


def rates(
    predictions: Predictions, p: NDArray[np.float64], threshold: float, names: Any, column: tuple[str, ...]
) -> dict[str, Any]:
    """Fraction of the slices of each name that are called positive at the threshold, with an interval over units."""
    found = {}
    for name in sorted(n for n in names if n):
        keep = np.array([name in c.replace(";", " ").replace(",", " ").split() for c in column])
        if not keep.any():
            continue
        called = (p[keep] >= threshold).astype(float)
        units = [u for u, k in zip(predictions.units, keep, strict=True) if k]
        estimate = m.bootstrap(lambda y, s: float(s.mean()), called, called, units, draws=500)
        found[name] = {"called_positive": estimate.to_dict(), "label": int(predictions.labels[keep].max())}
    return found


def by_type(predictions: Predictions, p: NDArray[np.float64], threshold: float) -> dict[str, Any]:
    """Each hemorrhage type: fraction called positive, and AUROC of its slices against all negative slices."""
    names = {w for t in predictions.types for w in t.replace(";", " ").replace(",", " ").split()}
    found = rates(predictions, p, threshold, names, predictions.types)
    negative = predictions.labels == 0
    for name, row in found.items():
        keep = negative | np.array([name in t for t in predictions.types])
        row["auroc_against_negatives"] = m.auroc(predictions.labels[keep], p[keep])
    return found
