"""Paired comparison of result files on the same cases: bootstrap over units, McNemar over patients, Holm."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from strokenext.errors import DataError

from .bootstrap import holm, mcnemar, paired_bootstrap
from .estimate import text
from .metrics import aggregate, auroc
from .result import Result


def compare(results: Sequence[Result], *, draws: int = 2000, seed: int = 0) -> dict[str, Any]:
    """The first result against each other one; p values adjusted by Holm over the others.

    McNemar's test needs independent cases, so it is over units (patients): a unit is called positive when its
    aggregated score reaches the model's own threshold. Raises DataError unless all saw the same slices.
    """
    if len(results) < 2:
        raise DataError("A comparison needs at least two result files.")
    first, others = results[0], results[1:]
    rows = [_row(first, other, draws, seed) for other in others]
    for key in ("auroc_p", "mcnemar_p"):
        for row, adjusted in zip(rows, holm([r[key] for r in rows]), strict=True):
            row[f"{key}_holm"] = adjusted
    return {"model": first.name, "task": first.model["task"], "against": rows}


def _row(first: Result, other: Result, draws: int, seed: int) -> dict[str, Any]:
    a, b = first.predictions, other.predictions
    where = {path: i for i, path in enumerate(b.paths)}
    if set(where) != set(a.paths) or first.model["task"] != other.model["task"]:
        raise DataError(f"{first.name} and {other.name} were not evaluated for one task on the same slices.")
    order = np.array([where[p] for p in a.paths])
    if not np.array_equal(b.labels[order], a.labels) or [b.units[i] for i in order] != list(a.units):
        raise DataError(
            f"{first.name} and {other.name} were judged by different labels or patients (a control run, or data "
            "prepared again); their difference would mean nothing."
        )
    difference, p = paired_bootstrap(auroc, a.labels, a.logits, b.logits[order], a.units, draws=draws, seed=seed)
    only_first, only_other, p_mcnemar = mcnemar(_unit_right(first), _unit_right(other))
    return {
        "name": other.name,
        "auroc": auroc(b.labels, b.logits),
        "auroc_difference": difference.to_dict(),
        "auroc_p": p,
        "only_first_right": only_first,
        "only_other_right": only_other,
        "mcnemar_p": p_mcnemar,
    }


def _unit_right(result: Result) -> NDArray[np.bool_]:
    """Per unit, in the order of unit names: whether the call at the model's threshold is right."""
    p = result.predictions.probabilities(result.scale)
    per_unit = aggregate(result.predictions.labels, p, result.predictions.units)
    return np.asarray((per_unit.scores >= result.model["threshold"]) == (per_unit.labels == 1))


def table(comparison: dict[str, Any]) -> str:
    """The comparison as a Markdown table."""
    heads = ("AUROC difference (95 %)", "p, Holm", "right alone: first / other", "McNemar p, Holm")
    lines = [f"{comparison['model']} against | " + " | ".join(heads), "---|---|---|---|---"]
    for r in comparison["against"]:
        lines.append(
            f"{r['name']} | {text(r['auroc_difference'], signed=True)} | {r['auroc_p_holm']:.4f} | "
            f"{r['only_first_right']} / {r['only_other_right']} | {r['mcnemar_p_holm']:.4f}"
        )
    return "\n".join(lines)
