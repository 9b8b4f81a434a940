"""Probabilities that mean what they say: temperature, calibration measures, thresholds and the indeterminate band.

`labels` is (N,) of 0 and 1; `probabilities` (N,) of the positive class; `logits` (N,) the margin positive minus
negative logit, or (N, 2). Everything here is fitted on validation data and only measured on test data.
"""

from __future__ import annotations

from collections.abc import Sequence
from itertools import pairwise
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import ArrayLike, NDArray
from scipy import optimize, special

from strokenext.errors import DataError

from .bootstrap import bootstrap, wilson

_TINY = 1e-7


class Bin(NamedTuple):
    """Observed fraction of positives among cases whose probability fell in [low, high); the last bin takes 1.0 too."""

    low: float
    high: float
    n: int
    positives: int
    interval: tuple[float, float]
    mean: float  # mean predicted probability in the bin


class OperatingPoint(NamedTuple):
    """What validation chose: the temperature, the threshold on the calibrated probability, the band around it."""

    temperature: float
    threshold: float
    band: tuple[float, float]

    def record(self) -> dict[str, Any]:
        """The same with six digits for a model's record; a threshold just outside the scores stays within 0..1."""
        threshold, low, high = (min(max(round(p, 6), 0.0), 1.0) for p in (self.threshold, *self.band))
        return {"temperature": round(self.temperature, 6), "threshold": threshold, "band": (low, high)}


def operating_point(labels: ArrayLike, logits: ArrayLike, kept: float) -> OperatingPoint:
    """Temperature with balanced classes, Youden's threshold, and the band that keeps a sensitivity below it and a
    specificity above it of `kept`."""
    temperature = fit_temperature(labels, logits)
    p = apply_temperature(logits, temperature)
    threshold = choose_threshold(labels, p)
    return OperatingPoint(temperature, threshold, indeterminate_band(labels, p, threshold, kept))


def heat_full_scale(peaks: Sequence[float]) -> float:
    """Top of the colour bar in logit units: the 95th percentile of the peaks of the heat on positive cases."""
    return max(round(float(np.percentile(peaks, 95)), 4) if peaks else 0.0, 1e-4)


def margin(logits: ArrayLike) -> NDArray[np.float64]:
    """(N,) margins or (N, 2) logits to (N,) float64 margins: positive minus negative logit."""
    z = np.asarray(logits, np.float64)
    if z.ndim == 2 and z.shape[1] == 2:
        return np.asarray(z[:, 1] - z[:, 0])
    if z.ndim == 1:
        return z
    raise DataError(f"Two-class logits have shape (N,) or (N, 2), not {z.shape}.")


def _two_classes(labels: ArrayLike) -> NDArray[np.float64]:
    y = np.asarray(labels, np.float64)
    if set(np.unique(y)) != {0.0, 1.0}:
        raise DataError("Calibration needs both classes among the labels (0 and 1).")
    return y


def fit_temperature(labels: ArrayLike, logits: ArrayLike) -> float:
    """The T in [0.05, 20] that minimises the log loss of sigmoid(margin / T) (Guo 2017).

    The two classes weigh the same, because the class mix of a validation set is not the one in use.
    """
    y, z = _two_classes(labels), margin(logits)
    w = np.where(y == 1, 0.5 / y.sum(), 0.5 / (1 - y).sum())

    def loss(log_t: float) -> float:
        scaled = z / np.exp(log_t)
        return float((w * (np.logaddexp(0.0, scaled) - y * scaled)).sum())

    best = optimize.minimize_scalar(
        loss, bounds=(np.log(0.05), np.log(20.0)), method="bounded", options={"xatol": 1e-6}
    )
    return float(np.exp(best.x))


def apply_temperature(logits: ArrayLike, temperature: float) -> NDArray[np.float64]:
    """(N,) calibrated probability of the positive class."""
    return np.asarray(special.expit(margin(logits) / temperature))


def brier(labels: ArrayLike, probabilities: ArrayLike) -> float:
    """Mean squared error of the positive-class probability, 0 (perfect) to 1."""
    return float(np.mean((np.asarray(probabilities, np.float64) - np.asarray(labels, np.float64)) ** 2))


def ece(labels: ArrayLike, probabilities: ArrayLike, bins: int = 15) -> float:
    """Expected calibration error of the positive-class probability over equal-width bins (Naeini 2015)."""
    y, p = np.asarray(labels, np.float64), np.asarray(probabilities, np.float64)
    which = np.clip((p * bins).astype(int), 0, bins - 1)
    n = np.bincount(which, minlength=bins)
    gap = np.abs(np.bincount(which, y, bins) - np.bincount(which, p, bins))
    return float(gap[n > 0].sum() / len(y))


