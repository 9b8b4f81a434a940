"""The files a browser has sent: each waits under a name nobody can guess, is read once by that name, and is gone.

They lie in files without a name on the disk, in the folder of this process: the system frees one as soon as it is
closed, also when the process is killed. Small uploads stay in memory.
"""

from __future__ import annotations

import errno
import os
import secrets
import shutil
import tempfile
import threading
import time
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import IO, TypeVar

from demo.settings import MEBI
from strokenext import errors

from .limits import Limits
from .scratch import storage_error

T = TypeVar("T")

#: Bytes of an upload up to which it stays in memory, and of the form around its files.
IN_MEMORY, FORM_BYTES = MEBI, 64 * 1024
GONE = "The uploaded file is no longer there. Open it again."


class Upload:
    """One request's files on their way into one unnamed file; made by `Uploads.arriving`, for one thread at a time."""

    def __init__(self, file: IO[bytes], owner: str, grow: Callable[[Upload, int], None]) -> None:
        self.owner, self.token, self.size = owner, secrets.token_urlsafe(24), 0
        self.since: float | None = None  # when it had arrived
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
        """The bytes of one file. Raises NotFoundError when they are gone."""
        try:
            with self._lock:
                self._file.seek(self._starts[number])
                content = self._file.read(self.sizes[number])
        except (OSError, ValueError) as error:  # ValueError: it is closed
            raise errors.NotFoundError(GONE) from error
        if len(content) != self.sizes[number]:
            raise errors.NotFoundError(GONE)
        return content

    def close(self) -> None:
        """Free what it takes on the disk."""
        with self._lock, suppress(OSError):  # what a full disk did not take is not missed
            self._file.close()


class Uploads:
    """The uploads that arrive and wait. A name that `arriving` did not give, or that was read, is not there.

    Who knows an upload's name has been told it in the answer to the upload: it is the right to read the file.
    `session_of` says whose page sent a key; the page sets it. Any thread may call any method.
    """

    def __init__(
        self,
        limits: Limits | None = None,
        root: Path | None = None,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self._limits, self._root, self._clock = limits or Limits(), root, clock
        self.session_of: Callable[[str], str] = lambda _key: ""
        self._uploads: set[Upload] = set()
        self._waiting: dict[str, tuple[Upload, int]] = {}
        self._elsewhere = 0  # bytes of requests that keep their files themselves
        self._lock = threading.Lock()

    @property
    def root(self) -> Path:
        """The folder they lie in: the process's, which Gradio takes from the environment as well."""
        return self._root or Path(os.environ.get("GRADIO_TEMP_DIR") or tempfile.gettempdir())

    def __len__(self) -> int:
        return len(self._uploads)

    @property
    def size(self) -> int:
        """Bytes that all of them take."""
        with self._lock:
            return self._total()

    @contextmanager
    def arriving(self, owner: str, declared: int = 0) -> Iterator[Upload]:
        """An upload to be written, whose files wait under its names from the end of the block on; without error only.

        Raises QuotaError, CrowdedError, StorageError, before anything is written where `declared` bytes have no room.
        """
        with self._lock:
            self._admit(owner, max(0, declared - FORM_BYTES), anew=True)
            self._require_disk(declared)
            file = tempfile.SpooledTemporaryFile(IN_MEMORY, dir=str(self.root))  # noqa: SIM115
            upload = Upload(file, owner, self._grow)
            self._uploads.add(upload)
        try:
            yield upload
            upload.flush()
        except BaseException as error:
            self._end(upload)
            if isinstance(error, OSError):
                raise storage_error(error) from error
            raise
        with self._lock:
            upload.since = self._clock()
            self._waiting |= {name: (upload, number) for number, name in enumerate(upload.names)}

    @contextmanager
    def elsewhere(self, declared: int) -> Iterator[None]:
        """Room for a request that keeps its files itself. Raises CrowdedError, StorageError."""
        with self._lock:
            self._admit("", declared)
            self._require_disk(declared)
            self._elsewhere += declared
        try:
            yield
        finally:
            with self._lock:
                self._elsewhere -= declared

    def read(self, names: Iterable[str], decode: Callable[[list[bytes]], T]) -> T:
        """What `decode` makes of the files, which are gone before, whether they can be decoded or not.

        Raises NotFoundError, touching no file, when one of the names is not of a file that waits; InputError without
        names; and what decoding raises.
        """
        taken = self._take(list(names))
        try:
            contents = [upload.content(number) for upload, number in taken]
        finally:
            self._end(*self._empty({upload for upload, _ in taken}))
        if not contents:
            raise errors.InputError("Open a picture first.")
        return decode(contents)

    def sweep(self) -> None:
        """Something must call this every few seconds: what nobody has read in time is gone."""
        before = self._clock() - self._limits.lifetime
        with self._lock:
            old = [upload for upload in self._uploads if upload.since is not None and upload.since <= before]
        self._end(*old)

    def leave(self, owner: str) -> None:
        """This reader has gone, and what waits for them goes too."""
        with self._lock:
            left = [upload for upload in self._uploads if upload.owner == owner and upload.since is not None]
        self._end(*left)

    def close(self) -> None:
        """The server stops: nothing waits any more."""
        with self._lock:
            left = list(self._uploads)
        self._end(*left)

    def _take(self, names: list[str]) -> list[tuple[Upload, int]]:
        with self._lock:
            if len(set(names)) != len(names) or not all(name in self._waiting for name in names):
                raise errors.NotFoundError(GONE)
            return [self._waiting.pop(name) for name in names]

    def _empty(self, uploads: set[Upload]) -> list[Upload]:
        """Those of which nothing waits any more."""
        with self._lock:
            return [upload for upload in uploads if not any(name in self._waiting for name in upload.names)]

    def _end(self, *uploads: Upload) -> None:
        with self._lock:
            for upload in uploads:
                self._uploads.discard(upload)
                for name in upload.names:
                    self._waiting.pop(name, None)
        for upload in uploads:
            upload.close()

    def _grow(self, upload: Upload, more: int) -> None:
        with self._lock:
            self._admit(upload.owner, more)
            upload.size += more

    def _admit(self, owner: str, more: int, anew: bool = False) -> None:
        own = [upload.size for upload in self._uploads if owner and upload.owner == owner]
        if owner:
            self._limits.admit_own(sum(own) + more, len(own) + anew)
        self._limits.admit_all(self._total() + more, len(self._uploads) + anew)

    def _total(self) -> int:
        return self._elsewhere + sum(upload.size for upload in self._uploads)

    def _require_disk(self, declared: int) -> None:
        """Raises StorageError where a disk has less room than an upload says that it needs."""
        try:
            self.root.mkdir(parents=True, exist_ok=True, mode=0o700)
            full = declared > IN_MEMORY and shutil.disk_usage(self.root).free < declared
        except OSError as error:
            if declared <= IN_MEMORY:
                return  # it may not need the disk at all
            raise storage_error(error) from error
        if full:
            raise storage_error(OSError(errno.ENOSPC, os.strerror(errno.ENOSPC)))
