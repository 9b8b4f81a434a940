"""A word that ends work from outside: given by whoever no longer wants it, heard between two steps of the work."""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager

from strokenext import StrokeNeXtError, errors


class CancelledError(StrokeNeXtError):
    """Work that nobody waits for any more: its reader chose another picture, cancelled it, or went away."""

    http_status = 499  # as nginx logs a client that has gone; nobody is left to read it


class StoppedError(errors.BusyError):
    """The server is stopping."""

    def __init__(self) -> None:
        super().__init__("The server is stopping. Try again once it is back.")


class Cancel:
    """Given to a piece of work, kept by whoever may end it; any thread may call any method at any time."""

    def __init__(self) -> None:
        self._event = threading.Event()
        self._lock = threading.Lock()
        self._stopped = False
        self._listeners: dict[object, Callable[[], None]] = {}

    def cancel(self) -> None:
        """End the work at its next step; a wait for a place or for a decoder ends now. The second time does nothing."""
        with self._lock:
            self._event.set()
            listeners, self._listeners = self._listeners, {}
        for listener in listeners.values():
            listener()

    def stop(self) -> None:
        """As `cancel`, because the server stops: whoever still waits hears so."""
        self._stopped = self._stopped or not self._event.is_set()
        self.cancel()

    @property
    def cancelled(self) -> bool:
        """Whether the work is to end."""
        return self._event.is_set()

    def check(self) -> None:
        """Go on, or raise CancelledError, or StoppedError where the server stops."""
        if self._event.is_set() and self._stopped:
            raise StoppedError
        if self._event.is_set():
            raise CancelledError("This work was cancelled.")

    def wait(self, seconds: float) -> bool:
        """Sleep so long, or until cancelled; whether it was."""
        return self._event.wait(seconds)

    @contextmanager
    def calling(self, listener: Callable[[], None]) -> Iterator[None]:
        """While inside, `cancel` also calls `listener`, on its own thread; at once where it was called before."""
        mark = object()
        with self._lock:
            late = self._event.is_set()
            if not late:
                self._listeners[mark] = listener
        if late:
            listener()
        try:
            yield
        finally:
            with self._lock:
                self._listeners.pop(mark, None)
