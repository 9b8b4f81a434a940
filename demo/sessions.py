"""What the server remembers of the pages that are open: decoded pictures in memory, for a while, never on disk."""

from __future__ import annotations

import secrets
import threading
import time
from collections import OrderedDict
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field, replace
from typing import TypeVar

from strokenext import Segmentation, SeriesTriage, Slice, Triage, Volume, VolumePrediction, errors

from .service import Options
from .settings import MEBI

#: Answers with their heat kept per case; older ones are computed again.
ANSWERS_KEPT = 64
K = TypeVar("K")
V = TypeVar("V")


class ExpiredError(errors.InputError):
    """A case that is no longer held in memory."""


@dataclass(frozen=True)
class Reading:
    """The reader's own reading, given before the model's is shown; `seconds` since the picture was opened."""

    verdict: str
    seconds: float


@dataclass(frozen=True, eq=False)
class Case:
    """One picture or series that a page has open. `title` is made of the file's kind, never of its name."""

    images: tuple[Slice, ...]
    title: str
    volume: Volume | None = None
    options: Options = field(default_factory=Options)
    series: SeriesTriage | None = None
    whole: VolumePrediction | None = None  # the volume model's answer about the series, where one is loaded
    answers: Mapping[tuple[int, Options], Triage] = field(default_factory=dict)
    marks: Mapping[tuple[int, bool], Segmentation] = field(default_factory=dict)  # by slice and whether forced
    index: int = 0  # the slice the page shows
    hidden: bool = False  # the reader has not committed yet
    reading: Reading | None = None
    opened: float = field(default_factory=time.monotonic)

    @property
    def size(self) -> int:
        """Bytes of pixels held."""
        return sum(image.pixels.nbytes for image in self.images)

    @property
    def answer(self) -> Triage | None:
        """The answer for the slice that is shown; None while it is being worked out."""
        return self.answers.get((self.index, self.options))

    @property
    def marked(self) -> Segmentation | None:
        """What is marked on the slice that is shown; None without a segmentation model, or while it is refused."""
        marks = self.marks.get((self.index, self.options.force))
        return None if marks is None or marks.refused else marks

    def with_answer(self, index: int, options: Options, triage: Triage) -> Case:
        """The case with the answer for one more slice."""
        return replace(self, answers=_with(self.answers, (index, options), triage))

    def with_marks(self, index: int, options: Options, marks: Segmentation) -> Case:
        """The case with the marks of one more slice."""
        return replace(self, marks=_with(self.marks, (index, options.force), marks))


def _with(kept: Mapping[K, V], key: K, value: V) -> dict[K, V]:
    """`kept` and one value more, the oldest omitted beyond ANSWERS_KEPT."""
    others = [item for item in kept.items() if item[0] != key]
    return dict([*others[-(ANSWERS_KEPT - 1) :], (key, value)])


class CaseStore:
    """Cases by an unguessable key, the least recently used dropped first.

    `limit` is in bytes of pixels (the newest case always stays), `lifetime` in seconds since the last use.
    """

    def __init__(
        self,
        limit: int = 1024 * MEBI,
        count: int = 64,
        lifetime: float = 3600.0,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self._limit, self._count, self._lifetime, self._clock = limit, count, lifetime, clock
        self._cases: OrderedDict[str, tuple[float, Case]] = OrderedDict()
        self._lock = threading.Lock()

    def __len__(self) -> int:
        return len(self._cases)

    def add(self, case: Case) -> str:
        """Hold a case; returns the key that only the page that opened it is told."""
        key = secrets.token_urlsafe(18)
        with self._lock:
            self._cases[key] = (self._clock(), case)
            self._sweep()
        return key

    def get(self, key: str | None) -> Case:
        """The case of that key. Raises ExpiredError when it has been dropped."""
        with self._lock:
            return self._touch(key)

    def change(self, key: str | None, change: Callable[[Case], Case]) -> Case:
        """Replace a case by `change(case)`, atomically. Raises ExpiredError."""
        with self._lock:
            case = change(self._touch(key))
            self._cases[str(key)] = (self._clock(), case)  # it exists, so the key is a string
            return case

    def drop(self, key: str | None) -> None:
        """Forget a case; nothing happens when it is not there."""
        with self._lock:
            self._cases.pop(key or "", None)

    def sweep(self) -> None:
        """Forget what has expired."""
        with self._lock:
            self._sweep()

    def _touch(self, key: str | None) -> Case:
        self._sweep()
        if key is None or key not in self._cases:
            raise ExpiredError("This picture is no longer held in memory. Open it again.")
        case = self._cases[key][1]
        self._cases[key] = (self._clock(), case)
        self._cases.move_to_end(key)
        return case

    def _sweep(self) -> None:
        oldest = self._clock() - self._lifetime
        for key in [key for key, (used, _) in self._cases.items() if used < oldest]:
            del self._cases[key]
        total = sum(case.size for _, case in self._cases.values())
        while len(self._cases) > 1 and (total > self._limit or len(self._cases) > self._count):
            _, (_, case) = self._cases.popitem(last=False)
            total -= case.size
