"""What the reader takes away: JSON, overlay, report or all of it, made in memory when asked for."""

from __future__ import annotations

import base64
import io
import json
import logging
import zipfile
from collections.abc import Callable
from dataclasses import dataclass, replace
from typing import Any

import gradio as gr

from demo.sessions import Case
from strokenext import (
    COLORMAPS,
    Caution,
    Place,
    SeriesTriage,
    StrokeNeXtError,
    Triage,
    Window,
    errors,
    file_stem,
    framed_slice,
    png,
    report,
    windows,
    words,
)

from . import text
from .viewer import STATIC, joining

log = logging.getLogger("strokenext.page")
COMMENT_LIMIT = 2000
Shown = Callable[[dict[str, Any]], Case]


@dataclass(frozen=True)
class Opinion:
    """What the reader thinks of the answer; it exists only inside one download."""

    agreement: str = ""
    comment: str = ""


@dataclass(frozen=True)
class View:
    """How the reader has the picture on the screen; `window` only for a picture with HU."""

    window: Window | None = None
    brightness: float = 0.0
    contrast: float = 1.0
    opacity: float = 0.6
    colormap: str = COLORMAPS[0]
    encoder: str = "both"
    style: str = "heat"
    marking: bool = True  # whether the segmentation model's marks are drawn, where there are some
    evidence: bool | None = None  # whether the reader asked for the evidence or asked it away; None for neither


@dataclass(frozen=True)
class Download:
    """A file in memory."""

    name: str
    type: str
    data: bytes


def component(shown: Shown) -> gr.HTML:
    """The feedback and download panel; `shown` gives the case that a request names, as it is on the page."""

    def download(request: dict[str, Any]) -> dict[str, Any]:
        return reply(shown, request)

    return gr.HTML(
        value="",
        html_template=_markup(),
        js_on_load=joining("takeaway", "{ server }"),
        server_functions=[download],
        apply_default_css=False,
        elem_id="takeaway",
    )


def reply(shown: Shown, request: dict[str, Any]) -> dict[str, Any]:
    """One file as base64 for the browser to save, with the names of its case and slice, or {"error": sentence}."""
    try:
        case = shown(request)
        if case.answer is None or case.hidden:
            return {"error": text.HIDDEN if case.hidden else text.NOT_YET}
        opinion = Opinion(str(request.get("opinion", ""))[:40], str(request.get("comment", ""))[:COMMENT_LIMIT])
        file = make(str(request.get("kind")), case, case.answer, opinion, _view(request.get("view"), case))
    except StrokeNeXtError as error:
        return {"error": str(error)}
    except Exception:
        log.exception("a download could not be made")
        return {"error": text.UNEXPECTED}
    names = {"case": request.get("case"), "index": case.index, "sequence": request.get("sequence")}
    return names | {"name": file.name, "type": file.type, "data": base64.b64encode(file.data).decode("ascii")}


def make(kind: str, case: Case, triage: Triage, opinion: Opinion, view: View) -> Download:
    """The file of one of KINDS, or for any other kind a zip with all of them."""
    stem = _stem(case)
    if kind in KINDS:
        ending, media, data = KINDS[kind]
        return Download(f"{stem}{ending}", media, data(case, triage, opinion, view))
    buffer = io.BytesIO()
    with zipfile.ZipFile(buffer, "w", zipfile.ZIP_DEFLATED) as archive:
        for ending, _, data in KINDS.values():
            archive.writestr(f"{stem}{ending}", data(case, triage, opinion, view))
    return Download(f"{stem}.zip", "application/zip", buffer.getvalue())


def _stem(case: Case) -> str:
    """How the names of its files begin: what the case is called, the slice of a series, and the program."""
    place = f"-slice-{case.index + 1}" if case.volume is not None else ""
    return f"{file_stem(case.label)}{place}-strokenext" if case.label else f"strokenext{place}"


def _view(sent: object, case: Case) -> View:
    """What the browser says is on the screen. Raises OptionError for values the library would not draw."""
    if not isinstance(sent, dict):
        return View()
    default = View()

    def number(name: str, otherwise: float) -> float:
        value = sent.get(name, otherwise)
        if isinstance(value, bool) or not isinstance(value, int | float):
            raise errors.OptionError("The picture's settings could not be understood. Reload the page and try again.")
        return float(value)

    hu, brain = case.images[case.index].unit == "HU", windows.BRAIN
    return View(
        window=windows.custom(number("width", brain.width), number("level", brain.level)) if hu else None,
        brightness=default.brightness if hu else number("brightness", default.brightness),
        contrast=default.contrast if hu else number("contrast", default.contrast),
        opacity=number("opacity", default.opacity),
        colormap=str(sent.get("colours", default.colormap)),
        encoder=str(sent.get("encoder", default.encoder)),
        style=str(sent.get("style", default.style)),
        marking=sent.get("marking", default.marking) is True,
        evidence=sent["evidence"] if isinstance(sent.get("evidence"), bool) else None,
    )


