"""Pages by the name that Gradio's script gives them: whose they are, and how many there may be.

Such a name can be made up: Gradio would keep a state for each, and who knows another page's name could end its work.
It is not made to be secret either; what proves whose a page is are cookies.
"""

from __future__ import annotations

import threading
import time
from collections import Counter, OrderedDict
from collections.abc import Callable
from dataclasses import dataclass, replace
from enum import Enum

from demo.addresses import party

#: Seconds since its last request for which a page counts as there.
THERE = 180.0
#: Pages that may be there of one address, and that are remembered of all.
MOST_OF_ADDRESS, MOST = 300, 4096


class Entry(Enum):
    """Whether a request of a page may pass."""

    WELCOME = "welcome"
    FOREIGN = "foreign"  # the page is somebody else's
    CROWDED = "crowded"  # its address has too many pages


@dataclass(frozen=True)
class _Page:
    owner: frozenset[str]
    whose: str  # the party at its address
    used: float


class Visitors:
    """The pages that are there; any thread may call any method."""

    def __init__(self, clock: Callable[[], float] = time.monotonic) -> None:
        self._clock = clock
        self._pages: OrderedDict[str, _Page] = OrderedDict()
        self._lock = threading.Lock()

    def __len__(self) -> int:
        return len(self._pages)

    def enter(self, session: str, owner: frozenset[str], host: str) -> Entry:
        """A request of the page `session` from `host`; its first one binds it to `owner`.

        `owner` is what proves whose it is, one of which is enough later; empty for a browser that keeps no cookies,
        whose page is bound to nobody.
        """
        with self._lock:
            self._sweep()
            page = self._pages.get(session)
            if page is None:
                whose = party(host)
                if Counter(p.whose for p in self._pages.values())[whose] >= MOST_OF_ADDRESS:
                    return Entry.CROWDED
                page = _Page(owner, whose, 0.0)
            elif page.owner and page.owner.isdisjoint(owner):
                return Entry.FOREIGN
            self._pages[session] = replace(page, used=self._clock())
            self._pages.move_to_end(session)
            while len(self._pages) > MOST:
                self._pages.popitem(last=False)
            return Entry.WELCOME

    def _sweep(self) -> None:
        while self._pages:
            session, oldest = next(iter(self._pages.items()))
            if self._clock() - oldest.used < THERE:
                return
            del self._pages[session]
