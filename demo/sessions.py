"""What the server remembers of the pages that are open: decoded pictures in memory, for a while, never on disk."""

from __future__ import annotations

import secrets
import threading
import time
from collections import OrderedDict
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager, nullcontext
from dataclasses import dataclass, field, is_dataclass, replace
from enum import Enum
from typing import Any, TypeVar

import numpy as np
from numpy.typing import NDArray

from strokenext import Segmentation, SeriesTriage, Slice, Triage, Volume, VolumePrediction, errors

from .cancel import Cancel
from .presence import Presence
from .service import Options
from .settings import MEBI, Settings

#: Answers with their heat kept per case; older ones are computed again.
ANSWERS_KEPT = 64
#: Lost cases, key and reason alone, whose readers can still be told why.
REMEMBERED = 4096
_PLAIN = frozenset({str, int, float, bool, type(None)})
K = TypeVar("K")
V = TypeVar("V")


class ExpiredError(errors.InputError):
    """A case that is no longer held in memory."""

    http_status = 410


@dataclass(frozen=True)
class Reading:
    """The reader's own reading, given before the model's is shown; `seconds` since the picture was opened."""

    verdict: str
    seconds: float


@dataclass(frozen=True, eq=False)
class Case:
    """One picture or series that a page has open.

    `title` is made of the file's kind, never of its name; `label` is what the case is called wherever it is shown.
    """

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
    label: str = ""

    @property
    def size(self) -> int:
        """Bytes of all arrays held: pixels, evidence, marks; one that is held twice counts once."""
        return sum({id(array): array.nbytes for array in _arrays(self)}.values())

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


class Lost(Enum):
    """Why a case is no longer held; the value is what its reader is told."""

    IDLE = "This picture was forgotten because it was not used for {minutes:.0f} minutes. Open it again."
    AWAY = "This picture was forgotten because this page was closed, asleep or offline for a while. Open it again."
    ROOM = "This picture was forgotten to make room for other pictures: it was unused for the longest. Open it again."
    UNKNOWN = "This picture is no longer held in memory. Open it again."


@dataclass(frozen=True, eq=False)
class _Held:
    """A case, whose it is, when it was last used, and its bytes."""

    case: Case
    owner: str
    used: float
    size: int


class CaseStore:
    """Cases by an unguessable key, over all readers; what is unused the longest goes first.

    `limit` is in bytes of all arrays held, `idle` in seconds since a case was last used. `gone` is told of each owner
    whose page has gone. Something must call `sweep` every few seconds. Any thread may call any method.
    """

    def __init__(
        self,
        limit: int = Settings.max_held,
        count: int = 256,
        idle: float = Settings.idle,
        clock: Callable[[], float] = time.monotonic,
        gone: Callable[[str], None] = lambda _owner: None,
    ) -> None:
        self._limit, self._count, self._idle, self._clock, self._gone = limit, count, idle, clock, gone
        self._cases: OrderedDict[str, _Held] = OrderedDict()
        self._lost: OrderedDict[str, Lost] = OrderedDict()
        self._lock = threading.Lock()
        self._presence = Presence(clock)

    def __len__(self) -> int:
        return len(self._cases)

    @property
    def size(self) -> int:
        """Bytes held for all readers together."""
        with self._lock:
            return self._size()

    def add(self, case: Case, owner: str = "") -> str:
        """Hold a case for the page `owner`; returns the key that only that page is told.

        An owner is expected to be heard of (`alive`); without one the case stays until it is idle.
        Raises TooLargeError for a case that alone is above the limit.
        """
        size = case.size
        if size > self._limit:
            raise errors.TooLargeError(
                f"This takes {size // MEBI} MiB of memory, more than the {self._limit // MEBI} MiB that this server "
                "holds for all its readers. Give the head alone, or thicker slices."
            )
        if owner:
            self._presence.expect(owner)
        key = secrets.token_urlsafe(18)
        with self._lock:
            self._cases[key] = _Held(case, owner, self._clock(), size)
            self._sweep()
        return key

    def get(self, key: str | None) -> Case:
        """The case of that key. Raises ExpiredError, which says why it is no longer there."""
        with self._lock:
            return self._touch(key).case

    def change(self, key: str | None, change: Callable[[Case], Case]) -> Case:
        """Replace a case by `change(case)`, atomically. Raises ExpiredError."""
        with self._lock:
            held = self._touch(key)
            case = change(held.case)
            self._cases[str(key)] = replace(held, case=case, size=case.size)  # it exists, so the key is a string
            self._sweep()
            return case

    def drop(self, key: str | None) -> None:
        """Forget a case; nothing happens when it is not there."""
        with self._lock:
            self._cases.pop(key or "", None)

    def alive(self, owner: str, key: str | None) -> None:
        """A sign of life of the page `owner`, which is no use of the case that it shows; None where it shows none.

        Raises ExpiredError where that case is no longer held.
        """
        self._presence.hear(owner)
        with self._lock:
            self._sweep()
            if key is not None:
                self._find(key)

    def left(self, owner: str) -> None:
        """The owner's page has closed its connection: its work ends now, its cases go unless it is back soon."""
        self._presence.leave(owner)

    @contextmanager
    def working(self, owner: str, cancel: Cancel) -> Iterator[None]:
        """While inside, `cancel` is given when the owner's page closes its connection or goes."""
        with self._presence.working(owner, cancel) if owner else nullcontext():
            yield

    def sweep(self) -> None:
        """Forget what is idle, and what belongs to pages that have gone."""
        gone = self._presence.gone()
        with self._lock:
            for key in [key for key, held in self._cases.items() if held.owner in gone]:
                self._lose(key, Lost.AWAY)
            self._sweep()
        for owner in gone:
            self._gone(owner)

    def _touch(self, key: str | None) -> _Held:
        self._sweep()
        held = replace(self._find(key), used=self._clock())
        self._cases[str(key)] = held
        self._cases.move_to_end(str(key))
        return held

    def _find(self, key: str | None) -> _Held:
        if key is None or key not in self._cases:
            lost = self._lost.get(key or "", Lost.UNKNOWN)
            raise ExpiredError(lost.value.format(minutes=self._idle / 60))
        return self._cases[key]

    def _lose(self, key: str, why: Lost) -> None:
        del self._cases[key]
        self._lost[key] = why
        while len(self._lost) > REMEMBERED:
            self._lost.popitem(last=False)

    def _sweep(self) -> None:
        oldest = self._clock() - self._idle
        for key in [key for key, held in self._cases.items() if held.used < oldest]:
            self._lose(key, Lost.IDLE)
        while len(self._cases) > 1 and (self._size() > self._limit or len(self._cases) > self._count):
            self._lose(next(iter(self._cases)), Lost.ROOM)

    def _size(self) -> int:
        return sum(held.size for held in self._cases.values())


def _arrays(value: object) -> Iterator[NDArray[Any]]:
    """Every array below a value of ours, as often as it is met; of a view, the array whose memory it shows."""
    if isinstance(value, np.ndarray):
        yield value if value.base is None or not isinstance(value.base, np.ndarray) else value.base
    elif isinstance(value, Mapping):
        for one in value.values():
            yield from _arrays(one)
    elif isinstance(value, tuple | list):
        for one in value:
            yield from _arrays(one)
    elif is_dataclass(value):
        for one in vars(value).values():
            if one.__class__ not in _PLAIN:
                yield from _arrays(one)
