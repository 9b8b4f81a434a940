"""The parts a report should have, how many result files each has, and the command that makes a missing one."""

from __future__ import annotations

import fnmatch
from functools import cache
from pathlib import Path
from typing import NamedTuple

from training.experiments.plan import read_plan

from .explanations import explained
from .tree import TASKS, Material

EXPLAIN = "python -m training explain --model NAME --manifest MANIFEST --split SPLIT --out results/explain/NAME.json"
SEGMENTATION = "python -m training evaluate --model UNET ... --out results/segmentation/unet.json"
VOLUMES = "python -m training evaluate --model CNN3D ... --out results/volume/cnn3d.json"
PLANS = Path(__file__).parents[1] / "plans"


class Part(NamedTuple):
    """A part of the report, how many files it has, and the command that makes it."""

    name: str
    files: int
    command: str


#: The part that says which others were left out on purpose.
NOT_RUN = "what was not run"


def parts(material: Material) -> list[Part]:
    """Every part of the report."""
    rows = []
    for task in TASKS:
        simulated = len(material.of(task, "simulated", "patients"))
        rows += [
            Part(f"{task}, image level", len(material.of(task, "image")), command(f"{task}/image/*")),
            Part(f"{task}, by patient", len(material.of(task, "grouped")), command(f"{task}/grouped/*")),
            Part(f"{task}, one source left out", len(material.of(task, "source")), command(f"{task}/source-*")),
            Part(f"{task}, random labels", len(material.of(task, random=True)), command(f"{task}/*random-labels/*")),
            Part(f"{task}, simulated lesions", simulated, command(f"{task}/simulated/*")),
        ]
    return [
        *rows,
        Part("explanation checks", len(explained(material)), EXPLAIN),
        Part("segmentation", len(material.segmentation), SEGMENTATION),
        Part("volumes", len(material.volume) + len(material.of("volume")), VOLUMES),
        Part("scope gate", int(material.gate is not None), "python -m training gate --every 2"),
        Part("unlike pictures", int(material.inputs is not None), "python -m training inputs"),
        Part("cost", len(material.benchmarks), "python -m training benchmark"),
        Part(NOT_RUN, len(material.not_run), "write results/not_run.toml"),
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
    reasons: dict[tuple[str, str], list[str]] = {}
    for part in parts(material):
        if part.name in names and not part.files:
            why = next((row["why"] for row in material.not_run if part.name in row.get("parts", "").split("; ")), "")
            reason = ("Not run", why) if why else ("Not measured yet", f"Made by: `{part.command}`.")
            reasons.setdefault(reason, []).append(part.name)
    return " ".join(f"{state}: {'; '.join(which)}. {why}" for (state, why), which in reasons.items())
