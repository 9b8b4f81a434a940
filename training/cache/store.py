"""The slices of a manifest, decoded and framed once, in one memory-mapped array file.

A folder of three files: planes.npy (N, P, S, S) uint8, rows.jsonl with one line per slice, cache.json with how it was
made. Training resamples, draws lesions and augments from it. An interrupted build resumes where it stopped; the
folder counts as a cache only once cache.json is there.
"""

from __future__ import annotations

import json
import os
from collections.abc import Callable, Mapping
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any

import numpy as np

from strokenext.errors import DataError
from strokenext.preprocess.contract import Preprocess
from strokenext.saving import write_file
from strokenext.types import ByteArray, Progress
from training.data.manifest import Manifest, Record, digest

FORMAT = "strokenext-cache/2"
#: What a cached row says as its record does.
COPIED = ("path", "source", "unit", "group", "presence", "subtype", "evaluation_only")


@dataclass(frozen=True)
class Row:
    """One cached slice. `unit` is its patient, else its near-duplicate group; `brain` the brain's share of the frame.

    `presence` and `subtype` as in the manifest, None where nobody looked; `away` counts slices to the nearest
    annotated one of the same patient, -1 where that means nothing; `slice` is -1 where the source has no number.
    """

    path: str
    source: str
    unit: str
    group: str
    presence: int | None
    subtype: int | None
    brain: float
    types: str = ""
    slice: int = -1
    away: int = -1
    evaluation_only: bool = False

    @classmethod
    def of(cls, record: Record, brain: float) -> Row:
        """The row of a record on whose frame the brain covers that share."""
        same: dict[str, Any] = {name: getattr(record, name) for name in COPIED}
        return cls(
            **same,
            brain=round(brain, 6),
            types=str(record.extra.get("types", "")),
            slice=int(record.extra.get("slice", -1)),
            away=int(record.extra.get("away", -1)),
        )

    def label(self, task: str) -> int | None:
        """0, 1 or None for "presence" or "subtype"."""
        return self.presence if task == "presence" else self.subtype

    def lesion_free(self, away: int = 0) -> bool:
        """Labelled normal, or not labelled and at least `away` slices from an annotated one (0: labelled only)."""
        return self.presence == 0 or (self.presence is None and 0 < away <= self.away)


@dataclass(frozen=True, eq=False)
class PlaneSet:
    """The planes of a cache: their names, how a slice is framed for them, and what makes a record's row and (P, S, S)
    planes. `flag` asks the command `cache` for them, empty for those it makes unasked."""

    names: tuple[str, ...]
    framing: Preprocess
    make: Callable[[Manifest, Record, Preprocess], tuple[Row, ByteArray]]
    flag: str = ""
    about: str = ""


@dataclass(frozen=True, eq=False)
class Cache:
    """Rows, their planes (N, P, S, S) uint8, memory-mapped, and how they were framed."""

    rows: tuple[Row, ...]
    planes: ByteArray
    about: Mapping[str, Any] = field(default_factory=dict)

    @property
    def size(self) -> int:
        """Side of a cached slice in pixels."""
        return int(self.planes.shape[-1])

    def where(self, **wanted: object) -> list[int]:
        """Indices of the rows whose fields all equal what is asked for."""
        return [i for i, r in enumerate(self.rows) if all(getattr(r, k) == v for k, v in wanted.items())]

    def require(self, planes: PlaneSet, frame: str, window: tuple[float, float]) -> None:
        """Raise DataError unless it holds these planes, framed this way, with HU through this window."""
        command = f"python -m training cache MANIFEST FOLDER{f' --{planes.flag}' if planes.flag else ''}"
        if list(self.about.get("planes", () if planes.flag else planes.names)) != list(planes.names):
            raise DataError(f"This cache holds no {planes.flag or 'slices'}. Build one that does: {command}.")
        for name, wanted in (("frame", frame), ("window", list(window))):
            there = self.about.get(name, wanted)
            if there != wanted:
                given = wanted if name == "frame" else " ".join(f"{v:g}" for v in window)
                raise DataError(
                    f"The recipe wants {name} {wanted} and the cache holds {there}. "
                    f"Build one for it: {command} --{name} {given}."
                )

    def require_manifest(self, manifest: Manifest) -> None:
        """Raise DataError unless this is the cache of that very manifest, its labels among it."""
        here = digest(manifest)
        if self.about.get("manifest", here) != here:
            raise DataError(
                "The cache was made of another manifest (prepared again, or other labels). Build it again: "
                "python -m training cache MANIFEST FOLDER."
            )


def build(
    manifest: Manifest,
    folder: Path,
    planes: PlaneSet,
    framing: Preprocess | None = None,
    progress: Progress | None = None,
) -> Cache:
    """Write the cache of a manifest into `folder` and open it; a whole one made the same way is opened as it is.

    `framing` replaces that of the plane set.
    """
    framing = framing or planes.framing
    framed = {"frame": framing.frame, "window": list(framing.window), "size": framing.size}
    about: dict[str, Any] = {"format": FORMAT, "manifest": digest(manifest), **framed}
    about |= {"planes": list(planes.names), "rows": len(manifest)}
    folder.mkdir(parents=True, exist_ok=True)
    done, begun = folder / "cache.json", folder / "cache.part.json"
    if done.is_file() and json.loads(done.read_text()) == about:
        return open_cache(folder)
    done.unlink(missing_ok=True)
    array, rows = folder / "planes.npy", folder / "rows.jsonl"
    resumed = begun.is_file() and json.loads(begun.read_text()) == about and array.is_file() and rows.is_file()
    finished = rows.read_text(encoding="utf-8").splitlines(keepends=True) if resumed else []
    finished = [line for line in finished if line.endswith("\n")]
    shape = (len(manifest), len(planes.names), framing.size, framing.size)
    stack = np.lib.format.open_memmap(array, "r+" if resumed else "w+", np.uint8, shape)
    write_file(rows, "".join(finished))
    write_file(begun, json.dumps(about))
    with rows.open("a", encoding="utf-8") as lines:
        for i in range(len(finished), len(manifest)):
            row, stack[i] = planes.make(manifest, manifest.records[i], framing)
            lines.write(json.dumps(asdict(row), ensure_ascii=False) + "\n")
            if progress is not None:
                progress(i + 1, len(manifest))
    stack.flush()
    os.replace(begun, done)
    return open_cache(folder)


def open_cache(folder: Path) -> Cache:
    """The cache that `build` wrote. Raises DataError when it is absent, unfinished or of another format."""
    try:
        about = json.loads((folder / "cache.json").read_text(encoding="utf-8"))
        lines = (folder / "rows.jsonl").read_text(encoding="utf-8").splitlines()
        rows = tuple(Row(**json.loads(line)) for line in lines)
        planes = np.load(folder / "planes.npy", mmap_mode="r")
    except (OSError, ValueError, TypeError) as problem:
        raise DataError(
            f"There is no whole cache in {folder}. Write or finish one with: python -m training cache."
        ) from problem
    if about.get("format") != FORMAT or len(rows) != len(planes):
        raise DataError(f"{folder} is not a {FORMAT} cache. Build it again.")
    return Cache(rows, planes, about)
