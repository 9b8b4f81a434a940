"""What the browser may ask for: each a function from a request to what is on the page by then."""

from __future__ import annotations

import logging
import threading
from collections.abc import Callable
from dataclasses import dataclass, replace
from functools import partial
from typing import Any

import gradio as gr

from demo.cancel import CancelledError
from demo.decoding.offer import Offer
from demo.service import Service
from demo.sessions import Case, CaseStore, ExpiredError
from demo.storage.upload import GoneError
from demo.storage.uploads import Uploads
from strokenext import StrokeNeXtError, errors

from . import answer, requests, text, viewer
from .judging import Judging
from .requests import Request
from .state import Phase
from .tabs import Decode, Screen, Sent, Tab, Tabs, Work

log = logging.getLogger("strokenext.page")
Run = Callable[[Callable[[], None]], None]


@dataclass(frozen=True)
class _Source:
    """What an opening reads for its work, how it is called, and whether the page sent it for an opening before."""

    name: str
    read: Callable[[Work, Decode], Offer]
    again: bool = False


def on_thread(work: Callable[[], None]) -> None:
    """Run on a thread of its own: the request that asked for it is answered at once."""
    threading.Thread(target=work, name="strokenext-page", daemon=True).start()


class Handlers:
    """The page's actions on one service and one store.

    A method that the browser calls takes JSON values: the page's key, generation, sequence and what it asks. It
    returns the tab's snapshot, or {"error": sentence}, and never raises. `run` starts the work that follows.
    """

    def __init__(self, service: Service, store: CaseStore, uploads: Uploads, run: Run = on_thread) -> None:
        self.service, self.store, self.uploads, self._run = service, store, uploads, run
        self.tabs, self.judging = Tabs(), Judging(service, store)

    def open(self, request: Request) -> dict[str, Any]:
        """Another picture: an example, files that were sent, or another series of them. What was open is forgotten.

        {"gone": True} where the files have to be sent again; nothing has changed then.
        """

        def begin(tab: Tab) -> None:
            source, generation = self._source(tab, request), requests.number(request, "generation")
            series, first = requests.series(request), request.get("reader_first") is True
            reading = Screen(answer.note(text.READING))
            work = tab.anew(lambda s: s.opening(generation), lambda _: reading, keep=source.again)
            if work is not None:
                self.store.drop(work.left)
                read = partial(source.read, work)
                self._start(work, lambda: self.judging.open(work, read, series, source.name, first))

        return self._do(request, begin)

    def ask(self, request: Request) -> dict[str, Any]:
        """The reader rests on another slice, judges it otherwise, or commits to a reading: the answer to that."""

        def begin(tab: Tab) -> None:
            question, key = requests.question(request), str(request.get("case"))
            if key != tab.state.case:
                return  # closed, or not opened yet: the reply says what is
            case = self.store.get(key)
            if not 0 <= question.index < len(case.images):
                raise errors.OptionError(text.NO_SLICE)
            whole = question.whole and case.volume is not None and case.series is None
            work = tab.ask(
                lambda s: s.asked(question.token, question.index, question.options, whole),
                lambda _: self.judging.pending(key, case),
            )
            if work is not None:
                self.judging.commit(key, question.verdict)
                answered = self.judging.answer_series if whole else self.judging.answer
                self._start(work, lambda: answered(work, key))

        return self._do(request, begin)

    def stop(self, request: Request) -> dict[str, Any]:
        """Cancel the judgement; the picture stays. (To cancel an opening is to close it.)"""

        def end(tab: Tab) -> None:
            token = requests.token(request)
            tab.stop(lambda s: s.stopped(token), lambda screen: _without_answer(screen, answer.note(text.CANCELLED)))

        return self._do(request, end)

    def close(self, request: Request) -> dict[str, Any]:
        """Forget the case; `keep` where its series was chosen of a list that stays."""

        def end(tab: Tab) -> None:
            generation, keep = requests.number(request, "generation"), request.get("keep") is True
            empty = Screen(answer.note(text.EMPTY_ANSWER, "empty"))
            work = tab.anew(lambda s: s.closed(generation), lambda _: empty, keep)
            if work is not None:
                self.store.drop(work.left)

        return self._do(request, end)

    def look(self, request: Request) -> dict[str, Any]:
        """The page as it stands, and a sign of its life; its screen only where the browser knows an older version."""

        def see(tab: Tab) -> None:
            case = tab.state.case
            try:
                self.store.alive(tab.session, case)
            except ExpiredError as error:
                note = answer.note(str(error), "error")
                tab.stop(lambda s: s.lost(str(case)), lambda _: Screen(note))
                tab.listed = None
                tab.forget_sent()

        return self._do(request, see)

    def pixels(self, request: Request) -> dict[str, Any]:
        """One slice of the case that the page has open, named again in the reply."""
        try:
            if request.get("case") != self.tabs.get(request.get("tab")).state.case:
                return {"error": text.NOT_OPEN}
            return viewer.reply(self.store, request)
        except StrokeNeXtError as error:
            return _sentence(error)

    def hello(self, request: gr.Request) -> dict[str, Any]:
        """The key of a page that has just been loaded, and an empty stage."""
        tab = self.tabs.new(str(request.session_hash or ""))
        self.store.alive(tab.session, None)
        return viewer.empty() | {"tab": tab.key}

    def left(self, request: gr.Request) -> None:
        """The page has closed its connection."""
        self.store.left(str(request.session_hash or ""))

    def gone(self, session: str) -> None:
        """The page has gone for good."""
        self.tabs.forget(session)

    def status(self) -> tuple[Any, Any]:
        """The state of the models for the bar above, and whether to go on asking."""
        state = self.service.state()
        return answer.state(state), gr.Timer(active=False) if state.status != "loading" else gr.skip()

    def shown(self, request: Request) -> Case:
        """The open case, turned to exactly the slice and the answer that the request names.

        Raises InputError where that is not what the page shows, ExpiredError where it is no longer held.
        """
        state = self.tabs.get(request.get("tab")).state
        named = (requests.token(request), request.get("case"), requests.number(request, "index"))
        if named != (state.token, state.case, state.index) or state.phase not in {Phase.SHOWN, Phase.REFUSED}:
            raise errors.InputError(text.NOT_YET)
        return replace(self.store.get(state.case), index=state.index, options=state.options)

    def _source(self, tab: Tab, request: Request) -> _Source:
        """What is to be opened. Raises OptionError, and GoneError for files that have to be sent again."""
        example, chosen = requests.example(request), requests.series(request) is not None
        if example is not None:
            return _Source(requests.name(request), lambda _work, decode: decode(example.path))
        before = requests.sent(request)
        if before is not None:
            sent = tab.sent_for(before)
            return _Source(sent.name, lambda _work, decode: sent.read(decode, chosen), again=True)
        files, places, name = requests.files(request), requests.places(request), requests.name(request)

        def read(work: Work, decode: Decode) -> Offer:
            sent = Sent(work.token.generation, self.uploads.keep(files, tab.session), places, name)
            tab.hold(work, sent)
            return sent.read(decode, chosen)

        return _Source(name, read)

    def _do(self, request: Request, action: Callable[[Tab], None]) -> dict[str, Any]:
        try:
            tab = self.tabs.get(request.get("tab"))
            action(tab)
            return tab.snapshot(requests.number(request, "known", -1))
        except StrokeNeXtError as error:
            return _sentence(error)
        except Exception as error:
            return {"error": _unexpected(error)}

    def _start(self, work: Work, action: Callable[[], None]) -> None:
        """Do it, and say on the page why it could not be done."""

        def guarded() -> None:
            try:
                with self.store.working(work.tab.session, work.cancel):
                    action()
            except CancelledError:
                # Where the reader cancelled, the page has moved on and this changes nothing; else the line was cut.
                self._failed(work, text.CUT)
            except StrokeNeXtError as error:
                self._failed(work, str(error))
            except Exception as error:
                self._failed(work, _unexpected(error))

        self._run(guarded)

    def _failed(self, work: Work, sentence: str) -> None:
        note = answer.note(sentence, "error")
        work.tab.move(lambda s: s.failed(work.token), lambda screen: _without_answer(screen, note))


def _without_answer(screen: Screen, note: str) -> Screen:
    """A sentence in place of the answer, with a way to try again where a picture is open."""
    return Screen(note, screen.viewer, again=screen.viewer is not None)


def _sentence(error: StrokeNeXtError) -> dict[str, Any]:
    return {"error": str(error), "expired": isinstance(error, ExpiredError), "gone": isinstance(error, GoneError)}


def _unexpected(error: Exception) -> str:
    """The sentence for what was not foreseen, which goes to the log with its traceback."""
    log.error("a page action failed", exc_info=error)
    return text.UNEXPECTED
