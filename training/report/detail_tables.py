"""Tables of one task in detail: operating points, calibration, classes, types, sources and patients."""

from __future__ import annotations

from collections.abc import Callable, Sequence

from training.measure.estimate import DASH, text
from training.results.tree import Entry

from .html import Table
from .tables import auroc


def operating_table(entries: Sequence[Entry]) -> Table:
    """What the ROC curve gives at fixed specificity and at fixed sensitivity."""
    fixed = ("0.9", "0.95")
    heads = ("model", "evaluated", *(f"sensitivity at specificity {v}" for v in fixed),
             *(f"specificity at sensitivity {v}" for v in fixed))  # fmt: skip
    rows = []
    for e in entries:
        rank = e.result.metrics["ranking"]
        sides = ("sensitivity_at_specificity", "specificity_at_sensitivity")
        intervals = rank.get("operating_points", {})
        at = [intervals.get(f"{k}_{v}", {"value": rank[k].get(v)}) for k in sides for v in fixed]
        rows.append((e.title, e.where, *map(text, at)))
    return Table(heads, tuple(rows))


def predictive_table(entries: Sequence[Entry]) -> Table:
    """PPV / NPV at the stored threshold over prevalence."""
    kept = [(e, e.result.metrics["predictive_values"]) for e in entries if e.result.metrics.get("predictive_values")]
    shares = [r["prevalence"] for r in kept[0][1]] if kept else []
    rows = tuple(
        (e.title, e.where, *(f"{text(r['ppv'], 2)} / {text(r['npv'], 2)}" for r in values)) for e, values in kept
    )
    return Table(("model", "evaluated", *(f"{p:.0%} positive" for p in shares)), rows)


def calibration_table(entries: Sequence[Entry]) -> Table:
    """Before and after temperature scaling."""
    rows = []
    for e in entries:
        for when, c in e.result.metrics.get("calibration", {}).items():
            cells = tuple(text(c[k]) for k in ("temperature", "ece", "brier", "intercept", "slope"))
            rows.append((e.title, e.where, when, *cells))
    return Table(("model", "evaluated", "scaling", "T", "ECE", "Brier", "intercept", "slope"), tuple(rows))


def kinds_table(entries: Sequence[Entry], key: str) -> Table:
    """A column per class ("by_class") or hemorrhage type ("by_type"): the share called positive at the threshold."""
    names = sorted({n for e in entries for n in e.result.metrics[key]})

    def cell(e: Entry, name: str) -> str:
        row = e.result.metrics[key].get(name)
        if row is None:
            return DASH
        area = f"; AUROC {text(row['auroc_against_negatives'])}" if "auroc_against_negatives" in row else ""
        return f"{text(row['called_positive'])}, n {row['called_positive']['n']}{area}"

    return _by_name(entries, names, cell)


def classes_table(entries: Sequence[Entry]) -> Table:
    """Precision, recall and F1 of either class at the stored threshold."""
    rows = []
    for e in entries:
        names = e.result.model.get("classes") or ("negative", "positive")
        for label, found in sorted(e.result.metrics.get("per_class", {}).items()):
            figures = (text(found[k]) for k in ("precision", "recall", "f1"))
            rows.append((e.title, e.where, str(names[int(label)]), str(found["n"]), *figures))
    return Table(("model", "evaluated", "class", "slices", "precision", "recall", "F1"), tuple(rows))


def sources_table(entries: Sequence[Entry]) -> Table:
    """A column per source: AUROC within it, then sensitivity / specificity."""
    names = sorted({n for e in entries for n in e.result.metrics["by_source"]})

    def cell(e: Entry, name: str) -> str:
        row = e.result.metrics["by_source"].get(name)
        if row is None:
            return DASH
        return f"{text(row['auroc'])}; {text(row['sensitivity'], 2)} / {text(row['specificity'], 2)}"

    return _by_name(entries, names, cell)


def _by_name(entries: Sequence[Entry], names: Sequence[str], cell: Callable[[Entry, str], str]) -> Table:
    rows = tuple((e.title, e.where, *(cell(e, n) for n in names)) for e in entries)
    return Table(("model", "evaluated", *names), rows)


def patients_table(entries: Sequence[Entry]) -> Table:
    """Slices to patients: AUROC of a patient's score made of his slices in three ways, beside that of the slices."""
    rows = []
    for e in entries:
        found = e.result.metrics.get("patients")
        if found:
            ways, called = found.get("ways", {}), found.get("called", {})
            rows.append((e.title, e.where, f"{found['n']} ({found['positives']})", text(found["auroc"]),
                         text(ways.get("max")), text(ways.get("mean")), auroc(e),
                         text(called.get("sensitivity")), text(called.get("specificity"))))  # fmt: skip
    heads = ("model", "evaluated", "patients (positive)", "AUROC, mean of 3 highest", "AUROC, highest", "AUROC, mean",
             "AUROC of slices", "sensitivity, patients", "specificity, patients")  # fmt: skip
    return Table(heads, tuple(rows))
