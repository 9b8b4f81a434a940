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
from strokenext.io.sniff import HEAD, IMAGE_KINDS, sniff

Look = Literal["image", "archive"]
OVERLAY_SUFFIX = ".overlay.png"
#: Endings of files that are expected to hold an image, whatever is in them.
IMAGE_NAMES = frozenset({"png", "jpg", "jpeg", "nii", "dcm", "dicom", "ima"})


@dataclass(frozen=True)
class Item:
    """One input: `path` is a file, or a folder with its `files`, those of the folders below left to them.

    `name` is its place below the folder it was found in, for naming what is written about it; `below` that of the
    folder itself, "" for the folder that was asked for.
    """

    path: Path
    name: str
    files: tuple[Path, ...] = ()
    below: str = ""


@dataclass(frozen=True)
class Failure:
    """An input that could not be used, with the sentence why."""

    path: str
    error: StrokeNeXtError

    def to_json(self) -> dict[str, str]:
        """Plain JSON values; `code` is the name of the error."""
        code = type(self.error).__name__.removesuffix("Error")
        return {"path": self.path, "code": code, "message": str(self.error)}


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
    if not path.is_file():
        return None  # a link to nowhere or to a folder, a pipe
    try:
        with path.open("rb") as file:
            kind = sniff(file.read(HEAD))
    except OSError:
        return "image"  # reading it properly will say what is wrong with it
    if kind == "zip":
        return "archive" if suffix == "zip" else None
    named = suffix in IMAGE_NAMES or kind == "gzip"
    return "image" if named or kind in ("dicom", "nifti") or kind in IMAGE_KINDS else None


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
        links = [name for name in below if (here / name).is_symlink()]  # walked by nobody, and not passed over
        files = [here / name for name in sorted([*names, *links], key=natural) if not name.startswith(".")]
        yield from _folder(here, files, path)


def _folder(here: Path, files: list[Path], top: Path) -> Iterator[Item]:
    """The folder with all its files, where one of them is an image, and each archive in it."""
    looks = {file: look(file) for file in files if not file.name.endswith(OVERLAY_SUFFIX)}
    below = "" if here == top else here.relative_to(top).as_posix()
    if "image" in looks.values():
        inside = tuple(file for file, kind in looks.items() if kind != "archive")
        yield Item(here, below or top.absolute().name or "series", inside, below)
    for file, kind in looks.items():
        if kind == "archive":
            yield Item(file, file.relative_to(top).as_posix())


def _nothing(pattern: str) -> InputError:
    if os.path.isdir(pattern):
        return NotFoundError("There is no CT image in this folder.")
    if glob.has_magic(pattern):
        return NotFoundError("No file matches this pattern.")
    return NotFoundError("There is no such file or folder.")
