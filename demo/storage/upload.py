"""One upload: the files of a request, one after the other in one file without a name on the disk."""

from __future__ import annotations

import secrets
import threading
from collections.abc import Callable
from contextlib import suppress
from typing import IO

from strokenext import errors

GONE = "The uploaded file is no longer there. Open it again."


class GoneError(errors.NotFoundError):
    """An upload that is not there, or not any more; a page that still has the files sends them again."""


class Upload:
    """One request's files on their way into one unnamed file; made by `Uploads.arriving`, for one thread at a time.

    `owner` is whose room it takes, `session` the page that alone may read it; without one, whoever knows its names.
    """

    def __init__(self, file: IO[bytes], owner: str, session: str, grow: Callable[[Upload, int], None]) -> None:
        self.owner, self.session, self.token, self.size = owner, session, secrets.token_urlsafe(24), 0
        self.since: float | None = None  # when it had arrived, or was last asked for
        self.spare = False  # it was read, and is kept only so that it need not be sent again
        self.sizes: list[int] = []  # bytes of each file
        self._starts: list[int] = []  # and where they begin
        self._file, self._grow, self._lock = file, grow, threading.Lock()

    def begin_file(self) -> None:
        """What is written from here on is another file."""
        self.sizes.append(0)
        self._starts.append(self.size)

    def write(self, data: bytes) -> None:
        """Write a piece of the file begun last. Raises QuotaError, CrowdedError, OSError."""
        self._grow(self, len(data))
        self._file.write(data)
        self.sizes[-1] += len(data)

    def flush(self) -> None:
        """Hand all of it to the system. Raises OSError."""
        self._file.flush()

    @property
    def names(self) -> list[str]:
        """The name of each file."""
        return [f"{self.token}/{number}" for number in range(len(self.sizes))]

    def content(self, number: int) -> bytes:
        """The bytes of one file. Raises GoneError when they are gone."""
        try:
            with self._lock:
                self._file.seek(self._starts[number])
                content = self._file.read(self.sizes[number])
        except (OSError, ValueError) as error:  # ValueError: it is closed
            raise GoneError(GONE) from error
        if len(content) != self.sizes[number]:
            raise GoneError(GONE)
        return content

    def close(self) -> None:
        """Free what it takes on the disk."""
        with self._lock, suppress(OSError):  # what a full disk did not take is not missed
            self._file.close()
