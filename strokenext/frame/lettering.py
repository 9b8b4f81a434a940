"""Text on a picture: a font that has the letters, and lines that fit a width in pixels."""

from __future__ import annotations

from collections.abc import Iterable
from functools import lru_cache
from importlib.util import find_spec
from pathlib import Path

from PIL import ImageFont

Font = ImageFont.FreeTypeFont | ImageFont.ImageFont
#: Of the system, for letters that the first font lacks: Chinese, Japanese and Korean above all.
_OTHERS = ("DejaVuSans.ttf", "NotoSansCJK-Regular.ttc", "msgothic.ttc", "PingFang.ttc", "arialuni.ttf", "arial.ttf")


def font(size: int, text: str = "", bold: bool = False) -> Font:
    """The first font that has every letter of `text`, `size` pixels high; the first of all where none has."""
    fonts = _fonts(size, bold)
    return next((one for one in fonts if _has(one, text)), fonts[0])


def drawable(text: str, with_font: Font) -> str:
    """The text with the letters that the font lacks written as \\u6f22."""
    return "".join(c if _has(with_font, c) else c.encode("unicode_escape").decode() for c in text)


def wrapped(text: str, with_font: Font, width: float) -> list[str]:
    """Lines no wider than `width` pixels, broken between words, and within a word where one alone is too wide."""
    lines = [""]
    for word in text.split():
        longer = f"{lines[-1]} {word}".strip()
        if with_font.getlength(longer) <= width:
            lines[-1] = longer
            continue
        pieces = list(_pieces(word, with_font, width))
        lines += pieces if lines[-1] else []
        lines = lines if lines[-1] else pieces
    return lines


def _pieces(word: str, with_font: Font, width: float) -> Iterable[str]:
    piece = ""
    for letter in word:
        if piece and with_font.getlength(piece + letter) > width:
            yield piece
            piece = ""
        piece += letter
    yield piece


@lru_cache(maxsize=64)
def _fonts(size: int, bold: bool) -> tuple[Font, ...]:
    """Matplotlib's DejaVu, which comes with the requirements, those of the system, and Pillow's own with ASCII."""
    found: list[Font] = []
    for name in (*_bundled(bold), *_OTHERS):
        try:
            found.append(ImageFont.truetype(name, size))
        except OSError:  # not on this machine
            continue
    return (*found, ImageFont.load_default(size))


def _bundled(bold: bool) -> list[str]:
    spec = find_spec("matplotlib")  # finds the package without importing it
    if spec is None or spec.origin is None:
        return []
    folder = Path(spec.origin).parent / "mpl-data" / "fonts" / "ttf"
    return [str(folder / name) for name in (*(["DejaVuSans-Bold.ttf"] if bold else []), "DejaVuSans.ttf")]


def _has(one: Font, text: str) -> bool:
    """Whether a font draws every letter as something else than the box that stands for a missing one."""
    missing = _drawn(one, "\uffff")
    return all(letter.isascii() or _drawn(one, letter) != missing for letter in text)


@lru_cache(maxsize=4096)
def _drawn(one: Font, letter: str) -> bytes:
    return bytes(one.getmask(letter))
