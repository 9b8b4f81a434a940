"""The report on one task: the paper's table and ours, then every measure of every model."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

from training.measure import estimate
from training.results.coverage import lacking
from training.results.pairs import comparisons
from training.results.paper import published
from training.results.tree import Entry, Material, short_titles

from . import detail_tables, figures, tables
from .html import Section, Table


def paper(material: Material, task: str) -> Iterator[Section]:
    """The published table beside ours, then the gap between the protocols."""
    absent = lacking(material, *(f"{task}, {p}" for p in ("image level", "by patient")))
    text = (
        "The paper's figures (Ramos and Sappa, arXiv 2602.15087) are on TEKNOFEST 2021 and ours on the public sets "
        "named in each result file, most at a smaller input and from scratch: not the same test. Precision, recall "
        "and F1 are weighted by class, which is why recall equals accuracy, as it does in the paper.",
    )
    yield Section(f"The paper's table and ours: {task}", text, (tables.paper_table(material, task),), missing=absent)
    ours = material.of(task, "image", "grouped")
    if not ours:
        return
    text = (
        "The gap is image level minus by patient. Its interval resamples the patients of both test parts together, so "
        "patients who stand in both are paired.",
    )
    shared = tables.shared_table(material, task)
    found = [tables.gap_table(material, task), *([shared] if shared else [])]
    yield Section(f"Image level against by patient: {task}", text, tuple(found), [_gap_figure(material, task)], level=3)


def _gap_figure(material: Material, task: str) -> figures.Figure:
    titles = short_titles()
    rows = []
    for name in tables.architectures(material, task, material.of(task, "image", "grouped")):
        row = published(task, name)
        image, grouped = material.one(task, "image", name), material.one(task, "grouped", name)
        if image is not None or grouped is not None:
            rows.append((titles.get(name, name), row.accuracy if row else None, image, grouped))
    return figures.gaps(rows)


def whole(material: Material, task: str) -> Iterator[Section]:
    """Every measure of a task, all protocols but the control."""
    entries = material.of(task)
    if not entries:
        yield Section(f"Results: {task}", missing=lacking(material, f"{task}, by patient"))
        return
    both = [e for e in entries if "decision_curve" in e.result.metrics]
    yield Section(f"Results: {task}", _probe(entries), (tables.main_table(entries),))
    named = tables.rows_table(entries)
    if named.rows:
        text = (
            "Every set that a model's card names, in both choices of normals. Sources marked unseen were never trained "
            "on. No threshold, temperature or checkpoint was chosen by these rows; they were seen during development.",
        )
        yield Section("Named test sets, unseen sources among them", text, (named,), level=3)
    yield Section("At fixed specificity and sensitivity", (), (detail_tables.operating_table(entries),), level=3)
    text = ("PPV / NPV at the stored threshold, by Bayes' rule at each share of positives.",)
    held = [e for e in both if e.protocol not in ("image",)] or both
    yield Section("Predictive values over prevalence", text, (detail_tables.predictive_table(held),), level=3)
    drawn = _drawn(both)
    text = ("T is fitted on validation patients. Intercept 0 and slope 1 are ideal.",)
    found = [figures.reliability(drawn), figures.decision(drawn), figures.roc(drawn)] if drawn else []
    yield Section("Calibration and net benefit", text, (detail_tables.calibration_table(held),), found, level=3)
    text = ("Share called positive at the stored threshold, with the number of slices.",)
    found = [figures.confusion(drawn)] if drawn else []
    classes = detail_tables.classes_table(entries)
    shown = (detail_tables.kinds_table(entries, "by_class"), *([classes] if classes.rows else []))
    yield Section("By class", text, shown, found, level=3)
    typed = [e for e in entries if e.result.metrics["by_type"]]
    if typed:
        text = (f"{text[0][:-1]}; AUROC of the type's slices against every negative one.",)
        yield Section("By hemorrhage type", text, (detail_tables.kinds_table(typed, "by_type"),), level=3)
    text = ("AUROC within the source, where it has both classes; then sensitivity / specificity at the threshold.",)
    yield Section("By source", text, (detail_tables.sources_table(entries),), level=3)
    text = (
        "A patient is positive when any slice is. Sensitivity and specificity are those of the mean of the three "
        "highest slices at the threshold of slices.",
    )
    yield Section("From slices to patients", text, (detail_tables.patients_table(both),), level=3)
    yield from _comparisons(entries)
    yield from _convergence(entries)


def _drawn(entries: Sequence[Entry]) -> list[Entry]:
    """The results with panels of their own: by patient where there are any, at most sixteen."""
    held = [e for e in entries if e.protocol in ("grouped", "patients", "simulated")]
    return (held or list(entries))[:16]


def _probe(entries: Sequence[Entry]) -> tuple[str, ...]:
    """How well the source alone predicts the label in the test data, and what counts as a negative there."""
    away = sorted({e.result.data.get("away_negatives") or 0 for e in entries} - {0})
    said = [f"Unlabelled slices {n} or more from every annotated one of their patient count as negatives."
            for n in away]  # fmt: skip
    for e in entries:
        probe = e.result.metrics.get("source_probe")
        if probe and e.protocol != "source":
            said.append(
                f"In the test part of {e.title} ({e.where}) the source alone predicts the label with AUROC "
                f"{estimate.text(probe['auroc'])}. Only results within a source show that a lesion was seen."
            )
            break
    return tuple(said)


def _comparisons(entries: Sequence[Entry]) -> Iterator[Section]:
    rows = []
    for ours, others in comparisons(entries):
        for e, r in others:
            rows.append((
                ours.title, ours.where, e.title, estimate.text(r["auroc"]),
                estimate.text(r["auroc_difference"], signed=True), estimate.text(r["auroc_p_holm"], 4),
                f"{r['only_first_right']} / {r['only_other_right']}", estimate.text(r["mcnemar_p_holm"], 4),
            ))  # fmt: skip
    if rows:
        heads = ("model", "evaluated", "against", "its AUROC", "difference in AUROC", "p, Holm",
                 "patients right alone: model / other", "McNemar p, Holm")  # fmt: skip
        text = (
            "AUROC by paired bootstrap over patients; calls by McNemar's exact test on patients, which are independent "
            "where slices are not. p after Holm's correction over the models on the same test part.",
        )
        yield Section("StrokeNeXt against each baseline", text, (Table(heads, tuple(rows)),), level=3)


def _convergence(entries: Sequence[Entry]) -> Iterator[Section]:
    runs = [(e.title, e.training["history"]) for e in _drawn(entries) if e.training.get("history")]
    runs = [(name, history) for name, history in runs if figures.curves(history)]
    if runs:
        yield Section("Convergence", figures=[figures.convergence(runs)], level=3)
