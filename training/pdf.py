"""The same sections as pages of A4, drawn by matplotlib alone: no browser and no LaTeX is needed."""

from __future__ import annotations

import io
import re
import textwrap
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from .render import Section, Table

if TYPE_CHECKING:
    from matplotlib.backends.backend_pdf import PdfPages
    from matplotlib.figure import Figure

#: A space that no line breaks at; A4 in inches, and points of its height.
NO_BREAK = "\u00a0"
PAGE = (8.27, 11.69)
POINTS = 842
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
            pages.heading(s.title, 13 if s.level == 2 else 10.5)
            for t in (*s.text, *(f"• {b}" for b in s.bullets), s.missing):
                pages.write(textwrap.wrap(t.replace("`", ""), 105), 9)
                pages.space(3)
            for table in s.tables:
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

    def heading(self, text: str, size: float) -> None:
        """A heading that does not stand alone at the foot of a page."""
        self.space(14)
        self.room(0.09)
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
        head = [_wrapped(c, int(0.85 * w) + 1) for c, w in zip(table.heads, widths, strict=True)]  # bold is wider
        self._row(head, widths, True)
        for row in table.rows:
            cells = [_wrapped(c, w) for c, w in zip(row, widths, strict=True)]
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
        import numpy as np
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


def column_widths(table: Table, width: int = WIDTH) -> list[int]:
    """Characters of each column, the widest narrowed first until a line fits `width`, never below its longest word."""
    columns = list(zip(table.heads, *table.rows, strict=True))
    wanted = [max(max(map(len, c)), 4) for c in columns]
    least = [max(max(map(len, _wrapped(cell, 1000)[0].split(" "))) for cell in c) for c in columns]
    spare = width - 2 * len(wanted)
    while sum(wanted) > spare:
        open_ = [i for i in range(len(wanted)) if wanted[i] > min(least[i] + 1, 24)] or list(range(len(wanted)))
        widest = max(open_, key=lambda i: wanted[i])
        if wanted[widest] <= 4:
            break
        wanted[widest] -= 1
    return wanted
