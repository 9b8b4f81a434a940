"""One self-contained HTML page to take away: pictures, numbers in plain words, provenance, and the reader's own view.

Nothing is loaded from elsewhere and nothing runs: pictures are inline PNGs, there is no script, and every
text that came from outside is escaped. It prints on A4 or Letter.
"""

from __future__ import annotations

import base64
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from html import escape
from typing import Any

from strokenext import overlay
from strokenext.cascade import SeriesTriage, Triage
from strokenext.segment.segmentation import Segmentation
from strokenext.slice.prediction import Prediction, SeriesPrediction
from strokenext.types import ByteArray, Caution, Slice, Window
from strokenext.volume.prediction import VolumePrediction

from . import words

Answer = Prediction | Triage | SeriesPrediction | SeriesTriage
_TITLES = {"presence": "Is there a stroke?", "subtype": "Ischemic or hemorrhagic?"}
_POLICY = "default-src 'none'; img-src data:; style-src 'unsafe-inline'"
_STYLE = """
:root{color-scheme:light}*{box-sizing:border-box}
body{font:15px/1.5 system-ui,-apple-system,"Segoe UI",sans-serif;color:#1a1d21;background:#fff;max-width:60rem;
margin:2rem auto;padding:0 1.25rem}
h1{font-size:1.5rem;margin:0}h2{font-size:1.15rem;margin:2rem 0 .5rem;border-bottom:1px solid #cdd3da}
.notice{border-left:4px solid #b25b00;background:#fff6ea;padding:.6rem .9rem;margin:1rem 0}
.notice ul{margin:.2rem 0 0;padding-left:1.2rem}.refused{border-color:#8a1f2b;background:#fdeff0}
.pictures{display:flex;flex-wrap:wrap;gap:1rem;align-items:flex-start}
figure{margin:0}figcaption{color:#4b535d;font-size:.85rem;max-width:24rem}
figure img{display:block;background:#000;width:24rem;max-width:100%}figure.bar img{width:auto;background:#fff}
.decision{font-size:1.2rem;font-weight:600;margin:.5rem 0}
.scale{position:relative;height:1.4rem;background:#e6eaef;margin:.6rem 0;max-width:40rem}
.scale i{position:absolute;top:0;bottom:0}.scale .band{background:#c3ccd6}.scale .line{width:2px;background:#1a1d21}
.key{color:#4b535d;font-size:.85rem;margin:-.3rem 0 .8rem}
.scale .mark{width:.6rem;margin-left:-.3rem;background:#0b5fa5}
table{border-collapse:collapse;width:100%;font-size:.85rem}th{text-align:left;font-weight:500;color:#4b535d;
width:13rem;vertical-align:top}td,th{padding:.2rem .5rem .2rem 0;border-bottom:1px solid #e6eaef}
td{overflow-wrap:anywhere}.blank{border-bottom:1px solid #1a1d21;height:1.8rem}
@media print{body{margin:0;max-width:none}h2{break-after:avoid}figure,table,.notice{break-inside:avoid}
*{-webkit-print-color-adjust:exact;print-color-adjust:exact}}
"""


@dataclass(frozen=True)
class Reader:
    """The reader's own judgement, free text, printed as given; empty fields leave room to write by hand."""

    judgement: str = ""
    agreement: str = ""  # "agree", "disagree", "unsure"
    comment: str = ""


def html(
    answer: Answer,
    image: Slice | None = None,
    *,
    reader: Reader | None = None,
    window: Window | None = None,
    colormap: str = "inferno",
    whole: VolumePrediction | None = None,
    marks: Segmentation | None = None,
) -> str:
    """The page as text. `image` replaces the slice kept in the prediction; of a series the peak slice is shown.

    `window` is for drawing only, by default the one the model saw; `whole` adds the volume model's answer about the
    series, `marks` what a segmentation model marks on the slice. Raises OptionError for a window on a picture without
    HU.
    """
    parts = list(_questions(answer, image, window, colormap))
    parts += [_whole(whole)] if whole is not None else []
    parts += [_marks(marks, window)] if marks is not None else []
    title = "StrokeNeXt report"
    head = (
        f'<!doctype html><html lang="en"><head><meta charset="utf-8"><title>{title}</title>'
        '<meta name="viewport" content="width=device-width,initial-scale=1">'
        f'<meta http-equiv="Content-Security-Policy" content="{_POLICY}"><style>{_STYLE}</style></head><body><main>'
    )
    top = f"<h1>{title}</h1>{_notice(words.NOTICE_LONG)}{_cautions(words.cautions(answer, whole, marks))}"
    return f"{head}{top}{''.join(parts)}{_reader(reader or Reader())}</main></body></html>\n"


