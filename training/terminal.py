"""What the commands show while they work: a progress bar on a terminal, nothing in a pipe."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager


@contextmanager
def progress_bar(title: str) -> Iterator[Callable[[int, int], None]]:
    """A function (done, total) that moves a bar with remaining time and rate; silent unless stderr is a terminal."""
    from tqdm import tqdm

    bar = tqdm(desc=title, unit="image", disable=None)

    def show(done: int, total: int) -> None:
        bar.total = total
        bar.update(done - bar.n)

    try:
        yield show
    finally:
        bar.close()
