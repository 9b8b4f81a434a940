"""The parts a report should have, how many result files each has, and the command that makes a missing one."""

from __future__ import annotations

import fnmatch
from functools import cache
from pathlib import Path

from training.experiments.plan import read_plan
from training.report import record_tables as other_tables

from .tree import Material

TASKS = ("presence", "subtype")
EXPLAIN = "python -m training explain --model NAME --manifest MANIFEST --split SPLIT --out results/explain/NAME.json"
PLANS = Path(__file__).parents[1] / "plans"


def parts(material: Material) -> list[tuple[str, int, str]]:
    """Every part of the report, how many files it has, and the command that makes it."""
    found = []
    for task in TASKS:
        simulated = len(material.of(task, "simulated", "patients"))
        found += [
            (f"{task}, image level", len(material.of(task, "image")), command(f"{task}/image/*")),
            (f"{task}, by patient", len(material.of(task, "grouped")), command(f"{task}/grouped/*")),
            (f"{task}, one source left out", len(material.of(task, "source")), command(f"{task}/source-*")),
            (f"{task}, random labels", len(material.of(task, random=True)), command(f"{task}/*random-labels/*")),
            (f"{task}, simulated lesions", simulated, command(f"{task}/simulated/*")),
        ]
    volumes = len(material.volume) + len(material.of("volume"))
    return [
        *found,
        ("explanation checks", len(other_tables.explained(material)), EXPLAIN),
        (
            "segmentation",
            len(material.segmentation),
            "python -m training evaluate --model UNET ... --out results/segmentation/unet.json",
        ),
        (
            "volumes",
            volumes,
            "python -m training evaluate --model CNN3D ... --out results/volume/cnn3d.json",
        ),
        ("scope gate", int(material.gate is not None), "python -m training gate --every 2"),
        ("cost", len(material.benchmarks), "python -m training benchmark"),
        ("what was not run", len(material.not_run), "write results/not_run.toml"),
    ]


@cache
def command(cells: str) -> str:
    """The command of the first plan that holds such cells."""
    for file in sorted(PLANS.glob("*.toml")):
        if any(fnmatch.fnmatch(c.name, cells) for c in read_plan(file).cells):
            return f"python -m training experiments {file.stem} --only '{cells}'"
    return f"python -m training experiments PLAN, a plan with the cells {cells}"


def lacking(material: Material, *names: str) -> str:
    """A sentence for those of the named parts that have no file, with the reason or the command; empty for none."""
    absent = {name: how for name, n, how in parts(material) if name in names and not n}
    reasons: dict[str, list[str]] = {}
    for name, how in absent.items():
        why = next((row["why"] for row in material.not_run if name in row.get("parts", "").split("; ")), "")
        reasons.setdefault(why or f"Made by: `{how}`.", []).append(name)
    return " ".join(
        f"{'Not measured yet' if why.startswith('Made by') else 'Not run'}: {'; '.join(which)}. {why}"
        for why, which in reasons.items()
    )
