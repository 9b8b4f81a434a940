"""Any order of events on one page: openings, questions, work that ends late. Against what a page may show.

The machine is the page's tab on the server; its work (`Work`) is kept for ever, so that a reply of any age may come.
Every screen that is drawn says for which case, question, slice and rule it was made.
"""

from __future__ import annotations

from typing import Any

import pytest
from hypothesis import HealthCheck, settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, invariant, precondition, rule

pytest.importorskip("gradio")

from demo.cancel import CancelledError
from demo.page.state import BUSY, OPEN, PageState, Phase, Token
from demo.page.tabs import Screen, Tab, Tabs, Work
from demo.service import Options

STEPS = st.sampled_from((-1, 0, 1, 1, 1, 2))
RARELY = st.sampled_from((-1, 0, 0, 0, 0, 1, 2))
#: How many pieces of work ago the one was begun that is heard of now.
BACK = st.sampled_from((0, 0, 0, 0, 1, 2, 5))
INDEX = st.integers(0, 7)
OPTIONS = st.builds(Options, threshold=st.sampled_from((None, 0.3, 0.7)), force=st.booleans())


def drawn(key: str, token: Token, index: int, options: Options) -> Screen:
    """The answer about one slice of a case."""
    about = repr((key, token, index, options))
    return Screen(about, {"key": key, "about": index}, ready=True, tuning=True)


