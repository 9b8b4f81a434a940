"""The same sections as pages of A4, landscape for the width of the tables, by fpdf2."""

from __future__ import annotations

import io
import re
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import matplotlib
from fpdf import FPDF
from PIL import Image

from .section import Section, Table

#: Sizes in points: text, a heading by its level, a table's text at most and at least.
TEXT, HEADING, CELL, LEAST = 9.0, {2: 13.0, 3: 10.5}, 7.5, 4.0
#: White beside the words of a cell in mm; dots per inch of a figure.
PADDING, DPI = 1.0, 170
FONTS = Path(matplotlib.get_data_path()) / "fonts" / "ttf"


def to_pdf(title: str, notice: str, sections: Sequence[Section], file: Path) -> None:
    """Write the report as a PDF: text and tables are text, figures are pictures of 170 dots per inch."""
    pages = Pages(title)
    pages.words(title, 16, "B")
    pages.words(notice)
    for s in sections:
        pages.heading(s)
        for text in (*s.text, *(f"• {b}" for b in s.bullets), *([s.missing] if s.missing else [])):
            pages.words(text)
        for table in (t for t in s.tables if t.rows):
            pages.rows(table)
        for figure in s.figures:
            buffer = io.BytesIO()
            figure.savefig(buffer, format="png", dpi=DPI)
            pages.picture(buffer.getvalue())
        for caption, data in s.images:
            pages.words(caption, 8)
            pages.picture(data)
    pages.output(str(file))


class Pages(FPDF):
    """Pages with the title and their number at the foot."""

    def __init__(self, title: str) -> None:
        super().__init__(orientation="landscape", format="A4")
        self.set_title(title)
        self.add_font("DejaVu", "", FONTS / "DejaVuSans.ttf")
        self.add_font("DejaVu", "B", FONTS / "DejaVuSans-Bold.ttf")
        self.set_margins(12, 12)
        self.set_auto_page_break(True, 14)
        self.add_page()

    def footer(self) -> None:
        """Title and page number."""
        self.set_y(-10)
        self.set_font("DejaVu", "", 7)
        self.cell(self.epw / 2, 5, str(self.title))
        self.cell(self.epw / 2, 5, str(self.page_no()), align="R")

    def words(self, text: str, size: float = TEXT, style: str = "") -> None:
        """A paragraph, `size` in points."""
        self.set_font("DejaVu", style, size)
        self.multi_cell(0, size / 2, text.replace("`", ""), align="L", new_x="LMARGIN", new_y="NEXT")
        self.ln(1.5)

    def heading(self, section: Section) -> None:
        """A heading, in the outline too, with room for what follows: it does not stand alone at the foot of a page."""
        self.ln(3)
        pictures_alone = section.figures and not (section.text or section.missing or section.tables)
        if self.will_page_break(self.eph / 2 if pictures_alone else 35):
            self.add_page()
        self.start_section(section.title, section.level - 2)
        self.words(section.title, HEADING[section.level], "B")

    def rows(self, table: Table) -> None:
        """Rows of wrapped cells between hair lines; the heads are repeated on every page that the table reaches."""
        lines = [[_unbroken(cell) for cell in line] for line in (table.heads, *table.rows)]
        widths = self.column_widths(lines)
        self.set_font(style="")
        self.set_draw_color(190)
        layout: dict[str, Any] = {"borders_layout": "HORIZONTAL_LINES", "padding": (0.4, PADDING), "align": "LEFT"}
        words: dict[str, Any] = {"text_align": "LEFT", "v_align": "TOP", "line_height": self.font_size * 1.25}
        with self.table(lines, width=min(self.epw, sum(widths)), col_widths=widths, **layout, **words):
            pass
        self.ln(3)

    def column_widths(self, lines: Sequence[Sequence[str]]) -> list[float]:
        """Widths in mm that fit the page, in the largest size of text, set from here on, in which no word is cut."""
        columns, size = list(zip(*lines, strict=True)), CELL + 0.5
        least = [self.epw]
        while size > LEAST and (len(least) == 1 or sum(least) > self.epw):
            size -= 0.5
            self.set_font("DejaVu", "B", size)
            least = [max(self._width(word) for cell in column for word in cell.split(" ")) for column in columns]
        more = [min(self.epw / 3, max(map(self._width, c))) - w for c, w in zip(columns, least, strict=True)]
        more = [max(0.0, m) for m in more]
        share = min(1.0, max(0.0, self.epw - sum(least)) / max(sum(more), 1e-6))
        return [w + share * m for w, m in zip(least, more, strict=True)]

    def _width(self, text: str) -> float:
        return float(self.get_string_width(text)) + 2 * PADDING + 0.1

    def picture(self, data: bytes) -> None:
        """A PNG in its own size, made smaller where the page is."""
        width, height = (25.4 * pixels / DPI for pixels in Image.open(io.BytesIO(data)).size)
        scale = min(1.0, self.epw / width, (self.eph - 2) / height)
        self.image(io.BytesIO(data), w=scale * width, h=scale * height)
        self.ln(2)


def _unbroken(cell: str) -> str:
    """A cell whose intervals in brackets no line breaks."""
    return re.sub(r"\([^)]{,24}\)", lambda interval: interval[0].replace(" ", "\u00a0"), cell.replace("`", ""))
