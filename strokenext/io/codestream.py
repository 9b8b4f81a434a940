"""What a compressed image declares about itself in its first bytes, read without decoding it."""

from __future__ import annotations

from typing import NamedTuple

#: SOF0 to SOF15 without DHT, JPG and DAC (ITU-T T.81); 0xF7 is SOF55 of JPEG-LS (ITU-T T.87).
_START_OF_FRAME = frozenset({*range(0xC0, 0xD0), 0xF7} - {0xC4, 0xC8, 0xCC})


class Declared(NamedTuple):
    """Size in pixels and bits per sample."""

    rows: int
    columns: int
    bits: int


def declared(source: bytes) -> Declared | None:
    """What a JPEG, JPEG-LS or JPEG 2000 code stream declares, or None when it has no such header."""
    at = source.find(b"\xff\x4f\xff\x51", 0, 4096)  # SOC and SIZ of JPEG 2000, perhaps inside a JP2 box
    if at >= 0 and len(source) >= at + 43:
        x1, y1, x0, y0 = (int.from_bytes(source[at + 8 + 4 * i : at + 12 + 4 * i], "big") for i in range(4))
        return Declared(y1 - y0, x1 - x0, (source[at + 42] & 0x7F) + 1)
    at = 2
    while at + 9 <= len(source):  # the marker segments of JPEG before the first scan
        if source[at] != 0xFF:
            return None
        marker, body = source[at + 1], source[at + 4 : at + 9]
        if marker in _START_OF_FRAME:
            return Declared(int.from_bytes(body[1:3], "big"), int.from_bytes(body[3:5], "big"), body[0])
        at += 1 if marker == 0xFF else 2 + int.from_bytes(source[at + 2 : at + 4], "big")
    return None
