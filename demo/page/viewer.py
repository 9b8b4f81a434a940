"""The slice viewer: its markup and scripts, the messages it is sent, and the pixels it asks for."""

from __future__ import annotations

import base64
import gzip
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any

import gradio as gr
import numpy as np

from demo.sessions import Case, CaseStore
from strokenext import (
    COLORMAPS,
    PRESETS,
    Heat,
    Prediction,
    Segmentation,
    Slice,
    StrokeNeXtError,
    Window,
    overlay,
    words,
)

from . import text

STATIC = Path(__file__).parent / "static"
SCRIPTS = (
    "pixels.js", "stage.js", "wheel.js", "gestures.js", "keys.js", "curve.js", "controls.js", "viewer.js",
    "takeaway.js", "upload.js", "drop.js", "unsaved.js", "rail.js", "side.js", "state.js",
)  # fmt: skip
Asks = Sequence[Callable[[dict[str, Any]], dict[str, Any]]]
#: Stored steps per grey level: 8-bit pictures are exact, 16-bit ones keep 7 of their 8 extra bits.
GREY_STEPS = 128
#: Gradio may mount a part before the scripts are there.
JOIN = """
const join = () => (window.StrokeNeXt?.join ? window.StrokeNeXt.join('{part}', element, {more}) : setTimeout(join, 20));
join();
"""
LINK = "{ server, hello: () => trigger('hello', {}), message: () => props.value }"
WATCH = "watch('value', () => window.StrokeNeXt?.page.greeted(props.value));"


def component(asks: Asks) -> gr.HTML:
    """The viewer as a Gradio component: `asks` are the functions that the browser calls, by their names.

    Event `hello` asks for the page's key, which comes with the value.
    """
    return gr.HTML(
        value=empty(),
        html_template=(STATIC / "viewer.html").read_text(encoding="utf-8"),
        js_on_load=joining("viewer", LINK) + WATCH,
        head=scripts(),
        server_functions=[*asks],
        apply_default_css=False,
        elem_id="viewer",
    )


def joining(part: str, more: str = "null") -> str:
    """The script by which a part of the page joins its owner in the browser; `more` is what it brings along."""
    return JOIN.replace("{part}", part).replace("{more}", more)


def scripts() -> str:
    """The viewer's scripts and colour tables, inline, so that the page asks for nothing else."""
    tables = {name: base64.b64encode(overlay.colors(name).tobytes()).decode("ascii") for name in COLORMAPS}
    pairs = ", ".join(f'{name}: read("{data}")' for name, data in tables.items())
    read = "const read = (text) => Uint8Array.from(atob(text), (c) => c.charCodeAt(0));"
    blocks = [f"(() => {{ {read} (window.StrokeNeXt ||= {{}}).luts = {{ {pairs} }}; }})();"]
    blocks += [(STATIC / name).read_text(encoding="utf-8") for name in SCRIPTS]
    return "".join(f"<script>{block}</script>" for block in blocks)


def empty() -> dict[str, Any]:
    """The message that nothing is open, with what the page says by itself, while the server cannot be asked."""
    return {
        "key": None,
        "count": 0,
        "windows": [],
        "presets": _windows(PRESETS),
        "empty": text.EMPTY_STAGE,
        "says": {name.lower(): getattr(text, name) for name in text.IN_THE_BROWSER},
    }


def message(key: str, case: Case, evidence: bool = True) -> dict[str, Any]:
    """What is open and, unless the reader must commit first, the evidence for the case's current slice.

    Plain JSON values, no pixels. Without `evidence` nothing of any slice.
    """
    image = case.images[case.index]
    presets = PRESETS if image.unit == "HU" else ()
    presence = None if case.hidden or case.answer is None or not evidence else case.answer.presence
    return {
        "key": key,
        "count": len(case.images),
        "title": case.title,
        "label": case.label,
        "unit": image.unit,
        "shape": list(image.shape),
        "spacing": list(image.spacing) if image.spacing else None,
        "windows": [{"name": "File", "width": w.width, "level": w.level} for w in image.windows] + _windows(presets),
        "presets": _windows(PRESETS),
        "why": None if image.unit == "HU" else text.NO_HU,
        "hidden": case.hidden,
        "about": case.index if evidence else None,
        "heat": None
        if presence is None or presence.heat is None
        else _heat(presence.heat, case.index) | _strength(presence),
        "curve": None if presence is None else curve(case, presence),
        "marks": None if presence is None or case.marked is None else _marks(case.marked, case.index),
    }


def curve(case: Case, presence: Prediction) -> dict[str, Any] | None:
    """Probability of stroke per slice, None with its reason where a slice was refused, and the slice's threshold."""
    if case.series is None:
        return None
    points = [{"p": p.probability, "reason": p.gate.reason} for p in case.series.presence.slices]
    return {"points": points, "threshold": presence.threshold, "band": list(presence.band)}


def reply(store: CaseStore, request: Mapping[str, Any]) -> dict[str, Any]:
    """Pixels of one slice of a case with the names of both, or {"error": sentence}."""
    key, index = request.get("case"), request.get("index")
    try:
        images = store.get(key).images
    except StrokeNeXtError as error:
        return {"error": str(error)}
    if isinstance(index, bool) or not isinstance(index, int) or not 0 <= index < len(images):
        return {"error": text.NO_SLICE}
    return {"case": key, "index": index} | encode(images[index], plain=bool(request.get("plain")))


def encode(image: Slice, plain: bool = False) -> dict[str, Any]:
    """(H, W) pixels as base64 of little-endian int16, gzipped unless `plain`; one step is `scale` HU or grey levels."""
    scale = 1.0 if image.unit == "HU" else 1.0 / GREY_STEPS
    stored = np.clip(np.rint(image.pixels / scale), -32768, 32767).astype("<i2").tobytes()
    data = stored if plain else gzip.compress(stored, 4)
    return {
        "encoding": "plain" if plain else "gzip",
        "data": base64.b64encode(data).decode("ascii"),
        "scale": scale,
        "edges": list(image.edges) if image.edges else None,
    }


def region_color(number: int) -> str:
    """The colour that the overlay draws a region in, for CSS."""
    return "rgb({}, {}, {})".format(*overlay.REGION_COLORS[number % len(overlay.REGION_COLORS)])


def _windows(windows: tuple[Window, ...]) -> list[dict[str, Any]]:
    return [{"name": w.name, "width": w.width, "level": w.level} for w in windows]


def _marks(marks: Segmentation, index: int) -> dict[str, Any]:
    """The marked regions of a slice as closed lines in pixels, each in its colour, with what a mark means."""
    regions = [
        {
            "name": region.name,
            "says": region.says,
            "size": words.size(region),
            "color": region_color(i),
            "outlines": [[v for point in line for v in point] for line in region.outlines()],
        }
        for i, region in enumerate(marks.regions)
    ]
    return {"index": index, "regions": regions, "note": words.MARKS}


def _strength(presence: Prediction) -> dict[str, float]:
    """How strongly the evidence is drawn: as the answer says, and where the reader asks for it."""
    return {"strength": presence.lit(presence.heat), "asked": presence.lit(presence.heat, asked=True)}


def _heat(heat: Heat, index: int) -> dict[str, Any]:
    return {
        "index": index,
        "maps": [[round(float(v), 5) for v in one.ravel()] for one in heat.maps],
        "grid": list(heat.grid),
        "encoders": list(heat.encoders),
        "affine": [float(v) for v in np.asarray(heat.affine).ravel()],
        "input_size": heat.input_size,
        "full_scale": heat.full_scale,
        "absolute": heat.absolute,
    }
