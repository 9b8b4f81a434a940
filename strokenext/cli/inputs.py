"""From the paths on the command line to the images and series to judge."""

from __future__ import annotations

import glob
import os
import re
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

from strokenext.errors import InputError, NotFoundError, StrokeNeXtError
from strokenext.io.sniff import HEAD, IMAGE_KINDS, sniff

Look = Literal["dicom", "image", "container"]
OVERLAY_SUFFIX = ".overlay.png"
DICOM_NAMES = frozenset({"dcm", "dicom", "ima"})
IMAGE_NAMES = frozenset({"png", "jpg", "jpeg"})


@dataclass(frozen=True)
class Item:
    """One thing to judge: `path` is a file, or a folder whose DICOM `files` are one series.

    `name` is its place below the folder it was found in, for naming what is written about it.
    """

    path: Path
    name: str
    files: tuple[Path, ...] = ()


@dataclass(frozen=True)
class Failure:
    """An input that could not be judged, with the sentence why."""

    path: str
    error: StrokeNeXtError


def find(patterns: Iterable[str]) -> tuple[list[Item], list[Failure]]:
    """Every image and series the arguments mean, once each, in order; and the arguments that mean nothing."""
    items: dict[str, Item] = {}
    failures: list[Failure] = []
    for pattern in patterns:
        found = False
        for path in _expand(pattern):
            for item in _items(path, failures):
                found = True
                items.setdefault(os.path.abspath(item.path), item)
        if not found and not any(failure.path == pattern for failure in failures):
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
        return "image"  # reading it properly will say what is wrong with it
    if kind == "dicom" or suffix in DICOM_NAMES:
        return None if path.name.upper() == "DICOMDIR" else "dicom"
    if kind in IMAGE_KINDS or suffix in IMAGE_NAMES:
        return "image"
    return "container" if kind == "nifti" or suffix in {"zip", "nii"} or path.name.lower().endswith(".nii.gz") else None


def _expand(pattern: str) -> list[Path]:
    path = Path(pattern)
    if os.path.lexists(path) or not glob.has_magic(pattern):
        return [path] if path.exists() else []
    return [Path(match) for match in sorted(glob.glob(pattern, recursive=True), key=_natural)]


def _items(path: Path, failures: list[Failure]) -> Iterator[Item]:
    if not path.is_dir():
        yield Item(path, path.name)
        return

    def unreadable(error: OSError) -> None:
        failures.append(Failure(str(error.filename), NotFoundError("This folder cannot be read.")))

    for folder, below, names in os.walk(path, onerror=unreadable):
        below[:] = sorted((name for name in below if not name.startswith(".")), key=_natural)
        here = Path(folder)
        files = [here / name for name in sorted(names, key=_natural) if not name.startswith(".")]
        yield from _folder(here, files, path)


def _folder(here: Path, files: list[Path], top: Path) -> Iterator[Item]:
    looks = {file: look(file) for file in files if file.is_file() and not file.name.endswith(OVERLAY_SUFFIX)}
    dicom = tuple(file for file, kind in looks.items() if kind == "dicom")
    if len(dicom) > 1:
        name = top.absolute().name if here == top else here.relative_to(top).as_posix()
        yield Item(here, name or "series", dicom)
    for file, kind in looks.items():
        if kind in {"image", "container"} or (kind == "dicom" and len(dicom) == 1):
            yield Item(file, file.relative_to(top).as_posix())


def _nothing(pattern: str) -> InputError:
    if os.path.isdir(pattern):
        return NotFoundError("There is no CT image in this folder.")
    if glob.has_magic(pattern):
        return NotFoundError("No file matches this pattern.")
    return NotFoundError("There is no such file or folder.")


def _natural(name: str) -> list[tuple[int, str]]:
    """Sort key that puts slice 2 before slice 10."""
    return [(int(part), "") if part.isdecimal() else (0, part) for part in re.split(r"(\d+)", str(name))]
