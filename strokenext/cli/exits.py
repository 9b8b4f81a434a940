"""How a command ends: its exit codes, in words for --help and as numbers."""

from __future__ import annotations

import os
import sys
from collections.abc import Sequence, Sized
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from .inputs import Failure

INTERRUPTED = 130
NO_READER = 141

EXIT_CODES = """\
exit codes
  0    every input was judged (an image refused by the scope gate counts as judged)
  1    some inputs failed; the others were judged and written
  2    wrong usage, or no input could be used
  3    no input was found
  4    a model cannot be found, trusted or downloaded
  5    the device asked for is not there
  8    the results cannot be written
  130  interrupted; what had been judged was written
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
