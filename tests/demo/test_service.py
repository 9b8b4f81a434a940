"""The service: work that nobody waits for ends within a batch, and the models answer as before."""

from __future__ import annotations

import threading

import pytest

import strokenext
from demo.cancel import Cancel, CancelledError, StoppedError
from demo.service import Options, Service
from strokenext import Volume
from tests.helpers.places import ROOT
from tests.helpers.tiny_models import pair, started

PATIENCE = 60.0


@pytest.fixture(scope="module")
def service() -> Service:
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("STROKENEXT_ASSETS", str(pair()))
        return started(device="cpu", workers=1)


@pytest.fixture(scope="module")
def volume() -> Volume:
    """40 slices: the bundled series again and again."""
    series = strokenext.read_series(ROOT / "assets" / "examples" / "series_hemorrhage.zip")
    return Volume((series.slices * 3)[:40])


def test_a_cancelled_series_ends_after_the_batch_it_is_in(service, volume):
    cancel, steps = Cancel(), list[int]()

    def progress(done: int, _total: int) -> None:
        steps.append(done)
        cancel.cancel()

    before = service.predict(volume[20], "triage", Options(force=True)).answer.to_json()["presence"]["probability"]
    with pytest.raises(CancelledError):
        service.predict(volume, "triage", Options(force=True), progress, cancel=cancel)
    assert len(steps) == 1
    assert steps[0] < len(volume)
    after = service.predict(volume[20], "triage", Options(force=True)).answer.to_json()["presence"]["probability"]
    assert after == before  # its place is free, and the model is as it was


def test_a_cancelled_wait_for_a_place_ends_while_the_other_still_works(service, volume):
    cancel, ended = Cancel(), threading.Event()

    def wait() -> None:
        with pytest.raises(CancelledError):
            service.predict(volume[0], "triage", cancel=cancel)
        ended.set()

    with service.slot("other"):
        threading.Thread(target=wait, daemon=True).start()
        assert not ended.wait(0.1)
        cancel.cancel()
        assert ended.wait(1.0)


@pytest.mark.parametrize("first", ["stop", "cancel"])
def test_whoever_waits_hears_that_the_server_stops_unless_the_work_was_cancelled_before(first):
    stopping, cancel = Cancel(), Cancel()
    with stopping.calling(cancel.stop):
        (stopping if first == "stop" else cancel).cancel()
        (cancel if first == "stop" else stopping).cancel()
    with pytest.raises(StoppedError if first == "stop" else CancelledError):
        cancel.check()


def test_work_of_every_step_hears_that_the_server_stops(volume, monkeypatch):
    """Waiting for a place, judging, and what is sent afterwards: each says so, none that it was cancelled."""
    monkeypatch.setenv("STROKENEXT_ASSETS", str(pair()))
    service, judging, told = started(device="cpu", workers=1), threading.Event(), list[str]()

    def work(progress=None) -> None:
        with pytest.raises(StoppedError) as stopped:
            service.predict(volume, "triage", Options(force=True), progress)
        told.append(str(stopped.value))

    def progress(_done: int, _total: int) -> None:
        judging.set()
        service._stopping.wait(PATIENCE)

    threads = [threading.Thread(target=work, args=(progress,))]
    threads[0].start()
    assert judging.wait(PATIENCE)
    threads += [threading.Thread(target=work) for _ in range(3)]
    for thread in threads[1:]:
        thread.start()
    service.stop()
    for thread in threads:
        thread.join(PATIENCE)
    work()
    assert len(told) == 5
    assert set(told) == {"The server is stopping. Try again once it is back."}


def test_a_picture_of_another_owner_is_answered_between_two_batches(service, volume):
    events, first_batch, waiting = list[str](), threading.Event(), threading.Event()

    def progress(done: int, _total: int) -> None:
        events.append(f"series {done}")
        first_batch.set()
        waiting.wait(PATIENCE)

    def series() -> None:
        service.predict(volume, "triage", Options(explain=False, force=True), progress, owner="series")
        events.append("series answered")

    def visitor() -> None:
        service.predict(volume[0], "triage", Options(explain=False, force=True), owner="visitor")
        events.append("visitor answered")

    long, short = threading.Thread(target=series), threading.Thread(target=visitor)
    long.start()
    assert first_batch.wait(PATIENCE)
    short.start()
    while not service.waiting:
        waiting.wait(0.005)
    waiting.set()
    long.join(PATIENCE)
    short.join(PATIENCE)
    assert events[:2] == ["series 8", "visitor answered"]
    assert events[-1] == "series answered"
