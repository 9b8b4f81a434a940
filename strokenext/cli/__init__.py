"""The command line: `python -m strokenext predict | segment | models | info`.

The same functions as the library with flags. Heavy imports happen only in the command that needs them.
"""

from __future__ import annotations

import json
import os
import sys
from collections.abc import Sequence

from strokenext.errors import StrokeNeXtError

from .options import build_parser

INTERRUPTED = 130
NOBODY_READS = 141


def main(arguments: Sequence[str] | None = None) -> int:
    """Run one command and return its exit code (see EXIT_CODES); errors are one sentence on stderr."""
    options = build_parser().parse_args(arguments)
    for stream in (sys.stdout, sys.stderr):
        if hasattr(stream, "reconfigure"):
            stream.reconfigure(errors="backslashreplace")  # a file name need not be text in the terminal's encoding
    try:
        if options.command == "predict":
            from .predict import run

            code = run(options)
        elif options.command == "segment":
            from .segment import run as segment

            code = segment(options)
        elif options.command == "models":
            code = models(options.json)
        else:
            code = info(options.file)
        sys.stdout.flush()
    except StrokeNeXtError as error:
        print(error, file=sys.stderr)
        return error.exit_code
    except KeyboardInterrupt:
        return INTERRUPTED
    except BrokenPipeError:
        silence_stdout()
        return NOBODY_READS
    return code


def silence_stdout() -> None:
    """Point stdout at nothing, so that the interpreter does not complain when it flushes a closed pipe."""
    os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())


def models(as_json: bool) -> int:
    """Print the bundled models and the architectures of the zoo."""
    import strokenext

    bundled, zoo = strokenext.list_bundled(), [row.to_dict() for row in strokenext.list_models()]
    if as_json:
        print(json.dumps({"bundled": bundled, "zoo": zoo}, indent=2))
        return 0
    print("Bundled models, for --model:")
    for model in bundled:
        mark = ", experimental" if model["experimental"] else ""
        print(f"  {model['name']:<28} {model['task']:<10} threshold {model['threshold']:.3f}{mark}")
    print("\nArchitectures (two classes):")
    for row in zoo:
        print(f"  {row['name']:<28} {row['kind']:<13} {row['params']:>12,} parameters  {row['title']}")
    return 0


def info(path: str) -> int:
    """Print what a file is, without anything about the patient."""
    import strokenext

    for key, value in strokenext.describe(path).items():
        print(f"{key.replace('_', ' ')}: {_plain(value)}")
    return 0


def _plain(value: object) -> str:
    if value is None:
        return "not stated"
    if isinstance(value, (list, tuple)):
        return "; ".join(_plain(item) for item in value) or "none"
    return str(value)