class Page(RuleBasedStateMachine):
    """The tab, the work begun for it, and the state before the last event."""

    @initialize()
    def load(self) -> None:
        self.tab: Tab = Tabs().new("session")
        self.before: PageState = self.tab.state
        self.begun: list[Work] = []
        self.openings: list[Work] = []  # work that reads a file
        self.judgements: list[tuple[Work, str]] = []  # work that judges, and the case it is about
        self.lists: dict[int, str] = {}  # the list that each opening was given

    # --- what the reader does ---

    @rule(step=RARELY)
    def open(self, step: int) -> None:
        generation = self.tab.state.token.generation + step
        was, asked = self.tab.state, [work for work in self.begun if not work.cancel.cancelled]
        work = self.tab.anew(lambda s: s.opening(generation), lambda _: Screen("reading"))
        assert (work is not None) == (step > 0)
        if work is None:
            assert self.tab.state is was
            return
        assert all(one.cancel.cancelled for one in asked), "the work of the case before goes on"
        assert work.left == was.case
        assert self.tab.listed is None
        self.begun.append(work)
        self.openings.append(work)

    @rule(step=RARELY)
    def close(self, step: int) -> None:
        generation = self.tab.state.token.generation + step
        work = self.tab.anew(lambda s: s.closed(generation), lambda _: Screen("empty"))
        assert (work is not None) == (step > 0)
        if work is not None:
            assert self.tab.state.phase is Phase.EMPTY
            assert all(one.cancel.cancelled for one in self.begun)

    @rule(step=STEPS, turn=st.sampled_from((-1, 0, 0, 0, 1)), index=INDEX, options=OPTIONS, whole=st.booleans())
    def ask(self, step: int, turn: int, index: int, options: Options, whole: bool) -> None:
        was = self.tab.state
        token = Token(was.token.generation + turn, was.token.sequence + step)
        whole = whole and not was.whole
        work = self.tab.ask(
            lambda s: s.asked(token, index, options, whole), lambda _: Screen("pending", {"key": was.case})
        )
        taken = was.phase in OPEN and was.case is not None and token.generation == was.token.generation and step > 0
        assert (self.tab.state is not was) == taken
        assert (work is not None) == (taken and not was.whole)
        if taken:
            assert self.tab.state.token == token
        if work is not None:
            assert not work.cancel.cancelled
            self.begun.append(work)
            self.judgements.append((work, str(was.case)))

    @rule(step=STEPS)
    def stop(self, step: int) -> None:
        was = self.tab.state
        token = Token(was.token.generation, was.token.sequence + step)
        ended = self.tab.stop(lambda s: s.stopped(token), lambda screen: Screen("cancelled", screen.viewer, again=True))
        assert ended == (was.phase is Phase.JUDGING and step > 0)
        if ended:
            assert self.tab.state.case == was.case
            assert all(one.cancel.cancelled for one in self.begun)

    # --- what comes of the work, at any time ---

    @precondition(lambda self: self.openings)
    @rule(back=BACK, index=INDEX, whole=st.booleans(), deaf=st.booleans())
    def read(self, back: int, index: int, whole: bool, deaf: bool) -> None:
        """A file has been decoded."""
        work = self.openings[max(-1 - back, -len(self.openings))]
        key = f"case {work.token.generation}"
        shown = self._shows(
            work, deaf, lambda s: s.opened(work.token, key, index, whole), Screen("pending", {"key": key}), {"of": key}
        )
        assert shown == (self.before.phase is Phase.OPENING and work.token == self.before.token)
        if shown:
            self._goes_on(work, key)

    @precondition(lambda self: self.openings)
    @rule(back=BACK, deaf=st.booleans())
    def ambiguous(self, back: int, deaf: bool) -> None:
        """The upload holds several series, and nobody can tell which is meant."""
        work = self.openings[max(-1 - back, -len(self.openings))]
        key = f"case {work.token.generation}"
        shown = self._shows(work, deaf, lambda s: s.choosing(work.token), Screen("which"), {"of": key})
        assert shown == (self.before.phase is Phase.OPENING and work.token == self.before.token)

    @precondition(lambda self: self.judgements)
    @rule(back=BACK, done=st.integers(0, 8), deaf=st.booleans())
    def progress(self, back: int, done: int, deaf: bool) -> None:
        work, _ = self._judgement(back)
        was = self.tab.state
        if self._shows(work, deaf, lambda s: s.progressed(work.token, done, 8)):
            assert was.whole
            assert self.tab.state.progress == (done, 8)
            assert work.token.generation == was.token.generation

    @precondition(lambda self: self.judgements)
    @rule(back=BACK, peak=INDEX, deaf=st.booleans())
    def judged(self, back: int, peak: int, deaf: bool) -> None:
        """All slices of a series are judged; the answer for the one on the screen comes next."""
        work, key = self._judgement(back)
        was = self.tab.state
        if not self._shows(work, deaf, lambda s: s.judged(work.token, peak)):
            return
        assert (key, was.whole) == (was.case, True)
        # a reader who has gone to a slice stays there
        assert self.tab.state.index == (peak if was.token.sequence == 0 else was.index)
        self._goes_on(work, key)

    @precondition(lambda self: self.judgements)
    @rule(back=BACK, refused=st.booleans(), deaf=st.booleans())
    def answered(self, back: int, refused: bool, deaf: bool) -> None:
        work, key = self._judgement(back)
        was = self.tab.state
        screen = drawn(key, work.token, work.state.index, work.state.options)
        if self._shows(work, deaf, lambda s: s.answered(work.token, refused), screen):
            assert (key, work.token, False) == (was.case, was.token, was.whole)
            assert self.tab.state.phase is (Phase.REFUSED if refused else Phase.SHOWN)
        else:
            assert self.tab.state is was

    @precondition(lambda self: self.begun)
    @rule(back=BACK)
    def failed(self, back: int) -> None:
        work = self.begun[max(-1 - back, -len(self.begun))]
        was = self.tab.state
        moved = self.tab.move(lambda s: s.failed(work.token), lambda screen: Screen("failed", screen.viewer))
        if moved:
            assert was.phase in BUSY
            assert work.token.generation == was.token.generation
            assert self.tab.state.case == was.case

    @rule(back=st.sampled_from((0, 1, 1, 2)))
    def lost(self, back: int) -> None:
        was = self.tab.state
        key = f"case {was.token.generation - back}"
        self.tab.stop(lambda s: s.lost(key), lambda _: Screen("lost"))
        assert (self.tab.state is not was) == (was.case == key)

    # --- what may be on the page after any of it ---

    @invariant()
    def never_back(self) -> None:
        state, before = self.tab.state, self.before
        assert state.token >= before.token
        assert state.version >= before.version
        assert (state is before) == (state.version == before.version)
        self.before = state

    @invariant()
    def the_screen_is_of_the_case_and_the_question(self) -> None:
        state, screen = self.tab.state, self.tab.screen
        assert state.case in (None, f"case {state.token.generation}")
        assert (screen.viewer or {}).get("key") == state.case
        if state.phase in (Phase.EMPTY, Phase.OPENING, Phase.CHOOSING):
            assert state.case is None
        if state.phase in (Phase.JUDGING, Phase.SHOWN, Phase.REFUSED):
            assert state.case is not None
        if state.phase in (Phase.SHOWN, Phase.REFUSED):
            assert screen == drawn(str(state.case), state.token, state.index, state.options)
        else:
            assert not screen.ready
            assert "case" not in screen.answer

    @invariant()
    def progress_is_of_a_judging(self) -> None:
        state = self.tab.state
        assert state.phase is Phase.JUDGING or (state.progress, state.whole) == (None, False)

    @invariant()
    def the_list_is_of_the_upload(self) -> None:
        assert self.tab.listed in (None, {"of": f"case {self.tab.state.token.generation}"})

    @invariant()
    def only_the_open_case_is_worked_on(self) -> None:
        for work in self.begun:
            assert work.cancel.cancelled or work.token.generation == self.tab.state.token.generation

    @invariant()
    def the_browser_is_told_all_that_it_does_not_know(self) -> None:
        full: dict[str, Any] = self.tab.snapshot()
        assert full["screen"]["answer"] == self.tab.screen.answer
        assert (full["generation"], full["sequence"]) == (
            self.tab.state.token.generation,
            self.tab.state.token.sequence,
        )
        assert "screen" not in self.tab.snapshot(self.tab.state.version)

    def _shows(self, work: Work, deaf: bool, transition: Any, screen: Screen | None = None, listed: Any = None) -> bool:
        """Whether a result took effect; `deaf` work has not heard that it was cancelled, as it may at any moment."""
        redraw = None if screen is None else lambda _: screen
        move = self.tab.move if deaf else work.show
        was = self.tab.state
        moved = bool(move(transition, redraw, listed))
        assert moved == (self.tab.state is not was)
        return moved

    def _goes_on(self, work: Work, key: str) -> None:
        """The work asks its next question, about what is on the screen by now."""
        if work.cancel.cancelled:
            return
        follow = self.tab.follow(work)
        assert (follow.state, self.tab.state.case) == (self.tab.state, key)
        self.begun.append(follow)
        self.judgements.append((follow, key))

    def _judgement(self, back: int) -> tuple[Work, str]:
        return self.judgements[max(-1 - back, -len(self.judgements))]


TestPage = Page.TestCase
TestPage.settings = settings(
    max_examples=150, stateful_step_count=40, deadline=None, suppress_health_check=[HealthCheck.too_slow]
)


def test_work_for_a_case_that_was_left_does_not_follow_to_the_next() -> None:
    tab = Tabs().new("session")
    work = tab.anew(lambda s: s.opening(1), lambda _: Screen())
    assert work is not None
    tab.anew(lambda s: s.opening(2), lambda _: Screen())
    with pytest.raises(CancelledError):
        tab.follow(work)
