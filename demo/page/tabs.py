"""The pages that are open: each tab owns one state, what it shows, and the work that is done for it."""

from __future__ import annotations

import secrets
import threading
from collections import OrderedDict
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from functools import partial
from typing import Any

from demo.cancel import Cancel
from demo.decoding.offer import Offer
from demo.sessions import ExpiredError
from demo.storage.upload import GONE, GoneError
from demo.storage.uploads import Kept

from . import text
from .state import PageState, Token

#: Pages known at once; the one not heard of for longest is forgotten first.
MOST_TABS = 2048
Transition = Callable[[PageState], PageState]
Redraw = Callable[["Screen"], "Screen"]
Decode = Callable[..., Offer]


@dataclass(frozen=True)
class Screen:
    """What the browser draws beside the state: plain JSON values and HTML of our own making."""

    answer: str = ""  # the panel
    viewer: Mapping[str, Any] | None = None  # what is open and the evidence for its slice; None for an empty stage
    ready: bool = False  # whether files can be taken away
    commit: bool = False  # the form of the reader who looks first
    force: bool = False  # "Judge anyway"
    tuning: bool = False  # threshold and method
    threshold: float | None = None
    again: bool = False  # "Judge" after a judgement that was cancelled or failed


@dataclass(frozen=True, eq=False)
class Sent:
    """The files that a page sent for its opening `generation`, where they lay, and what they are called."""

    generation: int
    files: Kept
    places: list[str]
    name: str

    def read(self, decode: Decode, chosen: bool) -> Offer:
        """What `decode` makes of them; they are gone then, unless another of their series may be opened.

        `chosen` where a series was chosen of a list, which stays whatever becomes of this one. Raises GoneError, and
        what decoding raises.
        """
        several = chosen
        try:
            offer = self.files.read(partial(decode, places=self.places))
            several = offer.several
            return offer
        finally:
            if not several:
                self.files.forget()


@dataclass(frozen=True, eq=False)
class Work:
    """A piece of work for one question of a tab: about the slice and under the options of `state`."""

    tab: Tab
    state: PageState
    cancel: Cancel
    left: str | None = None  # the case that was open before

    @property
    def token(self) -> Token:
        """The question it was started for."""
        return self.state.token

    def show(
        self, transition: Transition, redraw: Redraw | None = None, listed: Mapping[str, Any] | None = None
    ) -> bool:
        """Move the tab, draw its screen and its list, unless the work is no longer wanted; whether it was."""
        return not self.cancel.cancelled and self.tab.move(transition, redraw, listed)


