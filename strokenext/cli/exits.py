"""How a command ends: its exit codes, in words for --help and as numbers."""

from __future__ import annotations

import errno
import os
import signal
import sys
import threading
from collections.abc import Iterator, Sequence, Sized
from contextlib import contextmanager
from types import FrameType
from typing import TYPE_CHECKING, Any

from strokenext.errors import OutputError

if TYPE_CHECKING:
    from .inputs import Failure

INTERRUPTED = 130
NO_READER = 141
#: What a system says when a disk takes no more.
FULL = frozenset({errno.ENOSPC, errno.EFBIG, getattr(errno, "EDQUOT", errno.ENOSPC)})

EXIT_CODES = """\
exit codes
  0    every input was judged (an image refused by the scope gate counts as judged)
  1    some inputs failed; the others were judged and written
  2    wrong usage, or no input could be used
  3    no input was found
  4    a model cannot be found, trusted or downloaded
  5    the device asked for is not there
  8    the results cannot be written
  130  interrupted or told to end; what had been judged was written
  141  the program reading the output went away
"""


def exit_code(outcomes: Sized, failures: Sequence[Failure]) -> int:
    """0 when nothing failed, 1 when something did not, and else the failures' own code where they share one, or 2."""
    if not failures:
        return 0
    codes = {failure.error.exit_code for failure in failures}
    return 1 if outcomes else codes.pop() if len(codes) == 1 else 2


def silence_stdout() -> None:
    """Point stdout at nothing, so that the interpreter does not complain when it flushes a closed pipe."""
    os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())


@contextmanager
def signals_interrupt() -> Iterator[None]:
    """A command told to end (SIGTERM, a closed terminal) ends as on Ctrl+C and leaves no half-written file.

    A second such signal ends it at once.
    """
    numbers = [getattr(signal, name) for name in ("SIGTERM", "SIGHUP") if hasattr(signal, name)]
    before: dict[int, Any] = {}

    def end(number: int, _: FrameType | None) -> None:
        signal.signal(number, signal.SIG_DFL)
        raise KeyboardInterrupt

    if threading.current_thread() is threading.main_thread():
        # What is ignored stays so (nohup), and a caller's own handler too.
        numbers = [number for number in numbers if signal.getsignal(number) == signal.SIG_DFL]
        before = {number: signal.signal(number, end) for number in numbers}
    try:
        yield
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)


def unprinted(error: OSError) -> OutputError:
    """The sentence for a full disk, behind standard output for one. Raises any other error."""
    if error.errno not in FULL:
        raise error
    return OutputError(f"The results could not be written: {error.strerror}. Free some space, or write them elsewhere.")


def open_streams() -> None:
    """Where a caller has closed standard output or error (`>&-`) there is none: what is printed goes nowhere."""
    for name in ("stdout", "stderr"):
        if getattr(sys, name) is None:
            setattr(sys, name, open(os.devnull, "w"))  # noqa: SIM115
