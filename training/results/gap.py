"""How much better a model looks when slices of one patient may stand on both sides of the split.

The gap is a measure on the image-level test part minus the same measure on the grouped one. The two parts overlap in
patients, so the interval comes from resampling the patients of both together: a drawn patient brings his slices of
either part. Where enough slices stand in both parts, the gap on those alone compares the two trainings on the very
same pictures, patient by patient.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from functools import cache

import numpy as np
from numpy.typing import NDArray

from training.measure.bootstrap import Statistic, bootstrap_rows, paired_bootstrap
from training.measure.estimate import Estimate
from training.measure.metrics import auroc
from training.measure.result import Predictions

from .paper import TABLES, Published, published
from .tree import Entry, Material, short_titles

#: Scores of slices, (N,).
Scores = NDArray[np.float64]
#: Resamples of an interval.
DRAWS = 1000
#: Fewer shared slices, or fewer of either class among them, say nothing about the gap.
LEAST_SHARED = 30
LEAST_OF_A_CLASS = 5


@dataclass(frozen=True)
class Gap:
    """Image level minus grouped: of the measure named, on each protocol's own test part and on the shared slices."""

    image: float
    grouped: float
    difference: Estimate
    shared: Estimate | None = None


@dataclass(frozen=True)
class BothProtocols:
    """An architecture under both protocols, beside the paper's figures; None for what there is not."""

    title: str
    paper: Published | None
    image: Entry | None
    grouped: Entry | None

    @property
    def gaps(self) -> tuple[Gap, Gap] | tuple[None, None]:
        """Gap in accuracy and in AUROC; (None, None) unless both protocols were run."""
        if self.image is None or self.grouped is None:
            return None, None
        return accuracy_gap(self.image, self.grouped), auroc_gap(self.image, self.grouped)


def architectures(task: str, entries: Sequence[Entry]) -> list[str]:
    """The paper's ten first, in its order, then what else was measured, in the zoo's."""
    return list(dict.fromkeys([row.architecture for row in TABLES[task]] + [e.architecture for e in entries]))


def both_protocols(material: Material, task: str) -> list[BothProtocols]:
    """Every architecture that was run under one of the two protocols."""
    titles, rows = short_titles(), []
    for a in architectures(task, material.of(task, "image", "grouped")):
        image, grouped = material.one(task, "image", a), material.one(task, "grouped", a)
        if image or grouped:
            rows.append(BothProtocols(titles.get(a, a), published(task, a), image, grouped))
    return rows


@cache
def auroc_gap(image: Entry, grouped: Entry) -> Gap:
    """Gap in AUROC."""
    return _gap(image, grouped, auroc, (0.0, 0.0))


@cache
def accuracy_gap(image: Entry, grouped: Entry) -> Gap:
    """Gap in accuracy at each model's own stored threshold."""

    def right(y: NDArray[np.int64], s: Scores) -> float:
        return float(((s >= 0) == (y == 1)).mean()) if len(y) else float("nan")

    thresholds = (float(image.result.model["threshold"]), float(grouped.result.model["threshold"]))
    return _gap(image, grouped, right, thresholds)


def _gap(image: Entry, grouped: Entry, statistic: Statistic, thresholds: tuple[float, float]) -> Gap:
    """The gap in a statistic of scores from which each model's threshold is taken."""
    a, b = image.result.predictions, grouped.result.predictions
    s, t = (
        e.result.predictions.probabilities(e.result.scale) - threshold
        for e, threshold in zip((image, grouped), thresholds, strict=True)
    )

    def difference(rows: NDArray[np.intp]) -> float:
        """On resampled rows of both test parts, those of `a` first; nan where one of them has none."""
        left, right = rows[rows < len(a)], rows[rows >= len(a)] - len(a)
        if not len(left) or not len(right):
            return float("nan")
        return statistic(a.labels[left], s[left]) - statistic(b.labels[right], t[right])

    units = [*a.units, *b.units]
    joint, _ = bootstrap_rows(difference, units, len(units), draws=DRAWS)
    return Gap(statistic(a.labels, s), statistic(b.labels, t), joint, _shared(statistic, a, s, b, t))


def _shared(statistic: Statistic, a: Predictions, s: Scores, b: Predictions, t: Scores) -> Estimate | None:
    """The paired gap on slices of both test parts; None where there are too few."""
    at = {path: i for i, path in enumerate(b.paths)}
    left = np.array([i for i, path in enumerate(a.paths) if path in at], np.intp)
    right = np.array([at[a.paths[i]] for i in left], np.intp)
    if len(left) < LEAST_SHARED or min((a.labels[left] == c).sum() for c in (0, 1)) < LEAST_OF_A_CLASS:
        return None
    units = [a.units[i] for i in left]
    return paired_bootstrap(statistic, a.labels[left], s[left], t[right], units, draws=DRAWS)[0]
