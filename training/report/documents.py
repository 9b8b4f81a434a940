"""`python -m training readme`: the tables of README.md and docs/ between their markers, from result files and records.

Markers are HTML comments on lines of their own: `<!-- results:NAME -->` and `<!-- /results:NAME -->`; NAME is a key of
`tables`. Every figure stands in `assets/*/config.json` (written by `finish`) or below `results/`; a test fails when
a document differs from them.
"""

from __future__ import annotations

import argparse
import re
from collections.abc import Iterable, Iterator, Mapping, Sequence
from itertools import zip_longest
from pathlib import Path

from strokenext.errors import DataError
from strokenext.record.config import CONFIG, ModelConfig
from strokenext.saving import write_file
from training.results.coverage import lacking
from training.results.explanations import drawn_lesions
from training.results.sentences import sentences
from training.results.tree import TASKS, Material, collect
from training.train.card import result_row

from . import record_tables
from .cost import benchmark_note, benchmark_table
from .section import Table
from .tables import control_table, gap_table, source_table

ROOT = Path(__file__).resolve().parents[2]
_BLOCK = re.compile(r"(<!-- results:([\w-]+) -->\n)(.*?)(<!-- /results:\2 -->)", re.DOTALL)
#: What stands in place of a table that has no rows.
MISSING = "Not measured yet."
_HEADS = (
    "| test set | slices (positive) | groups | AUROC (95 % interval) | sensitivity | specificity "
    "| sensitivity at specificity 0.85 |\n|---|---|---|---|---|---|---|\n"
)
#: Rows of the records that the README shows: of unseen sources those against every held-back normal slice.
MAIN_ROWS = frozenset(
    (
        "held-back patients, ct_ich: hemorrhage against the other slices",
        "held-back patients, phe_sich: hemorrhage against slices away from it",
        "unseen source AISD: ischemic against all held-back ct_ich slices without it",
        "unseen source MBH: hemorrhage against all held-back ct_ich slices without it",
        "unseen sources: AISD ischemic against MBH hemorrhagic",
        "AISD ischemic against held-back hemorrhagic patients",
    )
)


def documents(root: Path = ROOT) -> list[Path]:
    """The files that may hold markers: README.md and the pages of docs/."""
    return [root / "README.md", *sorted((root / "docs").glob("*.md"))]


def filled(text: str, tables: Mapping[str, str]) -> str:
    """A document with the table of each marker in place. Raises DataError for a marker that no table belongs to."""

    def table(block: re.Match[str]) -> str:
        name = block[2]
        if name not in tables:
            raise DataError(f"A document asks for the table '{name}'. There are: {', '.join(sorted(tables))}.")
        return f"{block[1]}\n{tables[name].strip()}\n\n{block[4]}"

    return _BLOCK.sub(table, text)


def update(file: Path, tables: Mapping[str, str], check: bool = False) -> bool:
    """Whether the file was already as the tables say; without `check` it is made so."""
    before = file.read_text(encoding="utf-8")
    after = filled(before, tables)
    if after != before and not check:
        write_file(file, after)
    return after == before


def tables(root: Path = ROOT, results: Path | None = None) -> dict[str, str]:
    """Marker name to Markdown; a table without result files says so."""
    material = collect(results or root / "results")
    models = list(bundled_models(root / "assets"))
    volumes = (record_tables.volume_table(material.of("volume")), record_tables.record_table(material.volume))
    costs = (f"{benchmark_table(b).markdown()}\n\n{benchmark_note(b)}" for b in material.benchmarks)
    drawn = _list(drawn_lesions(material))
    return {
        "bundled-main": _HEADS + "\n".join(_main_rows(m) for m in models),
        "bundled": "\n\n".join(_operating_point(m) + _HEADS + _rows(m) for m in models),
        **{f"paper-{task}": _paper(material, task) for task in TASKS},
        "sources": _joined(*(source_table(material, t) for t in TASKS), titles=TASKS),
        "controls": _joined(*(control_table(material, t) for t in TASKS), titles=TASKS),
        "explanation": f"{_joined(record_tables.explanation_table(material))}\n\n{drawn}".strip(),
        "explanation-sanity": _joined(record_tables.explanation_table(material, record_tables.SANITY)),
        "segmentation": _joined(record_tables.segmentation_table(material.segmentation)),
        "volume": _joined(*volumes),
        "gate": _joined(*(record_tables.gate_tables(material.gate) if material.gate else ())),
        "inputs": _joined(*(record_tables.inputs_tables(material.inputs) if material.inputs else ())),
        "benchmark": "\n\n".join(costs) or MISSING,
        "in-short": _list(sentences(material)) or MISSING,
        "made": _made(material),
        "not-run": _joined(record_tables.not_run_table(material.not_run)),
    }


