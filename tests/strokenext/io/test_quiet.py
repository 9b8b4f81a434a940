"""The wall around foreign parsers: threads pass it side by side, and the caller's warnings are as they were."""

from __future__ import annotations

import threading
import warnings

from strokenext.io.quiet import guarded


def test_two_threads_are_inside_at_the_same_time():
    """Each waits inside for the other: with one lock for all decoding neither would arrive."""
    meeting, met = threading.Barrier(2), list[int]()

    def work() -> None:
        with guarded("damaged"):
            met.append(meeting.wait(10))

    threads = [threading.Thread(target=work) for _ in range(2)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(20)
    assert sorted(met) == [0, 1]


def test_warnings_are_silent_inside_and_as_before_when_the_last_has_gone():
    with warnings.catch_warnings(record=True) as heard:
        warnings.simplefilter("always")
        before = list(warnings.filters)
        with guarded("damaged"):
            with guarded("damaged"):
                warnings.warn("PatientName Doe", stacklevel=1)
            warnings.warn("PatientName Doe", stacklevel=1)
        assert list(warnings.filters) == before
        warnings.warn("seen", stacklevel=1)
    assert [str(w.message) for w in heard] == ["seen"]
