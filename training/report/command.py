"""`python -m training report`: everything below results/ to one HTML page and a PDF.

Both hold the same words, tables and figures, and ask the network for nothing. A part without result files says so
and names the command that makes them.
"""

from __future__ import annotations

import argparse
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

from strokenext.saving import write_file
from training.measure.estimate import text
from training.results.coverage import NOT_RUN, lacking, parts
from training.results.explanations import drawn_lesions, explained
from training.results.sentences import sentences
from training.results.tree import TASKS, Material, collect

from . import record_tables, tables
from .cost import benchmark_note, benchmark_table
from .gallery import galleries
from .html import to_html
from .pdf import to_pdf
from .section import Section, Table
from .task_sections import paper, whole

TITLE = "StrokeNeXt: results"
NOTICE = (
    "Research use only. Not a medical device. Intervals are 95 %, by bootstrap over patients (near-duplicate groups "
    "where a source has no patients). Image-level splits put slices of one patient on both sides and flatter every "
    "model; they are shown because the paper used one, beside splits by patient."
)
#: Where CLAIM and TRIPOD+AI are answered.
STANDARDS = (
    "What CLAIM (numbered as in 2020) and TRIPOD+AI (2024) ask for, and where it is answered: `docs/checklist.md`.",
)


def sections(material: Material) -> list[Section]:
    """The report from top to bottom."""
    findings = sentences(material)
    return [
        *([Section("In short", bullets=findings)] if findings else []),
        _overview(material),
        *(section for task in TASKS for section in paper(material, task)),
        *(section for task in TASKS for section in whole(material, task)),
        *_honesty(material),
        _explanations(material),
        *_others(material),
        _not_run(material),
        *_made(material),
        Section("Reporting standards", STANDARDS),
    ]


def _overview(material: Material) -> Section:
    rows = tuple((part.name, str(part.files or "missing"), f"`{part.command}`") for part in parts(material))
    about = f"Made from {len(material.entries)} result files of classification and the records beside them."
    return Section("What this report holds", (about,), (Table(("part", "files", "made by"), rows),))


def _honesty(material: Material) -> Iterator[Section]:
    """Left-out sources and random labels, both tasks."""
    about = (
        "A model that learned the hospital scores well on patients held back from the same sources and fails on a "
        "source it never saw. The two AUROCs of a line differ in their test slices; the fall is the point."
    )
    shown = tuple(tables.source_table(material, t) for t in TASKS)
    absent = lacking(material, *(f"{t}, one source left out" for t in TASKS))
    yield Section("One source left out", (about,), shown, missing=absent)
    about = (
        "Trained and tested on permuted labels: nothing can be learned about stroke, and a fair test gives an AUROC of "
        "0.5. Permuted among patients, all slices of one share a label; what an image-level split then gives above "
        "0.5 is recognition of patients seen in training."
    )
    shown = tuple(tables.control_table(material, t) for t in TASKS)
    absent = lacking(material, *(f"{t}, random labels" for t in TASKS))
    yield Section("Random labels", (about,), shown, missing=absent)


def _explanations(material: Material) -> Section:
    """Whether the heat maps mean anything."""
    about = (
        "Slices with a lesion mask that training did not learn from: of the validation and test parts and of unseen "
        "sources; a hit may miss by half a cell of a 7 × 7 grid. "
        "The centre prior is a Gaussian on the middle of the head: the guess that needs no model."
    )
    checks, words = explained(material), [about]
    shown: tuple[Table, ...] = ()
    if checks:
        kinds = sorted({kind for _, row in checks for kind in row.get("masks_of", [])})
        words += [*drawn_lesions(material), *([f"Masks here: {'; '.join(kinds)}."] if kinds else [])]
        shown = (
            record_tables.explanation_table(material, record_tables.PLACE),
            record_tables.explanation_table(material, record_tables.SANITY),
            record_tables.explanation_sources_table(material),
        )
    absent = lacking(material, "explanation checks")
    return Section("Do the heat maps mean anything?", tuple(words), shown, missing=absent)


