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
from strokenext.record.calibration import Calibration

from .bootstrap import bootstrap, group_rows, wilson

_TINY = 1e-7
#: What turns margins into probabilities: a temperature, or a calibration with its intervals.
Scale = float | Calibration
#: Blocks of validation slices that a calibration starts from, at most and with at least so many slices each; neighbours
#: whose order validation contradicts are merged.
BLOCKS, LEAST = 12, 25
#: Resampled sets of patients behind a calibration's intervals.
CALIBRATION_DRAWS = 1000


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


def operating_point(
    labels: ArrayLike, logits: ArrayLike, kept: float, scale: Calibration | None = None
) -> OperatingPoint:
    """Temperature with balanced classes, Youden's threshold, and the band that keeps a sensitivity below it and a
    specificity above it of `kept`; threshold and band on the probabilities of `scale`, else of the temperature."""
    temperature = fit_temperature(labels, logits)
    p = calibrated(logits, temperature if scale is None else scale)
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


def calibrated(logits: ArrayLike, scale: Scale) -> NDArray[np.float64]:
    """(N,) calibrated probability of the positive class."""
    if isinstance(scale, Calibration):
        return np.array([scale.at(z).probability for z in margin(logits).tolist()], np.float64)
    return apply_temperature(logits, scale)


class _Blocks(NamedTuple):
    """Neighbouring slices pooled until their shares rise: mean margin, smoothed share of positives, slices."""

    margins: NDArray[np.float64]
    shares: NDArray[np.float64]
    n: NDArray[np.float64]

    def at(self, margins: NDArray[np.float64]) -> NDArray[np.float64]:
        return np.interp(margins, self.margins, self.shares)


def fit_calibration(labels: ArrayLike, logits: ArrayLike, groups: ArrayLike, *, seed: int = 0) -> Calibration:
    """The observed share of positives as a rising function of the margin, with 95 % intervals over groups.

    The fit is centred isotonic regression on blocks of like size; the interval is by the same fit on resampled
    groups, widened to Wilson's on the block's own groups where all of them have one outcome (that bootstrap cannot
    vary). A share that rises is at least the lower end of any block below it and at most the upper end of any above.
    Raises DataError with one class.
    """
    y, z, names = _two_classes(labels), margin(logits), np.asarray(groups).astype(str)
    cuts = _cuts(z)
    found = _blocks(z, y, np.ones_like(z), cuts)
    low, high = _between(z, y, names, cuts, found.margins, seed)
    edges = [-np.inf, *((found.margins[1:] + found.margins[:-1]) / 2), np.inf]
    for k, (start, end) in enumerate(pairwise(edges)):
        inside = (z >= start) & (z < end)
        if len(set(y[inside].tolist())) == 1:
            units = len(np.unique(names[inside]))
            sure = wilson(units if y[inside][0] else 0, units)
            low[k], high[k] = min(low[k], sure[0]), max(high[k], sure[1])
    low, high = np.minimum(low, found.shares), np.maximum(high, found.shares)
    low, high = np.maximum.accumulate(low), np.minimum.accumulate(high[::-1])[::-1]
    margins, shares, lows, highs = (tuple(c.tolist()) for c in (found.margins, found.shares, low, high))
    return Calibration(margins, shares, lows, highs, tuple(int(n) for n in found.n))


def _cuts(z: NDArray[np.float64]) -> NDArray[np.float64]:
    """Margins between blocks of equal size."""
    values = np.sort(z)
    count = int(np.clip(len(z) // LEAST, 1, BLOCKS))
    places = np.linspace(0, len(z), count + 1).astype(int)[1:-1]
    return np.unique((values[places - 1] + values[places]) / 2)


def _blocks(
    z: NDArray[np.float64], y: NDArray[np.float64], weights: NDArray[np.float64], cuts: NDArray[np.float64]
) -> _Blocks:
    """The share of positives in each block, neighbours pooled while it does not rise (Oron and Flournoy 2017)."""
    which, bins = np.searchsorted(cuts, z, side="right"), len(cuts) + 1
    sums = [np.bincount(which, column, bins) for column in (weights, weights * y, weights * z)]
    pooled: list[NDArray[np.float64]] = []
    for block in np.column_stack(sums):
        if block[0] <= 0:
            continue
        pooled.append(block)
        while len(pooled) > 1 and _share(pooled[-2]) >= _share(pooled[-1]):
            pooled[-2:] = [pooled[-2] + pooled[-1]]
    n, _, total = np.array(pooled).T
    return _Blocks(total / n, np.array([_share(b) for b in pooled]), n)


def _share(block: NDArray[np.float64]) -> float:
    """The share of positives, with half a positive and half a negative added: never 0 or 1."""
    return float((block[1] + 0.5) / (block[0] + 1))


def _between(
    z: NDArray[np.float64],
    y: NDArray[np.float64],
    names: NDArray[np.str_],
    cuts: NDArray[np.float64],
    at: NDArray[np.float64],
    seed: int,
) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """The 2.5th and 97.5th percentiles of the share at each margin over fits to resampled groups."""
    rows, rng = group_rows(names, len(z)), np.random.default_rng(seed)
    unit = np.empty(len(z), np.int64)
    for number, own in enumerate(rows):
        unit[own] = number
    drawn = (np.bincount(rng.integers(0, len(rows), len(rows)), minlength=len(rows)) for _ in range(CALIBRATION_DRAWS))
    shares = [_blocks(z, y, count[unit].astype(np.float64), cuts).at(at) for count in drawn]
    low, high = np.percentile(shares, [2.5, 97.5], axis=0)
    return low, high


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
