"""The state of one page and its transitions: pure values, no lock, no picture, no sentence of HTML.

The browser counts its openings (`generation`) and, within one, its questions (`sequence`): a question is a slice, a
threshold, a method, a verdict. Work carries the Token it was started for. A transition whose token is not the one
on the screen returns the state it was given, so that what arrives late changes nothing.
"""

from __future__ import annotations

from dataclasses import dataclass, field, replace
from enum import StrEnum

from demo.service import Options


class Phase(StrEnum):
    """What a page is doing."""

    EMPTY = "empty"  # nothing is open
    OPENING = "opening"  # a file is being sent, read and decoded
    CHOOSING = "choosing"  # the reader is asked which of several series to open
    JUDGING = "judging"  # a picture is on the screen, its answer is being worked out
    SHOWN = "shown"  # picture and answer, or the picture alone where the reader commits first
    REFUSED = "refused"  # the picture and why it is not judged
    FAILED = "failed"  # a sentence; the picture stays where there is one


#: Phases in which a picture is on the screen, FAILED where there is a case.
OPEN = frozenset({Phase.JUDGING, Phase.SHOWN, Phase.REFUSED, Phase.FAILED})
#: Phases in which the server works for the page.
BUSY = frozenset({Phase.OPENING, Phase.JUDGING})


@dataclass(frozen=True, order=True)
class Token:
    """Names one question of a page: the opening it belongs to and its number within it, both counted upwards."""

    generation: int = 0
    sequence: int = 0


@dataclass(frozen=True)
class PageState:
    """What is on one page. `version` grows with every change; the token asks about slice `index` under `options`."""

    phase: Phase = Phase.EMPTY
    token: Token = Token()
    case: str | None = None
    index: int = 0
    options: Options = field(default_factory=Options)
    whole: bool = False  # while the series as a whole is judged; questions about its slices wait for that
    progress: tuple[int, int] | None = None  # slices judged, of how many
    version: int = 0

    def opening(self, generation: int) -> PageState:
        """Another picture was chosen: what was on the page is gone."""
        return self._anew(Phase.OPENING, generation)

    def closed(self, generation: int) -> PageState:
        """The picture was closed, or its opening cancelled."""
        return self._anew(Phase.EMPTY, generation)

    def choosing(self, token: Token) -> PageState:
        """The upload holds several series, and which is meant is not clear."""
        return self._next(phase=Phase.CHOOSING) if self._awaits(token, Phase.OPENING) else self

    def opened(self, token: Token, case: str, index: int, whole: bool = False) -> PageState:
        """The picture has been decoded; `whole` when a series is to be judged."""
        if not self._awaits(token, Phase.OPENING):
            return self
        return self._next(phase=Phase.JUDGING, case=case, index=index, whole=whole)

    def asked(self, token: Token, index: int, options: Options, whole: bool = False) -> PageState:
        """A newer question about the open case; `whole` asks for the series again, which had been cancelled.

        While a whole series is judged, a question only notes where the reader is.
        """
        if self.phase not in OPEN or self.case is None or token.generation != self.token.generation:
            return self
        if token.sequence <= self.token.sequence:
            return self
        return self._next(
            phase=Phase.JUDGING,
            token=token,
            index=index,
            options=options,
            whole=self.whole or whole,
            progress=self.progress if self.whole else None,
        )

    def progressed(self, token: Token, done: int, total: int) -> PageState:
        """So many slices of the series are judged."""
        if self.phase is not Phase.JUDGING or not self.whole or token.generation != self.token.generation:
            return self
        return self._next(progress=(done, total))

    def judged(self, token: Token, index: int) -> PageState:
        """The series has been judged; `index` is its peak, for a reader who has not asked about any slice yet."""
        if not self.whole or token.generation != self.token.generation:
            return self
        at = index if self.token.sequence == 0 else self.index
        return self._next(whole=False, progress=None, index=at)

    def answered(self, token: Token, refused: bool = False) -> PageState:
        """The answer to the question on the screen."""
        if not self._awaits(token, Phase.JUDGING) or self.whole:
            return self
        return self._next(phase=Phase.REFUSED if refused else Phase.SHOWN)

    def failed(self, token: Token) -> PageState:
        """The work for the question on the screen ended badly; of a series' judging, the work for any of them."""
        current = token == self.token or (self.whole and token.generation == self.token.generation)
        if self.phase not in BUSY or not current:
            return self
        return self._next(phase=Phase.FAILED, whole=False, progress=None)

    def stopped(self, token: Token) -> PageState:
        """The reader cancelled the judgement: it ends, and the picture stays. An opening is cancelled by `closed`."""
        newer = token.generation == self.token.generation and token.sequence > self.token.sequence
        if self.phase is not Phase.JUDGING or not newer:
            return self
        return self._next(phase=Phase.FAILED, token=token, whole=False, progress=None)

    def lost(self, case: str) -> PageState:
        """The server holds that case no longer."""
        if self.case != case:
            return self
        return self._next(phase=Phase.FAILED, case=None, whole=False, progress=None)

    def _anew(self, phase: Phase, generation: int) -> PageState:
        if generation <= self.token.generation:
            return self
        return PageState(phase, Token(generation), version=self.version + 1)

    def _awaits(self, token: Token, phase: Phase) -> bool:
        return self.phase is phase and token == self.token

    def _next(self, **changes: object) -> PageState:
        return replace(self, version=self.version + 1, **changes)  # type: ignore[arg-type]
