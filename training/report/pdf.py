"""The same sections as pages of A4, drawn by matplotlib alone: no browser and no LaTeX is needed."""

from __future__ import annotations

import io
import math
import re
import textwrap
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from .html import Section, Table

if TYPE_CHECKING:
    from matplotlib.backends.backend_pdf import PdfPages
    from matplotlib.figure import Figure

#: A space that no line breaks at; A4 in inches, and points of its height.
NO_BREAK = "\u00a0"
PAGE = (8.27, 11.69)
POINTS = 842
#: Bold letters are wider: this share of a column's characters fits.
BOLD = 0.85
LEFT, RIGHT, TOP, BOTTOM = 0.06, 0.94, 0.95, 0.06
#: Size of a table's text in points, characters that fit a line at that size, dots per inch of a picture.
SMALL, WIDTH, DPI = 6.2, 140, 170


def to_pdf(title: str, notice: str, sections: Sequence[Section], file: Path) -> None:
    """Write the report as a PDF: text and tables are text, figures are pictures of 170 dots per inch."""
    from matplotlib.backends.backend_pdf import PdfPages

    with PdfPages(file, metadata={"Title": title, "CreationDate": None}) as pdf:
        pages = _Pages(pdf, title)
        pages.write([title], 16, weight="bold")
        pages.write(textwrap.wrap(notice, 105), 9)
        for s in sections:
            first = s.figures and not (s.text or s.bullets or s.missing or s.tables)
            pages.heading(s.title, 13 if s.level == 2 else 10.5, 0.4 if first else 0.09)
            for t in (*s.text, *(f"• {b}" for b in s.bullets), s.missing):
                pages.write(textwrap.wrap(t.replace("`", ""), 105), 9)
                pages.space(3)
            for table in (t for t in s.tables if t.rows):
                pages.table(table)
            for figure in s.figures:
                pages.picture(_pixels(figure))
            for caption, data in s.images:
                pages.write([caption], 8)
                pages.picture(data, 0.5)
        pages.flush()


def _pixels(figure: Figure) -> bytes:
    buffer = io.BytesIO()
    figure.savefig(buffer, format="png", dpi=DPI)
    return buffer.getvalue()