def intercept_slope(labels: ArrayLike, probabilities: ArrayLike) -> tuple[float, float]:
    """Calibration in the large (intercept with slope fixed at 1) and the slope of logit(p); ideal 0 and 1.

    Van Calster 2019, doi 10.1186/s12916-019-1466-7. Newton's method on the logistic likelihood; a perfectly
    separated set has no finite slope and gives nan.
    """
    y = _two_classes(labels)
    x = special.logit(np.clip(np.asarray(probabilities, np.float64), _TINY, 1 - _TINY))
    large = _newton(y, np.ones((len(y), 1)), x)[0]
    slope = _newton(y, np.column_stack([np.ones_like(x), x]), np.zeros_like(x))[1]
    return float(large), float(slope)


def _newton(y: NDArray[np.float64], design: NDArray[np.float64], offset: NDArray[np.float64]) -> NDArray[np.float64]:
    """Maximum-likelihood logistic coefficients with an offset; nan where they do not settle."""
    beta = np.zeros(design.shape[1])
    for _ in range(100):
        mean = special.expit(design @ beta + offset)
        hessian = (design * (mean * (1 - mean))[:, None]).T @ design
        if np.linalg.cond(hessian) > 1e12:
            break
        step = np.linalg.solve(hessian, design.T @ (y - mean))
        beta = beta + np.clip(step, -5, 5)
        if np.abs(step).max() < 1e-9:
            return beta
    return np.full_like(beta, np.nan)


def reliability_bins(
    labels: ArrayLike,
    probabilities: ArrayLike,
    groups: ArrayLike | None = None,
    *,
    bins: int = 10,
    least: int = 20,
    seed: int = 0,
) -> tuple[Bin, ...]:
    """Bins that cover 0 to 1: equal width, neighbours merged until each holds `least` cases.

    The interval is by bootstrap over groups where a bin has both outcomes, otherwise Wilson's on the number of
    groups in it (all-negative slices of three patients are three observations, not forty).
    """
    y, p = np.asarray(labels, np.int64), np.asarray(probabilities, np.float64)
    names = np.arange(len(y)).astype(str) if groups is None else np.asarray(groups).astype(str)
    edges = _merged_edges(p, bins, min(least, len(p)))
    rows = []
    for low, high in pairwise(edges):
        inside = (p >= low) & ((p < high) | (high == 1.0))
        n, positives = int(inside.sum()), int(y[inside].sum())
        if 0 < positives < n:
            share = bootstrap(lambda y, _: float(y.mean()), y[inside], p[inside], names[inside], seed=seed)
            interval = share.low, share.high
        else:
            units = len(np.unique(names[inside]))
            interval = wilson(units if positives else 0, units)
        mean = float(p[inside].mean()) if n else float("nan")
        rows.append(Bin(float(low), float(high), n, positives, interval, mean))
    return tuple(rows)


def _merged_edges(p: NDArray[np.float64], bins: int, least: int) -> list[float]:
    edges = [0.0]
    for edge in np.linspace(0, 1, bins + 1)[1:-1]:
        if ((p >= edges[-1]) & (p < edge)).sum() >= least and (p >= edge).sum() >= least:
            edges.append(float(np.round(edge, 10)))
    return [*edges, 1.0]


def choose_threshold(
    labels: ArrayLike, scores: ArrayLike, *, specificity: float | None = None, sensitivity: float | None = None
) -> float:
    """Operating threshold, a midpoint between two scores so that > and >= agree.

    With `specificity`: the lowest threshold reaching it. With `sensitivity`: the highest threshold reaching it.
    With neither: the largest Youden index (sensitivity + specificity - 1), the middle one of ties.
    """
    if specificity is not None and sensitivity is not None:
        raise DataError("Choose the threshold for a specificity or for a sensitivity, not for both.")
    y, s = _two_classes(labels), np.asarray(scores, np.float64)
    u = np.unique(s)
    cuts = np.concatenate([[u[0] - _TINY], (u[1:] + u[:-1]) / 2, [u[-1] + _TINY]])  # midpoints, and just outside
    positive, negative = np.sort(s[y == 1]), np.sort(s[y == 0])
    sens = 1 - np.searchsorted(positive, cuts) / len(positive)
    spec = np.searchsorted(negative, cuts) / len(negative)
    if specificity is not None:
        return float(cuts[np.flatnonzero(spec >= specificity - 1e-12)[0]])
    if sensitivity is not None:
        return float(cuts[np.flatnonzero(sens >= sensitivity - 1e-12)[-1]])
    best = np.flatnonzero(np.isclose(sens + spec, (sens + spec).max(), atol=1e-12))
    return float(cuts[best[len(best) // 2]])


def indeterminate_band(
    labels: ArrayLike, probabilities: ArrayLike, threshold: float, kept: float = 0.95
) -> tuple[float, float]:
    """(low, high) around the threshold: below `low` the validation sensitivity is `kept`, above `high` the specificity.

    So an answer outside the band misses at most 5 % of strokes, or raises at most 5 % false alarms, on validation.
    """
    low = choose_threshold(labels, probabilities, sensitivity=kept)
    high = choose_threshold(labels, probabilities, specificity=kept)
    return float(np.clip(min(low, threshold), 0, 1)), float(np.clip(max(high, threshold), 0, 1))
