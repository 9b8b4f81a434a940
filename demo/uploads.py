"""From the files a browser has sent to a slice or series; the files are deleted as soon as they are in memory."""

from __future__ import annotations

import contextlib
import os
import stat
from collections.abc import Callable
from pathlib import Path
from typing import TypeVar

from strokenext import errors

T = TypeVar("T")


def read(names: list[str], decode: Callable[[list[bytes]], T]) -> T:
    """What `decode` makes of the files, which are deleted before, whether they can be read or not.

    A browser may send any name. Raises NotFoundError, which does not tell a name that is no upload from one that has
    gone, InputError and what decoding raises.
    """
    gone = errors.NotFoundError("The uploaded file is no longer there. Open it again.")
    paths = [path for name in names if _is_upload(path := Path(name))]
    if len(paths) < len(names):
        raise gone
    try:
        contents = [path.read_bytes() for path in paths]
    except OSError as error:
        raise gone from error
    finally:
        for path in paths:
            discard(path)
    if not contents:
        raise errors.InputError("Open a picture first.")
    return decode(contents)


def _is_upload(path: Path) -> bool:
    """Whether it is a file, no link, in a folder of its own below the folder of uploads."""
    root = Path(os.environ.get("GRADIO_TEMP_DIR", os.devnull))
    folder = path.parent
    if folder.parent != root or ".." in path.parts:
        return False
    try:
        return stat.S_ISDIR(folder.lstat().st_mode) and stat.S_ISREG(path.lstat().st_mode)
    except (OSError, ValueError):  # not there, or no name at all
        return False


def discard(path: Path) -> None:
    """Delete an upload and the folder Gradio made for it."""
    path.unlink(missing_ok=True)
    with contextlib.suppress(OSError):  # the folder is shared when two pages send the same bytes
        path.parent.rmdir()
