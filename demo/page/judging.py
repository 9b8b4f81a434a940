"""The work behind a page: uploads become cases, cases become answers on the tab that asked."""

from __future__ import annotations

import time
from collections.abc import Callable
from dataclasses import replace
from functools import partial
from typing import Any, cast

from demo.decoding.offer import Offer
from demo.service import Service
from demo.sessions import Case, CaseStore, Reading
from strokenext import SeriesTriage, Slice, Triage, Volume, case_label

from . import answer, choices, text, viewer
from .tabs import Decode, Screen, Work

#: Seconds that an open picture waits for models which are still loading, and between two looks whether they are.
LOADING_PATIENCE, LOADING_STEP = 300.0, 0.2
Read = Callable[[Decode], Offer]


class Judging:
    """Opens and judges on one service and one store; shows what it finds on the tab of the work, where it is wanted."""

    def __init__(self, service: Service, store: CaseStore) -> None:
        self.service, self.store = service, store

    def open(self, work: Work, read: Read, series: int | None, name: str, reader_first: bool) -> None:
        """Read a picture or series, show it, judge it; ask where it is not clear which of several series is meant."""
        asks: dict[str, Any] = {"owner": work.tab.session, "cancel": work.cancel}
        offer = read(partial(self.service.offer, series=series, **asks))
        work.cancel.check()
        listed = choices.listed(offer)
        if offer.image is None:
            work.show(lambda s: s.choosing(work.token), lambda _: Screen(answer.note(choices.question(offer))), listed)
            return
        case = _new_case(offer.image, reader_first, self._label(work, offer, name))
        key = self.store.add(case, work.tab.session)
        whole = case.volume is not None
        shown = work.show(
            lambda s: s.opened(work.token, key, case.index, whole), lambda _: self.pending(key, case), listed
        )
        if not shown:
            self.store.drop(key)  # another picture was chosen while this one was read
            return
        judging = work.tab.follow(work)
        (self.answer_series if whole else self.answer)(judging, key)

    def _label(self, work: Work, offer: Offer, name: str) -> str:
        """What the case is called: by its names where they may be shown, else by its number on this page.

        Descriptions are free text and may name a patient, as names of files do; the slice thickness cannot.
        """
        image, number = offer.image, work.tab.count()
        assert image is not None  # what is opened has been decoded
        if not self.service.settings.case_names:
            first = image[0] if isinstance(image, Volume) else image
            return text.numbered(number, first.header.slice_thickness)
        return case_label(image.label, name, offer.chosen if len(offer.series) > 1 else None)

    def pending(self, key: str, case: Case) -> Screen:
        """The screen of a case while a question about it is worked out: the picture, nothing of any answer."""
        sentence = text.WAITING if self.service.state().status == "loading" else text.PREDICTING
        commit = case.hidden and bool(case.answers)
        return Screen(answer.note(sentence), viewer.message(key, case, evidence=False), commit=commit)

    def _models(self, work: Work) -> None:
        """Wait for models that are still loading."""
        end = time.monotonic() + LOADING_PATIENCE
        while self.service.wait(LOADING_STEP).status == "loading" and time.monotonic() < end:
            work.cancel.check()

    def answer_series(self, work: Work, key: str) -> None:
        """Judge every slice of a series, then answer for the slice that the reader looks at by then."""
        self._models(work)
        case, options = self.store.get(key), replace(work.state.options, force=False)
        volume = cast(Volume, case.volume)

        def progress(done: int, total: int) -> None:
            work.show(lambda s: s.progressed(work.token, done, total))

        asks: dict[str, Any] = {"owner": work.tab.session, "cancel": work.cancel}
        result = self.service.predict(volume, "triage", replace(options, explain=False), progress, **asks)
        whole = self.service.predict_whole(result, options, **asks)
        series = cast(SeriesTriage, result.answer)
        case = self.store.change(key, lambda c: replace(c, series=series, whole=whole))
        peak = work.state.index if case.hidden or series.presence.peak is None else series.presence.peak
        if work.show(lambda s: s.judged(work.token, peak)):
            self.answer(work.tab.follow(work), key)

    def answer(self, work: Work, key: str) -> None:
        """The answer for one slice, computed unless it is known."""
        self._models(work)
        case, index, options = self.store.get(key), work.state.index, work.state.options
        image = case.images[index]
        asks: dict[str, Any] = {"owner": work.tab.session, "cancel": work.cancel}
        triage = case.answers.get((index, options))
        if triage is None:
            triage = cast(Triage, self.service.predict(image, "triage", options, **asks).answer)
            case = self.store.change(key, lambda c: c.with_answer(index, options, triage))
        if (index, options.force) not in case.marks:
            marks = self.service.segment(image, triage.presence.gate, options.force, **asks)
            if marks is not None:
                case = self.store.change(key, lambda c: c.with_marks(index, options, marks))
        if case.hidden and case.volume is None and triage.presence.refused:
            # A refused picture holds no answer to wait for, so there is nothing to commit to first.
            case = self.store.change(key, lambda c: replace(c, hidden=False))
        refused = triage.presence.refused and not case.hidden
        screen = self._screen(key, replace(case, index=index, options=options), triage)
        work.show(lambda s: s.answered(work.token, refused), lambda _: screen)

    def _screen(self, key: str, case: Case, triage: Triage) -> Screen:
        """The page for a case turned to a slice that has its answer."""
        refused = triage.presence.refused
        return Screen(
            answer=answer.html(case, self.service.predictor("presence").config.threshold),
            viewer=viewer.message(key, case),
            ready=not case.hidden,
            commit=case.hidden,
            force=refused and not case.hidden,
            tuning=not case.hidden and not refused,
            threshold=None if case.hidden else triage.presence.threshold,
        )

    def commit(self, key: str, verdict: str | None) -> None:
        """The reader has decided: note it, once; the model's answer may be shown from now on."""
        if verdict not in text.VERDICTS:
            return

        def reveal(case: Case) -> Case:
            if not case.hidden:
                return case
            return replace(case, hidden=False, reading=Reading(str(verdict), time.monotonic() - case.opened))

        self.store.change(key, reveal)


def _new_case(image: Slice | Volume, reader_first: bool, label: str) -> Case:
    volume = image if isinstance(image, Volume) else None
    images = image.slices if isinstance(image, Volume) else (image,)
    return Case(images, text.title(image), volume, index=len(images) // 2, hidden=reader_first, label=label)
