"""`python -m training report`: everything below results/ to one HTML page and a PDF.

Both hold the same words, tables and figures, and ask the network for nothing. A part without result files says so
and names the command that makes them.
"""

from __future__ import annotations

import argparse
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

from training.measure import estimate
from training.results.coverage import TASKS, lacking, parts
from training.results.sentences import sentences
from training.results.tree import Material, collect

from . import record_tables as other_tables
from . import tables
from .checklist import ITEMS
from .html import Section, Table, to_html
from .pdf import to_pdf
from .task_sections import paper, whole

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
        found += list(paper(material, task))
    for task in TASKS:
        found += list(whole(material, task))
    found += list(_honesty(material))
    found += list(_others(material))
    found.append(_not_run(material))
    if material.experiments:
        made = other_tables.experiments_table(material.experiments)
        text = ("WORK and CACHE are the folders given to `experiments`.",)
        found.append(Section("How each result was made", text, (made,)))
    rows = tuple((i.asked, i.standard, i.answer) for i in ITEMS)
    words = "What CLAIM (numbered as in 2020) and TRIPOD+AI (2024) ask for, and where it is answered."
    found.append(Section("Reporting standards", (words,), (Table(("item", "standard", "answer"), rows),)))
    return found


def _overview(material: Material) -> Section:
    rows = tuple((name, str(n) if n else "missing", f"`{how}`") for name, n, how in parts(material))
    text = f"Made from {len(material.entries)} result files of classification and the records beside them."
    return Section("What this report holds", (text,), (Table(("part", "files", "made by"), rows),))


def _honesty(material: Material) -> Iterator[Section]:
    """Left-out sources and random labels, both tasks."""
    text = (
        "A model that learned the hospital scores well on patients held back from the same sources and fails on a "
        "source it never saw. The two AUROCs of a line differ in their test slices; the fall is the point.",
    )
    found = tuple(tables.source_table(material, t) for t in TASKS if material.of(t, "source"))
    absent = lacking(material, *(f"{t}, one source left out" for t in TASKS))
    yield Section("One source left out", text, found, missing=absent)
    text = (
        "Trained and tested on permuted labels: nothing can be learned about stroke, and a fair test gives an AUROC of "
        "0.5. Permuted among patients, all slices of one share a label; what an image-level split then gives above "
        "0.5 is recognition of patients seen in training.",
    )
    found = tuple(tables.control_table(material, t) for t in TASKS if material.of(t, random=True))
    absent = lacking(material, *(f"{t}, random labels" for t in TASKS))
    yield Section("Random labels", text, found, missing=absent)


def _others(material: Material) -> Iterator[Section]:
    """Explanations, segmentation, volumes, gate and cost."""
    text = [
        "Slices with a lesion mask that training did not learn from: of the validation and test parts and of unseen "
        "sources; a hit may miss by half a cell of a "
        "7 × 7 grid. The centre prior is a Gaussian on the middle of the head: the guess that needs no model."
    ]
    found: tuple[Table, ...] = ()
    if explained := other_tables.explained(material):
        found = (
            other_tables.explanation_table(material, other_tables.PLACE),
            other_tables.explanation_table(material, other_tables.SANITY),
            other_tables.explanation_sources_table(material),
        )
        kinds = sorted({k for _, f in explained for k in f.get("masks_of", [])})
        text += other_tables.drawn_lesions(material)
        text += [f"Masks here: {'; '.join(kinds)}."] if kinds else []
    yield Section(
        "Do the heat maps mean anything?", tuple(text), found, missing=lacking(material, "explanation checks")
    )
    edema = (
        "The masks of phe_sich mark the edema AROUND the hematoma, not the blood: IoU and Dice say how well the edema "
        "is found, and must not be read as a score for outlining blood.",
    )
    found = masks(material)
    yield Section("Segmentation", edema, found, missing=lacking(material, "segmentation"))
    found = (other_tables.record_table(material.volume),) if material.volume else ()
    volumes = material.of("volume")
    found += (other_tables.volume_table(volumes),) if volumes else ()
    beside = tuple(_beside(e.result.extra["against_slices"]) for e in volumes if "against_slices" in e.result.extra)
    yield Section("Whole volumes: the 3-D network", beside, found, missing=lacking(material, "volumes"))
    found = tuple(other_tables.gate_tables(material.gate)) if material.gate else ()
    yield Section("Scope gate", (), found, missing=lacking(material, "scope gate"))
    notes = tuple(other_tables.benchmark_note(b) for b in material.benchmarks)
    found = tuple(map(other_tables.benchmark_table, material.benchmarks))
    yield Section("Cost", notes, found, missing=lacking(material, "cost"))


def masks(material: Material) -> tuple[Table, ...]:
    """The segmentation results: of a known form in a table of their own, else figure by figure."""
    known = other_tables.segmentation_table(material.segmentation)
    return (known,) if known.rows else (other_tables.record_table(material.segmentation),)


def _beside(row: Mapping[str, Any]) -> str:
    """How the volume model compares with the pooled slices on the same patients."""
    return (
        f"Against {row['name']}, on the same patients: AUROC {estimate.text(row['auroc_difference'], signed=True)} "
        f"(p {estimate.text(row['auroc_p'])}); right alone {row['only_first_right']} against {row['only_other_right']} "
        f"patients (McNemar p {estimate.text(row['mcnemar_p'])})."
    )


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
