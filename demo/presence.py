"""Which pages are still there, and the work each has under way: a page that has gone takes its work with it."""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field

from .cancel import Cancel

#: Seconds between two signs of life of an open page; browsers slow a hidden one down to one a minute.
HEARTBEAT_SECONDS = 15.0
#: Seconds without a sign of life after which a page counts as gone: a closed lid, a lost line, a frozen tab.
AWAY_SECONDS = 180.0
#: Seconds from a closed connection until its page counts as gone: a short break of the line is no closed tab.
GRACE_SECONDS = 40.0


@dataclass
class _Page:
    """When an owner was last heard of, since when its connection is closed, and what is being done for it."""

    heard: float
    left: float | None = None
    work: set[Cancel] = field(default_factory=set)


class Presence:
    """The pages by their owner's name, on the store's clock; any thread may call any method."""

    def __init__(self, clock: Callable[[], float]) -> None:
        self._clock = clock
        self._pages: dict[str, _Page] = {}
        self._lock = threading.Lock()

    def __len__(self) -> int:
        return len(self._pages)

    def expect(self, owner: str) -> None:
        """Something is opened for this owner: from now on its page is expected to be heard of."""
        with self._lock:
            self._pages.setdefault(owner, _Page(self._clock()))

    def hear(self, owner: str) -> None:
        """A sign of life."""
        with self._lock:
            page = self._pages.setdefault(owner, _Page(self._clock()))
            page.heard, page.left = self._clock(), None

    def leave(self, owner: str) -> None:
        """The page's connection is closed: its work ends now; it is gone unless it is heard of again soon."""
        with self._lock:
            page = self._pages.get(owner)
            if page is None:
                return
            page.left, work = self._clock(), tuple(page.work)
        for cancel in work:
            cancel.cancel()

    def gone(self) -> list[str]:
        """The owners that count as gone; each is told once, its work is ended and its entry forgotten."""
        now = self._clock()
        with self._lock:
            pages = {owner: page for owner, page in self._pages.items() if _is_gone(page, now)}
            for owner in pages:
                del self._pages[owner]
        for page in pages.values():
            for cancel in tuple(page.work):
                cancel.cancel()
        return list(pages)

    @contextmanager
    def working(self, owner: str, cancel: Cancel) -> Iterator[None]:
        """While inside, `cancel` is given when the owner's page goes."""
        with self._lock:
            page = self._pages.setdefault(owner, _Page(self._clock()))
            page.work.add(cancel)
        try:
            yield
        finally:
            with self._lock:
                page.work.discard(cancel)


def _is_gone(page: _Page, now: float) -> bool:
    left = page.left is not None and now - page.left >= GRACE_SECONDS
    return left or now - page.heard >= AWAY_SECONDS
