"""A wall around third-party parsers: no foreign exception, warning or log line leaves it.

Their messages may quote the file, and with it the patient; a hostile file may raise anything at all.
"""

from __future__ import annotations

import logging
import os
import threading
import warnings
from collections.abc import Iterator
from contextlib import contextmanager

from strokenext.errors import DamagedFileError, StrokeNeXtError, TooLargeError

_LOGGERS = (
    "pydicom",
    "pydicom.pixels.decoders.base",
    "pydicom.pixels.utils",
    "PIL.Image",
    "PIL.PngImagePlugin",
    "PIL.TiffImagePlugin",
    "nibabel.global",
)


class _Silence:
    """No warnings while any thread is inside.

    `warnings.catch_warnings` saves and restores state of the whole process: the first thread that comes does it for
    all, and the last that goes undoes it, so that none waits for another.
    """

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._inside = 0
        self._caught = warnings.catch_warnings()

    def __enter__(self) -> None:
        with self._lock:
            if not self._inside:
                self._caught = warnings.catch_warnings()
                self._caught.__enter__()
                warnings.simplefilter("ignore")
            self._inside += 1

    def __exit__(self, *_: object) -> None:
        with self._lock:
            self._inside -= 1
            if not self._inside:
                self._caught.__exit__(None, None, None)


_SILENCE = _Silence()


def _renew() -> None:
    """A forked child must not count the threads that exist in its parent alone."""
    global _SILENCE
    _SILENCE = _Silence()


if hasattr(os, "register_at_fork"):
    os.register_at_fork(after_in_child=_renew)


class _Muffle(logging.Filter):
    """Drops records of the threads that are inside `guarded`, and of no other."""

    def __init__(self) -> None:
        super().__init__()
        self.inside = threading.local()

    def filter(self, record: logging.LogRecord) -> bool:
        return getattr(self.inside, "depth", 0) == 0


_MUFFLE = _Muffle()
for _name in _LOGGERS:
    logging.getLogger(_name).addFilter(_MUFFLE)


@contextmanager
def guarded(sentence: str) -> Iterator[None]:
    """Turn any foreign exception into DamagedFileError(sentence); our own pass through unchanged.

    The cause is dropped on purpose: its text may hold patient data.
    """
    inside = _MUFFLE.inside
    inside.depth = getattr(inside, "depth", 0) + 1
    try:
        with _SILENCE:
            yield
    except StrokeNeXtError:
        raise
    except MemoryError:
        raise TooLargeError("This file needs more memory than there is. Give the head series alone.") from None
    except Exception:  # the boundary to parsers of untrusted bytes: any type can come, none is swallowed
        raise DamagedFileError(sentence) from None
    finally:
        inside.depth -= 1
