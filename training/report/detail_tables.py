"""Tables of one task in detail: operating points, calibration, classes, types, sources and patients."""

from __future__ import annotations

from collections.abc import Callable, Sequence

from training.measure.estimate import DASH, text
from training.results.tree import Entry

from .section import Table
from .tables import MODEL, auroc


def operating_table(entries: Sequence[Entry]) -> Table:
    """What the ROC curve gives at fixed specificity and at fixed sensitivity."""

    def at(side: str, share: str) -> Callable[[Entry], str]:
        def cell(e: Entry) -> str:
            rank = e.metrics["ranking"]
            return text(rank.get("operating_points", {}).get(f"{side}_{share}", rank[side].get(share)))

        return cell

    sides, shares = ("sensitivity_at_specificity", "specificity_at_sensitivity"), ("0.9", "0.95")
    points = {f"{side.replace('_', ' ')} {share}": at(side, share) for side in sides for share in shares}
    return Table.of(entries, MODEL | points)


def predictive_table(entries: Sequence[Entry]) -> Table:
    """PPV / NPV at the stored threshold over prevalence."""
    kept = [(e, e.metrics["predictive_values"]) for e in entries if e.metrics.get("predictive_values")]
    shares = [r["prevalence"] for r in kept[0][1]] if kept else []
    rows = tuple(
        (e.title, e.where, *(f"{text(r['ppv'], 2)} / {text(r['npv'], 2)}" for r in values)) for e, values in kept
    )
    return Table((*MODEL, *(f"{p:.0%} positive" for p in shares)), rows)


def calibration_table(entries: Sequence[Entry]) -> Table:
    """Before and after temperature scaling."""
    rows = []
    for e in entries:
        for when, c in e.metrics.get("calibration", {}).items():
            cells = (text(c[k]) for k in ("temperature", "ece", "brier", "intercept", "slope"))
            rows.append((e.title, e.where, when, *cells))
    return Table((*MODEL, "scaling", "T", "ECE", "Brier", "intercept", "slope"), tuple(rows))


def kinds_table(entries: Sequence[Entry], key: str) -> Table:
    """A column per class ("by_class") or hemorrhage type ("by_type"): the share called positive at the threshold."""

    def cell(e: Entry, name: str) -> str:
        row = e.metrics[key].get(name)
        if row is None:
            return DASH
        area = f"; AUROC {text(row['auroc_against_negatives'])}" if "auroc_against_negatives" in row else ""
        return f"{text(row['called_positive'])}, n {row['called_positive']['n']}{area}"

    return _by_name(entries, key, cell)


def classes_table(entries: Sequence[Entry]) -> Table:
    """Precision, recall and F1 of either class at the stored threshold."""
    rows = []
    for e in entries:
        names = e.result.model.get("classes") or ("negative", "positive")
        for label, row in sorted(e.metrics.get("per_class", {}).items()):
            figures = (text(row[k]) for k in ("precision", "recall", "f1"))
            rows.append((e.title, e.where, str(names[int(label)]), str(row["n"]), *figures))
    return Table((*MODEL, "class", "slices", "precision", "recall", "F1"), tuple(rows))


def sources_table(entries: Sequence[Entry]) -> Table:
    """A column per source: AUROC within it, then sensitivity / specificity."""

    def cell(e: Entry, name: str) -> str:
        row = e.metrics["by_source"].get(name)
        if row is None:
            return DASH
        return f"{text(row['auroc'])}; {text(row['sensitivity'], 2)} / {text(row['specificity'], 2)}"

    return _by_name(entries, "by_source", cell)


def _by_name(entries: Sequence[Entry], key: str, cell: Callable[[Entry, str], str]) -> Table:
    names = sorted({n for e in entries for n in e.metrics[key]})
    return Table((*MODEL, *names), tuple((e.title, e.where, *(cell(e, n) for n in names)) for e in entries))


def patients_table(entries: Sequence[Entry]) -> Table:
    """Slices to patients: AUROC of a patient's score made of his slices in three ways, beside that of the slices."""

    def cell(group: str, name: str) -> Callable[[Entry], str]:
        return lambda e: text(e.metrics["patients"].get(group, {}).get(name))

    return Table.of(
        [e for e in entries if e.metrics.get("patients")],
        {
            **MODEL,
            "patients (positive)": lambda e: "{n} ({positives})".format(**e.metrics["patients"]),
            "AUROC, mean of 3 highest": lambda e: text(e.metrics["patients"]["auroc"]),
            "AUROC, highest": cell("ways", "max"),
            "AUROC, mean": cell("ways", "mean"),
            "AUROC of slices": auroc,
            "sensitivity, patients": cell("called", "sensitivity"),
            "specificity, patients": cell("called", "specificity"),
        },
    )
