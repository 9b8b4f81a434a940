"""What happens when the reader does something: uploads become cases, cases become answers on the page."""

from __future__ import annotations

import logging
import time
from collections.abc import Callable, Iterator
from dataclasses import replace
from functools import partial
from pathlib import Path
from typing import Any, NamedTuple, cast

import gradio as gr

from demo import uploads
from demo.cancel import Cancel
from demo.service import Result, Service, Source
from demo.sessions import Case, CaseStore, ExpiredError, Reading
from demo.watched import Progress, Watched
from strokenext import SeriesTriage, Slice, StrokeNeXtError, Triage, Volume

from . import answer, text, viewer

log = logging.getLogger("strokenext.page")
#: Seconds that an open picture waits for models which are still loading.
LOADING_PATIENCE = 300.0
SKIP = gr.skip()


class Screen(NamedTuple):
    """The outputs of every handler, in the order of `app.outputs`; what is not named stays as it is."""

    key: Any = SKIP
    viewer: Any = SKIP
    answer: Any = SKIP
    takeaway: Any = SKIP
    commit: Any = SKIP  # visibility of the reader-first form
    force: Any = SKIP  # visibility of "Judge anyway"
    threshold: Any = SKIP
    tuning: Any = SKIP  # visibility of threshold and method


Screens = Iterator[Screen]
Decode = Callable[[Source], Slice | Volume]


