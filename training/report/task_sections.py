"""The report on one task: the paper's table and ours, then every measure of every model."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from typing import TYPE_CHECKING, Any

from training.measure.estimate import text
from training.results.coverage import lacking
from training.results.gap import both_protocols
from training.results.pairs import comparisons
from training.results.tree import Entry, Material

from . import detail_tables, figures, tables
from .section import Section, Table

if TYPE_CHECKING:
    from matplotlib.figure import Figure


def paper(material: Material, task: str) -> Iterator[Section]:
    """The published table beside ours, then the gap between the protocols."""
    about = (
        "The paper's figures (Ramos and Sappa, arXiv 2602.15087) are on TEKNOFEST 2021 and ours on the public sets "
        "named in each result file, most at a smaller input and from scratch: not the same test. Precision, recall "
        "and F1 are weighted by class, which is why recall equals accuracy, as it does in the paper."
    )
    absent = lacking(material, *(f"{task}, {p}" for p in ("image level", "by patient")))
    shown = tables.paper_table(material, task)
    yield Section(f"The paper's table and ours: {task}", (about,), (shown,), missing=absent)
    if rows := both_protocols(material, task):
        about = (
            "The gap is image level minus by patient. Its interval resamples the patients of both test parts together, "
            "so patients who stand in both are paired."
        )
        both = (tables.gap_table(material, task), tables.shared_table(material, task))
        yield Section(f"Image level against by patient: {task}", (about,), both, [figures.gaps(rows)], level=3)


def whole(material: Material, task: str) -> Iterator[Section]:
    """Every measure of a task, all protocols but the control."""
    entries = material.of(task)
    if not entries:
        yield Section(f"Results: {task}", missing=lacking(material, f"{task}, by patient"))
        return
    yield Section(f"Results: {task}", _probe(entries), (tables.main_table(entries),))
    named = tables.rows_table(entries)
    if named.rows:
        yield _part(
            "Named test sets, unseen sources among them",
            "Every set that a model's card names, in both choices of normals. Sources marked unseen were never trained "
            "on. No threshold, temperature or checkpoint was chosen by these rows; they were seen during development.",
            named,
        )
    yield _part("At fixed specificity and sensitivity", "", detail_tables.operating_table(entries))
    both = [e for e in entries if "decision_curve" in e.metrics]
    held_out = [e for e in both if e.protocol != "image"] or both
    yield _part(
        "Predictive values over prevalence",
        "PPV / NPV at the stored threshold, by Bayes' rule at each share of positives.",
        detail_tables.predictive_table(held_out),
    )
    drawn = _drawn(both)
    yield _part(
        "Calibration and net benefit",
        "T is fitted on validation patients. Intercept 0 and slope 1 are ideal.",
        detail_tables.calibration_table(held_out),
        drawn=[draw(drawn) for draw in (figures.reliability, figures.decision, figures.roc) if drawn],
    )
    called = "Share called positive at the stored threshold, with the number of slices"
    yield _part(
        "By class",
        f"{called}.",
        detail_tables.kinds_table(entries, "by_class"),
        detail_tables.classes_table(entries),
        drawn=[figures.confusion(drawn)] if drawn else [],
    )
    if typed := [e for e in entries if e.metrics["by_type"]]:
        yield _part(
            "By hemorrhage type",
            f"{called}; AUROC of the type's slices against every negative one.",
            detail_tables.kinds_table(typed, "by_type"),
        )
    yield _part(
        "By source",
        "AUROC within the source, where it has both classes; then sensitivity / specificity at the threshold.",
        detail_tables.sources_table(entries),
    )
    yield _part(
        "From slices to patients",
        "A patient is positive when any slice is. Sensitivity and specificity are those of the mean of the three "
        "highest slices at the threshold of slices.",
        detail_tables.patients_table(both),
    )
    yield from _comparisons(entries)
    runs = [(e.title, e.training["history"]) for e in _drawn(entries) if figures.curves(e.training.get("history", []))]
    if runs:
        yield _part("Convergence", "", drawn=[figures.convergence(runs)])


def _part(title: str, about: str, *shown: Table, drawn: Sequence[Figure] = ()) -> Section:
    """A section inside the task's."""
    return Section(title, (about,) if about else (), shown, drawn, level=3)


def _drawn(entries: Sequence[Entry]) -> list[Entry]:
    """The results with panels of their own: by patient where there are any, at most sixteen."""
    by_patient = [e for e in entries if e.protocol in ("grouped", "patients", "simulated")]
    return (by_patient or list(entries))[:16]


def _probe(entries: Sequence[Entry]) -> tuple[str, ...]:
    """How well the source alone predicts the label in the test data, and what counts as a negative there."""
    away = sorted({e.result.data.get("away_negatives") or 0 for e in entries} - {0})
    sentence = "Unlabelled slices {} or more from every annotated one of their patient count as negatives."
    lines = [sentence.format(n) for n in away]
    for e in entries:
        probe = e.metrics.get("source_probe")
        if probe and e.protocol != "source":
            lines.append(
                f"In the test part of {e.title} ({e.where}) the source alone predicts the label with AUROC "
                f"{text(probe['auroc'])}. Only results within a source show that a lesion was seen."
            )
            break
    return tuple(lines)


def _comparisons(entries: Sequence[Entry]) -> Iterator[Section]:
    rows = [(ours, other, row) for ours, others in comparisons(entries) for other, row in others]
    if rows:
        columns: dict[str, Callable[[tuple[Entry, Entry, Mapping[str, Any]]], str]] = {
            "model": lambda r: r[0].title,
            "evaluated": lambda r: r[0].where,
            "against": lambda r: r[1].title,
            "its AUROC": lambda r: text(r[2]["auroc"]),
            "difference in AUROC": lambda r: text(r[2]["auroc_difference"], signed=True),
            "p, Holm": lambda r: text(r[2]["auroc_p_holm"], 4),
            "patients right alone: model / other": lambda r: "{only_first_right} / {only_other_right}".format(**r[2]),
            "McNemar p, Holm": lambda r: text(r[2]["mcnemar_p_holm"], 4),
        }
        yield _part(
            "StrokeNeXt against each baseline",
            "AUROC by paired bootstrap over patients; calls by McNemar's exact test on patients, which are independent "
            "where slices are not. p after Holm's correction over the models on the same test part.",
            Table.of(rows, columns),
        )
