"""Figures of the report, small multiples with a panel per model; colours that colour-blind eyes tell apart."""

from __future__ import annotations

import argparse
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
from sklearn.metrics import roc_curve

from training.measure.calibration import reliability_bins
from training.measure.result import read_result
from training.results.gap import BothProtocols
from training.results.tree import Entry, entry_of

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

#: Okabe and Ito's palette.
COLOURS = ("#0072B2", "#D55E00", "#009E73", "#CC79A7", "#E69F00", "#56B4E9", "#000000")
#: Least width of a figure in inches, for its title.
WIDTH = 5.4
#: Ends of the names of a run's numbers that are drawn: losses to the left, measures of 0 to 1 to the right.
_DRAWN = ("loss", "auroc", "accuracy", "dice", "iou")


def _grid(title: str, panels: int, side: tuple[float, float] = (2.5, 2.3)) -> tuple[Figure, list[Axes]]:
    """A figure of that many panels, at most four side by side, that no window manager knows of."""
    from matplotlib.figure import Figure

    columns = min(panels, 4)
    rows = -(-panels // columns)
    figure = Figure(figsize=(max(side[0] * columns, WIDTH), side[1] * rows + 0.4), layout="constrained")
    figure.suptitle(title, fontsize=10)
    axes = [figure.add_subplot(rows, columns, n + 1) for n in range(panels)]
    for a in axes:
        a.spines[["top", "right"]].set_visible(False)
        a.tick_params(labelsize=7)
    return figure, axes


def _label(axes: Axes, title: str, x: str, y: str) -> None:
    axes.set_title(title, fontsize=8)
    axes.set_xlabel(x, fontsize=7)
    axes.set_ylabel(y, fontsize=7)


def _legend(axes: Axes, **options: Any) -> None:
    axes.legend(fontsize=6.5, frameon=False, **options)


def gaps(rows: Sequence[BothProtocols]) -> Figure:
    """Accuracy per model: the paper's, ours at image level, ours by patient, the last two with 95 % intervals."""
    figure, (axes,) = _grid("Accuracy: paper, image level, by patient", 1, (7.4, 0.9 + 0.32 * len(rows)))
    for n, row in enumerate(rows):
        both = [(e, c, m) for e, c, m in ((row.image, COLOURS[1], "o"), (row.grouped, COLOURS[0], "s")) if e]
        values = [e.metrics["at_threshold"]["accuracy"] for e, _, _ in both]
        if len(values) == 2:
            axes.plot([v["value"] for v in values], [n, n], color="0.75", lw=3, solid_capstyle="round", zorder=1)
        for (_, colour, marker), v in zip(both, values, strict=True):
            if v["low"] is not None:
                axes.plot([v["low"], v["high"]], [n, n], color=colour, lw=1, zorder=2)
            axes.plot(v["value"], n, marker, color=colour, ms=5, zorder=3)
        if row.paper:
            axes.plot(row.paper.accuracy, n, "D", mfc="none", mec="0.2", ms=5, zorder=3)
    for colour, marker, name in ((COLOURS[1], "o", "here, image level"), (COLOURS[0], "s", "here, by patient")):
        axes.plot([], [], marker, color=colour, label=name)
    axes.plot([], [], "D", mfc="none", mec="0.2", label="paper, image level of TEKNOFEST 2021")
    axes.set_yticks(range(len(rows)), [r.title for r in rows], fontsize=7.5)
    axes.set_ylim(len(rows) - 0.5, -0.5)
    axes.grid(axis="x", color="0.9")
    _label(axes, "", "accuracy", "")
    figure.legend(fontsize=7, frameon=False, loc="outside lower center", ncols=3)
    return figure


def roc(entries: Sequence[Entry]) -> Figure:
    """ROC curve per model: of all slices, and of each source that has both classes."""
    figure, panels = _grid("ROC, all slices and within each source", len(entries))
    names = sorted({s for e in entries for s in e.result.predictions.sources})
    for axes, e in zip(panels, entries, strict=True):
        p = e.result.predictions
        curves = [("all", np.ones(len(p), bool), "black")]
        curves += [(s, np.array([x == s for x in p.sources]), COLOURS[i % 6]) for i, s in enumerate(names)]
        for name, keep, colour in curves:
            if len(set(p.labels[keep].tolist())) == 2 and not (name != "all" and keep.all()):
                fpr, tpr, _ = roc_curve(p.labels[keep], p.logits[keep])
                axes.plot(fpr, tpr, color=colour, label=name, lw=1.6 if name == "all" else 1)
        axes.plot([0, 1], [0, 1], color="0.8", lw=0.7)
        axes.set(aspect="equal", xlim=(-0.02, 1.02), ylim=(-0.02, 1.02))
        _label(axes, e.title, "1 − specificity", "sensitivity")
        _legend(axes, loc="lower right")
    return figure


def reliability(entries: Sequence[Entry]) -> Figure:
    """Observed against predicted, before and after calibration, with intervals over patients."""
    figure, panels = _grid("Reliability before and after calibration", len(entries))
    for axes, e in zip(panels, entries, strict=True):
        p, scale = e.result.predictions, e.result.scale
        after = f"after, T {scale:.2f}" if isinstance(scale, float) else "after"
        for colour, (name, used) in zip(COLOURS[1::-1], (("before", 1.0), (after, scale)), strict=True):
            bins = [b for b in reliability_bins(p.labels, p.probabilities(used), p.units) if b.n]
            x, y = [b.mean for b in bins], np.array([b.positives / b.n for b in bins])
            low, high = np.array([b.interval for b in bins]).T
            error = np.maximum([y - low, high - y], 0)
            axes.errorbar(x, y, yerr=error, fmt="o-", ms=3, lw=1, elinewidth=0.7, color=colour, label=name)
        axes.plot([0, 1], [0, 1], color="0.8", lw=0.7)
        axes.set(xlim=(0, 1), ylim=(0, 1), aspect="equal")
        _label(axes, e.title, "predicted probability", "observed share")
        _legend(axes, loc="upper left")
    return figure


def decision(entries: Sequence[Entry]) -> Figure:
    """Net benefit of each model, of calling everyone positive, and of nobody."""
    figure, panels = _grid("Decision curves", len(entries))
    for axes, e in zip(panels, entries, strict=True):
        rows: Sequence[dict[str, Any]] = e.metrics["decision_curve"]
        x, top = [r["threshold"] for r in rows], max(max(r["model"] for r in rows), rows[0]["all"], 0.02)
        axes.plot(x, [r["model"] for r in rows], color=COLOURS[0], lw=1.6, label="model")
        axes.plot(x, [r["all"] for r in rows], color=COLOURS[1], lw=1, label="call all")
        axes.axhline(0, color="0.4", lw=0.8, label="call none")
        axes.set(ylim=(-top / 3, top * 1.15), xlim=(0, 1))
        _label(axes, e.title, "threshold probability", "net benefit")
        _legend(axes, loc="upper right")
    return figure


def confusion(entries: Sequence[Entry]) -> Figure:
    """Counts at the stored threshold."""
    figure, panels = _grid("Confusion matrices at the stored threshold", len(entries), (2.3, 2.2))
    for axes, e in zip(panels, entries, strict=True):
        matrix = np.array(e.metrics["at_threshold"]["confusion"])
        names = e.result.model.get("classes") or ["negative", "positive"]
        share = matrix / np.maximum(matrix.sum(axis=1, keepdims=True), 1)
        axes.imshow(share, cmap="Blues", vmin=0, vmax=1)
        for (i, j), n in np.ndenumerate(matrix):
            ink = "white" if share[i, j] > 0.5 else "black"
            axes.text(j, i, f"{n}\n{share[i, j]:.0%}", ha="center", va="center", color=ink, fontsize=8)
        axes.set_xticks((0, 1), names)
        axes.set_yticks((0, 1), names, rotation=90, va="center")
        _label(axes, e.title, "called", "labelled")
    return figure


def convergence(runs: Sequence[tuple[str, Sequence[Mapping[str, Any]]]]) -> Figure:
    """Per-epoch numbers of each run: losses dashed on the left axis, measures of 0 to 1 on the right."""
    figure, panels = _grid("Convergence: losses dashed (left), measures of 0 to 1 (right)", len(runs), (2.7, 2.2))
    drawn = [curves(h) for _, h in runs]
    names = sorted({k for lines in drawn for k in lines})
    for axes, (name, _), lines in zip(panels, runs, drawn, strict=True):
        other = axes.twinx()
        other.set_ylim(0, 1.02)
        other.tick_params(labelsize=7)
        other.spines["top"].set_visible(False)
        for key, points in lines.items():
            loss = key.endswith("loss")
            mark = "." if len(points) < 4 else None
            where = axes if loss else other
            x, y = [a for a, _ in points], [b for _, b in points]
            where.plot(x, y, "--" if loss else "-", marker=mark, color=COLOURS[names.index(key) % 7], lw=1.2)
        _label(axes, name, "epoch", "loss")
    for i, key in enumerate(names):
        panels[0].plot([], [], "--" if key.endswith("loss") else "-", color=COLOURS[i % 7], label=key)
    figure.legend(fontsize=7, frameon=False, loc="outside lower center", ncols=4)
    return figure


def curves(history: Sequence[Mapping[str, Any]]) -> dict[str, list[tuple[float, float]]]:
    """Name to (epoch, value) of every loss and measure of a history; `validation: {loss}` becomes "validation loss"."""
    lines: dict[str, list[tuple[float, float]]] = {}
    for n, row in enumerate(history, 1):
        for name, value in _flat(row):
            if name.split()[-1] in _DRAWN and len(name.split()) <= 2:
                lines.setdefault(name, []).append((float(row.get("epoch", n)), float(value)))
    return lines


def _flat(row: Mapping[str, Any], prefix: str = "") -> Iterable[tuple[str, float]]:
    for key, value in row.items():
        if isinstance(value, Mapping):
            yield from _flat(value, f"{prefix}{key} ")
        elif isinstance(value, int | float) and not isinstance(value, bool) and value == value:
            yield f"{prefix}{str(key).replace('_', ' ')}", value


def main(argv: Sequence[str]) -> int:
    """`python -m training scores`: a panel per result file, the same pictures as in the report. Returns 0."""
    words = "`python -m training scores`: result files to pictures of their confusion matrices and ROC curves."
    p = argparse.ArgumentParser(prog="python -m training scores", description=words)
    p.add_argument("results", type=Path, nargs="+", metavar="RESULT", help="written by `python -m training evaluate`")
    p.add_argument("--out", type=Path, required=True, help="folder for confusion.png and roc.png")
    o = p.parse_args(argv)
    entries = [entry_of(read_result(file), ()) for file in o.results]
    o.out.mkdir(parents=True, exist_ok=True)
    for name, draw in {"confusion": confusion, "roc": roc}.items():
        target = o.out / f"{name}.png"
        draw(entries).savefig(target, dpi=120)
        print(target)
    return 0
