"""One record per image and the manifest file that lists them.

A manifest is JSON Lines: a header line (format, root folder, what was read) and one line per record. Paths are
POSIX, relative to the root; the root is stored relative to the manifest's own folder, so a tree can be moved whole.
"""

from __future__ import annotations

import csv
import hashlib
import json
import os
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, field, fields
from pathlib import Path
from typing import Any

from strokenext.errors import DataError
from strokenext.saving import write_file

FORMAT = "strokenext-manifest/1"

#: Field of `extra` values: what JSON and CSV can both hold.
Scalar = str | int | float | bool


@dataclass(frozen=True)
class Record:
    """One image: where it is, what it shows, whose it is, and its fingerprints.

    `presence` is 1 for stroke, 0 for none; `subtype` is 1 for hemorrhagic, 0 for ischemic; None is unknown.
    `patient` is the source's own id prefixed with the source ("ct_ich/051"), None where the source has none.
    `group` is the unit that a grouped split keeps together: the patient, or the near-duplicate group, or both
    merged. `phash` is the 64-bit perceptual hash in 16 hex digits; `size` is (rows, columns).
    `extra` holds what only some sources know: types, mask, lesion_pixels, part, slice, dicom, overlay, unlabelled.
    """

    path: str
    source: str
    presence: int | None = None
    subtype: int | None = None
    patient: str | None = None
    group: str = ""
    sha256: str = ""
    phash: str = ""
    size: tuple[int, int] = (0, 0)
    evaluation_only: bool = False
    extra: Mapping[str, Scalar] = field(default_factory=dict)

    def __post_init__(self) -> None:
        for name, value in (("presence", self.presence), ("subtype", self.subtype)):
            if value not in (None, 0, 1):
                raise DataError(f"The {name} label of {self.path} is {value!r}; it must be 0, 1 or unknown.")

    def label(self, task: str) -> int | None:
        """0, 1 or None for "presence" or "subtype"."""
        if task not in ("presence", "subtype"):
            raise DataError(f"There is no task '{task}'. The tasks are presence and subtype.")
        return self.presence if task == "presence" else self.subtype

    @property
    def unit(self) -> str:
        """What is resampled and kept together: the patient, else the group, else the image itself."""
        return self.patient or self.group or self.path

    def to_dict(self) -> dict[str, Any]:
        """JSON-able."""
        return {**vars(self), "size": list(self.size), "extra": dict(self.extra)}

    @classmethod
    def from_dict(cls, values: Mapping[str, Any]) -> Record:
        """The inverse of `to_dict`. Raises DataError on an unknown or missing field."""
        known = {f.name for f in fields(cls)}
        if "path" not in values or "source" not in values or not set(values) <= known:
            odd = sorted(set(values) - known)
            raise DataError(f"A manifest line needs path and source and knows no field {odd}.")
        given = dict(values)
        if "size" in given:
            given["size"] = tuple(int(side) for side in given["size"])
        return cls(**given)


@dataclass(frozen=True)
class Manifest:
    """Every record of a prepared data set; `root` is the folder that the paths start from."""

    root: Path
    records: tuple[Record, ...]
    about: Mapping[str, Any] = field(default_factory=dict)

    def __len__(self) -> int:
        return len(self.records)

    def __iter__(self) -> Iterator[Record]:
        return iter(self.records)

    def file(self, record: Record) -> Path:
        """The image file of a record."""
        return self.root / record.path

    def labelled(self, task: str) -> tuple[Record, ...]:
        """The records whose label of that task is known, in manifest order."""
        return tuple(r for r in self.records if r.label(task) is not None)

    def by_path(self) -> dict[str, Record]:
        """Path to record; paths are unique in a manifest."""
        return {r.path: r for r in self.records}


def write_manifest(manifest: Manifest, file: str | Path) -> Path:
    """Write JSON Lines; a reader never sees half of the file."""
    target = Path(file)
    target.parent.mkdir(parents=True, exist_ok=True)
    root = os.path.relpath(manifest.root.resolve(), target.resolve().parent)
    header = {"format": FORMAT, "root": Path(root).as_posix(), "records": len(manifest), "about": dict(manifest.about)}
    lines = [header, *(r.to_dict() for r in manifest)]
    write_file(target, "".join(json.dumps(line, ensure_ascii=False) + "\n" for line in lines))
    return target


def read_manifest(file: str | Path) -> Manifest:
    """Read what `write_manifest` wrote. Raises DataError when it is absent, truncated or of another format."""
    source = Path(file)
    if not source.is_file():
        raise DataError(f"There is no manifest at {source}. Write one with: python -m training prepare.")
    try:
        lines = [json.loads(line) for line in source.read_text(encoding="utf-8").splitlines() if line.strip()]
    except ValueError as problem:
        raise DataError(f"{source} is not a manifest: {problem}. Prepare the data again.") from problem
    if not lines or not isinstance(lines[0], dict) or lines[0].get("format") != FORMAT:
        raise DataError(f"{source} does not begin with the header of a {FORMAT} file. Prepare the data again.")
    header, rest = lines[0], lines[1:]
    if header["records"] != len(rest):
        counted = f"{source} should hold {header['records']} records and holds {len(rest)}"
        raise DataError(f"{counted}. Prepare the data again.")
    records = tuple(Record.from_dict(line) for line in rest)
    if len({r.path for r in records}) != len(records):
        raise DataError(f"{source} lists a path twice. Prepare the data again.")
    return Manifest((source.parent / header["root"]).resolve(), records, header["about"])


def digest(manifest: Manifest) -> str:
    """SHA-256 of the records: what a cache is made from, whatever the header says about them."""
    lines = (json.dumps(r.to_dict(), ensure_ascii=False, sort_keys=True) for r in manifest)
    return hashlib.sha256("\n".join(lines).encode()).hexdigest()


def write_csv(records: Iterable[Record], file: str | Path) -> Path:
    """The same records for a spreadsheet; `extra` as JSON in the last column."""
    target = Path(file)
    with target.open("w", newline="", encoding="utf-8") as stream:
        writer = csv.DictWriter(stream, [f.name for f in fields(Record)])
        writer.writeheader()
        for r in records:
            extra = json.dumps(dict(r.extra), ensure_ascii=False)
            writer.writerow(r.to_dict() | {"size": f"{r.size[0]}x{r.size[1]}", "extra": extra})
    return target
