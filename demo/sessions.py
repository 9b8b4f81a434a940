"""What the server remembers of the pages that are open: decoded pictures in memory, for a while, never on disk."""

from __future__ import annotations

import secrets
import threading
import time
from collections import OrderedDict
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from strokenext.errors import InputError
from strokenext.types import Slice, Volume

from .service import Options

if TYPE_CHECKING:
    from strokenext import Segmentation, Triage, VolumePrediction

    from .service import SeriesTriage

MEBI = 1024 * 1024
#: Answers with their heat kept per case; older ones are computed again.
ANSWERS_KEPT = 64


class ExpiredError(InputError):
    """A case that is no longer held in memory."""


@dataclass(frozen=True)
class Reading:
    """The reader's own judgement, given before the model's is shown; `seconds` since the picture was opened."""

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

    def with_answer(self, index: int, options: Options, triage: Triage) -> dict[tuple[int, Options], Triage]:
        """`answers` and one more, the oldest left out beyond ANSWERS_KEPT."""
        kept = [item for item in self.answers.items() if item[0] != (index, options)]
        return dict([*kept[-(ANSWERS_KEPT - 1) :], ((index, options), triage)])

    def with_marks(self, key: tuple[int, bool], marks: Segmentation) -> dict[tuple[int, bool], Segmentation]:
        """`marks` and those of one more slice, the oldest left out beyond ANSWERS_KEPT."""
        kept = [item for item in self.marks.items() if item[0] != key]
        return dict([*kept[-(ANSWERS_KEPT - 1) :], (key, marks)])

    @property
    def marked(self) -> Segmentation | None:
        """What is marked on the slice that is shown; None without a segmentation model, or while it is refused."""
        found = self.marks.get((self.index, self.options.force))
        return None if found is None or found.refused else found


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
