"""Tables of classification results, made from result files alone: the report and the documents show the same ones."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from training.measure.estimate import DASH, Estimate, text
from training.results.gap import Gap, accuracy_gap, auroc_gap
from training.results.paper import TABLES, published
from training.results.tree import Entry, Material, short_titles

from .html import Table


def difference(found: Estimate | None) -> str:
    """A signed difference with its interval."""
    return DASH if found is None else text(found.to_dict(), signed=True)


def auroc(entry: Entry | None) -> str:
    """AUROC with its interval; a dash without a result."""
    return DASH if entry is None else text(entry.result.metrics["ranking"]["auroc"])


def point(entry: Entry | None, name: str) -> float | None:
    """A measure at the stored threshold."""
    if entry is None:
        return None
    value = entry.result.metrics["at_threshold"].get(name)
    found = value.get("value") if isinstance(value, Mapping) else value
    return None if found is None else float(found)


def hardware(entry: Entry) -> str:
    """Input side and the machine: what hours and seconds were measured with."""
    size = entry.training.get("size") or (entry.result.model.get("preprocess") or {}).get("size")
    machine = entry.result.environment.get("hardware", "")
    trained = entry.training.get("hardware") or entry.training.get("device")
    elsewhere = trained and trained not in (machine, entry.result.environment.get("device"))
    cells = [f"{size} px" if size else "", str(machine), f"trained on {trained}" if elsewhere else ""]
    return ", ".join(c for c in cells if c) or DASH


def main_table(entries: Sequence[Entry]) -> Table:
    """Every result on one line."""
    heads = ("model", "evaluated", "slices / patients", "AUROC (95 %)", "AUPRC (share positive)", "accuracy",
             "F1 macro", "MCC", "sensitivity", "specificity")  # fmt: skip
    rows = []
    for e in entries:
        found, rank = e.result.metrics, e.result.metrics["ranking"]
        rows.append((
            e.title, e.where, f"{found['slices']} / {found['units']}", auroc(e),
            f"{text(rank['auprc']['value'])} ({text(rank['prevalence'], 2)})", text(point(e, "accuracy")),
            text(point(e, "f1_macro")), text(point(e, "mcc")), text(point(e, "sensitivity")),
            text(point(e, "specificity")),
        ))  # fmt: skip
    return Table(heads, tuple(rows))


def rows_table(entries: Sequence[Entry]) -> Table:
    """The named test sets of `finish` that a result carries: who is positive and who is normal stands in the name."""
    heads = ("test set", "model", "trained", "slices (positive)", "groups", "AUROC (95 %)", "sensitivity",
             "specificity", "sensitivity at specificity 0.85")  # fmt: skip
    rows = []
    for e in entries:
        for name, r in e.result.extra.get("rows", {}).items():
            if name != "validation":
                at = (r["sensitivity"], r["specificity"], r["sensitivity_at_specificity_0.85"])
                rows.append((name, e.title, e.where, f"{r['slices']} ({r['positives']})", str(r["groups"]),
                             text(r["auroc"]), *(text(v, 2) for v in at)))  # fmt: skip
    order = {name: i for i, name in enumerate(dict.fromkeys(r[0] for r in rows))}
    return Table(heads, tuple(sorted(rows, key=lambda r: order[r[0]])))


def architectures(material: Material, task: str, entries: Sequence[Entry]) -> list[str]:
    """The paper's ten first, in its order, then what else was measured, in the zoo's."""
    names = [row.architecture for row in TABLES[task]]
    return names + [a for a in dict.fromkeys(e.architecture for e in entries) if a not in names]


def paper_table(material: Material, task: str) -> Table:
    """A line for the paper's figures and one for each of our two protocols, model by model."""
    heads = ("model", "figures", "accuracy", "precision", "recall", "F1", "AUROC (95 %)", "training h", "s / image",
             "size and hardware")  # fmt: skip
    ours = material.of(task, "image", "grouped")
    titles = short_titles()
    rows: list[tuple[str, ...]] = []
    for name in architectures(material, task, ours):
        row, title = published(task, name), titles.get(name, name)
        if row is not None:
            rows.append((title, "paper, image level", *(f"{v:.3f}" for v in row[1:5]), DASH, f"{row.hours:.3f}",
                         f"{row.seconds:.4f}", "TEKNOFEST 2021, A100"))  # fmt: skip
        for e in (e for e in ours if e.architecture == name):
            measures = ("accuracy", "precision_weighted", "recall_weighted", "f1_weighted")
            rows.append((e.title, f"here, {e.where}", *(text(point(e, m)) for m in measures), auroc(e),
                         text(e.hours), text(e.result.data.get("seconds_per_image"), 4), hardware(e)))  # fmt: skip
    return Table(heads, tuple(rows))


