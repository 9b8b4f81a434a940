"""How the report looks, on a screen and on A4; nothing is loaded from elsewhere."""

from __future__ import annotations

from . import words

#: What a browser may do with the page: draw it.
POLICY = "default-src 'none'; img-src data:; style-src 'unsafe-inline'"
_SHEET = """
:root{color-scheme:light}*{box-sizing:border-box}
body{font:15px/1.5 system-ui,-apple-system,"Segoe UI",sans-serif;color:#1a1d21;background:#fff;max-width:60rem;
margin:2rem auto;padding:0 1.25rem}
h1{font-size:1.5rem;margin:0}h2{font-size:1.15rem;margin:2rem 0 .5rem;border-bottom:1px solid #cdd3da}
.case{font-size:1.15rem;font-weight:600;margin:.3rem 0 0;overflow-wrap:anywhere}.place{margin:0;color:#4b535d}
.notice{border-left:4px solid #b25b00;background:#fff6ea;padding:.6rem .9rem;margin:1rem 0}
.notice ul{margin:.2rem 0 0;padding-left:1.2rem}.refused{border-color:#8a1f2b;background:#fdeff0}
.pictures{display:flex;flex-wrap:wrap;gap:1rem;align-items:flex-start}
figure{margin:0;flex:1 1 0;min-width:15rem;max-width:34rem}figcaption{color:#4b535d;font-size:.85rem}
figure img{display:block;background:#000;width:100%}
.curve{margin:.8rem 0;max-width:none!important}.curve svg{display:block;width:100%;height:auto;max-width:46rem}
.decision{font-size:1.2rem;font-weight:600;margin:.5rem 0}
.scale{position:relative;height:1.4rem;background:#e6eaef;margin:.6rem 0;max-width:40rem}
.scale i{position:absolute;top:0;bottom:0}.scale .band{background:#c3ccd6}.scale .line{width:2px;background:#1a1d21}
.key{color:#4b535d;font-size:.85rem;margin:-.3rem 0 .8rem}
.scale .mark{width:.6rem;margin-left:-.3rem;background:#0b5fa5}
table{border-collapse:collapse;width:100%;font-size:.85rem}th{text-align:left;font-weight:500;color:#4b535d;
width:13rem;vertical-align:top}td,th{padding:.2rem .5rem .2rem 0;border-bottom:1px solid #e6eaef}
td{overflow-wrap:anywhere}.blank{border-bottom:1px solid #1a1d21;height:1.8rem}
summary{cursor:pointer;font-weight:600;margin:.6rem 0}
@media print{body{margin:0;padding:0;max-width:none;font-size:10.5pt}h2,h3{break-after:avoid}
figure,.curve,.notice,tr,.scale,.key{break-inside:avoid}figure{min-width:40%}.pictures figure:only-child{max-width:55%}
details:not([open],.technical){display:none}.technical::details-content{content-visibility:visible;display:block}
h2{margin-top:1.1rem}table{font-size:8.5pt}*{-webkit-print-color-adjust:exact;print-color-adjust:exact}}
"""
_PAGES = """
@page{{size:A4;margin:16mm 14mm 16mm;
@top-left{{content:"{case}";font:8.5pt system-ui,sans-serif;color:#4b535d}}
@bottom-left{{content:"{notice}";font:8.5pt system-ui,sans-serif;color:#4b535d}}
@bottom-right{{content:"Page " counter(page) " of " counter(pages);font:8.5pt system-ui,sans-serif;color:#4b535d}}}}
"""


def sheet(case: str) -> str:
    """The style sheet of a report; what the case is called stands on each printed page, with the notice."""
    return _SHEET + _PAGES.format(case=_string(case), notice=_string(f"StrokeNeXt. {words.NOTICE}"))


def _string(text: str) -> str:
    """The inside of a CSS string, every character but letters and digits written as a number."""
    return "".join(c if c.isascii() and c.isalnum() else f"\\{ord(c):06x}" for c in text)