def _questions(answer: Answer, image: Slice | None, window: Window | None, colormap: str) -> Iterable[str]:
    if isinstance(answer, Triage | SeriesTriage):
        yield from _questions(answer.presence, image, window, colormap)
        if answer.subtype is not None:
            yield _question(answer.subtype, image, window, colormap)
        else:
            yield "<p>The kind of stroke is asked only when presence is positive or indeterminate.</p>"
    elif isinstance(answer, SeriesPrediction):
        yield _series(answer)
        if answer.peak is not None:
            yield _question(answer.slices[answer.peak], image, window, colormap)
    else:
        yield _question(answer, image, window, colormap)


def _question(answer: Prediction, image: Slice | None, window: Window | None, colormap: str) -> str:
    """One section: decision, pictures, numbers, provenance."""
    numbers = [] if answer.refused else [words.probability(answer), words.interval(answer)]
    scope = "" if answer.gate.accepted else _notice(words.gate(answer), "refused")
    parts = [
        f"<h2>{_text(_TITLES.get(answer.task, answer.task))}</h2>",
        f'<p class="decision">{_text(words.decision(answer))}</p>',
        scope,
        _line(answer),
        *(f"<p>{_text(line)}</p>" for line in (*numbers, words.trained(answer))),
        _pictures(answer, image or answer.image, window, colormap),
        _provenance(answer),
    ]
    return f"<section>{''.join(parts)}</section>"


def _cautions(cautions: Sequence[Caution]) -> str:
    """What about the input may have changed the answers, a line each."""
    items = "".join(f"<li>{_text(caution.sentence)}</li>" for caution in cautions)
    return f'<div class="notice refused"><b>{words.CAUTIONS}</b><ul>{items}</ul></div>' if cautions else ""


def _series(answer: SeriesPrediction) -> str:
    """The whole series: decision and the probability of every slice."""
    each = (
        f"not judged: {p.gate.reason}" if p.probability is None else words.percent(p.probability) for p in answer.slices
    )
    return (
        f'<section><h2>The series</h2><p class="decision">{_text(words.decision(answer))}</p>'
        f"{_line(answer)}<p>{_text(words.probability(answer))}</p><p>{_text(words.series(answer))}</p>"
        f"<details><summary>Probability of each slice, from the feet to the head</summary>"
        f"{_table(dict(enumerate(each, 1)))}</details></section>"
    )


def _whole(answer: VolumePrediction) -> str:
    """The volume model's answer about the series, with the slice on which its evidence is highest."""
    lines = [] if answer.refused else [words.probability(answer), words.whole(answer)]
    pictures = ""
    if answer.peak is not None:
        part = answer.slices[answer.peak]
        drawing = overlay.render(answer.volume[answer.peak], part.heat, window=part.window)
        caption = f"Slice {answer.peak + 1}, where the evidence of the volume model is highest. {words.EVIDENCE}"
        pictures = f'<div class="pictures">{_figure(drawing, "The slice with evidence", caption)}</div>'
    source = answer.provenance
    trained = f"The model {source.model} was trained on: {source.trained_on.rstrip('.')}."
    return (
        f'<section><h2>The whole series at once</h2><p class="decision">{_text(words.decision(answer))}</p>'
        f"{_line(answer)}{''.join(f'<p>{_text(line)}</p>' for line in lines)}<p>{_text(trained)}</p>{pictures}"
        f"<p>Weights, SHA-256: {_text(source.weights_sha256)}</p></section>"
    )


def _marks(segmentation: Segmentation, window: Window | None) -> str:
    """What the segmentation model marks on the slice, how large it is and what a mark means."""
    source, pictures, rows = segmentation.provenance, "", ""
    if not segmentation.refused:
        drawing = overlay.render(segmentation.image, window=window or segmentation.window, regions=segmentation.regions)
        pictures = f'<div class="pictures">{_figure(drawing, "The slice with marks", words.MARKS)}</div>'
        for region, color in zip(segmentation.regions, overlay.REGION_COLORS, strict=False):
            name = f'<span style="color:#1a1d21;border-left:.8rem solid rgb{color};padding-left:.4rem">'
            rows += f"<tr><th>{name}{_text(region.name)}</span></th><td>{_text(words.size(region))}. "
            rows += f"{_text(region.says)}</td></tr>"
    trained = f"The model {source.model} (experimental) was trained on: {source.trained_on.rstrip('.')}."
    return (
        f'<section><h2>Marked regions</h2><p class="decision">{_text(words.marked(segmentation))}</p>{pictures}'
        f"<table>{rows}</table><p>{_text(trained)}</p><p>Weights, SHA-256: {_text(source.weights_sha256)}</p></section>"
    )


