"""`python -m training readme`: the README's tables between their markers, from the result files and the records.

Markers are HTML comments on lines of their own: `<!-- results:NAME -->` and `<!-- /results:NAME -->`; NAME is a key of
`tables`. Every figure stands in `assets/*/config.json` (written by `finish`) or below `results/`; a test fails when
the README differs from them.
"""

from __future__ import annotations

import argparse
import re
from collections.abc import Mapping, Sequence
from pathlib import Path

from strokenext.errors import DataError
from strokenext.record.config import CONFIG, ModelConfig
from training.classify.card import result_row
from training.results.coverage import TASKS, lacking
from training.results.sentences import sentences
from training.results.tree import Material, collect

from . import record_tables as other_tables
from .html import Table
from .tables import control_table, gap_table, source_table

ROOT = Path(__file__).resolve().parents[2]
_BLOCK = re.compile(r"(<!-- results:([\w-]+) -->\n)(.*?)(<!-- /results:\2 -->)", re.DOTALL)


def filled(text: str, tables: Mapping[str, str]) -> str:
    """The README with the table of each marker in place. Raises DataError for a marker that no table belongs to."""

    def table(found: re.Match[str]) -> str:
        name = found[2]
        if name not in tables:
            raise DataError(f"The README asks for the table '{name}'. There are: {', '.join(sorted(tables))}.")
        return f"{found[1]}\n{tables[name].strip()}\n\n{found[4]}"

    return _BLOCK.sub(table, text)


def update(file: Path, tables: Mapping[str, str], check: bool = False) -> bool:
    """Whether the file was already as the tables say; without `check` it is made so."""
    before = file.read_text(encoding="utf-8")
    after = filled(before, tables)
    if after != before and not check:
        file.write_text(after, encoding="utf-8")
    return after == before


def bundled(assets: Path) -> str:
    """Markdown: each bundled model's operating point and its results."""
    parts = []
    for file in sorted(assets.glob(f"*/{CONFIG}")):
        config = ModelConfig.from_json(file.read_bytes())
        if config.task not in TASKS:
            continue
        about = " (experimental)" if config.experimental else ""
        parts.append(
            f"**{config.name}**{about}: {config.trained_on} Threshold {config.threshold:.2f}, indeterminate from "
            f"{config.band[0]:.2f} to {config.band[1]:.2f}. [Card](assets/{config.name}/README.md).\n\n"
            "| test set | slices (positive) | groups | AUROC (95 % interval) | sensitivity | specificity "
            "| sensitivity at specificity 0.85 |\n|---|---|---|---|---|---|---|\n"
            + "\n".join(result_row(name, m) for name, m in config.metrics.items() if name != "validation")
        )
    return "\n\n".join(parts)


def tables(root: Path = ROOT, results: Path | None = None) -> dict[str, str]:
    """Marker name to Markdown; a table without result files says so."""
    material = collect(results or root / "results")
    found = {"bundled": bundled(root / "assets")}
    found |= {f"paper-{task}": _paper(material, task) for task in TASKS}
    left_out = [source_table(material, t) for t in TASKS]
    control = [control_table(material, t) for t in TASKS]
    found["sources"] = _joined(TASKS, left_out)
    found["controls"] = _joined(TASKS, control)
    drawn = "\n".join(f"- {said}" for said in other_tables.drawn_lesions(material))
    found["explanation"] = f"{_joined(('',), [other_tables.explanation_table(material)])}\n\n{drawn}".strip()
    found["segmentation"] = _joined(("",), [other_tables.segmentation_table(material.segmentation)])
    volumes = [other_tables.volume_table(material.of("volume")), other_tables.record_table(material.volume)]
    found["volume"] = _joined(("", ""), volumes)
    found["gate"] = _joined(("", ""), other_tables.gate_tables(material.gate) if material.gate else [])
    costs = [f"{other_tables.benchmark_table(b).markdown()}\n\n{other_tables.benchmark_note(b)}"
             for b in material.benchmarks]  # fmt: skip
    found["benchmark"] = "\n\n".join(costs) or MISSING
    found["in-short"] = "\n".join(f"- {said}" for said in sentences(material)) or MISSING
    found["made"] = _made(material)
    found["not-run"] = _joined(("",), [other_tables.not_run_table(material.not_run)])
    return found


#: What stands in place of a table that has no rows.
MISSING = "Not measured yet."


def _paper(material: Material, task: str) -> str:
    """The two protocols side by side, or why there are none."""
    found = gap_table(material, task)
    return found.markdown() if found.rows else lacking(material, f"{task}, by patient")


def _made(material: Material) -> str:
    """How many results there are, what training them took and on what."""
    rows = material.experiments
    hours = sum(float(r.get("training_seconds") or 0) for r in rows) / 3600
    machines = sorted({f"{r['hardware']}, {r['threads']} threads" for r in rows})
    return f"{len(rows)} results; training took {hours:.1f} hours in all on {'; '.join(machines)}." if rows else MISSING


def _joined(titles: Sequence[str], found: Sequence[Table]) -> str:
    """Tables with rows one below the other, each below its title."""
    kept = [(t, table) for t, table in zip(titles, found, strict=False) if table.rows]
    many = len(kept) > 1
    parts = [(f"{t.capitalize()}:\n\n" if t and many else "") + table.markdown() for t, table in kept]
    return "\n\n".join(parts) or MISSING


def main(argv: Sequence[str]) -> int:
    """Bring README.md up to date; with --check write nothing and return 1 when it has drifted."""
    p = argparse.ArgumentParser(prog="python -m training readme", description=main.__doc__)
    p.add_argument("--check", action="store_true", help="write nothing; exit 1 when the README has drifted")
    p.add_argument("--results", type=Path, help="folder of result files (default: the repository's)")
    p.add_argument("--file", type=Path, default=ROOT / "README.md", help="the file with the markers")
    o = p.parse_args(argv)
    same = update(o.file, tables(results=o.results), o.check)
    print(f"{o.file.name} " + ("is up to date." if same else "has drifted." if o.check else "was brought up to date."))
    return int(o.check and not same)
