"""A plan is a matrix of experiments in a TOML file; a cell is one of them: a model under a protocol.

A plan's groups come in order, and within a group all protocols of one model before the next model, so that the two
halves of a comparison are ready together:

    recipe = "paper-cpu"          # a recipe of the package, or a file beside the plan
    [changes]                     # recipe entries of single models, whatever the group
    small_cnn = ["size=256"]
    [[group]]
    tasks = ["presence"]          # the usual
    protocols = ["image", "grouped"]
    models = ["strokenext_atto", "resnet50"]
"""

from __future__ import annotations

import itertools
import re
import tomllib
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field, fields
from pathlib import Path
from typing import Any

from strokenext import zoo
from strokenext.errors import DataError, OptionError
from training.data.manifest import Manifest
from training.splits.assign import PATIENT_SEED
from training.splits.protocols import grouped, image_level, leave_source_out, patients, published
from training.splits.split import Split
from training.train.recipe import Recipe, read_recipe

RECIPES = Path(__file__).parents[1] / "recipes"
#: Protocols of a plan to what makes the split of a cell.
PROTOCOLS: Mapping[str, Callable[[Manifest, Cell], Split]] = {
    "image": lambda m, c: image_level(m, c.task, c.seed),
    "grouped": lambda m, c: grouped(m, c.task, c.seed),
    "patients": lambda m, c: patients(m, c.task, c.seed or PATIENT_SEED),
    "source": lambda m, c: leave_source_out(m, c.detail, c.task, c.seed),
    "published": lambda m, c: published(m, c.task),
}


@dataclass(frozen=True)
class Cell:
    """One experiment. `folder` stands in place of the protocol in its name; `changes` are `--set` entries."""

    task: str
    protocol: str
    model: str
    recipe: Path
    detail: str = ""
    changes: tuple[str, ...] = ()
    random_labels: str = ""
    away: int = 0
    explain: int = 0
    encoder: Path | None = None
    folder: str = ""
    seed: int = 0

    @property
    def name(self) -> str:
        """`<task>/<protocol>[-<detail>][-random-labels]/<model>`: where its result file lies below `results/`."""
        parts = [self.folder or self.protocol, self.detail, "random-labels" if self.random_labels else ""]
        return f"{self.task}/{'-'.join(p for p in parts if p)}/{self.model}"

    @property
    def split_name(self) -> str:
        """File name of its split, shared by every cell that is trained on the same one."""
        parts = [self.task, self.protocol, self.detail, str(self.seed)]
        return "-".join(re.sub(r"[^\w.]+", "_", p) for p in parts if p) + ".json"

    def settings(self) -> tuple[str, ...]:
        """Everything laid over the recipe, as `--set` takes it."""
        away = (f"away_negatives={self.away}",) if self.away else ()
        return (f"model={self.model}", f"task={self.task}", *away, *self.changes)

    def resolved(self) -> Recipe:
        """The recipe it is trained with. Raises OptionError for one that cannot be read."""
        return read_recipe(self.recipe, self.settings()).override(random_labels=self.random_labels or None)

    def split(self, manifest: Manifest) -> Split:
        """Its split of a manifest."""
        return PROTOCOLS[self.protocol](manifest, self)


@dataclass(frozen=True)
class Group:
    """What a plan says of several cells at once; `left_out` names the sources of protocol "source"."""

    models: tuple[str, ...]
    protocols: tuple[str, ...] = ("grouped",)
    tasks: tuple[str, ...] = ("presence",)
    recipe: str = ""
    left_out: tuple[str, ...] = ()
    random_labels: str = ""
    away: int = 0
    explain: int = 0
    set: tuple[str, ...] = ()
    encoder: str = ""
    folder: str = ""
    seed: int = 0


@dataclass(frozen=True)
class Plan:
    """Cells in the order they are run, and what one of a model costs relative to others (1 where nothing is said)."""

    name: str
    cells: tuple[Cell, ...]
    cost: Mapping[str, float] = field(default_factory=dict)


def read_plan(file: Path) -> Plan:
    """A plan from its TOML file.

    Raises OptionError for an unknown key, a model or protocol that does not exist, a recipe that cannot be
    read or two cells of one name; DataError for a file that is no TOML.
    """
    try:
        values = tomllib.loads(file.read_text(encoding="utf-8"))
    except (OSError, tomllib.TOMLDecodeError) as problem:
        raise DataError(f"The plan {file} cannot be read: {problem}") from problem
    _known(values, {"recipe", "group", "changes", "cost", "set"}, f"plan {file.name}")
    cells: list[Cell] = []
    for entry in values.get("group", []):
        _known(entry, {f.name for f in fields(Group)}, f"group of plan {file.name}")
        given: dict[str, Any] = {k: tuple(v) if isinstance(v, list) else v for k, v in entry.items()}
        cells += _cells(Group(**given), values, file)
    names = [c.name for c in cells]
    twice = sorted({n for n in names if names.count(n) > 1})
    if twice or not cells:
        raise OptionError(f"The plan {file.name} has {f'two cells called {twice[0]}' if twice else 'no cell'}.")
    for cell in cells:
        cell.resolved()
    return Plan(file.stem, tuple(cells), values.get("cost", {}))


def _cells(group: Group, plan: Mapping[str, Any], file: Path) -> list[Cell]:
    recipe = _recipe(group.recipe or plan.get("recipe", ""), file)
    encoder = _recipe(group.encoder, file) if group.encoder else None
    unknown = set(group.protocols) - set(PROTOCOLS)
    if unknown:
        raise OptionError(f"There is no protocol '{sorted(unknown)[0]}'. A plan takes: {', '.join(PROTOCOLS)}.")
    cells = []
    for task, model, protocol in itertools.product(group.tasks, group.models, group.protocols):
        changes = (*plan.get("set", ()), *group.set, *plan.get("changes", {}).get(zoo.row(model).name, ()))
        for detail in group.left_out if protocol == "source" else ("",):
            options = (group.random_labels, group.away, group.explain, encoder, group.folder, group.seed)
            cells.append(Cell(task, protocol, model, recipe, detail, changes, *options))
    return cells


def _recipe(name: str, plan: Path) -> Path:
    """A recipe beside the plan, or one of the package by its name."""
    beside, ours = plan.parent / f"{name}.toml", RECIPES / f"{name}.toml"
    if name and (beside.is_file() or ours.is_file()):
        return beside if beside.is_file() else ours
    there = ", ".join(sorted(f.stem for f in RECIPES.glob("*.toml")))
    raise OptionError(
        f"The plan {plan.name} asks for the recipe '{name}'. Beside it is none; the package has: {there}."
    )


def _known(values: Mapping[str, Any], known: set[str], where: str) -> None:
    unknown = sorted(set(values) - known)
    if unknown:
        raise OptionError(f"The {where} has the unknown key '{unknown[0]}'. Known: {', '.join(sorted(known))}.")