class _Pages:
    """Text, tables and pictures one below the other, a new page when one is full."""

    def __init__(self, pdf: PdfPages, title: str) -> None:
        self.pdf = pdf
        self.title = title
        self.page: Figure | None = None
        self.number = 0
        self.y = 0.0

    def room(self, height: float) -> Figure:
        """The page with that much (a fraction of it) left below `y`: this one or a new one."""
        from matplotlib.figure import Figure

        if self.page is None or self.y - height < BOTTOM:
            self.flush()
            self.page, self.y, self.number = Figure(figsize=PAGE), TOP, self.number + 1
            self.page.text(RIGHT, 0.03, str(self.number), fontsize=7, ha="right", color="0.4")
            self.page.text(LEFT, 0.03, self.title, fontsize=7, color="0.4")
        return self.page

    def space(self, points: float) -> None:
        """White below what was written last; none at the top of a page."""
        self.y -= points / POINTS if self.y < TOP else 0

    def heading(self, text: str, size: float, below: float) -> None:
        """A heading that does not stand alone at the foot of a page: `below` of one has to be left."""
        self.space(14)
        self.room(below)
        self.write(textwrap.wrap(text, int(1100 / size)), size, weight="bold")
        self.space(4)

    def write(self, lines: Sequence[str], size: float, weight: str = "normal") -> None:
        """Lines of text, `size` in points."""
        step = size * 1.4 / POINTS
        for line in lines:
            page = self.room(step)
            self.y -= step
            page.text(LEFT, self.y, _plain(line), fontsize=size, weight=weight)

    def table(self, table: Table) -> None:
        """Rows of wrapped cells between hair lines; the head is repeated on every page that the table reaches."""
        self.space(4)
        widths = column_widths(table)
        head = [_wrapped(c, int(BOLD * w)) for c, w in zip(table.heads, widths, strict=True)]
        rows = [[_wrapped(c, w) for c, w in zip(row, widths, strict=True)] for row in table.rows]
        self.room(_height(head) + max(map(_height, rows[:1]), default=0))
        self._row(head, widths, True)
        for cells in rows:
            if self.y - _height(cells) < BOTTOM:
                self.flush()
                self._row(head, widths, True)
            self._row(cells, widths, False)
        self.space(6)

    def _row(self, cells: Sequence[Sequence[str]], widths: Sequence[int], head: bool) -> None:
        from matplotlib.lines import Line2D

        height, step = _height(cells), SMALL * 1.3 / POINTS
        page = self.room(height)
        x, unit = LEFT, (RIGHT - LEFT) / (sum(widths) + 2 * len(widths))
        for cell, width in zip(cells, widths, strict=True):
            for n, line in enumerate(cell):
                y = self.y - (n + 1) * step
                page.text(x, y, _plain(line), fontsize=SMALL, weight="bold" if head else "normal")
            x += (width + 2) * unit
        self.y -= height
        rule = Line2D([LEFT, RIGHT], [self.y, self.y], color="0.3" if head else "0.85", lw=0.8 if head else 0.4)
        page.add_artist(rule)

    def picture(self, data: bytes, share: float = 1.0) -> None:
        """A PNG as wide as `share` of the text, or as the page is high."""
        from PIL import Image

        pixels = np.asarray(Image.open(io.BytesIO(data)).convert("RGB"))
        rows, columns = pixels.shape[:2]
        width = min((RIGHT - LEFT) * share, columns / DPI / PAGE[0])
        height = width * PAGE[0] * rows / columns / PAGE[1]
        if height > TOP - BOTTOM - 0.02:
            width, height = width * (TOP - BOTTOM - 0.02) / height, TOP - BOTTOM - 0.02
        self.space(4)
        page = self.room(height)
        self.y -= height
        axes = page.add_axes((LEFT, self.y, width, height))
        axes.imshow(pixels, aspect="auto", interpolation="none")
        axes.axis("off")
        self.space(6)

    def flush(self) -> None:
        """Finish the page that is being written."""
        if self.page is not None:
            self.pdf.savefig(self.page)
        self.page = None


def _plain(line: str) -> str:
    return line.replace("$", r"\$")


def _wrapped(cell: str, width: int) -> list[str]:
    """Lines of a cell; an interval in brackets is never broken."""
    whole = re.sub(r"\([^)]{,24}\)", lambda found: found[0].replace(" ", NO_BREAK), cell.replace("`", ""))
    return textwrap.wrap(whole, width) or [""]


def _height(cells: Sequence[Sequence[str]]) -> float:
    return (max(map(len, cells)) * SMALL * 1.3 + 3.5) / POINTS


def _longest(cell: str) -> int:
    """Characters of the longest piece that no line breaks within."""
    return max(len(word) for word in _wrapped(cell, 1000)[0].split(" "))


def column_widths(table: Table, width: int = WIDTH) -> list[int]:
    """Characters of each column, so that a line fits `width` and the table is as short as narrowing one by one gets it.

    No column gets narrower than its longest word until every one is there.
    """
    lengths = np.array([[len(c) for c in row] for row in (table.heads, *table.rows)], float)
    lengths[0] /= BOLD
    columns = list(zip(table.heads, *table.rows, strict=True))
    least = [max(4, math.ceil(_longest(head) / BOLD), *map(_longest, cells)) for head, *cells in columns]
    widths = np.maximum(np.ceil(lengths.max(axis=0)).astype(int), 4)
    while widths.sum() > width - 2 * len(widths):
        open_ = [i for i, w in enumerate(widths) if w > least[i]] or [i for i, w in enumerate(widths) if w > 4]
        if not open_:
            break
        heights = []
        for i in open_:
            narrower = widths - (np.arange(len(widths)) == i)
            heights.append((np.ceil(lengths / narrower).max(axis=1).sum(), -widths[i], i))
        widths[min(heights)[2]] -= 1
    return [int(w) for w in widths]
