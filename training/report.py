"""`python -m training report`: everything below results/ to one HTML page and a PDF.

Both hold the same words, tables and figures, and ask the network for nothing. A part without result files says so
and names the command that makes them.
"""

from __future__ import annotations

import argparse
from collections.abc import Iterator, Sequence
from pathlib import Path

from . import detail_tables, figures, other_tables, tables
from .checklist import ITEMS
from .collect import Entry, Material, collect, short_titles
from .compare import comparisons
from .paper import published
from .parts import TASKS, lacking, parts
from .pdf import to_pdf
from .render import Section, Table, to_html
from .summary import sentences

TITLE = "StrokeNeXt: results"
NOTICE = (
    "Research use only. Not a medical device. Intervals are 95 %, by bootstrap over patients (near-duplicate groups "
    "where a source has no patients). Image-level splits put slices of one patient on both sides and flatter every "
    "model; they are shown because the paper used one, beside splits by patient."
)


def sections(material: Material) -> list[Section]:
    """The report from top to bottom."""
    found = [Section("In short", bullets=said)] if (said := sentences(material)) else []
    found.append(_overview(material))
    for task in TASKS:
        found += list(_paper(material, task))
    for task in TASKS:
        found += list(_task(material, task))
    found += list(_honesty(material))
    found += list(_others(material))
    found.append(_not_run(material))
    if material.experiments:
        made = other_tables.experiments_table(material.experiments)
        text = ("WORK and CACHE are the folders given to `experiments`.",)
        found.append(Section("How each result was made", text, (made,)))
    rows = tuple((i.asked, i.standard, i.answer) for i in ITEMS)
    words = "Where the result files, the cards and this page answer what CLAIM (2024 update) and TRIPOD+AI ask for."
    found.append(Section("Reporting standards", (words,), (Table(("item", "standard", "answer"), rows),)))
    return found


def _overview(material: Material) -> Section:
    rows = tuple((name, str(n) if n else "missing", f"`{how}`") for name, n, how in parts(material))
    text = f"Made from {len(material.entries)} result files of classification and the records beside them."
    return Section("What this report holds", (text,), (Table(("part", "files", "made by"), rows),))


def _paper(material: Material, task: str) -> Iterator[Section]:
    """The published table beside ours, then the gap between the protocols."""
    absent = " ".join(lacking(material, f"{task}, {p}") for p in ("image level", "by patient")).strip()
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
        rows.append((titles.get(name, name), row.accuracy if row else None, image, grouped))
    return figures.gaps(rows)


def _task(material: Material, task: str) -> Iterator[Section]:
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
            "on; nothing was tuned on any of these rows.",
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
                f"{tables.number(probe['auroc'])}. Only results within a source show that a lesion was seen."
            )
            break
    return tuple(said)


def _comparisons(entries: Sequence[Entry]) -> Iterator[Section]:
    rows = []
    for ours, others in comparisons(entries):
        for e, r in others:
            rows.append((
                ours.title, ours.where, e.title, tables.number(r["auroc"]),
                tables.estimate(r["auroc_difference"], signed=True), tables.number(r["auroc_p_holm"], 4),
                f"{r['only_first_right']} / {r['only_other_right']}", tables.number(r["mcnemar_p_holm"], 4),
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


def _honesty(material: Material) -> Iterator[Section]:
    """Left-out sources and random labels, both tasks."""
    text = (
        "A model that learned the hospital scores well on patients held back from the same sources and fails on a "
        "source it never saw. The two AUROCs of a line differ in their test slices; the fall is the point.",
    )
    found = tuple(tables.source_table(material, t) for t in TASKS if material.of(t, "source"))
    absent = " ".join(lacking(material, f"{t}, one source left out") for t in TASKS).strip()
    yield Section("One source left out", text, found, missing=absent)
    text = (
        "Trained and tested on permuted labels: nothing can be learned about stroke, and a fair test gives an AUROC of "
        "0.5. Permuted among patients, all slices of one share a label; what an image-level split then gives above "
        "0.5 is recognition of patients seen in training.",
    )
    found = tuple(tables.control_table(material, t) for t in TASKS if material.of(t, random=True))
    absent = " ".join(lacking(material, f"{t}, random labels") for t in TASKS).strip()
    yield Section("Random labels", text, found, missing=absent)


def _others(material: Material) -> Iterator[Section]:
    """Explanations, segmentation, volumes, gate and cost."""
    text = (
        "Masks mark infarct, blood or perihematomal edema, as each source defines; a hit may miss by half a cell of a "
        "7 × 7 grid. The centre prior is a Gaussian on the middle of the head: the guess that needs no model.",
    )
    found: tuple[Table, ...] = (other_tables.explanation_table(material),) if other_tables.explained(material) else ()
    yield Section("Do the heat maps mean anything?", text, found, missing=lacking(material, "explanation checks"))
    text = (
        "The masks of phe_sich mark the edema AROUND the hematoma, not the blood: IoU and Dice say how well the edema "
        "is found, and must not be read as a score for outlining blood.",
    )
    found = (other_tables.record_table(material.segmentation),) if material.segmentation else ()
    yield Section("Segmentation", text, found, missing=lacking(material, "segmentation"))
    found = (other_tables.record_table(material.volume),) if material.volume else ()
    found += (tables.main_table(volumes),) if (volumes := material.of("volume")) else ()
    yield Section("Whole volumes: the 3-D network", (), found, missing=lacking(material, "volumes"))
    found = tuple(other_tables.gate_tables(material.gate)) if material.gate else ()
    yield Section("Scope gate", (), found, missing=lacking(material, "scope gate"))
    notes = tuple(other_tables.benchmark_note(b) for b in material.benchmarks)
    found = tuple(map(other_tables.benchmark_table, material.benchmarks))
    yield Section("Cost", notes, found, missing=lacking(material, "cost"))


def _not_run(material: Material) -> Section:
    found = (other_tables.not_run_table(material.not_run),) if material.not_run else ()
    absent = [name for name, n, _ in parts(material) if not n and name != "what was not run"]
    text = (f"Without any result file: {'; '.join(absent)}.",) if absent else ()
    missing = "" if found else "Nobody wrote down what was not run and why: `results/not_run.toml` is not there."
    return Section("What was not run", text, found, missing=missing)


def parser() -> argparse.ArgumentParser:
    """The command's flags."""
    p = argparse.ArgumentParser(prog="python -m training report", description=__doc__.splitlines()[0])
    p.add_argument("--results", type=Path, default=Path("results"), help="folder of result files (default: results)")
    p.add_argument("--out", type=Path, default=Path("report"), help="folder for report.html and report.pdf")
    p.add_argument("--gallery", type=int, default=0, metavar="N", help="add the N worst errors; keep that page private")
    p.add_argument("--manifest", type=Path, help="where the gallery's images are")
    p.add_argument("--model", action="append", default=[], help="checkpoint of the gallery; repeat for several")
    return p


def main(argv: Sequence[str]) -> int:
    """Run the command. Returns 0."""
    o = parser().parse_args(argv)
    material = collect(o.results)
    content = sections(material)
    if o.gallery:
        from .gallery import galleries

        content += galleries(material.entries, o.manifest, o.model, o.gallery)
    o.out.mkdir(parents=True, exist_ok=True)
    (o.out / "report.html").write_text(to_html(TITLE, NOTICE, content), encoding="utf-8")
    to_pdf(TITLE, NOTICE, content, o.out / "report.pdf")
    print(f"{o.out / 'report.html'} and report.pdf, from {len(material.entries)} result files.")
    return 0
