"""Measures of many heat maps to means with intervals over patients, in all and source by source."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from training.measure.bootstrap import bootstrap, paired_bootstrap
from training.measure.estimate import text

from .heat import HeatScores


def summarise(scores: Sequence[HeatScores]) -> dict[str, Any]:
    """Means with 95 % intervals over patients, medians of the ratios; hits and energy also minus the centre prior."""
    summary: dict[str, Any] = {"images": len(scores), "no_heat": sum(c.outside is None for c in scores)}
    for name in (f for f in HeatScores.__dataclass_fields__ if f not in ("unit", "source")):
        estimate = _estimate(scores, name)
        if estimate is not None:
            summary[name] = estimate
    if "ratio" in summary:
        values, units = _column(scores, "ratio")
        summary["ratio_above_one"] = bootstrap(_mean, np.zeros(len(values)), values > 1, units).to_dict()
    for name in ("hit", "energy"):
        difference = _minus_control(scores, name)
        if difference is not None:
            summary[f"{name}_minus_control"] = difference
    summary["by_source"] = {
        s: _of_source([c for c in scores if c.source == s]) for s in sorted({c.source for c in scores})
    }
    return summary


def _of_source(scores: Sequence[HeatScores]) -> dict[str, Any]:
    names = ("hit", "energy", "mask_share", "ratio", "outside")
    rows = {n: e for n in names if (e := _estimate(scores, n)) is not None}
    difference = _minus_control(scores, "hit")
    return {"images": len(scores), **rows} | ({"hit_minus_control": difference} if difference else {})


def _estimate(scores: Sequence[HeatScores], name: str) -> dict[str, Any] | None:
    """A measure with its interval; of ratios the median, which one map without heat in the rest does not carry away."""
    values, units = _column(scores, name)
    statistic = _median if name.endswith("ratio") else _mean
    return bootstrap(statistic, np.zeros(len(values)), values, units).to_dict() if len(values) else None


def _minus_control(scores: Sequence[HeatScores], name: str) -> dict[str, Any] | None:
    both = [c for c in scores if getattr(c, name) is not None]
    if not both:
        return None
    a, _ = _column(both, name)
    b, units = _column(both, f"control_{name}")
    difference, p = paired_bootstrap(_mean, np.zeros(len(a)), a, b, units)
    return difference.to_dict() | {"p": p}


def _column(scores: Sequence[HeatScores], name: str) -> tuple[NDArray[np.float64], list[str]]:
    """The defined values of one measure and their units."""
    rows = [(getattr(c, name), c.unit) for c in scores if getattr(c, name) is not None]
    return np.array([v for v, _ in rows], np.float64), [u for _, u in rows]


def _mean(_: NDArray[np.int64], values: NDArray[np.float64]) -> float:
    return float(values.mean())


def _median(_: NDArray[np.int64], values: NDArray[np.float64]) -> float:
    return float(np.median(values))


def table(summary: dict[str, Any]) -> str:
    """The summary, a measure a line, then the sources."""
    masks = ", ".join(summary["masks_of"]) or "-"
    lines = [f"{summary['images']} slices, {summary['no_heat']} without heat; masks of {masks}"]
    for name, row in summary.items():
        if isinstance(row, dict) and "value" in row:
            lines.append(f"  {name:22s} {text(row)}")
    for source, rows in summary["by_source"].items():
        measured = "; ".join(f"{n} {text(row)}" for n, row in rows.items() if n != "images")
        lines.append(f"  {source}, {rows['images']} slices: {measured}")
    return "\n".join(lines)
