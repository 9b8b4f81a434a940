"""A recipe: frozen settings of one training run, read from TOML files that hold only what differs from the defaults."""

from __future__ import annotations

import tomllib
from dataclasses import asdict, dataclass, fields, replace
from pathlib import Path
from typing import Any

from strokenext.errors import OptionError

from .batches import Mixture


@dataclass(frozen=True)
class Recipe:
    """Settings of a run. `size` in pixels; `rate` is a peak learning rate; `steps` counts optimiser steps.

    The first `head_steps` of them train the fusion head alone on frozen encoders.
    """

    name: str
    task: str = "presence"
    encoder: str = "atto"
    sources: tuple[str, ...] = ("ct_ich", "phe_sich")
    size: int = 160
    batch: int = 64
    head_steps: int = 250
    steps: int = 400
    head_rate: float = 2e-3
    rate: float = 1.5e-4
    weight_decay: float = 0.05
    warmup: int = 50
    average: float = 0.995
    outline_weight: float = 0.3
    seed: int = 1
    every: int = 100
    mixture: Mixture = Mixture()  # noqa: RUF009 (frozen value)

    def to_dict(self) -> dict[str, Any]:
        """Plain JSON values."""
        return asdict(self)

    def override(self, **given: Any) -> Recipe:
        """The recipe with the values that are not None replaced."""
        return replace(self, **{k: v for k, v in given.items() if v is not None})


def read_recipe(path: Path) -> Recipe:
    """A recipe from its TOML file. Raises OptionError naming an entry that does not exist."""
    try:
        record = tomllib.loads(path.read_text(encoding="utf-8"))
    except (OSError, tomllib.TOMLDecodeError) as error:
        raise OptionError(f"The recipe {path} cannot be read: {error}") from error
    mixture = record.pop("mixture", {})
    for part, known in ((record, fields(Recipe)), (mixture, fields(Mixture))):
        unknown = set(part) - {f.name for f in known}
        if unknown:
            raise OptionError(f"The recipe {path} has entries nobody reads: {', '.join(sorted(unknown))}.")
    if "severity" in mixture:
        mixture["severity"] = tuple(mixture["severity"])
    if "sources" in record:
        record["sources"] = tuple(record["sources"])
    return Recipe(**{"name": path.stem, **record, "mixture": Mixture(**mixture)})
