"""The bundled examples: phantoms drawn and scanned by this project, no patient behind any of them."""

from __future__ import annotations

import os
from dataclasses import dataclass
from pathlib import Path

from . import text

FOLDER = Path(__file__).resolve().parents[2] / "assets" / "examples"


@dataclass(frozen=True)
class Example:
    """A file to open with one click; `label` says what is in it."""

    path: Path
    label: str

    @property
    def element(self) -> str:
        """The end of its button's id on the page."""
        return self.path.name.replace(".", "-")


def bundled(folder: Path = FOLDER) -> tuple[Example, ...]:
    """The examples that are installed, in the order of text.EXAMPLE_LABELS."""
    rows = ((folder / name, label) for name, label in text.EXAMPLE_LABELS.items())
    return tuple(Example(path, label) for path, label in rows if os.access(path, os.R_OK))


def note() -> str:
    """What the page says above the examples."""
    return text.EXAMPLES_NOTE if bundled() else text.NO_EXAMPLES