@dataclass(eq=False)
class Tab:
    """One page in a browser. `key` is its password, which only that page is told; any thread may call any method."""

    key: str
    session: str
    state: PageState = field(default_factory=PageState)
    screen: Screen = field(default_factory=Screen)
    listed: Mapping[str, Any] | None = None  # the series of the upload, for a list; None where there is no choice
    sent: Sent | None = None  # that upload, until something else is opened
    _drawn: int = 0  # the version in which the screen was set
    _listed: int = 0  # and the list
    _cases: int = 0  # how many have been opened
    _case: Cancel = field(default_factory=Cancel)
    _question: Cancel = field(default_factory=Cancel)
    _lock: threading.RLock = field(default_factory=threading.RLock)

    def move(
        self, transition: Transition, redraw: Redraw | None = None, listed: Mapping[str, Any] | None = None
    ) -> bool:
        """Apply a transition; screen and list are set only where the transition took effect. Whether it did."""
        with self._lock:
            after = transition(self.state)
            if after is self.state:
                return False
            self.state = after
            if redraw is not None:
                self.screen, self._drawn = redraw(self.screen), after.version
            if listed is not None:
                self.listed, self._listed = listed, after.version
            return True

    def anew(self, transition: Transition, redraw: Redraw, keep: bool = False) -> Work | None:
        """Begin with another picture, or none: all work for the one before ends. None where that came too late.

        What was sent for the one before is forgotten, unless it is to `keep` for another of its series.
        """
        with self._lock:
            left = self.state.case
            if not self.move(transition, redraw):
                return None
            self._renew()
            self.listed = None
            if not keep:
                self.forget_sent()
            return Work(self, self.state, self._case, left)

    def hold(self, work: Work, sent: Sent) -> None:
        """Keep what was sent for this work while it is on the page, to open another series of it."""
        with self._lock:
            if self.state.token.generation == work.token.generation:
                self.sent = sent
            else:
                sent.files.forget()

    def sent_for(self, generation: int) -> Sent:
        """What was sent for that opening, which is about to be read again. Raises GoneError."""
        with self._lock:
            if self.sent is None or self.sent.generation != generation:
                raise GoneError(GONE)
            self.sent.files.ask()
            return self.sent

    def forget_sent(self) -> None:
        """Nothing that was sent is to be opened again."""
        with self._lock:
            if self.sent is not None:
                self.sent.files.forget()
            self.sent = None

    def ask(self, transition: Transition, redraw: Redraw) -> Work | None:
        """A newer question about the open case: work for the one before ends. None where nothing is to be done."""
        with self._lock:
            judging = self.state.whole
            if not self.move(transition, None if judging else redraw) or judging:
                return None
            self._question.cancel()
            self._question = Cancel()
            # A series is judged for all of its slices, whichever the reader looks at meanwhile.
            return Work(self, self.state, self._case if self.state.whole else self._question)

    def stop(self, transition: Transition, redraw: Redraw) -> bool:
        """End the work of the open case, keeping the case; whether there was some."""
        with self._lock:
            if not self.move(transition, redraw):
                return False
            self._renew()
            return True

    def follow(self, work: Work) -> Work:
        """The same work for the question that is on the screen by now. Raises CancelledError for another case's."""
        with self._lock:
            if self.state.token.generation != work.token.generation:
                work.cancel.cancel()
            work.cancel.check()
            return Work(self, self.state, work.cancel)

    def _renew(self) -> None:
        self.end()
        self._case, self._question = Cancel(), Cancel()

    def count(self) -> int:
        """The number of one more case, from 1."""
        with self._lock:
            self._cases += 1
            return self._cases

    def end(self) -> None:
        """End all work of this tab."""
        self._case.cancel()
        self._question.cancel()

    def snapshot(self, known: int = -1) -> dict[str, Any]:
        """State, screen and list for the browser, without what is older than the version `known`."""
        with self._lock:
            state, screen = self.state, self.screen
            reply: dict[str, Any] = {
                "generation": state.token.generation,
                "sequence": state.token.sequence,
                "version": state.version,
                "phase": state.phase.value,
                "case": state.case,
                "index": state.index,
                "progress": state.progress,
            }
            reply |= {"screen": vars(screen)} if self._drawn > known else {}
            return reply | ({"listed": self.listed} if self.listed is not None and self._listed > known else {})


class Tabs:
    """Tabs by key, each of one page; the one not heard of for longest goes first."""

    def __init__(self, most: int = MOST_TABS) -> None:
        self._most = most
        self._tabs: OrderedDict[str, Tab] = OrderedDict()
        self._lock = threading.Lock()

    def __len__(self) -> int:
        return len(self._tabs)

    def new(self, session: str) -> Tab:
        """A tab for a page that has just been loaded; `session` is Gradio's name for it, the owner of its cases."""
        tab = Tab(secrets.token_urlsafe(18), session)
        with self._lock:
            self._tabs[tab.key] = tab
            spare = [self._tabs.popitem(last=False)[1] for _ in range(len(self._tabs) - self._most)]
        for old in spare:
            old.end()
        return tab

    def get(self, key: object) -> Tab:
        """The tab of that key. Raises ExpiredError."""
        with self._lock:
            if not isinstance(key, str) or key not in self._tabs:
                raise ExpiredError(text.PAGE_UNKNOWN)
            self._tabs.move_to_end(key)
            return self._tabs[key]

    def session_of(self, key: str) -> str:
        """The session of the tab of that key, which is no use of it; empty where there is none."""
        with self._lock:
            return self._tabs[key].session if key in self._tabs else ""

    def forget(self, session: str) -> None:
        """The page of that session has gone."""
        with self._lock:
            gone = [self._tabs.pop(key) for key in [k for k, tab in self._tabs.items() if tab.session == session]]
        for tab in gone:
            tab.end()
