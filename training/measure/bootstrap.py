"""Intervals and tests that respect patients: bootstrap over groups, Wilson, McNemar, Holm.

Slices of one patient are near copies, so the unit that is drawn is the group (patient), never the slice.
`groups` is (N,) of any hashable values; None makes every row its own group.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence

import numpy as np
from numpy.typing import ArrayLike, NDArray
from scipy import stats

from strokenext.errors import DataError

from .estimate import Estimate

#: f(labels, scores) -> a number, nan where it is undefined (one class only).
Statistic = Callable[[NDArray[np.int64], NDArray[np.float64]], float]
#: f(row numbers) -> a number, nan where it is undefined.
RowStatistic = Callable[[NDArray[np.intp]], float]


def group_rows(groups: ArrayLike | None, n: int) -> list[NDArray[np.intp]]:
    """The row numbers of each group, in order of the sorted group names."""
    if groups is None:
        return [np.array([i]) for i in range(n)]
    names = np.asarray(groups)
    if names.shape != (n,):
        raise DataError(f"There are {n} rows and {names.shape} group names; give one for each row.")
    _, codes = np.unique(names.astype(str), return_inverse=True)
    order = np.argsort(codes, kind="stable")
    return np.split(order, np.flatnonzero(np.diff(codes[order])) + 1)


def bootstrap_rows(
    statistic: RowStatistic, groups: ArrayLike | None, n: int, *, draws: int = 1000, seed: int = 0
) -> tuple[Estimate, NDArray[np.float64]]:
    """A statistic of row numbers with its percentile interval (2.5 to 97.5 %) over resampled groups, and its draws.

    A sample is of whole groups with replacement, as many as there are. Samples on which the statistic is undefined
    are omitted; with fewer than half defined the interval is nan.
    """
    rows, rng = group_rows(groups, n), np.random.default_rng(seed)
    samples = (np.concatenate([rows[i] for i in rng.integers(0, len(rows), len(rows))]) for _ in range(draws))
    values = np.array([statistic(sample) for sample in samples])
    defined = values[np.isfinite(values)]
    low, high = np.percentile(defined, [2.5, 97.5]) if len(defined) * 2 >= draws > 0 else (np.nan, np.nan)
    estimate = Estimate(float(statistic(np.arange(n))), float(low), float(high), n, len(rows))
    return estimate, defined


def bootstrap(
    statistic: Statistic,
    labels: ArrayLike,
    scores: ArrayLike,
    groups: ArrayLike | None = None,
    *,
    draws: int = 1000,
    seed: int = 0,
) -> Estimate:
    """The statistic with its percentile interval over resampled groups, as `bootstrap_rows`."""
    y, s = np.asarray(labels, np.int64), np.asarray(scores, np.float64)
    return bootstrap_rows(lambda rows: statistic(y[rows], s[rows]), groups, len(y), draws=draws, seed=seed)[0]


def paired_bootstrap(
    statistic: Statistic,
    labels: ArrayLike,
    first: ArrayLike,
    second: ArrayLike,
    groups: ArrayLike | None = None,
    *,
    draws: int = 2000,
    seed: int = 0,
) -> tuple[Estimate, float]:
    """Difference statistic(first) - statistic(second) on the same resampled groups, and its two-sided p value.

    p = 2 min(P(d <= 0), P(d >= 0)), each with one added to numerator and denominator so that it is never 0; nan
    where there is no interval.
    """
    y = np.asarray(labels, np.int64)
    a, b = np.asarray(first, np.float64), np.asarray(second, np.float64)

    def difference(rows: NDArray[np.intp]) -> float:
        return statistic(y[rows], a[rows]) - statistic(y[rows], b[rows])

    estimate, defined = bootstrap_rows(difference, groups, len(y), draws=draws, seed=seed)
    if np.isnan(estimate.low):
        return estimate, float("nan")
    tails = min((defined <= 0).sum(), (defined >= 0).sum())
    return estimate, min(1.0, 2.0 * (tails + 1) / (len(defined) + 1))


def mcnemar(first_correct: ArrayLike, second_correct: ArrayLike) -> tuple[int, int, float]:
    """Exact McNemar test on INDEPENDENT units (patients): only-first-right, only-second-right, two-sided p."""
    a, b = np.asarray(first_correct, bool), np.asarray(second_correct, bool)
    if a.shape != b.shape:
        raise DataError("McNemar's test compares two models on the same cases.")
    only_a, only_b = int((a & ~b).sum()), int((b & ~a).sum())
    p = stats.binomtest(only_a, only_a + only_b, 0.5).pvalue if only_a + only_b else 1.0
    return only_a, only_b, float(p)


def holm(p_values: Sequence[float]) -> list[float]:
    """Holm's step-down adjusted p values, in the order given; nan stays nan and does not count."""
    p = np.asarray(p_values, np.float64)
    adjusted = np.full_like(p, np.nan)
    order = [i for i in np.argsort(p, kind="stable") if np.isfinite(p[i])]
    highest = 0.0
    for rank, i in enumerate(order):
        highest = max(highest, min(1.0, float(p[i]) * (len(order) - rank)))
        adjusted[i] = highest
    return [float(v) for v in adjusted]


def wilson(positives: int, n: int, confidence: float = 0.95) -> tuple[float, float]:
    """Wilson's score interval of a proportion; (0, 1) when nothing was observed."""
    if n == 0:
        return 0.0, 1.0
    interval = stats.binomtest(positives, n).proportion_ci(confidence, method="wilson")
    return float(interval.low), float(interval.high)
