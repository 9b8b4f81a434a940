"""From the files a browser has sent to a slice or series; the files are deleted as soon as they are in memory."""

from __future__ import annotations

import contextlib
from collections.abc import Callable
from pathlib import Path
from typing import TypeVar

from strokenext import errors

T = TypeVar("T")


def read(paths: list[str], decode: Callable[[list[bytes]], T]) -> T:
    """What `decode` makes of the files, which are deleted before, whether they can be read or not.

    Raises InputError and what decoding raises.
    """
    try:
        contents = [Path(path).read_bytes() for path in paths]
    except OSError as error:
        raise errors.NotFoundError("The uploaded file is no longer there. Open it again.") from error
    finally:
        for path in paths:
            discard(Path(path))
    if not contents:
        raise errors.InputError("Open a picture first.")
    return decode(contents)


def discard(path: Path) -> None:
    """Delete an upload, the folder Gradio made for it, and the empty files its File component leaves behind."""
    path.unlink(missing_ok=True)
    with contextlib.suppress(OSError):  # the folder is shared when two pages send the same bytes
        path.parent.rmdir()
    root = path.parent.parent
    for stray in root.glob("tmp*"):
        with contextlib.suppress(OSError):
            if stray.is_file() and stray.stat().st_size == 0:
                stray.unlink()