class Handlers:
    """The page's actions on one service and one store; each yields or returns a Screen and never raises."""

    def __init__(self, service: Service, store: CaseStore) -> None:
        self.service, self.store = service, store

    def open_uploads(
        self, paths: list[str] | str | None, key: str | None, reader_first: bool, request: gr.Request | None = None
    ) -> Screens:
        """Read what was uploaded, delete it, show it, answer it."""
        files = [paths] if isinstance(paths, str) else list(paths or [])
        yield from self._open(lambda decode: uploads.read(files, decode), key, reader_first, _owner(request))

    def open_example(self, path: Path, key: str | None, reader_first: bool, owner: str = "") -> Screens:
        """The same for a bundled example."""
        yield from self._open(lambda decode: decode(path), key, reader_first, owner)

    def example(self, path: Path) -> Callable[..., Screens]:
        """`open_example` of that path, as an action of the page."""

        def action(key: str | None, reader_first: bool, request: gr.Request) -> Screens:
            yield from self.open_example(path, key, reader_first, _owner(request))

        return action

    def alive(self, key: str | None, request: gr.Request) -> Screen:
        """A sign of life of the page; where its case has been forgotten meanwhile, it says why."""
        try:
            self.store.alive(_owner(request), key)
        except ExpiredError as error:
            return self._failed(error)
        return Screen()

    def left(self, request: gr.Request) -> None:
        """The page has closed its connection."""
        self.store.left(_owner(request))

    def _open(
        self, read: Callable[[Decode], Slice | Volume], key: str | None, reader_first: bool, owner: str = ""
    ) -> Screens:
        self.store.drop(key)
        yield _blank(answer.note(text.READING))
        cancel = Cancel()
        with self.store.working(owner, cancel):
            try:
                image = read(partial(self.service.decode, owner=owner, cancel=cancel))
                cancel.check()
                case = _new_case(image, reader_first)
                key = self.store.add(case, owner)
                yield Screen(key, viewer.message(key, case, case.index), answer.note(self._waiting()))
                yield from self._answer_case(key, owner, cancel)
            except Exception as error:
                yield self._failed(error)

    def _waiting(self) -> str:
        return text.WAITING if self.service.state().status == "loading" else text.PREDICTING

    def _answer_case(self, key: str, owner: str, cancel: Cancel) -> Screens:
        self.service.wait(LOADING_PATIENCE)
        case = self.store.get(key)
        if case.volume is not None:
            yield from self._answer_series(key, case, case.volume, owner, cancel)
            return
        screen = self._shown(key, 0)
        yield self._reveal_refused(key) if case.hidden else screen

    def _answer_series(self, key: str, case: Case, volume: Volume, owner: str, cancel: Cancel) -> Screens:
        who: dict[str, Any] = {"owner": owner, "cancel": cancel}

        def predict(progress: Progress) -> Result:
            result = self.service.predict(volume, "triage", replace(case.options, explain=False), progress, **who)
            return replace(result, whole=self.service.predict_whole(result, case.options, **who))

        work = Watched(predict)
        for done, total in work:
            yield Screen(answer=answer.progress(done, total))
        result = work.result()
        series = cast(SeriesTriage, result.answer)
        start = case.index if case.hidden or series.presence.peak is None else series.presence.peak
        self.store.change(key, lambda c: replace(c, series=series, whole=result.whole, index=start))
        yield self._shown(key, start, show=start)

    def _reveal_refused(self, key: str) -> Screen:
        """A refused picture holds no answer to wait for, so there is nothing to commit to first."""
        case = self.store.get(key)
        if case.answer is not None and case.answer.presence.refused:
            case = self.store.change(key, lambda c: replace(c, hidden=False))
        return self._screen(key, case)

    def choose_slice(self, key: str | None) -> Screen:
        """The reader rests on another slice of a series: its own answer and evidence."""
        return self._again(key)

    def force(self, key: str | None) -> Screen:
        """Predict the refused slice all the same."""
        return self._again(key, force=True)

    def set_threshold(self, key: str | None, value: float) -> Screen:
        """Decide at another threshold."""
        return self._again(key, threshold=float(value))

    def stored_threshold(self, key: str | None) -> Screen:
        """Back to the threshold that came with the model."""
        return self._again(key, threshold=None)

    def set_method(self, key: str | None, method: str) -> Screen:
        """Explain by another method."""
        return self._again(key, method=method)

    def commit(self, key: str | None, verdict: str | None) -> Screen:
        """The reader has decided: note it and show the model's answer."""
        if verdict is None:
            return Screen(answer=answer.note(f"{text.COMMIT_MISSING} {text.HIDDEN}", "hidden"))

        def reveal(case: Case) -> Case:
            return replace(case, hidden=False, reading=Reading(verdict, time.monotonic() - case.opened))

        return self._guarded(lambda: self._shown(str(key), self.store.change(key, reveal).index))

    def close(self, key: str | None) -> Screen:
        """Forget the case."""
        self.store.drop(key)
        return _blank(answer.note(text.EMPTY_ANSWER, "empty"))

    def status(self) -> tuple[Any, Any]:
        """The state of the models for the bar above, and whether to go on asking."""
        state = self.service.state()
        return answer.state(state), gr.Timer(active=False) if state.status != "loading" else SKIP

    def _again(self, key: str | None, **changes: Any) -> Screen:
        if not key:
            return Screen()

        def work() -> Screen:
            case = self.store.change(key, lambda c: replace(c, options=replace(c.options, **changes)))
            return self._shown(key, case.index)

        return self._guarded(work)

    def _shown(self, key: str, index: int, show: int | None = None) -> Screen:
        """The answer for one slice, computed unless it is known."""
        case = self.store.get(key)
        image, options = case.images[index], case.options
        triage = case.answers.get((index, options))
        if triage is None:
            triage = cast(Triage, self.service.predict(image, "triage", options).answer)
            case = self.store.change(key, lambda c: c.with_answer(index, options, triage))
        if (index, options.force) not in case.marks:
            marks = self.service.segment(image, triage.presence.gate, options.force)
            if marks is not None:
                case = self.store.change(key, lambda c: c.with_marks(index, options, marks))
        return self._screen(key, replace(case, index=index, options=options), show)

    def _screen(self, key: str, case: Case, show: int | None = None) -> Screen:
        """The page for a case whose current slice has its answer."""
        presence = cast(Triage, case.answer).presence
        return Screen(
            key=key,
            viewer=viewer.message(key, case, show),
            answer=answer.html(case, self.service.predictor("presence").config.threshold),
            takeaway={"key": key, "ready": not case.hidden},
            commit=gr.update(visible=case.hidden),
            force=gr.update(visible=presence.refused and not case.hidden),
            threshold=gr.update(value=round(presence.threshold, 3)),
            tuning=gr.update(visible=not case.hidden and not presence.refused),
        )

    def _guarded(self, work: Callable[[], Screen]) -> Screen:
        try:
            return work()
        except Exception as error:
            return self._failed(error)

    def _failed(self, error: Exception) -> Screen:
        """A sentence in place of the answer; what was not foreseen goes to the log with its traceback."""
        known = isinstance(error, StrokeNeXtError)
        if not known:
            log.error("a page action failed", exc_info=error)
        panel = answer.note(str(error) if known else text.UNEXPECTED, "error")
        if isinstance(error, ExpiredError):
            return _blank(panel)
        return Screen(answer=panel, takeaway={"key": None, "ready": False}, force=gr.update(visible=False))


def _owner(request: gr.Request | None) -> str:
    """The name of the page that asks; none in a call from Python."""
    return "" if request is None else str(request.session_hash or "")


def _blank(panel: str) -> Screen:
    """Nothing open, and a sentence where the answer would be."""
    off = gr.update(visible=False)
    return Screen(None, viewer.empty(), panel, {"key": None, "ready": False}, off, off, SKIP, off)


def _new_case(image: Slice | Volume, reader_first: bool) -> Case:
    volume = image if isinstance(image, Volume) else None
    images = image.slices if isinstance(image, Volume) else (image,)
    return Case(images, text.title(image), volume, index=len(images) // 2, hidden=reader_first)