def bundled_models(assets: Path) -> Iterator[ModelConfig]:
    """The records of the bundled slice models."""
    for file in sorted(assets.glob(f"*/{CONFIG}")):
        config = ModelConfig.from_json(file.read_bytes())
        if config.task in TASKS:
            yield config


def _operating_point(config: ModelConfig) -> str:
    """What a bundled model was trained on and its threshold, above its rows."""
    about = " (experimental)" if config.experimental else ""
    return (
        f"**{config.name}**{about}: {config.trained_on} Threshold {config.threshold:.2f}, indeterminate from "
        f"{config.band[0]:.2f} to {config.band[1]:.2f}. [Card](../assets/{config.name}/README.md).\n\n"
    )


def _rows(config: ModelConfig) -> str:
    return "\n".join(result_row(name, m) for name, m in config.metrics.items() if name != "validation")


def _main_rows(config: ModelConfig) -> str:
    """The rows of MAIN_ROWS, below the model's question; all of a model that has none of them."""
    names = [n for n in config.metrics if n in MAIN_ROWS] or [n for n in config.metrics if n != "validation"]
    return "\n".join(result_row(f"{config.task}, {name}", config.metrics[name]) for name in names)


def _list(sentences: Iterable[str]) -> str:
    return "\n".join(f"- {sentence}" for sentence in sentences)


def _paper(material: Material, task: str) -> str:
    """The two protocols side by side, or why there are none."""
    gap = gap_table(material, task)
    return gap.markdown() if gap.rows else lacking(material, f"{task}, by patient")


def _made(material: Material) -> str:
    """How many results there are, what training them took and on what."""
    rows = material.experiments
    hours = sum(float(r.get("training_seconds") or 0) for r in rows) / 3600
    machines = sorted({f"{r['hardware']}, {r['threads']} threads" for r in rows})
    return f"{len(rows)} results; training took {hours:.1f} hours in all on {'; '.join(machines)}." if rows else MISSING


def _joined(*tables: Table, titles: Sequence[str] = ()) -> str:
    """Tables with rows one below the other; where there are several, each below its title if it has one."""
    kept = [(t, table) for t, table in zip_longest(titles, tables) if table.rows]
    many = len(kept) > 1
    parts = [(f"{t.capitalize()}:\n\n" if t and many else "") + table.markdown() for t, table in kept]
    return "\n\n".join(parts) or MISSING


def main(argv: Sequence[str]) -> int:
    """Bring the tables of README.md and docs/ up to date; with --check write nothing and return 1 on drift."""
    p = argparse.ArgumentParser(prog="python -m training readme", description=main.__doc__)
    p.add_argument("--check", action="store_true", help="write nothing; exit 1 when a document has drifted")
    p.add_argument("--results", type=Path, help="folder of result files (default: the repository's)")
    p.add_argument("--file", type=Path, help="one file with markers (default: README.md and the pages of docs/)")
    o = p.parse_args(argv)
    made = tables(results=o.results)
    drifted = [file for file in ([o.file] if o.file else documents()) if not update(file, made, o.check)]
    for file in drifted:
        print(f"{file.name} {'has drifted' if o.check else 'was brought up to date'}.")
    if not drifted:
        print("The documents are up to date.")
    return int(o.check and bool(drifted))
