"""What a model is evaluated on, and what a system answers."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, NamedTuple, Protocol

from strokenext.types import Progress
from training.data.images import Views
from training.data.manifest import Manifest
from training.environment import sha256
from training.splits.split import Split


@dataclass(frozen=True, eq=False)
class Evaluation:
    """The records of a part (all of the manifest without a split), and what the result says of the data.

    `training` is the record of the run that the model came from, where it is known; `own` holds what only the
    model's system can be asked; `views` spares the decoding of pictures seen before.
    """

    manifest: Manifest
    split: Split | None = None
    part: str = "test"
    sources: Sequence[str] = ()
    training: Mapping[str, Any] | None = None
    data: Mapping[str, Any] = field(default_factory=dict)
    device: str = "cpu"
    own: Mapping[str, Any] = field(default_factory=dict)
    views: Views | None = None
    progress: Progress | None = None


def files_record(manifest: Path, split: Path | None) -> dict[str, str]:
    """The files that records come from, as a result names them."""
    record = {"manifest": manifest.name, "manifest_sha256": sha256(manifest)}
    return record if split is None else {**record, "split_sha256": sha256(split)}


class Result(Protocol):
    """What an evaluation found, as one file."""

    def write(self, file: Path) -> Path:
        """Write the file whole or not at all; returns it."""

    def summary(self) -> str:
        """The main figures, a line each."""


class Evaluated(NamedTuple):
    """A result; `beside` names its file beside the one asked for, empty for the main result."""

    result: Result
    beside: str = ""
