"""Predictions to every measure that the report shows: overall, calibrated, by patient, source, class and type."""

from __future__ import annotations

import re
from collections.abc import Sequence
from functools import partial
from typing import Any

import numpy as np
from numpy.typing import NDArray
from sklearn import metrics as sk

from . import metrics as m
from .bootstrap import Statistic, bootstrap
from .calibration import Scale, brier, ece, intercept_slope, reliability_bins
from .result import Predictions

#: Specificities at which the sensitivity is given, and the other way round; all but the first with intervals.
LEVELS = (0.85, 0.90, 0.95)
#: Ways to make a patient's score of the scores of his slices; the first is the one the report shows.
AGGREGATES = ("top3", "max", "mean")
#: Draws of the bootstraps that are reported beside the main ones, as a share of the draws asked for.
FEWER = 0.4


def measure(
    predictions: Predictions, threshold: float, scale: Scale = 1.0, *, draws: int = 1000, seed: int = 0
) -> dict[str, Any]:
    """All measures. `threshold` acts on the calibrated probability; both come from validation, never from here."""
    p = predictions.probabilities(scale)
    measures: dict[str, Any] = {
        "slices": len(predictions),
        "units": len(set(predictions.units)),
        "at_threshold": at_threshold(predictions, p, threshold, draws, seed),
        "per_class": per_class(predictions, p, threshold),
        "ranking": ranking(predictions, p, draws, seed),
        "by_source": by_source(predictions, p, threshold, draws, seed),
        "by_class": rates(predictions, p, threshold, predictions.kinds),
        "by_type": by_type(predictions, p, threshold),
    }
    if len(set(predictions.labels.tolist())) == 2:
        sens, spec = (measures["at_threshold"][n]["value"] for n in ("sensitivity", "specificity"))
        measures |= {
            "calibration": {"before": calibration(predictions, 1.0), "after": calibration(predictions, scale)},
            "calibration_intervals": calibration_intervals(predictions, scale, draws, seed),
            "reliability": [b._asdict() for b in reliability_bins(predictions.labels, p, predictions.units)],
            "predictive_values": m.predictive_values(sens, spec),
            "decision_curve": m.decision_curve(predictions.labels, p),
            "patients": by_patient(predictions, p, threshold, draws, seed),
            "source_probe": m.source_probe(predictions.labels, predictions.sources),
        }
    return measures


def at_threshold(
    predictions: Predictions, p: NDArray[np.float64], threshold: float, draws: int, seed: int
) -> dict[str, Any]:
    """The paper's measures at the operating threshold; those of a reader's interest with intervals over units."""
    measures: dict[str, Any] = m.classification(predictions.labels, p, threshold)
    statistics: dict[str, Statistic] = {
        "accuracy": lambda y, s: float(((s >= threshold) == (y == 1)).mean()),
        "sensitivity": lambda y, s: float((s[y == 1] >= threshold).mean()) if (y == 1).any() else float("nan"),
        "specificity": lambda y, s: float((s[y == 0] < threshold).mean()) if (y == 0).any() else float("nan"),
        "balanced_accuracy": lambda y, s: m.balanced_accuracy(y, s, threshold),
    }
    measures |= _intervals(statistics, predictions, p, draws, seed)
    plain: dict[str, Statistic] = {
        "f1_macro": lambda y, s: _counted(y, s, threshold)[0],
        "mcc": lambda y, s: _counted(y, s, threshold)[1],
    }
    measures["intervals"] = _intervals(plain, predictions, p, round(FEWER * draws), seed)
    return measures


def _counted(y: NDArray[np.int64], s: NDArray[np.float64], threshold: float) -> tuple[float, float]:
    """Macro F1 and MCC from the four counts, undefined (nan) with one class only."""
    called, positive = s >= threshold, y == 1
    tp, fp = float((called & positive).sum()), float((called & ~positive).sum())
    fn, tn = float((~called & positive).sum()), float((~called & ~positive).sum())
    if tp + fn == 0 or tn + fp == 0:
        return float("nan"), float("nan")
    f1 = (2 * tp / (2 * tp + fp + fn) + 2 * tn / (2 * tn + fn + fp)) / 2
    bottom = (tp + fp) * (tp + fn) * (tn + fp) * (tn + fn)
    return f1, (tp * tn - fp * fn) / bottom**0.5 if bottom else 0.0


def _intervals(
    statistics: dict[str, Statistic], predictions: Predictions, p: NDArray[np.float64], draws: int, seed: int
) -> dict[str, Any]:
    """Each statistic with its interval over units."""
    y, units = predictions.labels, predictions.units
    return {n: bootstrap(s, y, p, units, draws=draws, seed=seed).to_dict() for n, s in statistics.items()}


def per_class(predictions: Predictions, p: NDArray[np.float64], threshold: float) -> dict[str, Any]:
    """For class 0 and class 1: precision, recall, F1 and how many slices there are. nan where undefined."""
    called = (p >= threshold).astype(np.int64)
    figures = sk.precision_recall_fscore_support(predictions.labels, called, labels=[0, 1], zero_division=np.nan)
    rows = {}
    for label, (precision, recall, f1, n) in enumerate(zip(*figures, strict=True)):
        k = int((called == label).sum())
        rows[str(label)] = {"n": int(n), "called": k, "precision": precision, "recall": recall, "f1": f1}
    return rows


