"""Plain measures of a two-class score: f(labels (N,), scores (N,), groups (N,) or None).

`labels` are 0 and 1, `scores` the probability (or any increasing function of it) of class 1, `groups` the patient
of each row. A case is called positive when score >= threshold. Undefined numbers are nan, never 0 or 1.
Intervals are in `bootstrap`, calibration and thresholds in `calibration`.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import NamedTuple

import numpy as np
from numpy.typing import ArrayLike, NDArray
from scipy import stats
from sklearn import metrics as sk

from strokenext.errors import DataError


def auroc(labels: ArrayLike, scores: ArrayLike) -> float:
    """Probability that a random positive scores above a random negative, ties counted half; nan with one class."""
    y, s = np.asarray(labels), np.asarray(scores, np.float64)
    positives = int((y == 1).sum())
    negatives = len(y) - positives
    if positives == 0 or negatives == 0:
        return float("nan")
    ranks = stats.rankdata(s)
    return float((ranks[y == 1].sum() - positives * (positives + 1) / 2) / (positives * negatives))


def auprc(labels: ArrayLike, scores: ArrayLike) -> float:
    """Average precision; its chance level is the prevalence. nan without positives."""
    y = np.asarray(labels)
    return float(sk.average_precision_score(y, np.asarray(scores))) if 0 < y.sum() < len(y) else float("nan")


def sensitivity_at_specificity(labels: ArrayLike, scores: ArrayLike, specificity: float) -> float:
    """Highest sensitivity of any threshold whose specificity is at least that; nan with one class.

    Share of class 1 above the lowest threshold below which at least that share of class 0 lies.
    """
    y, s = np.asarray(labels), np.asarray(scores, np.float64)
    negative, positive = np.sort(s[y == 0]), s[y == 1]
    if not len(negative) or not len(positive):
        return float("nan")
    needed = int(np.ceil(specificity * len(negative) - 1e-9))
    return float((positive > negative[needed - 1]).mean()) if needed else 1.0


def specificity_at_sensitivity(labels: ArrayLike, scores: ArrayLike, sensitivity: float) -> float:
    """Highest specificity of any threshold whose sensitivity is at least that: the same with the classes exchanged."""
    return sensitivity_at_specificity(1 - np.asarray(labels), -np.asarray(scores, np.float64), sensitivity)


def balanced_accuracy(labels: ArrayLike, scores: ArrayLike, threshold: float = 0.5) -> float:
    """Mean of sensitivity and specificity at the threshold; nan with one class."""
    y, called = np.asarray(labels) == 1, np.asarray(scores) >= threshold
    if y.all() or not y.any():
        return float("nan")
    return float((called[y].mean() + (~called[~y]).mean()) / 2)


def classification(labels: ArrayLike, scores: ArrayLike, threshold: float = 0.5) -> dict[str, float | list[list[int]]]:
    """The paper's measures at a threshold, macro and weighted, with sensitivity, specificity and the confusion matrix.

    `confusion` is [[true negative, false positive], [false negative, true positive]].
    """
    y = np.asarray(labels, np.int64)
    called = (np.asarray(scores, np.float64) >= threshold).astype(np.int64)
    row: dict[str, float | list[list[int]]] = {"n": len(y), "positives": int(y.sum()), "threshold": float(threshold)}
    row["accuracy"] = float((y == called).mean())
    for average in ("macro", "weighted"):
        figures = sk.precision_recall_fscore_support(y, called, labels=[0, 1], average=average, zero_division=0)
        row |= {f"{k}_{average}": float(v) for k, v in zip(("precision", "recall", "f1"), figures[:3], strict=True)}
    (tn, fp), (fn, tp) = matrix = sk.confusion_matrix(y, called, labels=[0, 1]).tolist()
    row["mcc"] = float(sk.matthews_corrcoef(y, called)) if 0 < y.sum() < len(y) else float("nan")
    row["balanced_accuracy"] = balanced_accuracy(y, called, 0.5)
    rates = {"sensitivity": (tp, tp + fn), "specificity": (tn, tn + fp), "ppv": (tp, tp + fp), "npv": (tn, tn + fn)}
    row |= {name: top / bottom if bottom else float("nan") for name, (top, bottom) in rates.items()}
    row["confusion"] = matrix
    return row


def predictive_values(
    sensitivity: float, specificity: float, prevalences: Iterable[float] = (0.01, 0.05, 0.1, 0.2, 0.3, 0.5)
) -> list[dict[str, float]]:
    """PPV and NPV by Bayes' rule at each prevalence; nan where nothing would be called so."""
    rows = []
    for prevalence in prevalences:
        tp, fp = prevalence * sensitivity, (1 - prevalence) * (1 - specificity)
        tn, fn = (1 - prevalence) * specificity, prevalence * (1 - sensitivity)
        ppv = tp / (tp + fp) if tp + fp > 0 else float("nan")
        npv = tn / (tn + fn) if tn + fn > 0 else float("nan")
        rows.append({"prevalence": prevalence, "ppv": ppv, "npv": npv})
    return rows