def _others(material: Material) -> Iterator[Section]:
    """Segmentation, volumes, gate and cost."""
    edema = (
        "The masks of phe_sich mark the edema AROUND the hematoma, not the blood: IoU and Dice say how well the edema "
        "is found, and must not be read as a score for outlining blood."
    )
    known = record_tables.segmentation_table(material.segmentation)
    masks = known if known.rows else record_tables.record_table(material.segmentation)
    yield Section("Segmentation", (edema,), (masks,), missing=lacking(material, "segmentation"))
    volumes = material.of("volume")
    shown = (record_tables.record_table(material.volume), record_tables.volume_table(volumes))
    beside = tuple(_beside(e.result.extra["against_slices"]) for e in volumes if "against_slices" in e.result.extra)
    yield Section("Whole volumes: the 3-D network", beside, shown, missing=lacking(material, "volumes"))
    rates = tuple(record_tables.gate_tables(material.gate)) if material.gate else ()
    yield Section("Scope gate", (), rates, missing=lacking(material, "scope gate"))
    unlike = tuple(record_tables.inputs_tables(material.inputs)) if material.inputs else ()
    yield Section("Pictures unlike the training ones", (), unlike, missing=lacking(material, "unlike pictures"))
    notes, costs = map(benchmark_note, material.benchmarks), map(benchmark_table, material.benchmarks)
    yield Section("Cost", tuple(notes), tuple(costs), missing=lacking(material, "cost"))


def _beside(row: Mapping[str, Any]) -> str:
    """How the volume model compares with the pooled slices on the same patients."""
    return (
        f"Against {row['name']}, on the same patients: AUROC {text(row['auroc_difference'], signed=True)} "
        f"(p {text(row['auroc_p'])}); right alone {row['only_first_right']} against {row['only_other_right']} "
        f"patients (McNemar p {text(row['mcnemar_p'])})."
    )


def _not_run(material: Material) -> Section:
    absent = [part.name for part in parts(material) if not part.files and part.name != NOT_RUN]
    about = (f"Without any result file: {'; '.join(absent)}.",) if absent else ()
    missing = "Nobody wrote down what was not run and why: `results/not_run.toml` is not there."
    shown = record_tables.not_run_table(material.not_run)
    return Section("What was not run", about, (shown,), missing="" if material.not_run else missing)


def _made(material: Material) -> Iterator[Section]:
    """How each result was made."""
    if material.experiments:
        about = "WORK and CACHE are the folders given to `experiments`."
        yield Section("How each result was made", (about,), (record_tables.experiments_table(material.experiments),))


def main(argv: Sequence[str]) -> int:
    """Run the command. Returns 0."""
    p = argparse.ArgumentParser(prog="python -m training report", description=__doc__.splitlines()[0])
    p.add_argument("--results", type=Path, default=Path("results"), help="folder of result files (default: results)")
    p.add_argument("--out", type=Path, default=Path("report"), help="folder for report.html and report.pdf")
    p.add_argument("--gallery", type=int, default=0, metavar="N", help="add the N worst errors; keep that page private")
    p.add_argument("--manifest", type=Path, help="where the gallery's images are")
    p.add_argument("--model", action="append", default=[], help="checkpoint of the gallery; repeat for several")
    o = p.parse_args(argv)
    material = collect(o.results)
    content = sections(material)
    if o.gallery:
        content += galleries(material.entries, o.manifest, o.model, o.gallery)
    o.out.mkdir(parents=True, exist_ok=True)
    write_file(o.out / "report.html", to_html(TITLE, NOTICE, content))
    to_pdf(TITLE, NOTICE, content, o.out / "report.pdf")
    print(f"{o.out / 'report.html'} and report.pdf, from {len(material.entries)} result files.")
    return 0
