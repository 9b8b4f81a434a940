"""A split: part names to the paths of a manifest, and the file it is kept in."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass, replace
from pathlib import Path

from strokenext.errors import DataError
from strokenext.saving import write_file
from training.data.manifest import Manifest, Record

FORMAT = "strokenext-split/1"


@dataclass(frozen=True)
class Split:
    """Part names to paths of a manifest. `grouped` says whether a leak between parts is an error."""

    protocol: str
    task: str
    seed: int
    grouped: bool
    parts: Mapping[str, tuple[str, ...]]
    about: str = ""

    def part_of(self) -> dict[str, str]:
        """Path to part name."""
        return {path: part for part, paths in self.parts.items() for path in paths}

    def records(self, manifest: Manifest, part: str) -> tuple[Record, ...]:
        """The records of a part. Raises DataError for an unknown part or a path that the manifest does not know."""
        if part not in self.parts:
            raise DataError(f"The split has no part '{part}'. It has {', '.join(self.parts)}.")
        known = manifest.by_path()
        missing = [p for p in self.parts[part] if p not in known]
        if missing:
            raise DataError(f"The split names {missing[0]}, which the manifest does not. Make the split again.")
        return tuple(known[p] for p in self.parts[part])


def write_split(split: Split, file: str | Path) -> Path:
    """Write the split as JSON."""
    target = Path(file)
    target.parent.mkdir(parents=True, exist_ok=True)
    values = {"format": FORMAT, **vars(split), "parts": {n: list(p) for n, p in split.parts.items()}}
    write_file(target, json.dumps(values, indent=1, ensure_ascii=False) + "\n")
    return target


def read_split(file: str | Path) -> Split:
    """Read what `write_split` wrote. Raises DataError when it is absent or of another format."""
    source = Path(file)
    if not source.is_file():
        raise DataError(f"There is no split file at {source}. Write one with: python -m training split.")
    try:
        values = json.loads(source.read_text(encoding="utf-8"))
        if values.pop("format") != FORMAT:
            raise KeyError("format")
        return replace(Split(**values), parts={n: tuple(p) for n, p in values["parts"].items()})
    except (ValueError, KeyError, TypeError) as problem:
        raise DataError(f"{source} is not a {FORMAT} file. Make the split again.") from problem
