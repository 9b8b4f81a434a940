"""What the browser sends, read with care: it may be anything. Raises OptionError for what no page of ours asks."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import PurePath
from typing import Any

from demo.service import Options
from demo.storage.receive import MOST_FILES
from strokenext import METHODS, errors

from . import examples, text
from .state import Token

#: Characters of a file's place that are heard.
LONGEST_PLACE = 1024
Request = Mapping[str, Any]


@dataclass(frozen=True)
class Question:
    """What is asked about an open case: a slice, how to judge it, and what the reader committed to, if they did."""

    token: Token
    index: int
    options: Options
    verdict: str | None = None
    whole: bool = False  # judge the series again


def question(request: Request) -> Question:
    """The question of a request. Raises OptionError for what no page asks."""
    threshold, method = request.get("threshold"), str(request.get("method", "gradcam"))
    real = isinstance(threshold, int | float) and not isinstance(threshold, bool) and 0 < threshold < 1
    if method not in METHODS or not (threshold is None or real):
        raise errors.OptionError("This question could not be understood. Reload the page and try again.")
    return Question(
        token(request),
        number(request, "index"),
        Options(method=method, threshold=threshold, force=request.get("force") is True),
        str(request["verdict"]) if request.get("verdict") else None,
        request.get("whole") is True,
    )


def number(request: Request, name: str, otherwise: int | None = None) -> int:
    """A whole number."""
    value = request.get(name, otherwise)
    if isinstance(value, bool) or not isinstance(value, int):
        raise errors.OptionError("This request could not be understood. Reload the page and try again.")
    return value


def token(request: Request) -> Token:
    """The question that a request belongs to."""
    return Token(number(request, "generation"), number(request, "sequence"))


def example(request: Request) -> examples.Example | None:
    """The example that is to be opened, None where files are."""
    name = request.get("example")
    found = next((one for one in examples.bundled() if one.element == name), None)
    if name is not None and found is None:
        raise errors.OptionError("There is no such example.")
    return found


def series(request: Request) -> int | None:
    """Which series of what is opened, counted from 1; None where the reader has not chosen one."""
    value = None if request.get("series") is None else number(request, "series")
    if value is not None and value < 1:
        raise errors.OptionError("There is no such series.")
    return value


def sent(request: Request) -> int | None:
    """The opening for which the files were sent that are to be opened again; None where they come with this request."""
    return None if request.get("sent") is None else number(request, "sent")


def name(request: Request) -> str:
    """What is opened: the example, the file, the folder as the browser calls it, or how many files."""
    shown = example(request)
    if shown is not None:
        return f"{text.EXAMPLE}: {shown.label}"
    given, count, folder = places(request), len(files(request)), request.get("folder")
    if isinstance(folder, str) and folder:
        return folder
    return PurePath(given[0]).name if given and count == 1 else text.files(count)


def places(request: Request) -> list[str]:
    """Where each file of `files` lay on the reader's machine, "folder/name" with "/"; none where that is not said."""
    names, given = files(request), request.get("places")
    if isinstance(given, list) and len(given) == len(names) and all(isinstance(p, str) for p in given):
        return [place[-LONGEST_PLACE:] for place in given]
    return []


def files(request: Request) -> list[str]:
    """What the uploads that are to be opened were called in the reply to them."""
    names = request.get("files")
    if not isinstance(names, list) or not names or not all(isinstance(name, str) for name in names):
        raise errors.OptionError("Open a picture first.")
    if len(names) > MOST_FILES:
        raise errors.OptionError(f"At most {MOST_FILES} files can be opened at once.")
    return names
