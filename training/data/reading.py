"""What a reader makes of a source's folder: files with their labels, and the files it leaves out."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path

from .manifest import Scalar


@dataclass(frozen=True)
class LabelledFile:
    """An image with what its source says of it, before it is opened."""

    file: Path
    source: str
    presence: int | None = None
    subtype: int | None = None
    patient: str | None = None
    evaluation_only: bool = False
    extra: Mapping[str, Scalar] = field(default_factory=dict)


@dataclass(frozen=True)
class LeftOut:
    """A file that is left out and why; `copy_of` names the file that it repeats."""

    file: str
    reason: str
    copy_of: str = ""

    def __str__(self) -> str:
        return f"{self.reason} of {self.copy_of}" if self.copy_of else self.reason


@dataclass(frozen=True)
class Reading:
    """The form that a folder has, its images, and what was left out."""

    form: str
    images: tuple[LabelledFile, ...]
    left_out: tuple[LeftOut, ...] = ()
    notes: tuple[str, ...] = ()


def files_below(root: Path) -> list[Path]:
    """Every file of a tree in order, without hidden ones and what macOS adds to archives."""
    files = {p: p.relative_to(root).parts for p in root.rglob("*") if p.is_file()}
    return sorted(p for p, parts in files.items() if not any(part[0] == "." or part == "__MACOSX" for part in parts))
