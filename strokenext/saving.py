"""A file or a folder, written whole or not at all."""

from __future__ import annotations

import os
import re
import secrets
import shutil
import time
from collections.abc import Mapping
from contextlib import suppress
from functools import cache
from pathlib import Path

from .errors import OutputError

#: How many folders of one name are counted up before giving up.
MAX_COPIES = 10_000
#: What is being written has such a name; after so many seconds nobody writes it any more: its process was killed.
WORKING, STALE = re.compile(r"\.[0-9a-f]{16}\.part"), 86_400.0


def write_file(path: str | Path, data: str | bytes) -> None:
    """Write text (UTF-8) or bytes as the whole content of a file: a reader sees the old content or the new.

    A unique neighbour is written and renamed over `path`; its permissions are those of any new file, and a failure
    leaves the old content. Makes no folders. Raises OSError.
    """
    write_files({Path(path): data})


def write_files(files: Mapping[Path, str | bytes]) -> None:
    """As `write_file` for files that belong together: none gets its name before the content of all is written."""
    working = {target: _working(target) for target in files}
    try:
        for target, data in files.items():
            working[target].write_bytes(data.encode() if isinstance(data, str) else data)
        for target, place in working.items():
            os.replace(place, target)
    finally:
        for place in working.values():
            place.unlink(missing_ok=True)  # only there after a failure


def write_folder(folder: str | Path, files: Mapping[str, bytes]) -> Path:
    """Write `files` (relative name to content) as a new folder and return where it is.

    Nothing that exists is overwritten: a taken name gets a number ("case-2"). The files are written beside
    the target under a temporary name which is renamed at the end, so a failure leaves nothing behind.
    Raises OutputError when the place cannot be written.
    """
    target = Path(folder)
    made = [p for p in (target.parent, *target.parent.parents) if not p.exists()]
    working = _working(target)
    try:
        target.parent.mkdir(parents=True, exist_ok=True)
        working.mkdir()
        for name, content in files.items():
            place = working / name
            place.parent.mkdir(parents=True, exist_ok=True)
            place.write_bytes(content)
        return _settle(working, target)
    except OSError as error:
        reason = error.strerror or type(error).__name__
        raise OutputError(f"The results could not be written to {target} ({reason}). Choose another folder.") from error
    finally:
        if working.exists():  # only after a failure
            shutil.rmtree(working, ignore_errors=True)
            with suppress(OSError):  # in use by now
                for parent in made:  # innermost first
                    parent.rmdir()


def _working(target: Path) -> Path:
    """A new name beside the target; a short one, for the target's may be as long as the system allows."""
    _remove_stale(target.absolute().parent)
    return target.parent / f".{secrets.token_hex(8)}.part"


@cache
def _remove_stale(folder: Path) -> None:
    """Remove, once in a process, what killed ones left half written in a folder."""
    try:
        found = [path for path in folder.iterdir() if WORKING.fullmatch(path.name)]
    except OSError:
        return  # not there yet, or not ours to list
    for path in found:
        with suppress(OSError):  # another process was faster, or it is not ours to remove
            if time.time() - path.lstat().st_mtime <= STALE:
                continue
            if path.is_dir() and not path.is_symlink():
                shutil.rmtree(path, ignore_errors=True)
            else:
                path.unlink()


def _settle(working: Path, target: Path) -> Path:
    """Rename to the first free name; renaming is what claims it, so two writers cannot take the same."""
    for number in range(1, MAX_COPIES):
        place = target if number == 1 else target.with_name(f"{target.name}-{number}")
        if os.path.lexists(place):
            continue
        try:
            os.rename(working, place)
            return place
        except OSError:
            if not os.path.lexists(place):  # else another writer was faster
                raise
    raise FileExistsError(None, "too many folders of this name")