def ranking(predictions: Predictions, p: NDArray[np.float64], draws: int, seed: int) -> dict[str, Any]:
    """Measures of the order of the scores alone; `operating_points` are the fixed points with their intervals."""
    y, units = predictions.labels, predictions.units
    points: dict[str, Statistic] = {}
    for v in LEVELS[1:]:
        points[f"sensitivity_at_specificity_{v}"] = partial(m.sensitivity_at_specificity, specificity=v)
    for v in LEVELS[1:]:
        points[f"specificity_at_sensitivity_{v}"] = partial(m.specificity_at_sensitivity, sensitivity=v)
    return {
        "auroc": bootstrap(m.auroc, y, p, units, draws=draws, seed=seed).to_dict(),
        "auprc": bootstrap(m.auprc, y, p, units, draws=draws // 5, seed=seed).to_dict(),
        "prevalence": float(y.mean()),
        "sensitivity_at_specificity": {str(v): m.sensitivity_at_specificity(y, p, v) for v in LEVELS},
        "specificity_at_sensitivity": {str(v): m.specificity_at_sensitivity(y, p, v) for v in LEVELS},
        "operating_points": _intervals(points, predictions, p, round(FEWER * draws), seed),
    }


def calibration(predictions: Predictions, scale: Scale) -> dict[str, float | None]:
    """ECE, Brier score, intercept and slope of the probabilities; the temperature where that made them."""
    p = predictions.probabilities(scale)
    intercept, slope = intercept_slope(predictions.labels, p)
    return {
        "temperature": scale if isinstance(scale, int | float) else None,
        "ece": ece(predictions.labels, p),
        "brier": brier(predictions.labels, p),
        "intercept": intercept,
        "slope": slope,
    }


def calibration_intervals(predictions: Predictions, scale: Scale, draws: int, seed: int) -> dict[str, Any]:
    """Intervals of ECE and Brier score, before (temperature 1) and after."""
    scales: dict[str, Scale] = {"before": 1.0, "after": scale}
    both: dict[str, Statistic] = {"ece": ece, "brier": brier}
    return {
        when: _intervals(both, predictions, predictions.probabilities(t), round(FEWER * draws), seed)
        for when, t in scales.items()
    }


def by_patient(
    predictions: Predictions, p: NDArray[np.float64], threshold: float, draws: int, seed: int
) -> dict[str, Any]:
    """Slices to patients: a patient is positive when any slice is; the score is the mean of the three highest.

    `ways` holds the AUROC of every way to aggregate; `called` the patients called positive at the slice threshold.
    """
    by_how = {how: m.aggregate(predictions.labels, p, predictions.units, how) for how in AGGREGATES}
    main = by_how[AGGREGATES[0]]
    ways = {how: bootstrap(m.auroc, a.labels, a.scores, draws=draws, seed=seed).to_dict() for how, a in by_how.items()}
    row = m.classification(main.labels, main.scores, threshold)
    return {
        "auroc": ways[AGGREGATES[0]],
        "n": len(main.labels),
        "positives": int(main.labels.sum()),
        "how": AGGREGATES[0],
        "ways": ways,
        "called": {k: row[k] for k in ("sensitivity", "specificity", "accuracy", "confusion")},
    }


def by_source(
    predictions: Predictions, p: NDArray[np.float64], threshold: float, draws: int, seed: int
) -> dict[str, Any]:
    """For each source alone: its AUROC where it has both classes, sensitivity and specificity at the threshold."""
    rows = {}
    for source in sorted(set(predictions.sources)):
        keep = np.array([s == source for s in predictions.sources])
        part = predictions.where(keep)
        auroc = bootstrap(m.auroc, part.labels, p[keep], part.units, draws=draws // 2, seed=seed).to_dict()
        row = m.classification(part.labels, p[keep], threshold)
        called = {name: row[name] for name in ("n", "positives", "sensitivity", "specificity")}
        rows[source] = {"auroc": auroc, **called, "units": len(set(part.units))}
    return rows


def rates(predictions: Predictions, p: NDArray[np.float64], threshold: float, column: Sequence[str]) -> dict[str, Any]:
    """For each word of a column: its slices' share called positive, with an interval over units, and their label."""
    rows = {}
    for name in sorted({w for c in column for w in words(c)}):
        keep = np.array([name in words(c) for c in column])
        called = (p[keep] >= threshold).astype(float)
        units = [u for u, k in zip(predictions.units, keep, strict=True) if k]
        estimate = bootstrap(lambda y, s: float(s.mean()), called, called, units, draws=500)
        rows[name] = {"called_positive": estimate.to_dict(), "label": int(predictions.labels[keep].max())}
    return rows


def words(text: str) -> list[str]:
    """The words of a column; several types of one slice are parted by bar, comma, semicolon or space."""
    return [w for w in re.split(r"[|,;\s]+", text) if w]


def by_type(predictions: Predictions, p: NDArray[np.float64], threshold: float) -> dict[str, Any]:
    """Each hemorrhage type: fraction called positive, and AUROC of its slices against all negative slices."""
    rows = rates(predictions, p, threshold, predictions.types)
    negative = predictions.labels == 0
    for name, row in rows.items():
        keep = negative | np.array([name in words(t) for t in predictions.types])
        row["auroc_against_negatives"] = m.auroc(predictions.labels[keep], p[keep])
    return rows
