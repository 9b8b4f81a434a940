"""A long piece of work on a thread of its own, whose progress can be iterated."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from queue import SimpleQueue
from typing import Generic, TypeVar

T = TypeVar("T")
Progress = Callable[[int, int], None]


class Watched(Generic[T]):
    """Runs `work(progress)`; iterating gives each (done, total) as it comes, and ends with the work."""

    def __init__(self, work: Callable[[Progress], T]) -> None:
        self._steps: SimpleQueue[tuple[int, int] | None] = SimpleQueue()
        pool = ThreadPoolExecutor(1, thread_name_prefix="strokenext-series")
        self._future = pool.submit(work, lambda done, total: self._steps.put((done, total)))
        self._future.add_done_callback(lambda _: self._steps.put(None))
        pool.shutdown(wait=False)

    def __iter__(self) -> Iterator[tuple[int, int]]:
        while (step := self._steps.get()) is not None:
            yield step

    def result(self) -> T:
        """What the work returned; raises what it raised."""
        return self._future.result()
