"""How the page looks: dark, or light where the reader's system is; the stage is always dark. Nothing from elsewhere."""

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
    '<meta name="color-scheme" content="dark light"><meta name="robots" content="noindex">'
    '<meta name="referrer" content="same-origin">'
    # Gradio's script, which comes later, names the page by Math.random(), which can be foretold.
    "<script>Math.random = () => {"
    " const [high, low] = crypto.getRandomValues(new Uint32Array(2));"
    " return (high * 2 ** 21 + (low >>> 11)) / 2 ** 53;"
    "};</script>"
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
    "chosen": "#24435a",
    "chosen-ink": "#ffffff",
    "off": "#8b97a4",
    "bar": "#3f6f92",
    "bar-over": "#c9853f",
}
#: The same by day.
LIGHT = {
    "ground": "#eceff3",
    "panel": "#ffffff",
    "raised": "#f2f5f8",
    "line": "#ccd4dc",
    "edge": "#697683",
    "text": "#14191f",
    "dim": "#4a5663",
    "accent": "#0a5c94",
    "accent-ink": "#ffffff",
    "stroke": "#8a4a00",
    "clear": "#0a5c94",
    "alarm": "#a3221a",
    "chosen": "#cfe4f5",
    "chosen-ink": "#08263b",
    "off": "#6f7a85",
    "bar": "#3f6f92",
    "bar-over": "#b06a1e",
}
#: Gradio's variables, each by its colour of the palette or by a value of its own.
VARIABLES = {
    "body_background_fill": "ground",
    "body_text_color": "text",
    "body_text_color_subdued": "dim",
    "background_fill_primary": "panel",
    "background_fill_secondary": "ground",
    "block_background_fill": "transparent",
    "block_border_width": "0px",
    "block_label_background_fill": "transparent",
    "block_label_text_color": "dim",
    "block_info_text_color": "dim",
    "block_title_text_color": "text",
    "border_color_primary": "line",
    "border_color_accent": "accent",
    "button_primary_background_fill": "accent",
    "button_primary_background_fill_hover": "accent",
    "button_primary_text_color": "accent-ink",
    "button_secondary_background_fill": "raised",
    "button_secondary_background_fill_hover": "line",
    "button_secondary_text_color": "text",
    "button_secondary_border_color": "line",
    "input_background_fill": "raised",
    "input_border_color": "edge",
    "input_placeholder_color": "dim",
    "checkbox_background_color": "raised",
    "checkbox_border_color": "edge",
    "checkbox_background_color_selected": "accent",
    "checkbox_border_color_selected": "accent",
    "checkbox_label_background_fill": "transparent",
    "checkbox_label_background_fill_selected": "line",
    "checkbox_label_text_color": "text",
    "checkbox_label_text_color_selected": "text",
    "slider_color": "accent",
    "color_accent": "accent",
    "color_accent_soft": "raised",
    "link_text_color": "accent",
    "error_background_fill": "panel",
    "error_text_color": "alarm",
    "error_border_color": "alarm",
}


def theme() -> gr.themes.Base:
    """Gradio's base theme in the colours of the sheets, which know whether it is day or night."""
    base = gr.themes.Base(font=FONTS, font_mono=MONO, text_size="sm", spacing_size="sm", radius_size="sm")
    drawn = {name: f"var(--snx-{value})" if value in PALETTE else value for name, value in VARIABLES.items()}
    light = {name: value for name, value in drawn.items() if hasattr(base, name)}
    dark = {f"{name}_dark": value for name, value in light.items() if hasattr(base, f"{name}_dark")}
    return base.set(**light, **dark)


def head() -> str:
    """What stands in the page's head: who may index it, and our sheets, in which Gradio would rewrite the selectors."""
    return f"{HEAD}<style>{css()}</style>"


def css() -> str:
    """The colours as variables, dark for the stage whatever the hour, then the sheets."""
    night, day = ("".join(f"--snx-{name}: {value};" for name, value in colors.items()) for colors in (PALETTE, LIGHT))
    sheets = "\n".join((STATIC / name).read_text(encoding="utf-8") for name in SHEETS)
    return (
        f":root {{ color-scheme: dark; {night} }}\n"
        f"@media (prefers-color-scheme: light) {{ :root {{ color-scheme: light; {day} }} }}\n"
        f".v-stage {{ color-scheme: dark; {night} }}\n{sheets}"
    )


def brand() -> str:
    """The bar's left end: name, purpose, and the notice that is always visible."""
    return (
        f'<header class="brand"><h1>{escape(text.TITLE)}</h1><p>{escape(text.TAGLINE)}</p>'
        f'<strong class="notice">{escape(words.NOTICE)}</strong></header>'
    )
