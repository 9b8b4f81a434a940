"""One file of a series: its name without its folders, its size, and how it is read."""

from __future__ import annotations

import re
from collections.abc import Callable
from dataclasses import dataclass

_CLUTTER = re.compile(r"(^|/)(\.[^/.][^/]*|__MACOSX|Thumbs\.db|desktop\.ini)(/|$)", re.IGNORECASE)


@dataclass(frozen=True)
class Member:
    """One file of a series: its base name, its size in bytes, and a function that reads it (bounded)."""

    name: str
    size: int
    load: Callable[[], bytes]


def base_name(name: object) -> str:
    """The last part of a path, printable and short; folders are dropped because people name them after patients."""
    last = re.split(r"[/\\]", str(name).rstrip("/\\"))[-1]
    return "".join(c if c.isprintable() else "?" for c in last)[:80]


def is_clutter(name: str) -> bool:
    """Whether a relative path belongs to the operating system (.DS_Store, __MACOSX, Thumbs.db)."""
    return bool(_CLUTTER.search(name.replace("\\", "/")))


def natural(name: object) -> tuple[tuple[int, int, str], ...]:
    """A sort key that puts "slice 10" after "slice 9"."""
    parts = re.split(r"(\d+)", str(name).casefold())
    # int() refuses more than 4300 digits, and nobody numbers slices with more than 18
    return tuple((0, int(p), "") if p.isdecimal() and len(p) <= 18 else (1, 0, p) for p in parts)
