"""Whatever the caller has (path, folder, zip, bytes, file object, list) as named members of known size."""

from __future__ import annotations

import os
import re
import stat
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import BinaryIO, cast

from strokenext.errors import InputError, NotFoundError

from . import archive, limits, sniff
from .members import Member, base_name, is_clutter, natural

#: What one file may be given as.
FileSource = str | os.PathLike[str] | bytes | bytearray | memoryview | BinaryIO
#: What a series may be given as.
SeriesSource = FileSource | Sequence[FileSource]


@dataclass(frozen=True)
class Bundle:
    """The members of a source; `listed` is true where it was a folder, an archive or a list of files."""

    members: tuple[Member, ...]
    listed: bool


def read_file(source: FileSource) -> bytes:
    """All bytes of one file, at most `limits.MAX_FILE`.

    Raises NotFoundError for a path that is not a readable file, TooLargeError above the limit.
    """
    if isinstance(source, bytes | bytearray | memoryview):
        limits.check_file(len(source))
        return bytes(source)
    if isinstance(source, str | os.PathLike):
        return _read_path(existing(source))
    return _read_stream(source)


def existing(source: str | os.PathLike[str]) -> Path:
    """The path, when there is a regular file or a folder. Raises NotFoundError."""
    if isinstance(source, str) and re.match(r"[a-z]{2,8}://", source, re.IGNORECASE):
        raise NotFoundError("Addresses on the network are not opened. Save the file and give its path.")
    try:
        path = Path(source)
        mode = path.stat().st_mode
    except (OSError, ValueError):
        raise NotFoundError(f"There is no file or folder '{base_name(source)}'. Check the path.") from None
    if not (stat.S_ISREG(mode) or stat.S_ISDIR(mode)):
        raise NotFoundError(f"'{base_name(source)}' is a device or a pipe, not a file. Give an image file.")
    return path


def _read_path(path: Path) -> bytes:
    if path.is_symlink() and path.is_dir():
        raise InputError("This is a link to another folder, which is not followed. Give that folder itself.")
    if path.is_dir():
        raise InputError("This is a folder. Read it as a series (read_series), or give one file of it.")
    if path.is_symlink() and not path.exists():
        raise InputError("This is a link to a file that is not there.")
    if not path.is_file() and path.exists():
        raise InputError("This is a device or a pipe, not a file.")
    try:
        limits.check_file(path.stat().st_size)
        with path.open("rb") as stream:
            data = stream.read(limits.MAX_FILE + 1)
    except OSError:
        raise NotFoundError(f"The file '{base_name(path)}' cannot be read. Check its permissions.") from None
    limits.check_file(len(data))
    return data


def _read_stream(stream: BinaryIO) -> bytes:
    """From where the stream stands to its end; put back where it stood when it can seek."""
    if not hasattr(stream, "read"):
        raise InputError(
            f"An image cannot be read from an object of type {type(stream).__name__}. Give a path, bytes or a file."
        )
    seekable = hasattr(stream, "seekable") and stream.seekable()
    start = stream.tell() if seekable else 0
    data = stream.read(limits.MAX_FILE + 1)
    if seekable:
        stream.seek(start)
    if not isinstance(data, bytes):
        raise InputError("The file was opened as text. Open it in binary mode ('rb').")
    limits.check_file(len(data))
    return data


def members(source: SeriesSource) -> Bundle:
    """The files of a folder, a zip archive, a list, or one file.

    Raises NotFoundError, TooLargeError (too many files or bytes), InputError for an empty source.
    """
    if isinstance(source, str | os.PathLike):
        path = existing(source)
        if path.is_dir():
            return Bundle(_folder(path), True)
    if isinstance(source, list | tuple):
        return _several(source)
    if not isinstance(source, str | os.PathLike | bytes | bytearray | memoryview) and not hasattr(source, "read"):
        raise InputError(
            f"A series cannot be read from an object of type {type(source).__name__}. Give a folder, a zip or files."
        )
    return _single(cast("FileSource", source))


def _single(source: FileSource, number: int = 1) -> Bundle:
    if isinstance(source, str | os.PathLike):
        path = existing(source)
        with path.open("rb") as stream:
            head = stream.read(sniff.HEAD)
        if sniff.sniff(head) == "zip":
            return Bundle(archive.members(path), True)
        return Bundle((_of_path(path),), False)
    data = read_file(source)
    if sniff.sniff(data[: sniff.HEAD]) == "zip":
        return Bundle(archive.members(data), True)
    name = getattr(source, "name", None)
    return lone(data, name if isinstance(name, str) else None, number)


def lone(data: bytes, name: str | None, number: int = 1) -> Bundle:
    """One file that is in memory already, with its name where it has one, which may begin with its folder."""
    shown = base_name(name) if name else f"file {number}"
    folder = str(name or "").rpartition("/")[0]
    return Bundle((Member(shown, partial(bytes, data), named=bool(name), folder=folder),), False)


def _several(sources: Iterable[FileSource]) -> Bundle:
    given = list(sources)
    if not given:
        raise InputError("The list of files is empty. Give at least one image.")
    limits.check_members(len(given))
    files: list[Member] = []
    for number, one in enumerate(given, 1):
        bundle = members(one) if isinstance(one, str | os.PathLike) else _single(one, number)
        files.extend(bundle.members)
        limits.check_members(len(files))
    return Bundle(tuple(sorted(files, key=lambda m: natural(m.name))), True)


def _folder(folder: Path) -> tuple[Member, ...]:
    paths: list[Path] = []
    for here, folders, files in os.walk(folder, followlinks=False):
        folders[:] = sorted(f for f in folders if not is_clutter(f))
        links = [f for f in folders if Path(here, f).is_symlink()]
        paths.extend(Path(here, f) for f in (*files, *links) if not is_clutter(f))
        limits.check_members(len(paths))
    kept = tuple(_of_path(p) for p in sorted(paths, key=natural))
    if not kept:
        raise InputError("This folder holds no files. Give the folder that holds the images.")
    return kept


def _of_path(path: Path) -> Member:
    return Member(base_name(path.name), partial(_read_path, path), folder=str(path.parent))