def decision_curve(
    labels: ArrayLike, probabilities: ArrayLike, thresholds: Sequence[float] = tuple(np.arange(1, 20) / 20)
) -> list[dict[str, float]]:
    """Net benefit TP/N - FP/N * t/(1-t) of the model and of calling everyone positive (Vickers 2006); nobody is 0."""
    y, p = np.asarray(labels) == 1, np.asarray(probabilities, np.float64)
    rows = []
    for t in thresholds:
        odds = t / (1 - t)
        called = p >= t
        model = (called & y).mean() - (called & ~y).mean() * odds
        rows.append({"threshold": float(t), "model": float(model), "all": float(y.mean() - (~y).mean() * odds)})
    return rows


class Aggregated(NamedTuple):
    """One row per group: its name, its label (positive when any slice is) and its score."""

    groups: NDArray[np.str_]
    labels: NDArray[np.int64]
    scores: NDArray[np.float64]


def aggregate(labels: ArrayLike, scores: ArrayLike, groups: ArrayLike, how: str = "top3") -> Aggregated:
    """Slices to patients: the score is the "max", the "mean" or the mean of the three highest ("top3")."""
    kinds = {"max": lambda s: s.max(), "mean": lambda s: s.mean(), "top3": lambda s: np.sort(s)[-3:].mean()}
    if how not in kinds:
        raise DataError(f"Slices are aggregated by one of {', '.join(kinds)}, not by '{how}'.")
    y, s, names = np.asarray(labels, np.int64), np.asarray(scores, np.float64), np.asarray(groups).astype(str)
    units, codes = np.unique(names, return_inverse=True)
    parts = [np.flatnonzero(codes == i) for i in range(len(units))]
    return Aggregated(
        units, np.array([y[p].max() for p in parts], np.int64), np.array([kinds[how](s[p]) for p in parts], np.float64)
    )


def source_probe(labels: ArrayLike, sources: ArrayLike) -> dict[str, object]:
    """How well the source ALONE predicts the label: what a model that sees only the hospital would score.

    Each case is scored with the fraction of positives in its source. AUROC 0.5 means the source tells nothing;
    `cramers_v` is 0 to 1; `per_source` holds n and positives.
    """
    y, names = np.asarray(labels, np.int64), np.asarray(sources).astype(str)
    units, codes = np.unique(names, return_inverse=True)
    n, positives = np.bincount(codes), np.bincount(codes, y)
    score = (positives / n)[codes]
    table = np.stack([positives, n - positives])
    v = float("nan")
    if len(units) > 1 and (table.sum(axis=1) > 0).all():
        v = float(stats.contingency.association(table.astype(int), method="cramer"))
    per_source = {str(u): {"n": int(a), "positives": int(b)} for u, a, b in zip(units, n, positives, strict=True)}
    accuracy = float(((score >= 0.5) == (y == 1)).mean())
    return {"auroc": auroc(y, score), "accuracy": accuracy, "cramers_v": v, "per_source": per_source}
