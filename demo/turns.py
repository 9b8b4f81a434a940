"""Who works next: a bounded number of places, given in turn to the owners of the work, a small batch at a time."""

from __future__ import annotations

import threading
from collections import Counter, OrderedDict, deque
from collections.abc import Iterator
from contextlib import contextmanager

from strokenext import errors

from .cancel import Cancel


class TooManyError(errors.BusyError):
    """More of one owner's work is waiting than the service accepts of one."""

    http_status = 429


class _Ticket:
    """One wait for a place; `event` is set when the place is given, and when the work is cancelled."""

    def __init__(self) -> None:
        self.event = threading.Event()
        self.given = False


class Turns:
    """`places` pieces of work at once and `waiting` more; between two batches a place goes to the next owner.

    Owners are served one after the other (round-robin), however many pieces of work each has. One owner holds at
    most `share` places, so that work which cannot be cut into batches leaves some to the others; and at most half of
    the `waiting` is one owner's, so that nobody is turned away because somebody else sent much. Work of no owner ("")
    is not counted so.
    """

    def __init__(self, places: int, waiting: int, share: int | None = None) -> None:
        self._free, self._most, self._share = places, places + waiting, share or places
        self._inside = 0
        self._most_of_one = self._share + (waiting + 1) // 2
        self._inside_of: Counter[str] = Counter()
        self._held: dict[str, int] = {}
        self._queue: OrderedDict[str, deque[_Ticket]] = OrderedDict()
        self._lock = threading.Lock()

    @contextmanager
    def turn(self, owner: str, cancel: Cancel) -> Iterator[Turn]:
        """Room for one piece of work. Raises BusyError when too many wait already, TooManyError when too many of the
        owner's own do, CancelledError.
        """
        self._enter(owner)
        turn = Turn(self, owner, cancel)
        try:
            self._take(owner, cancel, _Ticket())
            try:
                yield turn
            finally:
                if turn.held:
                    self._leave(owner)
        finally:
            with self._lock:
                self._inside -= 1
                self._inside_of -= Counter([owner])  # which forgets who has none

    def _enter(self, owner: str) -> None:
        with self._lock:
            if self._inside >= self._most:
                raise errors.BusyError("The service is busy with other images. Try again in a few seconds.")
            if owner and self._inside_of[owner] >= self._most_of_one:
                raise TooManyError("Too many of your own images are waiting. Send the next when one has been answered.")
            self._inside += 1
            self._inside_of[owner] += 1

    @property
    def waiting(self) -> int:
        """How many wait for a place."""
        with self._lock:
            return sum(len(tickets) for tickets in self._queue.values())

    @property
    def held(self) -> int:
        """How many places are taken."""
        with self._lock:
            return sum(self._held.values())

    def pass_on(self, turn: Turn) -> None:
        """Give the place to whoever is next and wait for another; keep it where nobody waits. Raises CancelledError."""
        turn.cancel.check()
        ticket = _Ticket()
        with self._lock:
            if not self._queue:
                return
            self._queue.setdefault(turn.owner, deque()).append(ticket)
            turn.held = False
            self._free_place(turn.owner)
            self._hand_out()
        self._wait(turn.owner, turn.cancel, ticket)
        turn.held = True

    def _take(self, owner: str, cancel: Cancel, ticket: _Ticket) -> None:
        with self._lock:
            self._queue.setdefault(owner, deque()).append(ticket)
            self._hand_out()
        self._wait(owner, cancel, ticket)

    def _wait(self, owner: str, cancel: Cancel, ticket: _Ticket) -> None:
        with cancel.calling(ticket.event.set):
            ticket.event.wait()
        if cancel.cancelled:
            with self._lock:
                if ticket.given:
                    self._free_place(owner)
                    self._hand_out()
                else:
                    self._forget(owner, ticket)
            cancel.check()

    def _leave(self, owner: str) -> None:
        with self._lock:
            self._free_place(owner)
            self._hand_out()

    def _free_place(self, owner: str) -> None:
        self._free += 1
        self._held[owner] -= 1
        if not self._held[owner]:
            del self._held[owner]

    def _hand_out(self) -> None:
        """Free places to the owners in turn; one that was served goes to the end."""
        while self._free and (owner := self._next()) is not None:
            tickets = self._queue.pop(owner)
            ticket = tickets.popleft()
            if tickets:
                self._queue[owner] = tickets
            self._free -= 1
            self._held[owner] = self._held.get(owner, 0) + 1
            ticket.given = True
            ticket.event.set()

    def _next(self) -> str | None:
        return next((owner for owner in self._queue if self._held.get(owner, 0) < self._share), None)

    def _forget(self, owner: str, ticket: _Ticket) -> None:
        tickets = self._queue[owner]
        tickets.remove(ticket)
        if not tickets:
            del self._queue[owner]


class Turn:
    """One owner's place among the `Turns`, for as long as it works."""

    def __init__(self, turns: Turns, owner: str, cancel: Cancel) -> None:
        self.owner, self.cancel = owner, cancel
        self.held = True
        self._turns = turns

    def batch_done(self) -> None:
        """Call between two batches: others go first where they wait. Raises CancelledError."""
        self._turns.pass_on(self)
