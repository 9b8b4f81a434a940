"""The command line: `python -m strokenext predict | segment | models | info`.

The same functions as the library with flags. Heavy imports happen only in the command that needs them.
"""

from __future__ import annotations

import sys
from collections.abc import Sequence
from importlib import import_module

from strokenext.errors import StrokeNeXtError

from .exits import INTERRUPTED, NO_READER, open_streams, signals_interrupt, silence_stdout, unprinted
from .options import build_parser


def main(arguments: Sequence[str] | None = None) -> int:
    """Run one command and return its exit code (see `exits`); errors are one sentence on stderr."""
    open_streams()
    options = build_parser().parse_args(arguments)
    for stream in (sys.stdout, sys.stderr):
        if hasattr(stream, "reconfigure"):
            stream.reconfigure(errors="backslashreplace")  # a file name need not be text in the terminal's encoding
    try:
        with signals_interrupt():
            code = int(import_module(f".{options.command}", __name__).run(options))
            sys.stdout.flush()
    except StrokeNeXtError as error:
        print(error, file=sys.stderr)
        return error.exit_code
    except KeyboardInterrupt:
        return INTERRUPTED
    except BrokenPipeError:
        silence_stdout()
        return NO_READER
    except OSError as error:
        failure = unprinted(error)
        silence_stdout()
        print(failure, file=sys.stderr)
        return failure.exit_code
    return code
