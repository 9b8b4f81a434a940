"""Measures of many heat maps to means with intervals over patients, in all and source by source."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import fields
from typing import Any

import numpy as np
from numpy.typing import NDArray

from training.measure.bootstrap import bootstrap, paired_bootstrap
from training.measure.estimate import text

from .heat import HeatScores


def summarise(scores: Sequence[HeatScores]) -> dict[str, Any]:
    """Means with 95 % intervals over patients, medians of the ratios; hits and energy also minus the centre prior."""
    summary: dict[str, Any] = {"images": len(scores), "no_heat": sum(c.outside is None for c in scores)}
    summary |= _estimates(scores, *(f.name for f in fields(HeatScores) if f.name not in ("unit", "source")))
    if "ratio" in summary:
        values, units = _column(scores, "ratio")
        summary["ratio_above_one"] = bootstrap(_mean, np.zeros(len(values)), values > 1, units).to_dict()
    summary |= _minus_control(scores, "hit", "energy")
    summary["by_source"] = {}
    for source in sorted({c.source for c in scores}):
        own = [c for c in scores if c.source == source]
        measures = _estimates(own, "hit", "energy", "mask_share", "ratio", "outside")
        summary["by_source"][source] = {"images": len(own), **measures, **_minus_control(own, "hit")}
    return summary


def _estimates(scores: Sequence[HeatScores], *names: str) -> dict[str, Any]:
    """Those of the measures that an image has, each with its interval.

    Of ratios it is the median, which one map without heat in the rest does not carry away.
    """
    rows: dict[str, Any] = {}
    for name in names:
        values, units = _column(scores, name)
        statistic = _median if name.endswith("ratio") else _mean
        if len(values):
            rows[name] = bootstrap(statistic, np.zeros(len(values)), values, units).to_dict()
    return rows


def _minus_control(scores: Sequence[HeatScores], *names: str) -> dict[str, Any]:
    rows: dict[str, Any] = {}
    for name in names:
        values, units = _column(scores, name)
        if len(values):
            control, _ = _column(scores, f"control_{name}")
            difference, p = paired_bootstrap(_mean, np.zeros(len(values)), values, control, units)
            rows[f"{name}_minus_control"] = difference.to_dict() | {"p": p}
    return rows


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
