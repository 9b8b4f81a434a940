"""Sections to one self-contained HTML page: words, tables and figures in one file that asks the network for nothing."""

from __future__ import annotations

import base64
import html
import io
import re
from collections.abc import Sequence
from typing import TYPE_CHECKING

from .section import Section, Table

if TYPE_CHECKING:
    from matplotlib.figure import Figure

#: Tables with more rows than this are folded on the page; the heading says how long they are.
LONG = 48
#: Cells up to this many characters are not broken.
SHORT = 20
#: A cell that reads as a figure: a number, an interval, a share or several of them.
_FIGURE = re.compile(r"[-+–×]?[\d.,]*\d\s?%?( [(/].*)?|–( /.*)?")

_STYLE = """
:root{color-scheme:light dark;--line:#8885;--soft:#8881;--link:#0072b2}
@media(prefers-color-scheme:dark){:root{--link:#56b4e9}}
*{box-sizing:border-box}
body{font:15px/1.55 system-ui,sans-serif;margin:0;display:grid;grid-template-columns:15rem minmax(0,1fr)}
nav{position:sticky;top:0;height:100vh;overflow:auto;padding:1.4rem 1rem;border-right:1px solid var(--line);
font-size:.84rem}
nav b{display:block;margin-bottom:.6rem}nav a{display:block;padding:.16rem 0;color:inherit;text-decoration:none}
nav a.sub{padding-left:.8rem;opacity:.75}nav a:hover,nav a:focus{color:var(--link);text-decoration:underline}
main{padding:1.4rem 2rem 4rem;max-width:84rem}
h1{font-size:1.7rem;margin:.2rem 0 1rem}
h2{font-size:1.3rem;margin:2.6rem 0 .6rem;border-bottom:2px solid var(--line);padding-bottom:.25rem}
h3{font-size:1.05rem;margin:1.8rem 0 .4rem}
p,li{max-width:52rem}
.scroll{overflow-x:auto;margin:.8rem 0}
table{border-collapse:collapse;font-size:.84rem}
th,td{padding:.3rem .7rem;border-bottom:1px solid var(--line);text-align:left;vertical-align:top}
th{font-weight:600;background:var(--soft);vertical-align:bottom}
td.n{text-align:right;white-space:nowrap;font-variant-numeric:tabular-nums}
td.w{white-space:nowrap}
td:first-child{min-width:9rem;max-width:15rem}
td.same{border-bottom-color:transparent}
tbody tr:hover{background:var(--soft)}
figure{margin:.8rem 0;background:#fff;border-radius:6px;display:inline-block;max-width:100%}
figure svg,figure img{max-width:100%;height:auto;display:block}
figcaption{color:#222;padding:.3rem .6rem;font-size:.84rem}
.notice{padding:.6rem .9rem;border-left:4px solid #d55e00;background:var(--soft)}
.missing{padding:.6rem .9rem;border-left:4px solid #e69f00;background:var(--soft)}
summary{cursor:pointer;color:var(--link)}
code{font-size:.92em}
@media(max-width:60rem){body{display:block}nav{position:static;height:auto;border:0}main{padding:1rem}}
@media print{body{display:block}nav{display:none}}
"""


def to_html(title: str, notice: str, sections: Sequence[Section]) -> str:
    """One page with its table of contents; figures are inline SVG, so that nothing else is needed to read it."""
    links = [
        f'<a href="#s{n}"{"" if s.level == 2 else " class=sub"}>{html.escape(s.title)}</a>'
        for n, s in enumerate(sections)
    ]
    body = [f"<h1>{html.escape(title)}</h1>", f'<p class="notice">{html.escape(notice)}</p>']
    for n, s in enumerate(sections):
        body.append(f'<h{s.level} id="s{n}">{html.escape(s.title)}</h{s.level}>')
        body += [f"<p>{_words(t)}</p>" for t in s.text]
        if s.bullets:
            body.append(f"<ul>{''.join(f'<li>{_words(t)}</li>' for t in s.bullets)}</ul>")
        if s.missing:
            body.append(f'<p class="missing">{_words(s.missing)}</p>')
        body += [_table(t) for t in s.tables if t.rows]
        body += [f"<figure>{_svg(f, f's{n}f{i}')}</figure>" for i, f in enumerate(s.figures)]
        body += [_image(caption, data) for caption, data in s.images]
    meta = '<meta charset="utf-8"><meta name="viewport" content="width=device-width">'
    head = f"<head>{meta}<title>{html.escape(title)}</title><style>{_STYLE}</style></head>"
    nav = f"<nav><b>{html.escape(title)}</b>{''.join(links)}</nav>"
    return f'<!doctype html><html lang="en">{head}<body>{nav}<main>{"".join(body)}</main></body></html>\n'


def _words(text: str) -> str:
    """Escaped text; what stands between backquotes is code."""
    return re.sub(r"`([^`]+)`", r"<code>\1</code>", html.escape(text))


def _table(table: Table) -> str:
    """A table that scrolls by itself, folded when it is long; a name repeated below itself is shown once."""
    head = "".join(f'<th scope="col">{_words(h)}</th>' for h in table.heads)
    rows = []
    for i, row in enumerate(table.rows):
        same = i > 0 and table.rows[i - 1][0] == row[0]
        following = i + 1 < len(table.rows) and table.rows[i + 1][0] == row[0]
        first = f"<td{' class=same' if following else ''}>{'' if same else _words(row[0])}</td>"
        rows.append(f"<tr>{first}{''.join(map(_cell, row[1:]))}</tr>")
    whole = f'<div class="scroll"><table><thead><tr>{head}</tr></thead><tbody>{"".join(rows)}</tbody></table></div>'
    if len(table.rows) <= LONG:
        return whole
    return f"<details><summary>Table of {len(table.rows)} lines</summary>{whole}</details>"


def _cell(text: str) -> str:
    kind = " class=n" if _FIGURE.fullmatch(text) else " class=w" if len(text) <= SHORT else ""
    return f"<td{kind}>{_words(text)}</td>"


def _image(caption: str, data: bytes) -> str:
    source = f"data:image/png;base64,{base64.b64encode(data).decode()}"
    text = html.escape(caption)
    return f'<figure><img alt="{text}" src="{source}"><figcaption>{text}</figcaption></figure>'


def _svg(figure: Figure, salt: str) -> str:
    """Inline SVG, the same bytes each time: no date, and element names from a salt that no other figure has."""
    import matplotlib

    title = figure.get_suptitle() or (figure.axes[0].get_title() if figure.axes else "")
    with matplotlib.rc_context({"svg.hashsalt": f"{salt}{title}", "svg.fonttype": "path"}):
        buffer = io.StringIO()
        figure.savefig(buffer, format="svg", metadata={"Date": None, "Creator": None})
    text = buffer.getvalue()
    text = re.sub(r"<metadata>.*?</metadata>", "", text, flags=re.DOTALL)
    text = re.sub(r'(id="|url\(#|href="#)', rf"\g<1>{salt}", text)  # glyph names repeat from figure to figure
    return f'<svg role="img" aria-label="{html.escape(title)}"' + text[text.index("<svg") + 4 :]
