"""How the page looks: one dark Gradio theme and the style sheets of its parts. No font or file from elsewhere."""

from __future__ import annotations

from html import escape

import gradio as gr

from strokenext import words

from . import text
from .viewer import STATIC

SHEETS = ("page.css", "viewer.css", "answer.css")
FONTS = ("ui-sans-serif", "system-ui", "-apple-system", "Segoe UI", "Roboto", "Noto Sans", "sans-serif")
MONO = ("ui-monospace", "SFMono-Regular", "Menlo", "Consolas", "Liberation Mono", "monospace")
HEAD = (
    '<meta name="color-scheme" content="dark"><meta name="robots" content="noindex">'
    '<meta name="referrer" content="same-origin">'
)
#: Grounds, lines and letters; every pair used for text passes WCAG AA (4.5 : 1), which a test computes.
PALETTE = {
    "ground": "#0b0e12",
    "panel": "#12171d",
    "raised": "#1b222b",
    "line": "#2c3641",
    "edge": "#66768a",
    "text": "#e8edf2",
    "dim": "#a6b3c0",
    "accent": "#74bdf0",
    "accent-ink": "#06131d",
    "stroke": "#f4ad62",
    "clear": "#74bdf0",
    "alarm": "#ff9c8f",
}


def theme() -> gr.themes.Base:
    """Gradio's base theme in the palette, the same by day and by night."""
    p = PALETTE
    values = {
        "body_background_fill": p["ground"],
        "body_text_color": p["text"],
        "body_text_color_subdued": p["dim"],
        "background_fill_primary": p["panel"],
        "background_fill_secondary": p["ground"],
        "block_background_fill": "transparent",
        "block_border_width": "0px",
        "block_label_background_fill": "transparent",
        "block_label_text_color": p["dim"],
        "block_info_text_color": p["dim"],
        "block_title_text_color": p["text"],
        "border_color_primary": p["line"],
        "border_color_accent": p["accent"],
        "button_primary_background_fill": p["accent"],
        "button_primary_background_fill_hover": "#95cff6",
        "button_primary_text_color": p["accent-ink"],
        "button_secondary_background_fill": p["raised"],
        "button_secondary_background_fill_hover": p["line"],
        "button_secondary_text_color": p["text"],
        "button_secondary_border_color": p["line"],
        "input_background_fill": p["raised"],
        "input_border_color": p["edge"],
        "input_placeholder_color": p["dim"],
        "checkbox_background_color": p["raised"],
        "checkbox_border_color": p["edge"],
        "checkbox_background_color_selected": p["accent"],
        "checkbox_border_color_selected": p["accent"],
        "checkbox_label_background_fill": "transparent",
        "checkbox_label_background_fill_selected": p["line"],
        "checkbox_label_text_color": p["text"],
        "checkbox_label_text_color_selected": p["text"],
        "slider_color": p["accent"],
        "color_accent": p["accent"],
        "color_accent_soft": p["raised"],
        "link_text_color": p["accent"],
        "error_background_fill": p["panel"],
        "error_text_color": p["alarm"],
        "error_border_color": p["alarm"],
    }
    made = gr.themes.Base(font=FONTS, font_mono=MONO, text_size="sm", spacing_size="sm", radius_size="sm")
    known = {name: value for name, value in values.items() if hasattr(made, name)}
    dark = {f"{name}_dark": value for name, value in known.items() if hasattr(made, f"{name}_dark")}
    return made.set(**known, **dark)


def css() -> str:
    """The palette as variables, then the sheets."""
    variables = "".join(f"--snx-{name}: {value};" for name, value in PALETTE.items())
    sheets = "\n".join((STATIC / name).read_text(encoding="utf-8") for name in SHEETS)
    return f":root {{ {variables} }}\n{sheets}"


def brand() -> str:
    """The bar's left end: name, purpose, and the notice that is always visible."""
    return (
        f'<header class="brand"><h1>{escape(text.TITLE)}</h1><p>{escape(text.TAGLINE)}</p>'
        f'<strong class="notice">{escape(words.NOTICE)}</strong></header>'
    )
