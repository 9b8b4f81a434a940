"""What a compressed image declares about itself in its first bytes, read without decoding it."""

from __future__ import annotations

from typing import NamedTuple

#: SOF0 to SOF15 without DHT, JPG and DAC (ITU-T T.81); 0xF7 is SOF55 of JPEG-LS (ITU-T T.87).
_START_OF_FRAME = frozenset({*range(0xC0, 0xD0), 0xF7} - {0xC4, 0xC8, 0xCC})


class Declared(NamedTuple):
    """Size in pixels, bits per sample, and what kind of stream it is."""

    rows: int
    columns: int
    bits: int
    components: int = 1
    kind: str = "jpeg"  # "jpeg", "jpegls" or "jpeg2000"
    signed: bool = False  # stated by JPEG 2000 alone
    lossless: bool = False  # JPEG of process 14, which few readers know
    transformed: bool = True  # JPEG 2000: the stream itself undoes its colour transform


def declared(source: bytes) -> Declared | None:
    """What a JPEG, JPEG-LS or JPEG 2000 code stream declares, or None when it has no such header."""
    at = source.find(b"\xff\x4f\xff\x51", 0, 4096)  # SOC and SIZ of JPEG 2000, perhaps inside a JP2 box
    if at >= 0 and len(source) >= at + 43:
        x1, y1, x0, y0 = (int.from_bytes(source[at + 8 + 4 * i : at + 12 + 4 * i], "big") for i in range(4))
        depth, components = source[at + 42], int.from_bytes(source[at + 40 : at + 42], "big")
        cod = source.find(b"\xff\x52", at, at + 4096)  # the coding style holds the colour transform
        transformed = cod >= 0 and source[cod + 8 : cod + 9] == b"\x01"
        return Declared(y1 - y0, x1 - x0, (depth & 0x7F) + 1, components, "jpeg2000", depth > 0x7F, False, transformed)
    at = 2
    while at + 9 <= len(source):  # the marker segments of JPEG before the first scan
        if source[at] != 0xFF:
            return None
        marker, body = source[at + 1], source[at + 4 : at + 9]
        if marker in _START_OF_FRAME:
            rows, columns = int.from_bytes(body[1:3], "big"), int.from_bytes(body[3:5], "big")
            components = source[at + 9] if at + 9 < len(source) else 1
            kind = "jpegls" if marker == 0xF7 else "jpeg"
            return Declared(rows, columns, body[0], components, kind, False, marker == 0xC3)
        at += 1 if marker == 0xFF else 2 + int.from_bytes(source[at + 2 : at + 4], "big")
    return None
