"""Sections to one self-contained HTML page and to a PDF: same words, same tables, same figures."""

from __future__ import annotations

import html
import io
import textwrap
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from matplotlib.figure import Figure

_STYLE = """
:root{color-scheme:light dark}
body{font:15px/1.55 system-ui,sans-serif;max-width:72rem;margin:2rem auto;padding:0 1rem}
h1{font-size:1.7rem}
h2{font-size:1.2rem;margin-top:2.2rem;border-bottom:1px solid #8886;padding-bottom:.2rem}
table{border-collapse:collapse;font-size:.86rem;margin:.8rem 0;display:block;overflow-x:auto}
th,td{padding:.28rem .6rem;border-bottom:1px solid #8884;text-align:left;vertical-align:top}th{font-weight:600}
td{font-variant-numeric:tabular-nums}
figure{display:inline-block;margin:.5rem;background:#fff;border-radius:6px}
figure svg,figure img{max-width:100%;height:auto;display:block}
.notice{padding:.6rem .9rem;border-left:4px solid #d55e00}
"""


@dataclass(frozen=True)
class Table:
    """Column heads and rows of text."""

    heads: tuple[str, ...]
    rows: tuple[tuple[str, ...], ...]

    def markdown(self) -> str:
        """The same for a README."""
        lines = [self.heads, ("---",) * len(self.heads), *self.rows]
        return "\n".join("| " + " | ".join(cell.replace("|", "\\|") for cell in line) + " |" for line in lines)


@dataclass(frozen=True, eq=False)
class Section:
    """A heading with sentences, a table and figures, any of which may be missing. `images` are PNG bytes."""

    title: str
    text: tuple[str, ...] = ()
    table: Table | None = None
    figures: Sequence[Figure] = field(default_factory=tuple)
    images: Sequence[tuple[str, bytes]] = field(default_factory=tuple)


def to_html(title: str, notice: str, sections: Sequence[Section]) -> str:
    """One page; figures are inline SVG, so that nothing else is needed to read it."""
    body = [f"<h1>{html.escape(title)}</h1>", f'<p class="notice">{html.escape(notice)}</p>']
    for s in sections:
        body.append(f"<h2>{html.escape(s.title)}</h2>")
        body += [f"<p>{html.escape(t)}</p>" for t in s.text]
        if s.table is not None:
            body.append(_html_table(s.table))
        body += [f"<figure>{_svg(f, f'f{n}')}</figure>" for n, f in enumerate(s.figures)]
        body += [_html_image(caption, data) for caption, data in s.images]
    meta = '<meta charset="utf-8"><meta name="viewport" content="width=device-width">'
    head = f"<head>{meta}<title>{html.escape(title)}</title><style>{_STYLE}</style></head>"
    return f'<!doctype html><html lang="en">{head}<body>{"".join(body)}</body></html>\n'


def _html_table(table: Table) -> str:
    head = "".join(f'<th scope="col">{html.escape(h)}</th>' for h in table.heads)
    rows = "".join("<tr>" + "".join(f"<td>{html.escape(c)}</td>" for c in row) + "</tr>" for row in table.rows)
    return f"<table><thead><tr>{head}</tr></thead><tbody>{rows}</tbody></table>"


def _html_image(caption: str, data: bytes) -> str:
    import base64

    source = f"data:image/png;base64,{base64.b64encode(data).decode()}"
    text = html.escape(caption)
    return f'<figure><img alt="{text}" src="{source}"><figcaption>{text}</figcaption></figure>'


def _svg(figure: Figure, salt: str) -> str:
    """Inline SVG, the same bytes each time: no date, and element names from a fixed salt."""
    import matplotlib

    title = figure.axes[0].get_title() if figure.axes else ""
    with matplotlib.rc_context({"svg.hashsalt": f"{salt}{title}", "svg.fonttype": "path"}):
        buffer = io.StringIO()
        figure.savefig(buffer, format="svg", metadata={"Date": None})
    text = buffer.getvalue()
    return f'<svg role="img" aria-label="{html.escape(title)}"' + text[text.index("<svg") + 4 :]


def to_pdf(title: str, notice: str, sections: Sequence[Section], file: Path) -> None:
    """The same as pages of A4, by matplotlib alone: no browser or LaTeX is needed."""
    from matplotlib.backends.backend_pdf import PdfPages

    with PdfPages(file, metadata={"Title": title, "CreationDate": None}) as pdf:
        pages = _Pages(pdf)
        pages.write([title], 15)
        pages.write(textwrap.wrap(notice, 105), 9)
        for s in sections:
            pages.write(["", s.title], 12)
            for t in s.text:
                pages.write(textwrap.wrap(t, 105), 9)
            if s.table is not None:
                pages.write(_text_table(s.table), 6.4, "monospace")
            for f in s.figures:
                pages.flush()
                pdf.savefig(f)
        pages.flush()


class _Pages:
    """Lines of text on A4 pages, a new page when one is full."""

    def __init__(self, pdf: object) -> None:
        self.pdf = pdf
        self.page: Figure | None = None
        self.y = 0.0

    def write(self, lines: Sequence[str], size: float, family: str = "sans-serif") -> None:
        from matplotlib.figure import Figure

        step = size * 1.35 / 842  # of the page's 842 points
        for line in lines:
            if self.page is None or self.y - step < 0.05:
                self.flush()
                self.page, self.y = Figure(figsize=(8.27, 11.69)), 0.95
            self.y -= step
            self.page.text(0.06, self.y, line.replace("$", r"\$"), fontsize=size, family=family)

    def flush(self) -> None:
        """Finish the page that is being written."""
        if self.page is not None:
            self.pdf.savefig(self.page)  # type: ignore[attr-defined]
        self.page = None


def _text_table(table: Table, width: int = 128) -> list[str]:
    """Columns of text, cells wrapped so that a line fits `width` characters."""
    rows = [table.heads, *table.rows]
    wanted = [max(len(r[i]) for r in rows) for i in range(len(table.heads))]
    spare = width - 2 * len(wanted)
    limits = wanted
    while sum(limits) > spare:
        widest = limits.index(max(limits))
        limits = [w - 1 if i == widest else w for i, w in enumerate(limits)]
    lines = []
    for n, row in enumerate(rows):
        cells = [textwrap.wrap(c, max(w, 4)) or [""] for c, w in zip(row, limits, strict=True)]
        for k in range(max(map(len, cells))):
            parts = [(c[k] if k < len(c) else "").ljust(w) for c, w in zip(cells, limits, strict=True)]
            lines.append("  ".join(parts).rstrip())
        if n == 0:
            lines.append("-" * min(width, sum(limits) + 2 * len(limits)))
    return lines
