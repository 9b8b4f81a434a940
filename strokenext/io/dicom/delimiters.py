"""Missing delimiters of sequences and items put back (PS3.5 7.5), for little-endian files that do not parse without.

A walk over the elements that keeps a stack of what is open; it is done only where pydicom gives up.
"""

from __future__ import annotations

from pydicom.datadict import dictionary_VR

_ITEM, _ITEM_END, _SEQUENCE_END = 0xFFFEE000, 0xFFFEE00D, 0xFFFEE0DD
_CLOSE_ITEM, _CLOSE_SEQUENCE = b"\xfe\xff\x0d\xe0\0\0\0\0", b"\xfe\xff\xdd\xe0\0\0\0\0"
_UNDEFINED = 0xFFFFFFFF
_LONG = frozenset((b"OB", b"OD", b"OF", b"OL", b"OV", b"OW", b"SQ", b"SV", b"UC", b"UN", b"UR", b"UT", b"UV"))
_PIXELS = 0x7FE00010
#: Elements of the image itself: an item that is still open before one of them was never closed.
_OF_THE_IMAGE = frozenset((0x00100010, 0x00100020, 0x0020000D, 0x0020000E, 0x00280002, 0x00280010))


def restored(body: bytes, *, implicit: bool) -> bytes:
    """A data set (after its meta group), with the delimiters that are missing before its pixels."""
    out, at, kept = [], 0, 0
    open_: list[str] = []

    def close(until: str | None) -> None:
        nonlocal kept
        out.append(body[kept:at])
        kept = at
        while open_ and open_[-1] != until:
            out.append(_CLOSE_ITEM if open_.pop() == "item" else _CLOSE_SEQUENCE)

    while at + 8 <= len(body):
        tag = int.from_bytes(body[at : at + 2], "little") << 16 | int.from_bytes(body[at + 2 : at + 4], "little")
        length, skip, sequence = _length(body, at, tag, implicit=implicit)
        if tag in (_ITEM, _SEQUENCE_END) and open_[-1:] == ["item"]:
            close("sequence")
        elif tag in _OF_THE_IMAGE or tag == _PIXELS:
            close(None)
        elif tag >> 16 != 0xFFFE and open_[-1:] == ["sequence"]:
            close("item")
        if tag == _PIXELS:
            break
        if tag in (_ITEM_END, _SEQUENCE_END):
            if open_:
                open_.pop()
        elif tag == _ITEM and length == _UNDEFINED:
            open_.append("item")
        elif sequence and length == _UNDEFINED:
            open_.append("sequence")
        at += skip + (0 if length == _UNDEFINED or tag in (_ITEM_END, _SEQUENCE_END) else length)
    return b"".join((*out, body[kept:]))


def _length(body: bytes, at: int, tag: int, *, implicit: bool) -> tuple[int, int, bool]:
    """Length of the value, bytes before it, and whether it is a sequence."""
    if implicit or tag >> 16 == 0xFFFE:
        try:
            sequence = dictionary_VR(tag) == "SQ"
        except KeyError:
            sequence = False
        length = int.from_bytes(body[at + 4 : at + 8], "little")
        return length, 8, sequence or (length == _UNDEFINED and tag not in (_ITEM, _PIXELS))
    vr = body[at + 4 : at + 6]
    if vr in _LONG:
        length = int.from_bytes(body[at + 8 : at + 12], "little")
        return length, 12, vr == b"SQ" or (vr == b"UN" and length == _UNDEFINED)
    return int.from_bytes(body[at + 6 : at + 8], "little"), 8, False
