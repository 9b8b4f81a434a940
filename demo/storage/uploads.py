"""The files a browser has sent: each waits under a name nobody can guess, and by that name can be asked for once.

They lie in files without a name on the disk, in the folder of this process: the system frees one as soon as it is
closed, also when the process is killed. Small uploads stay in memory.
"""

from __future__ import annotations

import errno
import os
import shutil
import tempfile
import threading
import time
from collections import Counter
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TypeVar

from demo.settings import MEBI
from strokenext import errors

from .limits import CrowdedError, Limits, QuotaError
from .scratch import storage_error
from .upload import GONE, GoneError, Upload

T = TypeVar("T")

#: Bytes of an upload up to which it stays in memory, and of the form around its files.
IN_MEMORY, FORM_BYTES = MEBI, 64 * 1024


class Kept:
    """Files that one page may open as often as it likes until it forgets them; made by `Uploads.keep`.

    It is all that is left of their names, so nobody can ask for them who has not been handed this. They go with the
    page, after the lifetime of an upload since they were last asked for, and where their room is needed.
    """

    def __init__(self, uploads: Uploads, parts: list[tuple[Upload, int]]) -> None:
        self._uploads, self._parts = uploads, parts
        self._of = {upload for upload, _ in parts}

    def ask(self) -> None:
        """They are going to be read: their room is not given away before. Raises GoneError."""
        self._uploads._mark(self._of, spare=False)

    def read(self, decode: Callable[[list[bytes]], T]) -> T:
        """What `decode` makes of them. Raises GoneError, and what decoding raises."""
        self.ask()
        contents = [upload.content(number) for upload, number in self._parts]
        self._uploads._mark(self._of, spare=True)
        return decode(contents)

    def forget(self) -> None:
        """They are gone."""
        self._uploads._end(*self._uploads._empty(self._of))


class Uploads:
    """The uploads that arrive, wait and are kept. A name that `arriving` did not give, or that was used, is not there.

    Who knows an upload's name has been told it in the answer to the upload: it is the right to read the file, unless
    a page sent it, which is then the only one that may. `session_of` says whose page sent a key; the page sets it.
    Any thread may call any method.
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
        self._elsewhere: Counter[str] = Counter()  # bytes of each owner's requests that keep their files themselves
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
    def arriving(self, owner: str, declared: int = 0, session: str = "") -> Iterator[Upload]:
        """An upload to be written, whose files wait under its names from the end of the block on; without error only.

        `session` is the page that alone may open it. Raises QuotaError, CrowdedError, StorageError, before anything is
        written where `declared` bytes have no room.
        """
        with self._lock:
            self._admit(owner, max(0, declared - FORM_BYTES), anew=True)
            self._require_disk(declared)
            file = tempfile.SpooledTemporaryFile(IN_MEMORY, dir=str(self.root))  # noqa: SIM115
            upload = Upload(file, owner, session, self._grow)
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
    def elsewhere(self, owner: str, declared: int) -> Iterator[Callable[[int], None]]:
        """Room for a request that keeps its files itself; tell what is given how many bytes of it have come.

        Both raise QuotaError, CrowdedError, where there is no room; StorageError before anything has come.
        """
        taken = 0  # bytes

        def take(size: int) -> None:
            nonlocal taken
            with self._lock:
                more = max(0, size - FORM_BYTES - taken)
                self._admit(owner, more)
                taken += more
                self._elsewhere[owner] += more

        with self._lock:
            self._require_disk(declared)
        take(declared)
        try:
            yield take
        finally:
            with self._lock:
                self._elsewhere -= Counter({owner: taken})  # which forgets who has none

    def keep(self, names: Iterable[str], session: str) -> Kept:
        """The files of these names, for a page that opens them; from now on they are its alone, and have no names.

        Raises GoneError, touching no file, when one of the names is not of a file that waits or is another page's;
        InputError without names.
        """
        names = list(names)
        if not names:
            raise errors.InputError("Open a picture first.")
        with self._lock:
            parts = [self._waiting[name] for name in names if name in self._waiting]
            if len(parts) != len(set(names)) or any(of.session not in ("", session) for of, _ in parts):
                raise GoneError(GONE)
            for name, (upload, _) in zip(names, parts, strict=True):
                del self._waiting[name]
                upload.owner = upload.session = session
        return Kept(self, parts)

    def sweep(self) -> None:
        """Something must call this every few seconds: what nobody has asked for in time is gone."""
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

    def _mark(self, uploads: set[Upload], spare: bool) -> None:
        """Somebody asks for them now. Raises GoneError where one is gone."""
        with self._lock:
            if not uploads <= self._uploads:
                raise GoneError(GONE)
            for upload in uploads:
                upload.since, upload.spare = self._clock(), spare

    def _empty(self, uploads: set[Upload]) -> list[Upload]:
        """Those of which nothing waits any more."""
        with self._lock:
            return [upload for upload in uploads if not any(name in self._waiting for name in upload.names)]

    def _end(self, *uploads: Upload) -> None:
        with self._lock:
            for upload in uploads:
                self._discard(upload)
        for upload in uploads:
            upload.close()

    def _discard(self, upload: Upload) -> None:
        self._uploads.discard(upload)
        for name in upload.names:
            self._waiting.pop(name, None)

    def _grow(self, upload: Upload, more: int) -> None:
        with self._lock:
            self._admit(upload.owner, more)
            upload.size += more

    def _admit(self, owner: str, more: int, anew: bool = False) -> None:
        """Raises QuotaError, CrowdedError where there is no room, though all was given up that could be sent again."""
        while True:
            try:
                self._check(owner, more, anew)
            except QuotaError:
                if not self._give_up({upload for upload in self._uploads if upload.owner == owner}):
                    raise
            except CrowdedError:
                if not self._give_up(self._uploads):
                    raise
            else:
                return

    def _check(self, owner: str, more: int, anew: bool) -> None:
        own = [upload.size for upload in self._uploads if owner and upload.owner == owner]
        if owner:
            self._limits.admit_own(sum(own) + self._elsewhere[owner] + more, len(own) + anew)
        self._limits.admit_all(self._total() + more, len(self._uploads) + anew)

    def _give_up(self, uploads: set[Upload]) -> bool:
        """End the one of these that is only kept and was asked for longest ago; whether there was one."""
        spare = [upload for upload in uploads if upload.spare]
        if not spare:
            return False
        oldest = min(spare, key=lambda upload: upload.since or 0.0)
        self._discard(oldest)
        oldest.close()  # nobody is reading it
        return True

    def _total(self) -> int:
        return self._elsewhere.total() + sum(upload.size for upload in self._uploads)

    def _require_disk(self, declared: int) -> None:
        """Raises StorageError where a disk has less room than an upload says that it needs."""
        try:
            self.root.mkdir(parents=True, exist_ok=True, mode=0o700)
            while declared > IN_MEMORY and shutil.disk_usage(self.root).free < declared:
                if not self._give_up(self._uploads):
                    raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))
        except OSError as error:
            if declared > IN_MEMORY:  # a small one may not need the disk at all
                raise storage_error(error) from error
