"""Tables of classification results, made from result files alone: the report and the documents show the same ones."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import Any

from training.measure.estimate import DASH, text
from training.results.gap import Gap, architectures, both_protocols
from training.results.paper import Published, published
from training.results.tree import Entry, Material, short_titles

from .section import Table

#: What every table of results begins with.
MODEL: dict[str, Callable[[Entry], str]] = {"model": lambda e: e.title, "evaluated": lambda e: e.where}


def auroc(entry: Entry | None) -> str:
    """AUROC with its interval; a dash without a result."""
    return text(entry.auroc if entry else None)


def point(name: str, digits: int = 3) -> Callable[[Entry | None], str]:
    """The column of a measure at the stored threshold; a dash without a result."""
    return lambda entry: text(entry.point(name) if entry else None, digits)


def size(entry: Entry) -> str:
    """How many slices and patients a result is of."""
    return f"{entry.metrics['slices']} / {entry.metrics['units']}"


def hardware(entry: Entry) -> str:
    """Input side and the machine: what hours and seconds were measured with."""
    side = entry.training.get("size") or (entry.result.model.get("preprocess") or {}).get("size")
    machine = entry.result.environment.get("hardware", "")
    trained = entry.training.get("hardware") or entry.training.get("device")
    elsewhere = trained and trained not in (machine, entry.result.environment.get("device"))
    cells = [f"{side} px" if side else "", str(machine), f"trained on {trained}" if elsewhere else ""]
    return ", ".join(c for c in cells if c) or DASH


def main_table(entries: Sequence[Entry]) -> Table:
    """Every result on one line."""

    def auprc(e: Entry) -> str:
        rank = e.metrics["ranking"]
        return f"{text(rank['auprc']['value'])} ({text(rank['prevalence'], 2)})"

    return Table.of(
        entries,
        {
            **MODEL,
            "slices / patients": size,
            "AUROC (95 %)": auroc,
            "AUPRC (share positive)": auprc,
            "accuracy": point("accuracy"),
            "F1 macro": point("f1_macro"),
            "MCC": point("mcc"),
            "sensitivity": point("sensitivity"),
            "specificity": point("specificity"),
        },
    )


def rows_table(entries: Sequence[Entry]) -> Table:
    """The named test sets of `finish` that a result carries: who is positive and who is normal stands in the name."""
    rows = [(name, e, r) for e in entries for name, r in e.result.extra.get("rows", {}).items() if name != "validation"]
    order = list(dict.fromkeys(name for name, _, _ in rows))
    columns: dict[str, Callable[[tuple[str, Entry, Mapping[str, Any]]], str]] = {
        "test set": lambda row: row[0],
        "model": lambda row: row[1].title,
        "trained": lambda row: row[1].where,
        "slices (positive)": lambda row: f"{row[2]['slices']} ({row[2]['positives']})",
        "groups": lambda row: str(row[2]["groups"]),
        "AUROC (95 %)": lambda row: text(row[2]["auroc"]),
        "sensitivity": lambda row: text(row[2]["sensitivity"], 2),
        "specificity": lambda row: text(row[2]["specificity"], 2),
        "sensitivity at specificity 0.85": lambda row: text(row[2]["sensitivity_at_specificity_0.85"], 2),
    }
    return Table.of(sorted(rows, key=lambda row: order.index(row[0])), columns)


def paper_table(material: Material, task: str) -> Table:
    """A line for the paper's figures and one for each of our two protocols, model by model."""
    ours, titles = material.of(task, "image", "grouped"), short_titles()
    columns: dict[str, Callable[[Entry], str]] = {
        "model": lambda e: e.title,
        "figures": lambda e: f"here, {e.where}",
        "accuracy": point("accuracy"),
        "precision": point("precision_weighted"),
        "recall": point("recall_weighted"),
        "F1": point("f1_weighted"),
        "AUROC (95 %)": auroc,
        "training h": lambda e: text(e.hours),
        "s / image": lambda e: text(e.result.data.get("seconds_per_image"), 4),
        "size and hardware": hardware,
    }
    rows: list[tuple[str, ...]] = []
    for name in architectures(task, ours):
        row = published(task, name)
        rows += [_paper_row(titles.get(name, name), row)] if row else []
        rows += Table.of((e for e in ours if e.architecture == name), columns).rows
    return Table(tuple(columns), tuple(rows))


def _paper_row(title: str, row: Published) -> tuple[str, ...]:
    measures = (row.accuracy, row.precision, row.recall, row.f1)
    cost = (text(row.hours), text(row.seconds, 4), "TEKNOFEST 2021, A100")
    return (title, "paper, image level", *map(text, measures), DASH, *cost)


def gap_table(material: Material, task: str) -> Table:
    """Both protocols side by side with the gap: accuracy beside the paper's, AUROC with its paired interval."""
    accuracy = point("accuracy")

    def difference(gap: Gap | None) -> str:
        return text(gap.difference.to_dict() if gap else None, signed=True)

    return Table.of(
        both_protocols(material, task),
        {
            "model": lambda p: p.title,
            "paper: accuracy": lambda p: text(p.paper and p.paper.accuracy),
            "image level: accuracy": lambda p: accuracy(p.image),
            "by patient: accuracy": lambda p: accuracy(p.grouped),
            "gap in accuracy": lambda p: difference(p.gaps[0]),
            "image level: AUROC": lambda p: auroc(p.image),
            "by patient: AUROC": lambda p: auroc(p.grouped),
            "gap in AUROC": lambda p: difference(p.gaps[1]),
        },
    )


def shared_table(material: Material, task: str) -> Table:
    """The gap on the slices that both protocols test on, of the models that have enough of them."""
    heads = ("model", "measure", "slices in both test parts", "patients", "image-level training minus by patient")
    rows = []
    for p in both_protocols(material, task):
        for measure, gap in zip(("accuracy", "AUROC"), p.gaps, strict=True):
            if p.image and gap and gap.shared:
                shared = gap.shared
                cells = (str(shared.n), str(shared.units), text(shared.to_dict(), signed=True))
                rows.append((p.image.title, measure, *cells))
    return Table(heads, tuple(rows))


def source_table(material: Material, task: str) -> Table:
    """Leave one source out: AUROC on the source never trained on, beside it known and its patients held back."""

    def known(e: Entry) -> str:
        other = material.one(task, "grouped", e.architecture)
        return text(other.metrics["by_source"].get(e.detail, {}).get("auroc") if other else None)

    return Table.of(
        material.of(task, "source"),
        {
            "model": lambda e: e.title,
            "source left out": lambda e: e.detail or e.where,
            "slices / patients": size,
            "AUROC, source unseen": auroc,
            "AUROC, source known, by patient": known,
            "sensitivity, unseen": point("sensitivity"),
            "specificity, unseen": point("specificity"),
        },
    )


def control_table(material: Material, task: str) -> Table:
    """Models trained on shuffled labels: whatever exceeds chance is a leak, not medicine."""

    def larger(e: Entry) -> str:
        share = e.metrics["ranking"]["prevalence"]
        return text(max(share, 1 - share))

    return Table.of(
        material.of(task, random=True),
        {
            "model": lambda e: e.title,
            "evaluated": lambda e: e.tested,
            "labels permuted among": lambda e: e.permuted_among or DASH,
            "slices / patients": size,
            "AUROC (chance 0.5)": auroc,
            "accuracy": lambda e: text(e.metrics["at_threshold"]["accuracy"]),
            "share of the larger class": larger,
        },
    )