def _line(answer: Prediction | SeriesPrediction | VolumePrediction) -> str:
    """Probability, threshold and band on a line from 0 to 1, with the same in words for screen readers."""
    if answer.probability is None:
        return ""
    low, high = answer.band
    return (
        f'<div class="scale" role="img" aria-label="{_text(words.probability(answer))}">'
        f'<i class="band" style="left:{low:.1%};width:{high - low:.1%}"></i>'
        f'<i class="line" style="left:{answer.threshold:.1%}"></i>'
        f'<i class="mark" style="left:{answer.probability:.1%}"></i></div>'
        '<p class="key">From 0 to 1. Blue mark: probability. Black line: threshold. Grey band: nothing is decided.</p>'
    )


def _pictures(answer: Prediction, image: Slice, window: Window | None, colormap: str) -> str:
    used = (window or answer.window) if image.unit == "HU" else window
    shown = "grey levels of the file (no HU)"
    if image.unit == "HU":
        drawn = used or overlay.default_window(image)
        shown = f"window {drawn.width:g} / {drawn.level:g} HU"
    figures = [_figure(overlay.render(image, window=used), "The slice as given", f"The slice, {shown}.")]
    if answer.heat is not None:
        drawing = overlay.render(image, answer.heat, window=used, colormap=colormap)
        figures.append(_figure(drawing, "The slice with evidence", f"{words.evidence(answer.heat)} {words.EVIDENCE}"))
        bar = overlay.colorbar(answer.heat, colormap, dark=False)
        figures.append(_figure(bar, "Colour scale of the evidence", "", "bar"))
    return f'<div class="pictures">{"".join(figures)}</div>'


def _figure(pixels: ByteArray, alternative: str, caption: str, kind: str = "") -> str:
    data = base64.b64encode(overlay.png(pixels)).decode("ascii")
    below = f"<figcaption>{_text(caption)}</figcaption>" if caption else ""
    return f'<figure class="{kind}"><img alt="{_text(alternative)}" src="data:image/png;base64,{data}">{below}</figure>'


def _provenance(answer: Prediction) -> str:
    source, given = answer.provenance, answer.input
    low, high = answer.band
    rows = {
        "Model": source.model + (" (experimental)" if source.experimental else ""),
        "Architecture": source.architecture,
        "Revision": source.revision or "bundled or local",
        "Weights, SHA-256": source.weights_sha256,
        "Threshold and band": f"{answer.threshold:.4f}; {low:.4f} to {high:.4f}",
        "Probability and raw logit": "none" if answer.refused else f"{answer.probability:.6f}; {answer.logit:.6f}",
        "Input": f"{given.kind}, {given.shape[1]} × {given.shape[0]} pixels, {given.unit}",
        "Input, SHA-256": given.sha256,
        "Notes on the input": " ".join(answer.image.notes) or "none",
        "Preprocessing": ", ".join(f"{name} {value}" for name, value in source.preprocess.items()),
        "Software": ", ".join(f"{name} {version}" for name, version in source.versions.items()),
        "Device": f"{source.device}, {source.precision}",
        "Time (UTC)": source.time,
    }
    return f"<h3>Where the numbers come from</h3>{_table(rows)}"


def _reader(reader: Reader) -> str:
    rows = {
        "Own reading": reader.judgement,
        "Agreement with the model": reader.agreement,
        "Comment": reader.comment,
    }
    table = _table(rows, empty="<div class=blank></div>")
    return f"<section><h2>The reader's own judgement</h2>{table}</section>"


def _table(rows: Mapping[Any, str], empty: str = "") -> str:
    """Names and values as two columns; `empty` is the HTML of a value that is not there."""
    lines = (f"<tr><th>{_text(name)}</th><td>{_text(value) or empty}</td></tr>" for name, value in rows.items())
    return f"<table>{''.join(lines)}</table>"


def _notice(text: str, kind: str = "") -> str:
    return f'<p class="notice {kind}">{_text(text)}</p>'


def _text(value: object) -> str:
    return escape(str(value), quote=True)
