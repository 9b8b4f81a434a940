"""The password, compared in constant time, and who has to wait before the next try."""

from __future__ import annotations

import base64
import binascii
import secrets
import threading
import time
from collections import OrderedDict, deque
from collections.abc import Callable
from dataclasses import dataclass

from .addresses import party

#: Wrong tries of one address that cost nothing; each further one doubles the wait, from one second to LONGEST.
FREE, LONGEST = 4, 300.0
#: Wrong tries of all addresses within WINDOW seconds after which those that never passed have to wait.
MOST, WINDOW = 60, 60.0
#: Addresses remembered.
REMEMBERED = 4096


@dataclass(frozen=True)
class Password:
    """A user and a password."""

    user: str
    password: str

    def matches(self, user: str, password: str) -> bool:
        """Whether both are right; takes as long whichever is wrong."""
        right = secrets.compare_digest(_bytes(user), _bytes(self.user))
        return secrets.compare_digest(_bytes(password), _bytes(self.password)) & right

    def matches_basic(self, header: str) -> bool:
        """Whether an Authorization header of the Basic scheme holds both."""
        scheme, _, token = header.partition(" ")
        try:
            text = base64.b64decode(token.strip().encode("latin-1"), validate=True).decode()
        except (binascii.Error, UnicodeError):
            return False
        user, _, password = text.partition(":")
        return scheme.lower() == "basic" and self.matches(user, password)


def _bytes(text: str) -> bytes:
    return text.encode("utf-8", "surrogatepass")


@dataclass
class _Address:
    failures: int = 0
    until: float = 0.0
    passed: bool = False


class Throttle:
    """Who may try a password now; any thread may call any method.

    A try counts as wrong from its beginning, so that many at once gain nothing, until `passed` takes that back.
    """

    def __init__(self, clock: Callable[[], float] = time.monotonic) -> None:
        self._clock = clock
        self._known: OrderedDict[str, _Address] = OrderedDict()
        self._recent: deque[float] = deque()
        self._lock = threading.Lock()
        self.failures = 0  # since the start

    def begin(self, host: str) -> float:
        """Begin a try: 0, or the seconds to wait, in which case it was none."""
        with self._lock:
            now, one = self._clock(), self._one(host)
            while self._recent and now - self._recent[0] > WINDOW:
                self._recent.popleft()
            crowded = len(self._recent) >= MOST and not one.passed
            wait = max(one.until - now, self._recent[0] + WINDOW - now if crowded else 0.0)
            if wait > 0:
                return wait
            one.failures += 1
            if one.failures > FREE:
                one.until = now + min(LONGEST, 2.0 ** (one.failures - FREE - 1))
            self._recent.append(now)
            self.failures += 1
            return 0.0

    def passed(self, host: str) -> None:
        """The try was right."""
        with self._lock:
            one = self._one(host)
            one.failures, one.until, one.passed = 0, 0.0, True
            self.failures -= 1
            if self._recent:
                self._recent.pop()

    def _one(self, host: str) -> _Address:
        key = party(host)
        one = self._known.setdefault(key, _Address())
        self._known.move_to_end(key)
        while len(self._known) > REMEMBERED:
            self._known.popitem(last=False)
        return one