def _json(case: Case, triage: Triage, opinion: Opinion, _view: View) -> bytes:
    body = triage.to_json() | {"notice": words.NOTICE, "slice": case.index + 1, "slices": len(case.images)}
    body["label"] = case.label
    body["cautions"] = [dict(vars(one)) for one in _cautions(case, triage)]
    if case.series is not None:
        body["series"] = case.series.to_json()
    if case.whole is not None:
        body["volume"] = case.whole.to_json()
    if case.marked is not None:
        body["segmentation"] = case.marked.to_json()
    if case.reading is not None:
        reading = case.reading
        body["reading"] = {"verdict": reading.verdict, "seconds": round(reading.seconds, 1), "before_model": True}
    if opinion.agreement or opinion.comment:
        body["feedback"] = {"opinion": opinion.agreement, "comment": opinion.comment}
    return json.dumps(body, indent=2, ensure_ascii=False).encode("utf-8")


def _overlay(case: Case, triage: Triage, _opinion: Opinion, view: View) -> bytes:
    settings = {name: value for name, value in vars(view).items() if name not in ("marking", "evidence", "window")}
    regions = case.marked.regions if case.marked is not None and view.marking else ()
    presence, image = triage.presence, case.images[case.index]
    caption = replace(presence.caption(case.label, _place(case)), cautions=_cautions(case, triage), window=view.window)
    strength = presence.lit(presence.heat, view.evidence)
    return png(framed_slice(image, caption, heat=presence.heat, strength=strength, regions=regions, **settings))


def _place(case: Case) -> Place | None:
    """Where the slice that is shown lies in its series; None for a single one."""
    if case.volume is None:
        return None
    positions = case.volume.positions
    return Place(case.index, len(case.images), None if positions is None else positions[case.index])


def _series(case: Case, triage: Triage) -> SeriesTriage | None:
    """The answer about the series at the threshold of the slice's answer, which the reader may have moved since."""
    if case.series is None:
        return None
    return replace(case.series, presence=case.series.presence.under(triage.presence.rule))


def _cautions(case: Case, triage: Triage) -> tuple[Caution, ...]:
    """All that any answer on the page says, once each."""
    return words.cautions(case.volume, case.series, case.whole, triage, case.marked)


def _report(case: Case, triage: Triage, opinion: Opinion, view: View) -> bytes:
    reading = ""
    if case.reading is not None:
        reading = f"{case.reading.verdict}, {case.reading.seconds:.0f} s after opening, before the model's answer"
    page = report.html(
        triage,
        case.images[case.index],
        reader=report.Reader(reading, opinion.agreement.lower(), opinion.comment),
        window=view.window,
        colormap=view.colormap,
        evidence=view.evidence,
        series=_series(case, triage),
        place=_place(case),
        whole=case.whole,
        marks=case.marked,
        title=case.label,
    )
    return page.encode("utf-8")


#: Of each kind of file the end of its name, its media type, and what is in it.
KINDS: dict[str, tuple[str, str, Callable[[Case, Triage, Opinion, View], bytes]]] = {
    "json": (".json", "application/json", _json),
    "png": ("-overlay.png", "image/png", _overlay),
    "html": ("-report.html", "text/html", _report),
}


def _markup() -> str:
    opinions = "".join(
        f'<label><input type="radio" name="snx-opinion" value="{name}"> {name}</label>' for name in text.OPINIONS
    )
    kinds = (("html", "Report"), ("png", "Overlay PNG"), ("json", "JSON"), ("zip", "All (zip)"))
    buttons = "".join(f'<button type="button" data-kind="{kind}">{label}</button>' for kind, label in kinds)
    markup = (STATIC / "takeaway.html").read_text(encoding="utf-8")
    for name, value in {
        "@FEEDBACK": text.FEEDBACK,
        "@OPINIONS": opinions,
        "@NOTE": text.FEEDBACK_NOTE,
        "@DOWNLOADS": text.DOWNLOADS,
        "@BUTTONS": buttons,
    }.items():
        markup = markup.replace(name, value)
    return markup
