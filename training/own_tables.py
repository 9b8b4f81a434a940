"""`python -m training readme`: the README's tables of the bundled models and of the gate, from their own records.

The figures stand in `assets/*/config.json` (written by `finish`) and `results/gate.json` (written by
`python -m training.gate_check`); a test fails when the README differs from them.
"""

from __future__ import annotations

import argparse
import json
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from strokenext.model_config import CONFIG, ModelConfig

from . import readme
from .card import result_row

ROOT = Path(__file__).resolve().parent.parent


def bundled(assets: Path) -> str:
    """Markdown: each bundled model's operating point and its results."""
    parts = []
    for file in sorted(assets.glob(f"*/{CONFIG}")):
        config = ModelConfig.from_json(file.read_bytes())
        about = " (experimental)" if config.experimental else ""
        parts.append(
            f"**{config.name}**{about}: {config.trained_on} Threshold {config.threshold:.2f}, indeterminate from "
            f"{config.band[0]:.2f} to {config.band[1]:.2f}. [Card](assets/{config.name}/README.md).\n\n"
            "| test set | slices (positive) | groups | AUROC (95 % interval) | sensitivity | specificity "
            "| sensitivity at specificity 0.85 |\n|---|---|---|---|---|---|---|\n"
            + "\n".join(result_row(name, m) for name, m in config.metrics.items() if name != "validation")
        )
    return "\n\n".join(parts)


def gate(file: Path) -> str:
    """Markdown: refusals of head CT and acceptances of everything else."""
    record = json.loads(file.read_text(encoding="utf-8"))
    heads = {"refused": "head CT, second half of the patients", "accepted": "no head CT slice with brain"}
    return "\n\n".join(
        f"| {title} | n | {verb} | share (95 % interval) |\n|---|---|---|---|\n"
        + "\n".join(_gate_row(rate) for rate in record[verb])
        for verb, title in heads.items()
    )


def _gate_row(rate: dict[str, Any]) -> str:
    low, high = (100 * v for v in rate["interval"])
    share = 100 * rate["hits"] / rate["n"] if rate["n"] else 0.0
    return f"| {rate['group']} | {rate['n']} | {rate['hits']} | {share:.1f} % ({low:.1f} to {high:.1f}) |"


def tables(root: Path = ROOT) -> dict[str, str]:
    """Marker name to Markdown."""
    return {"bundled": bundled(root / "assets"), "gate": gate(root / "results" / "gate.json")}


def main(argv: Sequence[str]) -> int:
    """Bring README.md up to date; with --check, exit code 1 when it has drifted."""
    p = argparse.ArgumentParser(prog="python -m training readme", description=main.__doc__)
    p.add_argument("--check", action="store_true", help="write nothing")
    o = p.parse_args(argv)
    same = readme.update(ROOT / "README.md", tables(), o.check)
    print("README.md " + ("is up to date." if same else "has drifted." if o.check else "was brought up to date."))
    return int(o.check and not same)
