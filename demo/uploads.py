"""From the files a browser has sent to a slice or series; the files are deleted as soon as they are in memory."""

from __future__ import annotations

import contextlib
from pathlib import Path

import strokenext
from strokenext import Slice, Volume, errors


def read(paths: list[str]) -> Slice | Volume:
    """One file is whatever it is; several are one series. The files are deleted whether they can be read or not.

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
    if len(contents) == 1:
        return strokenext.read_any(contents[0])
    volume = strokenext.read_series(contents)
    return volume[0] if len(volume) == 1 else volume


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
