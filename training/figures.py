"""Figures of a result: ROC by source, reliability, decision curve, confusion matrix; safe for colour-blind eyes."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

import numpy as np
from sklearn.metrics import roc_curve

from .metrics import auroc, reliability_bins
from .results import Result

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

#: Okabe and Ito's palette.
COLOURS = ("#0072B2", "#D55E00", "#009E73", "#CC79A7", "#E69F00", "#56B4E9", "#000000")


def _figure(title: str, size: tuple[float, float] = (4.6, 3.8)) -> tuple[Figure, Axes]:
    """An empty figure that no window manager knows of."""
    from matplotlib.figure import Figure

    figure = Figure(figsize=size, layout="constrained")
    axes = figure.add_subplot()
    axes.set_title(title, fontsize=10)
    axes.spines[["top", "right"]].set_visible(False)
    return figure, axes


def roc(result: Result) -> Figure:
    """ROC curve of all slices and of each source that has both classes."""
    figure, axes = _figure(f"ROC, {result.name}")
    p = result.predictions
    groups = {"all": np.ones(len(p), bool)}
    groups |= {s: np.array([x == s for x in p.sources]) for s in sorted(set(p.sources))}
    for i, (name, keep) in enumerate(groups.items()):
        if len(set(p.labels[keep].tolist())) == 2 and not (name != "all" and keep.all()):
            fpr, tpr, _ = roc_curve(p.labels[keep], p.logits[keep])
            label = f"{name} ({auroc(p.labels[keep], p.logits[keep]):.3f})"
            axes.plot(fpr, tpr, color=COLOURS[i % len(COLOURS)], label=label, lw=2 if name == "all" else 1.2)
    axes.plot([0, 1], [0, 1], color="0.7", lw=0.8)
    axes.set(xlabel="1 - specificity", ylabel="sensitivity", aspect="equal")
    axes.legend(fontsize=8, frameon=False, loc="lower right")
    return figure


def reliability(result: Result) -> Figure:
    """Observed against predicted, before and after temperature scaling, with intervals over patients."""
    figure, axes = _figure(f"Reliability, {result.name}")
    p = result.predictions
    for colour, (name, t) in zip(COLOURS, (("before", 1.0), ("after", result.model["temperature"])), strict=False):
        bins = [b for b in reliability_bins(p.labels, p.probabilities(t), p.units) if b.n]
        x, y = [b.mean for b in bins], [b.positives / b.n for b in bins]
        error = [[max(v - b.interval[0], 0) for v, b in zip(y, bins, strict=True)],
                 [max(b.interval[1] - v, 0) for v, b in zip(y, bins, strict=True)]]  # fmt: skip
        axes.errorbar(x, y, yerr=error, fmt="o-", ms=4, lw=1.2, capsize=2, color=colour, label=f"{name} (T = {t:.2f})")
    axes.plot([0, 1], [0, 1], color="0.7", lw=0.8)
    axes.set(xlabel="predicted probability", ylabel="observed fraction", xlim=(0, 1), ylim=(0, 1), aspect="equal")
    axes.legend(fontsize=8, frameon=False)
    return figure


def decision(result: Result) -> Figure:
    """Net benefit of the model, of calling everyone positive, and of nobody."""
    figure, axes = _figure(f"Decision curve, {result.name}")
    rows: Sequence[dict[str, Any]] = result.metrics["decision_curve"]
    x = [r["threshold"] for r in rows]
    axes.plot(x, [r["model"] for r in rows], color=COLOURS[0], lw=2, label="model")
    axes.plot(x, [r["all"] for r in rows], color=COLOURS[1], label="call all positive")
    axes.axhline(0, color="0.4", lw=1, label="call none positive")
    top = max(r["model"] for r in rows)
    axes.set(xlabel="threshold probability", ylabel="net benefit", ylim=(min(-0.05, -top / 4), top * 1.15 + 0.02))
    axes.legend(fontsize=8, frameon=False)
    return figure


def confusion(result: Result) -> Figure:
    """Counts at the operating threshold."""
    figure, axes = _figure(f"Confusion matrix, {result.name}", (3.8, 3.4))
    matrix = np.array(result.metrics["at_threshold"]["confusion"])
    names = result.model.get("classes") or ["negative", "positive"]
    share = matrix / np.maximum(matrix.sum(axis=1, keepdims=True), 1)
    axes.imshow(share, cmap="Blues", vmin=0, vmax=1)
    for (i, j), n in np.ndenumerate(matrix):
        axes.text(
            j, i, f"{n}\n{share[i, j]:.0%}", ha="center", va="center", color="white" if share[i, j] > 0.5 else "black"
        )
    axes.set(xticks=(0, 1), yticks=(0, 1), xlabel="called", ylabel="labelled")
    axes.set_xticklabels(names)
    axes.set_yticklabels(names)
    return figure


def convergence(name: str, history: Sequence[dict[str, Any]]) -> Figure:
    """Every per-epoch number of a run: losses on the left axis, measures of 0 to 1 on the right."""
    figure, axes = _figure(f"Training, {name}", (5.2, 3.6))
    other = axes.twinx()
    other.set_ylim(0, 1)
    keys = [
        k for k, v in history[-1].items() if isinstance(v, int | float) and k not in ("epoch", "step", "seconds", "lr")
    ]
    for i, key in enumerate(keys):
        loss = "loss" in key
        points = [(n, row[key]) for n, row in enumerate(history, 1) if row.get(key) is not None]
        (axes if loss else other).plot(
            *zip(*points, strict=True), "--" if loss else "-", color=COLOURS[i % 7], label=key
        )
    axes.set(xlabel="epoch", ylabel="loss (dashed)")
    figure.legend(fontsize=7, frameon=False, loc="outside lower center", ncols=4)
    return figure


def all_of(result: Result) -> list[Figure]:
    """The figures that the result has data for."""
    if "decision_curve" not in result.metrics:
        return [confusion(result)]
    return [roc(result), reliability(result), decision(result), confusion(result)]
