"""Encapsulated pixel data (PS3.5 A.4) to one code stream per frame, whatever its offset tables say.

Tables are often short, empty or wrong, and the closing delimiter is sometimes missing; the items themselves, and the
marks at which code streams begin and end, say where the frames are.
"""

from __future__ import annotations

from collections.abc import Sequence
from itertools import pairwise

from strokenext.errors import DamagedFileError

_ITEM, _END = b"\xfe\xff\x00\xe0", b"\xfe\xff\xdd\xe0"
#: SOI of JPEG and JPEG-LS with the marker that follows, SOC and SIZ of JPEG 2000, its box.
_STARTS = (b"\xff\xd8\xff", b"\xff\x4f\xff\x51", b"\x00\x00\x00\x0cjP  ")


def is_encapsulated(data: bytes) -> bool:
    """Whether pixel data begin with an item, as compressed ones do."""
    return data[:4] == _ITEM


def frames(data: bytes, count: int) -> list[bytes]:
    """The code streams of `count` frames. Raises DamagedFileError when fewer can be told apart."""
    table, items = _items(data)
    parts = _parted(data, table, items, count)
    if len(parts) < count:
        raise DamagedFileError(
            f"This file declares {count} images and holds {len(parts)} compressed ones. Export or copy it again."
        )
    return [b"".join(data[a:b] for a, b in part) for part in parts[:count]]


def _items(data: bytes) -> tuple[list[int], list[tuple[int, int]]]:
    """The offsets of the table, from the first byte after it, and where the content of each item lies."""
    at, spans = 0, []
    while data[at : at + 4] == _ITEM and at + 8 <= len(data):
        length = int.from_bytes(data[at + 4 : at + 8], "little")
        spans.append((at + 8, min(at + 8 + length, len(data))))
        at += 8 + length
    if not spans:
        return [], []
    start, stop = spans[0]
    if data[start : start + 4].startswith(_STARTS[:2]):  # the table itself was forgotten
        return [], spans
    table = [stop + int.from_bytes(data[i : i + 4], "little") + 8 for i in range(start, stop - 3, 4)]
    return table, [s for s in spans[1:] if s[1] > s[0]]


def _parted(data: bytes, table: list[int], items: list[tuple[int, int]], count: int) -> list[Sequence[tuple[int, int]]]:
    """The items of each frame."""
    if len(items) == count:
        return [[item] for item in items]
    if count == 1:
        return [items] if items else []
    begins = {start: number for number, (start, _) in enumerate(items)}
    if len(table) == count and all(t in begins for t in table) and table == sorted(set(table)):
        return _cut(items, [begins[t] for t in table])
    starts = [i for i, (start, _) in enumerate(items) if data[start : start + 8].startswith(_STARTS)]
    if starts and starts[0] == 0 and len(starts) >= count:
        return _cut(items, starts)
    ends = [i + 1 for i, (_, stop) in enumerate(items) if b"\xff\xd9" in data[max(0, stop - 10) : stop]]
    if len(ends) >= count:
        return _cut(items, [0, *ends[:-1]])
    return [[item] for item in items]


def _cut(items: list[tuple[int, int]], starts: list[int]) -> list[Sequence[tuple[int, int]]]:
    return [items[a:b] for a, b in pairwise([*starts, len(items)])]
