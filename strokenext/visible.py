"""Text that came from outside, made safe to print: nothing in it moves a cursor, ends a line or turns a word."""

from __future__ import annotations


def visible(text: str) -> str:
    r"""The text with every character that shows nothing (controls, bidi marks, odd blanks) as its escape, "\x1b".

    The two joiners are left, without which words of several scripts fall apart.
    """
    return "".join(c if c.isprintable() or c in "\u200c\u200d" else _escape(c) for c in text)


def _escape(character: str) -> str:
    return character.encode("unicode_escape").decode("ascii")
