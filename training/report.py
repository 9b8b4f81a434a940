"""`python -m training report`: result files to one HTML page, a PDF and the README's tables."""

from __future__ import annotations

import argparse
import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from strokenext.errors import DataError

from . import benchmark, figures, own_tables, readme, tables
from .checklist import ITEMS
from .compare import compare
from .metrics import predictive_values
from .render import Section, Table, to_html, to_pdf
from .results import FORMAT, Result, read_result

TITLE = "StrokeNeXt: results"
NOTICE = (
    "Research use only. Not a medical device. Intervals are 95 %, by bootstrap over patients (near-duplicate groups "
    "where a source has no patients). Image-level splits put slices of one patient on both sides and flatter every "
    "model; they are shown because the paper used one, beside splits by patient."
)
_PAPER_NOTE = (
    "The paper's figures are on TEKNOFEST 2021, ours on the data named in the result files: they are not the same "
    "test, and the columns show what each protocol makes of it."
)
TASKS = ("presence", "subtype")


@dataclass(frozen=True, eq=False)
class Material:
    """What a report is made from."""

    results: tuple[Result, ...]
    benchmark: Mapping[str, Any] | None = None
    histories: Mapping[str, Sequence[Mapping[str, Any]]] | None = None

    def of(self, task: str) -> list[Result]:
        """The results of one task."""
        return [r for r in self.results if r.model["task"] == task]


def collect(folder: Path, runs: Sequence[Path] = ()) -> Material:
    """Read every result file below a folder, its benchmark, and the histories of run folders."""
    results: list[Result] = []
    bench = None
    for file in sorted(folder.rglob("*.json")):
        kind = _format(file)
        if kind == FORMAT:
            results.append(read_result(file))
        elif kind == benchmark.FORMAT:
            bench = json.loads(file.read_text(encoding="utf-8"))
    if not results:
        raise DataError(f"There is no result file in {folder}. Write some with: python -m training evaluate.")
    histories = {}
    for run in runs:
        file = run / "history.jsonl"
        if not file.is_file():
            raise DataError(f"There is no history.jsonl in {run}. Give a folder that `train` wrote.")
        histories[run.name] = [json.loads(line) for line in file.read_text(encoding="utf-8").splitlines() if line]
    return Material(tuple(tables.ordered(results)), bench, histories)


def _format(file: Path) -> str:
    try:
        values = json.loads(file.read_text(encoding="utf-8"))
    except ValueError:
        return ""
    return str(values.get("format", "")) if isinstance(values, dict) else ""


def sections(material: Material) -> list[Section]:
    """The report from top to bottom."""
    found = [_task(material, task) for task in TASKS if material.of(task)]
    found += [
        Section(
            f"The paper's table beside ours: {task}",
            (_PAPER_NOTE,),
            tables.paper_table(material.results, task),
        )
        for task in TASKS
    ]  # fmt: skip
    found += [s for r in material.results if _headline(r) for s in _detail(r)]
    found += _comparisons(material)
    found.append(Section("Calibration", table=tables.calibration_table(material.results)))
    if any("explanation" in r.extra for r in material.results):
        text = (
            "Masks mark infarct, blood or perihematomal edema, as each source defines; a hit may miss by half a cell."
        )
        found.append(Section("Do the heat maps mean anything?", (text,), tables.explanation_table(material.results)))
    if material.benchmark:
        found.append(Section("Cost", (_hardware(material.benchmark),), benchmark_table(material.benchmark)))
    if material.histories:
        drawn = [figures.convergence(n, [dict(row) for row in h]) for n, h in material.histories.items() if h]
        found.append(Section("Training curves", figures=drawn))
    rows = tuple((i.asked, i.standard, i.answer) for i in ITEMS)
    found.append(Section("Reporting standards", table=Table(("item", "standard", "answer"), rows)))
    return found


def _task(material: Material, task: str) -> Section:
    text: list[str] = []
    for r in material.of(task):
        probe = r.metrics.get("source_probe")
        if probe and not text:
            text.append(
                f"In the test data of {tables.title(r)} ({tables.where(r)}), the source alone predicts the label with "
                f"AUROC {tables.number(probe['auroc'])}. Only results within a source show that a lesion was seen."
            )
    return Section(f"Results: {task}", tuple(text), tables.main_table(material.results, task))


def _headline(result: Result) -> bool:
    """Whether a result gets figures of its own: StrokeNeXt where no patient is on both sides."""
    return str(result.model.get("architecture", "")).startswith("strokenext") and result.data.get("protocol") != "image"


def _detail(result: Result) -> list[Section]:
    name = f"{tables.title(result)}, {result.model['task']}, {tables.where(result)}"
    found = [Section(f"In detail: {name}", table=tables.breakdown(result), figures=figures.all_of(result))]
    point = result.metrics["at_threshold"]
    sens, spec = point["sensitivity"]["value"], point["specificity"]["value"]
    if sens is not None and spec is not None:
        rows = predictive_values(sens, spec)
        cells = tuple((f"{r['prevalence']:.0%}", tables.number(r["ppv"]), tables.number(r["npv"])) for r in rows)
        found.append(Section(f"Predictive values: {name}", table=Table(("prevalence", "PPV", "NPV"), cells)))
    return found