def gap_table(material: Material, task: str) -> Table:
    """Both protocols side by side with the gap: accuracy beside the paper's, AUROC with its paired interval."""
    heads = ("model", "paper: accuracy", "image level: accuracy", "by patient: accuracy", "gap in accuracy",
             "image level: AUROC", "by patient: AUROC", "gap in AUROC")  # fmt: skip
    titles = short_titles()
    rows = []
    for name in architectures(material, task, material.of(task, "image", "grouped")):
        row = published(task, name)
        image, grouped = material.one(task, "image", name), material.one(task, "grouped", name)
        if image is None and grouped is None:
            continue
        found = [None if g is None else g.difference for g in gaps(image, grouped)]
        rows.append((
            titles.get(name, name), text(row.accuracy if row else None), text(point(image, "accuracy")),
            text(point(grouped, "accuracy")), difference(found[0]), auroc(image),
            auroc(grouped), difference(found[1]),
        ))  # fmt: skip
    return Table(heads, tuple(rows))


def gaps(image: Entry | None, grouped: Entry | None) -> tuple[Gap, Gap] | tuple[None, None]:
    """Gap in accuracy and in AUROC; (None, None) unless both protocols were run."""
    if image is None or grouped is None:
        return None, None
    return accuracy_gap(image, grouped), auroc_gap(image, grouped)


def shared_table(material: Material, task: str) -> Table | None:
    """The gap on the slices that both protocols test on; None where no model has enough of them."""
    rows = []
    for name in architectures(material, task, material.of(task, "image", "grouped")):
        image, grouped = material.one(task, "image", name), material.one(task, "grouped", name)
        for measure, found in zip(("accuracy", "AUROC"), gaps(image, grouped), strict=True):
            if image is not None and found is not None and found.shared is not None:
                s = found.shared
                rows.append((image.title, measure, str(s.n), str(s.units), difference(s)))
    heads = ("model", "measure", "slices in both test parts", "patients", "image-level training minus by patient")
    return Table(heads, tuple(rows)) if rows else None


def source_table(material: Material, task: str) -> Table:
    """Leave one source out: AUROC on the source never trained on, beside it known and its patients held back."""
    heads = ("model", "source left out", "slices / patients", "AUROC, source unseen", "AUROC, source known, by patient",
             "sensitivity, unseen", "specificity, unseen")  # fmt: skip
    rows = []
    for e in material.of(task, "source"):
        known = material.one(task, "grouped", e.architecture)
        same = {} if known is None else known.result.metrics["by_source"].get(e.detail, {})
        found = e.result.metrics
        rows.append((e.title, e.detail or e.where, f"{found['slices']} / {found['units']}", auroc(e),
                     text(same.get("auroc")), text(point(e, "sensitivity")),
                     text(point(e, "specificity"))))  # fmt: skip
    return Table(heads, tuple(rows))


def control_table(material: Material, task: str) -> Table:
    """Models trained on shuffled labels: whatever exceeds chance is a leak, not medicine."""
    heads = ("model", "evaluated", "labels permuted among", "slices / patients", "AUROC (chance 0.5)", "accuracy",
             "share of the larger class")  # fmt: skip
    rows = []
    for e in material.of(task, random=True):
        among = str(e.result.data.get("control", "")).partition("among ")[2] or DASH
        share = e.result.metrics["ranking"]["prevalence"]
        found = e.result.metrics
        accuracy = found["at_threshold"]["accuracy"]
        rows.append((e.title, e.where.removesuffix(", random labels"), among, f"{found['slices']} / {found['units']}",
                     auroc(e), text(accuracy), text(max(share, 1 - share))))  # fmt: skip
    return Table(heads, tuple(rows))
