"""The same sections as pages of A4, landscape for the width of the tables, by fpdf2."""

from __future__ import annotations

import io
import re
from collections.abc import Sequence
from pathlib import Path

import matplotlib
from fpdf import FPDF
from PIL import Image

from strokenext.saving import write_file

from .section import Section, Table

#: Sizes in points: headings by their level, a table's text from the wished one down; white beside a cell in mm.
HEADING, SIZES, PADDING = {2: 13.0, 3: 10.5}, (7.5, 7.0, 6.5, 6.0, 5.5, 5.0, 4.5, 4.0), 1.0
#: Dots per inch of a figure.
DPI = 170
FONTS = Path(matplotlib.get_data_path()) / "fonts" / "ttf"


def to_pdf(title: str, notice: str, sections: Sequence[Section], file: Path) -> None:
    """Write the report as a PDF: text and tables are text, figures are pictures of 170 dots per inch."""
    pages = Pages(title)
    pages.words(title, 16, "B")
    pages.words(notice)
    for s in sections:
        words = [*s.text, *(f"• {b}" for b in s.bullets), *([s.missing] if s.missing else [])]
        pages.ln(3)
        if pages.will_page_break(35 if words or s.tables else pages.eph / 2):  # no heading alone at the foot of a page
            pages.add_page()
        pages.start_section(s.title, s.level - 2)
        pages.words(s.title, HEADING[s.level], "B")
        for text in words:
            pages.words(text)
        for table in (t for t in s.tables if t.rows):
            pages.rows(table)
        for figure in s.figures:
            buffer = io.BytesIO()
            figure.savefig(buffer, format="png", dpi=DPI)
            pages.picture(buffer)
        for caption, data in s.images:
            pages.words(caption, 8)
            pages.picture(io.BytesIO(data))
    write_file(file, bytes(pages.output()))


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

    def words(self, text: str, size: float = 9.0, style: str = "") -> None:
        """A paragraph, `size` in points."""
        self.set_font("DejaVu", style, size)
        self.multi_cell(0, size / 2, text.replace("`", ""), align="L", new_x="LMARGIN", new_y="NEXT")
        self.ln(1.5)

    def rows(self, table: Table) -> None:
        """Rows of wrapped cells between hair lines; the heads are repeated, an interval in brackets is not broken."""
        lines = [[_unbroken(cell) for cell in line] for line in (table.heads, *table.rows)]
        widths = self.column_widths(lines)
        self.set_font(style="")
        self.set_draw_color(190)
        look = {"borders_layout": "HORIZONTAL_LINES", "align": "LEFT", "text_align": "LEFT", "v_align": "TOP"}
        white = {"padding": (0.4, PADDING), "line_height": self.font_size * 1.25}
        with self.table(lines, width=min(self.epw, sum(widths)), col_widths=widths, **look, **white):
            pass
        self.ln(3)

    def column_widths(self, lines: Sequence[Sequence[str]]) -> list[float]:
        """Widths in mm that fit the page, in the largest size of text, set from here on, in which no word is cut."""

        def width(text: str) -> float:
            return float(self.get_string_width(text)) + 2 * PADDING + 0.1

        columns = list(zip(*lines, strict=True))
        for size in SIZES:
            self.set_font("DejaVu", "B", size)
            least = [max(width(word) for cell in column for word in cell.split(" ")) for column in columns]
            if sum(least) <= self.epw:
                break
        more = [max(0.0, min(self.epw / 3, max(map(width, c))) - w) for c, w in zip(columns, least, strict=True)]
        share = min(1.0, max(0.0, self.epw - sum(least)) / max(sum(more), 1e-6))
        return [a + share * b for a, b in zip(least, more, strict=True)]

    def picture(self, file: io.BytesIO) -> None:
        """A PNG in its own size, made smaller where the page is."""
        width, height = (25.4 * pixels / DPI for pixels in Image.open(file).size)
        scale = min(1.0, self.epw / width, (self.eph - 2) / height)
        self.image(file, w=scale * width, h=scale * height)
        self.ln(2)


def _unbroken(cell: str) -> str:
    """A cell whose intervals in brackets no line breaks."""
    return re.sub(r"\([^)]{,24}\)", lambda interval: interval[0].replace(" ", "\u00a0"), cell.replace("`", ""))
