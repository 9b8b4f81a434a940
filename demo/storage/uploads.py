"""The files a browser has sent: each lies in a folder nobody can guess, is read once by that name, and deleted."""

from __future__ import annotations

import contextlib
import os
import secrets
import stat
import tempfile
import threading
import time
from collections.abc import Callable, Iterable
from pathlib import Path
from typing import TypeVar

from strokenext import errors

T = TypeVar("T")

#: Seconds an upload may lie unread.
LIFETIME = 1800.0
FLAGS = os.O_RDONLY | sum(getattr(os, name, 0) for name in ("O_NOFOLLOW", "O_NONBLOCK", "O_BINARY"))
GONE = "The uploaded file is no longer there. Open it again."


class Uploads:
    """The uploads that wait to be read. A path that `adopt` did not give out, or gave out before, is not there.

    Who knows the folder's name has been told it in the answer to the upload: it is the right to read the file.
    """

    def __init__(self, root: Path | None = None, lifetime: float = LIFETIME) -> None:
        self._root = root
        self._lifetime = lifetime
        self._waiting: dict[str, float] = {}  # path: when it came
        self._lock = threading.Lock()

    @property
    def root(self) -> Path:
        """The folder of uploads, which Gradio takes from the environment as well."""
        return self._root or Path(os.environ.get("GRADIO_TEMP_DIR") or Path(tempfile.gettempdir()) / "gradio")

    def adopt(self, sent: Path) -> Path:
        """Move what has just been sent into a folder of its own; the path that may be named once.

        Gradio's folder is the hash of the content: two pages that send the same bytes would share it.
        Raises NotFoundError when it is not a plain file just below a folder of the root.
        """
        own = self.root / secrets.token_urlsafe(24)
        self._require_plain(sent)
        own.mkdir(mode=0o700)
        path = own / sent.name
        try:
            sent.rename(path)
        except OSError as error:
            own.rmdir()
            raise errors.NotFoundError(GONE) from error
        with contextlib.suppress(OSError):  # someone else's file may have come into it
            sent.parent.rmdir()
        with self._lock:
            self._waiting[str(path)] = time.monotonic()
        return path

    def read(self, paths: Iterable[str], decode: Callable[[list[bytes]], T]) -> T:
        """What `decode` makes of the files, which are deleted before, whether they can be read or not.

        Raises NotFoundError, touching no file, when one of the paths is not of an upload that waits; InputError
        without paths; and what decoding raises.
        """
        taken = self._take(list(paths))
        try:
            contents = [self._content(path) for path in taken]
        finally:
            for path in taken:
                self._discard(path)
        if not contents:
            raise errors.InputError("Open a picture first.")
        return decode(contents)

    def sweep(self) -> None:
        """Delete what nobody has read in time."""
        before = time.monotonic() - self._lifetime
        with self._lock:
            old = [path for path, came in self._waiting.items() if came < before]
            for path in old:
                del self._waiting[path]
        for path in old:
            self._discard(Path(path))

    def _take(self, paths: list[str]) -> list[Path]:
        with self._lock:
            if len(set(paths)) != len(paths) or not all(path in self._waiting for path in paths):
                raise errors.NotFoundError(GONE)
            for path in paths:
                del self._waiting[path]
        return [Path(path) for path in paths]

    def _content(self, path: Path) -> bytes:
        self._require_plain(path)
        try:
            # Neither follows a link nor waits for a pipe that has come since.
            with open(os.open(path, FLAGS), "rb") as file:
                return file.read()
        except OSError as error:
            raise errors.NotFoundError(GONE) from error

    def _require_plain(self, path: Path) -> None:
        """Raises NotFoundError unless it is root/folder/file, spelled so, the folder a folder and the file a file."""
        try:
            exact = path.parent.parent == self.root and ".." not in path.parts
            plain = exact and stat.S_ISDIR(path.parent.lstat().st_mode) and stat.S_ISREG(path.lstat().st_mode)
        except (OSError, ValueError) as error:
            raise errors.NotFoundError(GONE) from error
        if not plain:
            raise errors.NotFoundError(GONE)

    def _discard(self, path: Path) -> None:
        """Delete an upload and its own folder, unless a link has taken the place of either."""
        with contextlib.suppress(OSError, errors.NotFoundError):
            self._require_plain(path)
            path.unlink()
            path.parent.rmdir()
