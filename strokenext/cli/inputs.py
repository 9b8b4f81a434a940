"""From the paths on the command line to images and series, and to the failures among them."""

from __future__ import annotations

import glob
import os
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

from strokenext.errors import InputError, NotFoundError, StrokeNeXtError
from strokenext.io.members import natural
from strokenext.io.read import read_any, read_series
from strokenext.io.sniff import HEAD, IMAGE_KINDS, sniff
from strokenext.types import Slice, Volume

Look = Literal["dicom", "alone"]
OVERLAY_SUFFIX = ".overlay.png"
DICOM_NAMES = frozenset({"dcm", "dicom", "ima"})
#: Pictures and containers of slices: each such file is an input of its own.
ALONE_NAMES = frozenset({"png", "jpg", "jpeg", "zip", "nii"})


@dataclass(frozen=True)
class Item:
    """One input: `path` is a file, or a folder whose DICOM `files` are one series.

    `name` is its place below the folder it was found in, for naming what is written about it.
    """

    path: Path
    name: str
    files: tuple[Path, ...] = ()


@dataclass(frozen=True)
class Failure:
    """An input that could not be used, with the sentence why."""

    path: str
    error: StrokeNeXtError

    def to_json(self) -> dict[str, str]:
        """Plain JSON values; `code` is the name of the error."""
        code = type(self.error).__name__.removesuffix("Error")
        return {"path": self.path, "code": code, "message": str(self.error)}


def read(item: Item) -> Slice | Volume:
    """The decoded image or series. Raises InputError."""
    return read_series(list(item.files)) if item.files else read_any(item.path)


@contextmanager
def collected(item: Item, failures: list[Failure]) -> Iterator[None]:
    """Errors in this block become a failure of the item: one file must not end a run over thousands."""
    try:
        yield
    except StrokeNeXtError as error:
        failures.append(Failure(str(item.path), error))
    except (OSError, MemoryError) as error:
        reason = getattr(error, "strerror", None) or "it needs more memory than there is"
        failures.append(Failure(str(item.path), InputError(f"This file cannot be used: {reason}.")))


def find(patterns: Iterable[str]) -> tuple[list[Item], list[Failure]]:
    """Every image and series the arguments mean, once each, in order; and the arguments that mean nothing."""
    items: dict[str, Item] = {}
    failures: list[Failure] = []
    for pattern in patterns:
        here = [item for path in _expand(pattern) for item in _items(path, failures)]
        for item in here:
            items.setdefault(os.path.abspath(item.path), item)
        if not here and not any(failure.path == pattern for failure in failures):
            failures.append(Failure(pattern, _nothing(pattern)))
    return list(items.values()), failures


def look(path: Path) -> Look | None:
    """What a file found in a folder appears to be by its first bytes; None for anything that is no image.

    A damaged file with the name of an image is still worth its sentence; a zip is taken only by its name,
    because documents are zips too.
    """
    suffix = path.name.lower().rsplit(".", 1)[-1]
    try:
        with path.open("rb") as file:
            kind = sniff(file.read(HEAD))
    except OSError:
        return "alone"  # reading it properly will say what is wrong with it
    if kind == "dicom" or suffix in DICOM_NAMES:
        return None if path.name.upper() == "DICOMDIR" else "dicom"
    named = suffix in ALONE_NAMES or path.name.lower().endswith(".nii.gz")
    return "alone" if named or kind == "nifti" or kind in IMAGE_KINDS else None


def _expand(pattern: str) -> list[Path]:
    path = Path(pattern)
    if os.path.lexists(path) or not glob.has_magic(pattern):
        return [path] if path.exists() else []
    return [Path(match) for match in sorted(glob.glob(pattern, recursive=True), key=natural)]


def _items(path: Path, failures: list[Failure]) -> Iterator[Item]:
    if not path.is_dir():
        yield Item(path, path.name)
        return

    def unreadable(error: OSError) -> None:
        failures.append(Failure(str(error.filename), NotFoundError("This folder cannot be read.")))

    for folder, below, names in os.walk(path, onerror=unreadable):
        below[:] = sorted((name for name in below if not name.startswith(".")), key=natural)
        here = Path(folder)
        files = [here / name for name in sorted(names, key=natural) if not name.startswith(".")]
        yield from _folder(here, files, path)


def _folder(here: Path, files: list[Path], top: Path) -> Iterator[Item]:
    looks = {file: look(file) for file in files if file.is_file() and not file.name.endswith(OVERLAY_SUFFIX)}
    dicom = tuple(file for file, kind in looks.items() if kind == "dicom")
    if len(dicom) > 1:
        name = top.absolute().name if here == top else here.relative_to(top).as_posix()
        yield Item(here, name or "series", dicom)
    for file, kind in looks.items():
        if kind == "alone" or (kind == "dicom" and len(dicom) == 1):
            yield Item(file, file.relative_to(top).as_posix())


def _nothing(pattern: str) -> InputError:
    if os.path.isdir(pattern):
        return NotFoundError("There is no CT image in this folder.")
    if glob.has_magic(pattern):
        return NotFoundError("No file matches this pattern.")
    return NotFoundError("There is no such file or folder.")
