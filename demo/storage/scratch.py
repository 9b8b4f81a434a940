"""The folder of this process for what must lie on a disk for a while: private, locked while the process lives.

The lock is the kernel's and ends with the process however it ends, so the next one knows what nobody uses any more.
"""

from __future__ import annotations

import atexit
import errno
import logging
import os
import re
import shutil
import stat
import tempfile
import time
from contextlib import suppress
from pathlib import Path

from filelock import FileLock, Timeout

from strokenext import StrokeNeXtError

PREFIX = "strokenext-"
LOCK = ".strokenext.lock"
NAME = re.compile(PREFIX + r"\d+-[a-z0-9_]{8}")
#: Where programs look for the folder of temporary files; decoder processes inherit these.
VARIABLES = ("TMPDIR", "TEMP", "TMP", "GRADIO_TEMP_DIR")
#: Seconds from the making of a folder in which it may be without its lock, and between two sweeps of a long run.
YOUNG, SWEEP_SECONDS = 3600.0, 300.0
#: What a system says when a disk takes no more.
FULL = frozenset({errno.ENOSPC, errno.EFBIG, getattr(errno, "EDQUOT", errno.ENOSPC)})
log = logging.getLogger("strokenext.scratch")


class StorageError(StrokeNeXtError):
    """The disk does not take what is to be kept on it."""

    http_status = 507


class FolderError(StrokeNeXtError):
    """No folder for uploads can be made where one is asked for."""

    exit_code = 8


def storage_error(error: OSError) -> StorageError:
    """The sentence for a disk that refuses; its log line says why, and names nothing."""
    log.error("the disk takes no upload: %s", errno.errorcode.get(error.errno or 0, type(error).__name__))
    if error.errno in FULL:
        return StorageError(
            "The disk of this server is full, so the file was not taken. Ask whoever runs it to free some space, "
            "then send the file again."
        )
    return StorageError(
        "This server cannot write to its folder for uploads, so the file was not taken. Ask whoever runs it to make "
        "that folder writable, then send the file again."
    )


class Scratch:
    """The folder of this process below `parent`; it is removed with what is in it when the process ends.

    Folders of processes that have ended are removed from `parent` and `others`: at once, and while this one runs.
    """

    def __init__(self, parent: Path, others: tuple[Path, ...] = ()) -> None:
        self._parent, self._swept = parent, time.monotonic()
        self._sweeping = tuple(dict.fromkeys((parent, *others)))
        self._process = os.getpid()
        self.path = self._make()
        self._sweep()
        atexit.register(self.remove)

    def _make(self) -> Path:
        """A new folder with its lock held. Raises FolderError."""
        try:
            self._parent.mkdir(parents=True, exist_ok=True, mode=0o700)
            while True:
                path = Path(tempfile.mkdtemp(prefix=f"{PREFIX}{os.getpid()}-", dir=self._parent))
                self._lock = FileLock(path / LOCK, mode=0o600)
                with suppress(Timeout):  # swept between the two, by another process that starts
                    self._lock.acquire(timeout=0)
                    return path
        except OSError as error:
            reason = os.strerror(error.errno) if error.errno else type(error).__name__
            raise FolderError(
                f"No folder for uploads can be made in {self._parent} ({reason}). Free some space or make it writable, "
                "or give another folder with --data-dir."
            ) from error

    def use(self) -> None:
        """Make it the folder of all temporary files of this process and of those it starts."""
        tempfile.tempdir = str(self.path)
        os.environ.update(dict.fromkeys(VARIABLES, str(self.path)))

    def look_after(self) -> None:
        """Something must call this now and then: a folder that a cleaner of the system took away is made again."""
        if not (self.path / LOCK).exists():
            with suppress(FolderError):  # as long as there is none, what would lie in it is refused with a sentence
                self.path = self._make()
                self.use()
        if time.monotonic() - self._swept >= SWEEP_SECONDS:
            self._sweep()

    def remove(self) -> None:
        """Give the folder back; not in a process forked from this one."""
        if os.getpid() == self._process:
            _remove(self.path, self._lock)

    def _sweep(self) -> None:
        self._swept = time.monotonic()
        for parent in self._sweeping:
            sweep(parent)


def sweep(parent: Path) -> None:
    """Remove below `parent` what processes of this user that have ended left behind; nothing else, no link."""
    with suppress(OSError):
        for folder in sorted(parent.iterdir()):
            if NAME.fullmatch(folder.name) and _is_own(folder):
                _remove_if_free(folder)


def _is_own(folder: Path) -> bool:
    try:
        status = folder.lstat()
    except OSError:
        return False
    return stat.S_ISDIR(status.st_mode) and (not hasattr(os, "getuid") or status.st_uid == os.getuid())


def _remove_if_free(folder: Path) -> None:
    try:
        if not (folder / LOCK).exists():
            # Just being made, or a start that was ended before the lock; only an empty one can be removed so.
            if time.time() - folder.stat().st_mtime > YOUNG:
                folder.rmdir()
            return
        lock = FileLock(folder / LOCK)
        lock.acquire(timeout=0)
    except (Timeout, OSError):
        return  # its process lives, or nothing can be changed here
    _remove(folder, lock)


def _remove(folder: Path, lock: FileLock) -> None:
    for entry in (entry for entry in _entries(folder) if entry.name != LOCK):
        if entry.is_dir() and not entry.is_symlink():
            shutil.rmtree(entry, ignore_errors=True)
        else:
            with suppress(OSError):
                entry.unlink()
    lock.release()
    shutil.rmtree(folder, ignore_errors=True)  # the lock's file last: where it is open it may not be removable


def _entries(folder: Path) -> list[Path]:
    try:
        return list(folder.iterdir())
    except OSError:
        return []
