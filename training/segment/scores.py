"""How well marked regions agree with the truth: overlap per slice and patient, lesions found, areas, false alarms.

Everything is counted in the slice's own pixels and only where the truth is known. Intervals are 95 % by bootstrap
over patients, whose slices are near copies of each other.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import cv2
import numpy as np
from numpy.typing import ArrayLike, NDArray

from strokenext.types import BoolArray
from training.measure.bootstrap import RowStatistic, bootstrap_rows, group_rows

#: A true part of fewer pixels is a splinter of a rim, no lesion to be found.
LEAST_LESION = 9
#: A lesion is found when at least this share of it is marked.
FOUND = 0.1


@dataclass(frozen=True)
class Counts:
    """One class on one slice, in pixels: marked and true, marked, true; and in connected parts.

    `lesions` true parts of which `found` are marked in part, and `false_parts` marked parts that touch no truth.
    """

    both: int
    marked: int
    true: int
    lesions: int
    found: int
    false_parts: int

    @property
    def dice(self) -> float:
        """2 |A and B| / (|A| + |B|); 1 where there is neither a mark nor a lesion."""
        whole = self.marked + self.true
        return 2 * self.both / whole if whole else 1.0

    @property
    def iou(self) -> float:
        """|A and B| / |A or B|; 1 where there is neither."""
        union = self.marked + self.true - self.both
        return self.both / union if union else 1.0

    def __add__(self, other: Counts) -> Counts:
        return Counts(*(a + b for a, b in zip(vars(self).values(), vars(other).values(), strict=True)))


NONE = Counts(0, 0, 0, 0, 0, 0)


def count(marked: BoolArray, true: BoolArray, known: BoolArray) -> Counts:
    """The counts of one class; all three (H, W)."""
    a, b = marked & known, true & known
    parts, truth = _parts(a), [p for p in _parts(b) if p.sum() >= LEAST_LESION]
    hits = sum(float(a[p].mean()) >= FOUND for p in truth)
    near = cv2.dilate(true.astype(np.uint8), np.ones((3, 3), np.uint8)) > 0
    loose = sum(not near[p].any() for p in parts)
    return Counts(int((a & b).sum()), int(a.sum()), int(b.sum()), len(truth), hits, loose)


def _parts(mask: BoolArray) -> list[BoolArray]:
    number, labels = cv2.connectedComponents(mask.astype(np.uint8), connectivity=8)
    return [np.asarray(labels == k) for k in range(1, number)]


def lesion_scores(counts: Sequence[Counts], units: Sequence[str], draws: int = 1000) -> dict[str, Any]:
    """Scores on slices that show the class; `units` are their patients.

    `dice` and `iou` are means over slices, `dice_patients` over patients with a patient's pixels taken together,
    `dice_pixels` of all pixels at once. `area` compares marked with true pixels slice by slice, `volume` patient by
    patient (pixels summed over that patient's slices).
    """
    rows, names = list(counts), np.asarray(units)
    per_patient = [sum((rows[i] for i in group), NONE) for group in group_rows(names, len(rows))]
    values = np.array([list(vars(c).values()) for c in rows], dtype=np.float64)

    def over(statistic: RowStatistic) -> dict[str, Any]:
        return _over(statistic, names, draws)

    def pooled(chosen: NDArray[np.intp]) -> float:
        both, marked, true = values[chosen, :3].sum(axis=0)
        return float(2 * both / (marked + true)) if marked + true else float("nan")

    dice, iou = (np.array([getattr(c, name) for c in rows]) for name in ("dice", "iou"))
    return {
        "slices": len(rows),
        "patients": len(per_patient),
        "dice": over(lambda i: float(dice[i].mean())),
        "iou": over(lambda i: float(iou[i].mean())),
        "dice_pixels": over(pooled),
        "dice_patients": _mean([c.dice for c in per_patient], draws),
        "iou_patients": _mean([c.iou for c in per_patient], draws),
        "median_dice": float(np.median(dice)),
        "slices_missed": over(lambda i: float((values[i, 0] == 0).mean())),
        "lesions_found": over(lambda i: float(values[i, 4].sum() / max(1.0, values[i, 3].sum()))),
        "lesions": int(values[:, 3].sum()),
        "false_parts_per_slice": over(lambda i: float(values[i, 5].mean())),
        "area": agreement(values[:, 1], values[:, 2]),
        "volume": agreement([c.marked for c in per_patient], [c.true for c in per_patient]),
    }


def free_scores(pixels: Sequence[int], heads: Sequence[int], units: Sequence[str], draws: int = 1000) -> dict[str, Any]:
    """False alarms on slices free of a lesion: `pixels` marked on each and `heads` pixels of head on each."""
    marked, whole, names = np.asarray(pixels, np.float64), np.asarray(heads, np.float64), np.asarray(units)
    share = marked / np.maximum(whole, 1)
    return {
        "slices": len(marked),
        "patients": len(group_rows(names, len(marked))),
        "slices_marked": _over(lambda i: float((marked[i] > 0).mean()), names, draws),
        "marked_share_of_head": _over(lambda i: float(share[i].mean()), names, draws),
        "largest_share_of_head": float(share.max(initial=0.0)),
    }


def agreement(marked: ArrayLike, true: ArrayLike) -> dict[str, Any]:
    """Correlation, mean difference in pixels with the limits of agreement (Bland and Altman 1986), ratio of sums."""
    a, b = np.asarray(marked, np.float64), np.asarray(true, np.float64)
    difference = a - b
    spread = float(difference.std(ddof=1)) if len(a) > 1 else float("nan")
    steady = len(a) < 3 or a.std() == 0 or b.std() == 0
    mean = float(difference.mean())
    return {
        "correlation": float("nan") if steady else float(np.corrcoef(a, b)[0, 1]),
        "mean_difference": mean,
        "limits_of_agreement": [mean - 1.96 * spread, mean + 1.96 * spread],
        "mean_true": float(b.mean()),
        "marked_over_true": float(a.sum() / b.sum()) if b.sum() else float("nan"),
    }


def _over(statistic: RowStatistic, units: Sequence[str] | NDArray[Any], draws: int) -> dict[str, Any]:
    return bootstrap_rows(statistic, units, len(units), draws=draws)[0].to_dict()


def _mean(values: Sequence[float], draws: int) -> dict[str, Any]:
    column = np.asarray(values)
    return _over(lambda i: float(column[i].mean()), [str(i) for i in range(len(column))], draws)
