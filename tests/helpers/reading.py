"""Whether words stand on a picture: each is drawn again and looked for."""

from __future__ import annotations

import cv2
import numpy as np
from PIL import Image, ImageDraw

from strokenext.frame import lettering
from strokenext.types import ByteArray


def letters_of(picture: ByteArray, size: int) -> ByteArray:
    """(H, W) uint8: the brightest channel, in which letters of every colour of the frame are bright."""
    assert size >= 14
    return np.ascontiguousarray(picture.max(axis=2))


def stands_on(picture: ByteArray, text: str, size: int, bold: bool = False) -> bool:
    """Whether every word of `text` is on the picture in letters of `size` pixels, wherever its lines break."""
    page = letters_of(picture, size)
    return all(_found(page, word, size, bold, text) for word in text.split())


def _found(page: ByteArray, word: str, size: int, bold: bool, text: str) -> bool:
    font = lettering.font(size, text, bold)
    drawn = lettering.drawable(word, font)
    return any(_likeness(page, drawn, font, part / 8) > 0.86 for part in range(8))


def _likeness(page: ByteArray, word: str, font: lettering.Font, start: float) -> float:
    """The best correlation of the word anywhere; letters in the middle of a line start between two pixels."""
    left, top, right, bottom = (round(v) for v in font.getbbox(word))
    sheet = Image.new("L", (right - left + 3, bottom - top + 2))
    ImageDraw.Draw(sheet).text((1 - left + start, 1 - top), word, fill=255, font=font)
    template = np.asarray(sheet)
    if template.shape[0] > page.shape[0] or template.shape[1] > page.shape[1]:
        return 0.0
    return float(cv2.matchTemplate(page, template, cv2.TM_CCOEFF_NORMED).max())


def cut_out(framed: ByteArray, plain: ByteArray) -> ByteArray:
    """(H, W, 3) of a framed picture: the part that lies where `plain` (H, W, 3), drawn alike, fits best.

    A picture that was enlarged by a whole factor is taken back to its own pixels.
    """
    factor = -(-512 // max(plain.shape[:2]))
    large = np.ascontiguousarray(np.repeat(np.repeat(plain, factor, axis=0), factor, axis=1))
    found = cv2.matchTemplate(np.ascontiguousarray(framed), large, cv2.TM_SQDIFF)
    x, y = cv2.minMaxLoc(found)[2]
    return framed[y : y + large.shape[0], x : x + large.shape[1]][::factor, ::factor]