def _comparisons(material: Material) -> list[Section]:
    """The first StrokeNeXt against every other model that saw the same slices, task by task and split by split."""
    groups: dict[tuple[str, str, tuple[str, ...]], list[Result]] = {}
    for r in material.results:
        key = (r.model["task"], tables.where(r), tuple(sorted(r.predictions.paths)))
        groups.setdefault(key, []).append(r)
    found = []
    for (task, where, _), rows in groups.items():
        ours = [r for r in rows if str(r.model.get("architecture", "")).startswith("strokenext")]
        others = [r for r in rows if r not in ours[:1]]
        if not ours or not others or len(set(rows[0].predictions.labels.tolist())) < 2:
            continue
        table = _comparison_table(compare([ours[0], *others]))
        title = f"{tables.title(ours[0])} against the others: {task}, {where}"
        text = "AUROC by paired bootstrap over patients; calls by McNemar's exact test over patients; p after Holm."
        found.append(Section(title, (text,), table))
    return found


def _comparison_table(comparison: Mapping[str, Any]) -> Table:
    rows = tuple(
        (r["name"], tables.number(r["auroc"]), tables.estimate(r["auroc_difference"]),
         tables.number(r["auroc_p_holm"], 4), f"{r['only_first_right']} / {r['only_other_right']}",
         tables.number(r["mcnemar_p_holm"], 4))
        for r in comparison["against"]
    )  # fmt: skip
    return Table(("against", "its AUROC", "difference", "p", "patients right alone: ours / its", "p, McNemar"), rows)


def _hardware(values: Mapping[str, Any]) -> str:
    e = values["environment"]
    return f"Measured on {e['hardware']}, {e['threads']} threads, device {e['device']}, torch {e['torch']}, float32."


def benchmark_table(values: Mapping[str, Any]) -> Table:
    """The benchmark file as a table."""
    rows = tuple(
        (r["name"], f"{r['parameters']:,}", tables.number(r["gflops"], 2), tables.number(r["latency_ms"], 1),
         tables.number(r["images_per_second"], 1), tables.number(r["peak_memory_mb"], 0),
         *(tables.number(r[f"gradcam_{k}_ms"], 0) for k in ("head", "full", "hooks")))
        for r in values["rows"]
    )  # fmt: skip
    heads = (
        "model",
        "parameters",
        "GFLOPs",
        "ms per image",
        "images/s",
        "peak MB",
        "Grad-CAM ms, head only",
        "whole graph",
        "hooks",
    )
    return Table(heads, rows)


def readme_tables(material: Material) -> dict[str, str]:
    """Marker name to Markdown table."""
    found = {task: tables.main_table(material.results, task).markdown() for task in TASKS}
    found |= {f"paper-{task}": tables.paper_table(material.results, task).markdown() for task in TASKS}
    found["calibration"] = tables.calibration_table(material.results).markdown()
    found["explanation"] = tables.explanation_table(material.results).markdown()
    if material.benchmark:
        found["benchmark"] = benchmark_table(material.benchmark).markdown() + "\n\n" + _hardware(material.benchmark)
    return found


def parser() -> argparse.ArgumentParser:
    """The command's flags."""
    p = argparse.ArgumentParser(prog="python -m training report", description=__doc__.splitlines()[0])
    p.add_argument("--results", type=Path, default=Path("results"), help="folder of result files (default: results)")
    p.add_argument("--run", type=Path, nargs="*", default=[], help="run folders, for training curves")
    p.add_argument("--out", type=Path, default=Path("report"), help="folder for report.html and report.pdf")
    p.add_argument("--readme", type=Path, help="also write the tables between the markers of this file")
    p.add_argument("--check", action="store_true", help="write nothing; exit 1 when the README has drifted")
    p.add_argument(
        "--gallery", type=int, default=0, metavar="N", help="add the N worst errors of each StrokeNeXt result"
    )
    p.add_argument("--manifest", type=Path, help="where the gallery's images are")
    p.add_argument(
        "--model", action="append", default=[], help="checkpoint of the gallery's heat maps; repeat per task"
    )
    return p


def main(argv: Sequence[str]) -> int:
    """Run the command. Returns 1 when --check finds a README that has drifted, else 0."""
    o = parser().parse_args(argv)
    material = collect(o.results, o.run)
    if o.readme:
        same = readme.update(o.readme, {**own_tables.tables(), **readme_tables(material)}, o.check)
        print(f"{o.readme} " + ("is up to date." if same else "has drifted." if o.check else "was brought up to date."))
        if o.check:
            return 0 if same else 1
    content = sections(material)
    if o.gallery:
        from .gallery import galleries

        content += galleries(material.results, o.manifest, o.model, o.gallery)
    o.out.mkdir(parents=True, exist_ok=True)
    (o.out / "report.html").write_text(to_html(TITLE, NOTICE, content), encoding="utf-8")
    to_pdf(TITLE, NOTICE, content, o.out / "report.pdf")
    print(f"{o.out / 'report.html'} and report.pdf, from {len(material.results)} result files.")
    return 0
