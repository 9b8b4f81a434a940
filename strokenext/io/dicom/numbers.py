"""Numbers of a data set, whatever value representation its writer chose for them.

Decimal commas, numbers under a text or binary VR and spare blanks have one sensible meaning and get it; a value
that has none is absent, because a wrong number is worse than none.
"""

from __future__ import annotations

import math
import re
import struct
from collections.abc import Iterator
from typing import Any

from pydicom.datadict import dictionary_VR, tag_for_keyword
from pydicom.dataset import Dataset

_NUMBER = re.compile(r"[+-]?(\d+([.,]\d*)?|[.,]\d+)([eE][+-]?\d+)?", re.ASCII)
#: Thousands set apart by the sign that is not the decimal one: -1.024,0 or -1,024.0.
_GROUPED = re.compile(r"[+-]?\d{1,3}((\.\d{3})+,\d+|(,\d{3})+\.\d+)", re.ASCII)
_BINARY = {"US": "H", "SS": "h", "UL": "I", "SL": "i", "FL": "f", "FD": "d", "UV": "Q", "SV": "q"}
#: What pydicom raises for a value that does not fit its representation.
_UNREADABLE = (TypeError, ValueError, KeyError, IndexError, OverflowError, AttributeError, NotImplementedError)


def number(ds: Dataset, keyword: str) -> float | None:
    """The first value of an element as a finite number, or None."""
    return next(_parsed(ds, keyword), None)


def integer(ds: Dataset, keyword: str) -> int | None:
    """The first value of an element when it is a whole number, or None."""
    value = number(ds, keyword)
    return int(value) if value is not None and value == int(value) else None


def numbers(ds: Dataset, keyword: str) -> tuple[float, ...]:
    """All values of an element; empty when it is absent or one of them is no number.

    Several numbers in one text, between blanks, semicolons or commas, are taken apart.
    """
    values = list(_parsed(ds, keyword))
    if all(v is not None for v in values):
        return tuple(v for v in values if v is not None)
    (text, *more) = _texts(ds, keyword)
    parts = [_number(p) for p in re.split(r"[\s;,]+", text)] if isinstance(text, str) and not more else [None]
    return tuple(p for p in parts if p is not None) if None not in parts else ()


def _parsed(ds: Dataset, keyword: str) -> Iterator[float | None]:
    return (_number(part) for part in _texts(ds, keyword))


def _number(part: Any) -> float | None:
    if isinstance(part, str):
        text = part.strip(" \0\t\r\n").replace("\u2212", "-")
        if _GROUPED.fullmatch(text):
            decimal = max(text.rfind("."), text.rfind(","))
            text = re.sub("[.,]", "", text[:decimal]) + "." + text[decimal + 1 :]
        elif _NUMBER.fullmatch(text):
            text = text.replace(",", ".")
        else:
            return None
        part = text
    try:
        value = float(part)
    except (TypeError, ValueError, OverflowError):
        return None
    return value if math.isfinite(value) else None


def _texts(ds: Dataset, keyword: str) -> list[Any]:
    """The values of an element, each a text or a number."""
    tag = tag_for_keyword(keyword)
    if tag is None or tag not in ds:
        return []
    try:
        value, vr = ds[tag].value, ds[tag].VR
    except _UNREADABLE:
        raw = ds.get_item(tag)
        value, vr = getattr(raw, "value", None), str(getattr(raw, "VR", "") or "")
    if value is None:
        return []
    if isinstance(value, bytes | bytearray):
        value = _unpacked(bytes(value), dictionary_VR(tag), ds)
    if isinstance(value, str):
        value = value.split("\\") if value.strip(" \0") else []
    listed = list(value) if hasattr(value, "__iter__") and not isinstance(value, str) else [value]
    return [_signed(v, vr, dictionary_VR(tag)) for v in listed]


def _unpacked(value: bytes, vr: str, ds: Dataset) -> Any:
    """Bytes under a VR that says nothing about them: text when they are, else as the dictionary's VR."""
    if vr.split(" ")[0] not in _BINARY or re.fullmatch(rb"[ -~]{3,}", value.rstrip(b"\0 ")):
        return value.decode("latin-1")
    code = _BINARY[vr.split(" ")[0]]
    count = len(value) // struct.calcsize(code)
    little = ds.original_encoding[1] is not False
    return struct.unpack(f"{'<' if little else '>'}{count}{code}", value[: count * struct.calcsize(code)])


def _signed(value: Any, vr: str, expected: str) -> Any:
    """A decimal or signed number that was written as an unsigned one."""
    bits = {"US": 16, "UL": 32}.get(vr)
    if bits and expected in ("DS", "IS", "SS", "SL") and isinstance(value, int) and value >= 2 ** (bits - 1):
        return value - 2**bits
    return value
