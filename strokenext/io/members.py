"""One file of a series: its name without its folders, how it is read, and which of its frames."""

from __future__ import annotations

import re
from collections.abc import Callable
from dataclasses import dataclass

from strokenext.errors import InputError

_CLUTTER = re.compile(r"(^|/)(\.[^/.][^/]*|__MACOSX|Thumbs\.db|desktop\.ini)(/|$)", re.IGNORECASE)


@dataclass(frozen=True)
class Member:
    """One file of a series: its base name, and a function that reads it (bounded).

    `named` is false where the name was made up for bytes that had none; `folder` tells files of one folder from those
    of another and is compared only, never shown.
    """

    name: str
    load: Callable[[], bytes]
    named: bool = True
    folder: str = ""


def base_name(name: object) -> str:
    """The last part of a path, printable and short; folders are dropped because people name them after patients."""
    last = re.split(r"[/\\]", str(name).rstrip("/\\"))[-1]
    return "".join(c if c.isprintable() else "?" for c in last)[:80]


def is_clutter(name: str) -> bool:
    """Whether a relative path belongs to the operating system (.DS_Store, __MACOSX, Thumbs.db)."""
    return bool(_CLUTTER.search(name.replace("\\", "/")))


def chosen(frame: int | None, count: int, images: str = "images") -> int:
    """The index to read out of `count` images. Raises InputError when that is not decided or not there."""
    if frame is None and count > 1:
        raise InputError(f"This file holds {count} {images}. Read it as a series (read_series), or name a frame.")
    if frame is not None and not 0 <= frame < count:
        raise InputError(f"This file has no frame {frame}; it holds {count}, counted from 0.")
    return frame or 0


def natural(name: object) -> tuple[tuple[int, int, str], ...]:
    """A sort key that puts "slice 10" after "slice 9"."""
    parts = re.split(r"(\d+)", str(name).casefold())
    # int() refuses more than 4300 digits, and nobody numbers slices with more than 18
    return tuple((0, int(p), "") if p.isdecimal() and len(p) <= 18 else (1, 0, p) for p in parts)
