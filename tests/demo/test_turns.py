"""Who works next: places in turn to the owners, cancelled waits end at once, and a place is never lost."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable

import pytest

from demo.cancel import Cancel, CancelledError
from demo.turns import TooManyError, Turns
from strokenext import errors

PATIENCE = 20.0


def until(condition: Callable[[], bool]) -> None:
    end = time.monotonic() + PATIENCE
    while not condition():
        assert time.monotonic() < end, "nothing happened"
        time.sleep(0.002)


def thread(work: Callable[[], object]) -> threading.Thread:
    started = threading.Thread(target=work, daemon=True)
    started.start()
    return started


def test_a_single_picture_waits_for_one_batch_of_two_long_series():
    turns, events = Turns(2, 16), list[str]()
    visitor_waits, both_work = threading.Event(), threading.Barrier(2)

    def series(owner: str) -> None:
        with turns.turn(owner, Cancel()) as turn:
            both_work.wait(PATIENCE)
            visitor_waits.wait(PATIENCE)
            for _ in range(25):
                events.append(owner)
                time.sleep(0.02)  # a batch takes longer than a thread to wake
                turn.batch_done()

    def picture() -> None:
        with turns.turn("visitor", Cancel()):
            events.append("visitor")

    long = [thread(lambda: series("a")), thread(lambda: series("b"))]
    visitor = thread(picture)
    until(lambda: turns.waiting == 1)
    visitor_waits.set()
    for one in (*long, visitor):
        one.join(PATIENCE)
    assert events.count("a") == events.count("b") == 25
    assert events.index("visitor") <= 3  # behind the two batches that were on, not behind two series


def test_owners_take_turns_however_much_one_of_them_wants():
    turns, events, begun = Turns(1, 40), list[str](), threading.Event()
    gate = threading.Event()

    def work(owner: str, first: bool = False) -> None:
        with turns.turn(owner, Cancel()):
            events.append(owner)
            if first:
                begun.set()
                gate.wait(PATIENCE)

    threads = [thread(lambda: work("a", True))]
    begun.wait(PATIENCE)
    for count, owner in enumerate(["a", "a", "a", "b", "c"], 1):
        threads.append(thread(lambda owner=owner: work(owner)))
        until(lambda count=count: turns.waiting == count)
    gate.set()
    for one in threads:
        one.join(PATIENCE)
    assert events == ["a", "a", "b", "c", "a", "a"]


def test_an_owner_leaves_a_place_to_others():
    turns, gate, inside = Turns(4, 16, share=2), threading.Event(), list[str]()

    def work(owner: str) -> None:
        with turns.turn(owner, Cancel()):
            inside.append(owner)
            gate.wait(PATIENCE)

    threads = [thread(lambda: work("a")) for _ in range(4)]
    until(lambda: inside == ["a", "a"] and turns.waiting == 2)
    threads.append(thread(lambda: work("b")))
    until(lambda: inside == ["a", "a", "b"])
    gate.set()
    for one in threads:
        one.join(PATIENCE)
    assert sorted(inside) == ["a"] * 4 + ["b"]


def test_a_cancelled_wait_ends_at_once_and_takes_no_place():
    turns, cancel, ended = Turns(1, 4), Cancel(), threading.Event()

    def wait() -> None:
        with pytest.raises(CancelledError), turns.turn("b", cancel):
            raise AssertionError("it was given a place")
        ended.set()

    with turns.turn("a", Cancel()):
        waiting = thread(wait)
        until(lambda: turns.waiting == 1)
        cancel.cancel()
        assert ended.wait(1.0)
        waiting.join(PATIENCE)
        assert turns.waiting == 0
    with turns.turn("c", Cancel()):
        pass  # the place is there again


def test_a_cancelled_piece_of_work_frees_its_place_at_its_next_batch():
    turns, cancel = Turns(1, 4), Cancel()

    def work() -> None:
        with turns.turn("a", cancel) as turn:
            cancel.cancel()
            turn.batch_done()
            raise AssertionError("it went on")

    with pytest.raises(CancelledError):
        work()
    with turns.turn("b", Cancel()) as turn:
        turn.batch_done()


def test_no_more_than_the_stated_number_wait():
    turns, gate = Turns(1, 1), threading.Event()

    def work() -> None:
        with turns.turn("a", Cancel()):
            gate.wait(PATIENCE)

    threads = [thread(work)]
    until(lambda: not turns.waiting)
    threads.append(thread(work))
    until(lambda: turns.waiting == 1)
    with pytest.raises(errors.BusyError, match="busy"), turns.turn("b", Cancel()):
        pass
    gate.set()
    for one in threads:
        one.join(PATIENCE)


def test_one_owner_fills_no_more_than_half_of_the_queue():
    turns, gate = Turns(2, 6, share=1), threading.Event()
    ended: list[str] = []

    def work(owner: str) -> None:
        with turns.turn(owner, Cancel()):
            gate.wait(PATIENCE)
        ended.append(owner)

    threads = [thread(lambda: work("greedy")) for _ in range(4)]
    until(lambda: (turns.held, turns.waiting) == (1, 3))
    for _ in range(20):
        with pytest.raises(TooManyError, match="your own") as refused, turns.turn("greedy", Cancel()):
            pass
    assert refused.value.http_status == 429
    threads.append(thread(lambda: work("other")))
    until(lambda: turns.held == 2)  # others have their place at once
    threads += [thread(lambda n=n: work(f"other {n}")) for n in range(3)]
    until(lambda: turns.waiting == 6)
    with pytest.raises(errors.BusyError, match="busy") as busy, turns.turn("late", Cancel()):
        pass
    assert busy.value.http_status == 503
    gate.set()
    for one in threads:
        one.join(PATIENCE)
    assert sorted(ended) == ["greedy"] * 4 + ["other", "other 0", "other 1", "other 2"]
    with turns.turn("greedy", Cancel()):
        pass  # what has ended counts no longer


def test_cancelled_waits_make_room_for_the_owner_again():
    turns, cancels = Turns(1, 2), [Cancel() for _ in range(2)]

    def wait(cancel: Cancel) -> None:
        with pytest.raises(CancelledError), turns.turn("a", cancel):
            pass

    with turns.turn("a", Cancel()):
        first = thread(lambda: wait(cancels[0]))
        until(lambda: turns.waiting == 1)
        with pytest.raises(TooManyError), turns.turn("a", Cancel()):
            pass
        cancels[0].cancel()
        first.join(PATIENCE)
        second = thread(lambda: wait(cancels[1]))
        until(lambda: turns.waiting == 1)
        cancels[1].cancel()
        second.join(PATIENCE)


def test_places_survive_a_storm_of_cancellations():
    turns, done = Turns(3, 1000), list[bool]()

    def work(number: int) -> None:
        cancel = Cancel()
        if number % 3:
            threading.Timer(0.001 * (number % 7), cancel.cancel).start()
        try:
            with turns.turn(str(number % 5), cancel) as turn:
                for _ in range(4):
                    time.sleep(0.0005)
                    turn.batch_done()
        except CancelledError:
            pass
        done.append(True)

    threads = [thread(lambda number=number: work(number)) for number in range(150)]
    for one in threads:
        one.join(PATIENCE)
    assert len(done) == 150
    places = [turns.turn("after", Cancel()) for _ in range(3)]
    for place in places:
        place.__enter__()  # all three are there
    for place in places:
        place.__exit__(None, None, None)


def test_cancel_tells_who_listens_even_late():
    cancel, heard = Cancel(), list[str]()
    with cancel.calling(lambda: heard.append("early")):
        cancel.cancel()
        cancel.cancel()
    with cancel.calling(lambda: heard.append("late")):
        pass
    assert heard == ["early", "late"]
    assert cancel.cancelled
    assert cancel.wait(10)
    with pytest.raises(CancelledError):
        cancel.check()
