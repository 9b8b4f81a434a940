"""One self-contained HTML page to take away: pictures, numbers in plain words, provenance, and the reader's own view.

Nothing is loaded from elsewhere and nothing runs: pictures are inline PNGs, there is no script, and every
text that came from outside is escaped. It prints on A4 or Letter, what the case is called and the notice on each page.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from html import escape
from typing import Any

from strokenext import overlay
from strokenext.answer.provenance import Provenance
from strokenext.cascade import SeriesTriage, Triage
from strokenext.frame.framed import Caption, Place, framed_slice
from strokenext.frame.naming import case_title
from strokenext.segment.segmentation import Segmentation
from strokenext.slice.prediction import Prediction, SeriesPrediction
from strokenext.types import Caution, Slice, Window
from strokenext.volume.prediction import VolumePrediction

from . import figures, style, words

Answer = Prediction | Triage | SeriesPrediction | SeriesTriage
_TITLES = {"presence": "Is there a stroke?", "subtype": "Ischemic or hemorrhagic?"}


@dataclass(frozen=True)
class Reader:
    """The reader's own judgement, free text, printed as given; empty fields leave room to write by hand."""

    judgement: str = ""
    agreement: str = ""  # "agree", "disagree", "unsure"
    comment: str = ""


@dataclass(frozen=True)
class _Drawing:
    """How slices are drawn: `window` None is the one the model saw, `asked` what the reader wants of the evidence."""

    place: Place | None
    window: Window | None
    colormap: str
    asked: bool | None


def html(
    answer: Answer,
    image: Slice | None = None,
    *,
    reader: Reader | None = None,
    window: Window | None = None,
    colormap: str = "inferno",
    evidence: bool | None = None,
    series: SeriesPrediction | SeriesTriage | None = None,
    place: Place | None = None,
    whole: VolumePrediction | None = None,
    marks: Segmentation | None = None,
    title: str = "",
) -> str:
    """The page as text. `image` replaces the slice kept in the prediction; of a series the peak slice is shown.

    `title` is what the case is called, by default its own label or the start of its checksum; `series` the answer about
    the series that the slice is of, at `place`. `window` is for drawing only, by default the one the model saw;
    `evidence` draws it or leaves it out whatever was decided (`Classification.lit`). `whole` adds the volume model's
    answer about the series, `marks` what a segmentation model marks on the slice. Raises OptionError for a window on a
    picture without HU.
    """
    if isinstance(answer, SeriesPrediction | SeriesTriage):
        series = answer
    first = _first(answer)
    if place is None and isinstance(first, SeriesPrediction) and first.peak is not None:
        place = first.place(first.peak)
    drawing = _Drawing(place, window, colormap, evidence)
    parts = [_series(series, place)] if series is not None else []
    parts += _questions(answer, image, drawing)
    parts += [_whole(whole)] if whole is not None else []
    parts += [_marks(marks, drawing)] if marks is not None else []
    case = _case(first, title)
    cautions = _cautions(words.cautions(series, whole, answer, marks))
    name = f"StrokeNeXt report: {case}"
    head = (
        f'<!doctype html><html lang="en"><head><meta charset="utf-8"><title>{_text(name)}</title>'
        '<meta name="viewport" content="width=device-width,initial-scale=1">'
        f'<meta http-equiv="Content-Security-Policy" content="{style.POLICY}"><style>{style.sheet(case)}</style></head>'
    )
    where = "" if place is None else f'<p class="place">{_text(place)}</p>'
    top = f'<h1>StrokeNeXt report</h1><p class="case">{_text(case)}</p>{where}{_notice(words.NOTICE_LONG)}{cautions}'
    return f"{head}<body><main>{top}{''.join(parts)}{_reader(reader or Reader())}</main></body></html>\n"


def _first(answer: Answer) -> Prediction | SeriesPrediction:
    return answer.presence if isinstance(answer, Triage | SeriesTriage) else answer


def _case(first: Prediction | SeriesPrediction, title: str) -> str:
    if isinstance(first, SeriesPrediction):
        return case_title(first.case, first.sha256, title)
    return case_title(first.image.label, first.input.sha256, title)


def _questions(answer: Answer, image: Slice | None, drawing: _Drawing) -> Iterable[str]:
    if isinstance(answer, Triage | SeriesTriage):
        yield from _questions(answer.presence, image, drawing)
        if answer.subtype is not None:
            yield _question(answer.subtype, image, drawing, plain=False)
        else:
            yield "<p>The kind of stroke is asked only when presence is positive or indeterminate.</p>"
    elif isinstance(answer, SeriesPrediction):
        if answer.peak is not None:
            yield _question(answer.slices[answer.peak], image, drawing)
    else:
        yield _question(answer, image, drawing)


def _question(answer: Prediction, image: Slice | None, drawing: _Drawing, plain: bool = True) -> str:
    """One section: decision, pictures, numbers, provenance; `plain` shows the slice without evidence too."""
    numbers = [] if answer.refused else [words.probability(answer), words.interval(answer)]
    scope = "" if answer.gate.accepted else _notice(words.gate(answer), "refused")
    asked = _TITLES.get(answer.task, answer.task)
    of_slice = "" if drawing.place is None else f" Slice {drawing.place.index + 1}"
    parts = [
        f"<h2>{_text(asked + of_slice)}</h2>",
        f'<p class="decision">{_text(words.decision(answer))}</p>',
        scope,
        figures.line(answer),
        *(f"<p>{_text(line)}</p>" for line in (*numbers, words.trained(answer))),
        _pictures(answer, image or answer.image, drawing, plain),
        _provenance(answer),
    ]
    return f"<section>{''.join(parts)}</section>"


def _cautions(cautions: Sequence[Caution]) -> str:
    """What about the input may have changed the answers, a line each."""
    items = "".join(f"<li>{_text(caution.sentence)}</li>" for caution in cautions)
    return f'<div class="notice refused"><b>{words.CAUTIONS}</b><ul>{items}</ul></div>' if cautions else ""


def _series(given: SeriesPrediction | SeriesTriage, place: Place | None) -> str:
    """The whole series: decision, the curve of its slices, what was left out, and which models answered."""
    answer = _first(given)
    assert isinstance(answer, SeriesPrediction)
    subtype = given.subtype if isinstance(given, SeriesTriage) else None
    lines = [words.probability(answer), words.series(answer)]
    if isinstance(given, SeriesTriage) and subtype is not None and given.subtype_slice is not None:
        lines.append(f"The kind of stroke, asked of slice {given.subtype_slice + 1}: {words.decision(subtype)}")
    lines += [f"{count} left out: {reason}" for reason, count in _left_out(answer).most_common()]
    each = (
        f"not judged: {p.gate.reason}" if p.probability is None else words.percent(p.probability) for p in answer.slices
    )
    return (
        f'<section><h2>The series</h2><p class="decision">{_text(words.decision(answer))}</p>'
        f"{figures.line(answer)}{figures.curve(answer, None if place is None else place.index)}"
        f"{''.join(f'<p>{_text(line)}</p>' for line in lines)}<p>{_text(_models(answer, subtype))}</p>"
        f"<details><summary>Probability of each slice, from the feet to the head</summary>"
        f"{_table(dict(enumerate(each, 1)))}</details></section>"
    )


def _left_out(answer: SeriesPrediction) -> Counter[str]:
    """Files that are not in the series, by the reason; their names may be a person's."""
    return Counter(left.reason for left in answer.left_out)


def _models(series: SeriesPrediction, subtype: Prediction | None) -> str:
    """Which models answered about a series, each with its version."""
    sources = {p.provenance.model: p.provenance for p in (*series.slices[:1], *([subtype] if subtype else []))}
    named = (
        f"{s.model} ({s.revision or 'bundled or local'}, weights {s.weights_sha256[:12]})" for s in sources.values()
    )
    return f"Answered by {' and '.join(named)}."


def _whole(answer: VolumePrediction) -> str:
    """The volume model's answer about the series, with the slice on which its evidence is highest."""
    lines = [] if answer.refused else [words.probability(answer), words.whole(answer)]
    pictures = ""
    if answer.peak is not None:
        heat, image = answer.slices[answer.peak].heat, answer.volume[answer.peak]
        bare = replace(answer.caption(answer.peak), title="", answer="", cautions=())
        drawn = framed_slice(image, bare, heat=heat, strength=answer.lit(heat), letters=figures.LETTERS)
        caption = f"Slice {answer.peak + 1}, where the evidence of the volume model is highest. {words.EVIDENCE}"
        pictures = f'<div class="pictures">{figures.figure(drawn, "The slice with evidence", caption)}</div>'
    source = answer.provenance
    trained = f"The model was trained on: {source.trained_on.rstrip('.')}."
    return (
        f'<section><h2>The whole series at once</h2><p class="decision">{_text(words.decision(answer))}</p>'
        f"{figures.line(answer)}{''.join(f'<p>{_text(line)}</p>' for line in lines)}<p>{_text(trained)}</p>{pictures}"
        f"{_technical(_model(source))}</section>"
    )


def _marks(segmentation: Segmentation, drawing: _Drawing) -> str:
    """What the segmentation model marks on the slice, how large it is and what a mark means."""
    source, pictures, rows = segmentation.provenance, "", ""
    if not segmentation.refused:
        image = segmentation.image
        window = drawing.window or (segmentation.window if image.unit == "HU" else None)
        caption = Caption(place=drawing.place, window=window)
        drawn = framed_slice(image, caption, regions=segmentation.regions, letters=figures.LETTERS)
        pictures = f'<div class="pictures">{figures.figure(drawn, "The slice with marks", words.MARKS)}</div>'
        for region, color in zip(segmentation.regions, overlay.REGION_COLORS, strict=False):
            name = f'<span style="color:#1a1d21;border-left:.8rem solid rgb{color};padding-left:.4rem">'
            rows += f"<tr><th>{name}{_text(region.name)}</span></th><td>{_text(words.size(region))}. "
            rows += f"{_text(region.says)}</td></tr>"
    trained = f"The model (experimental) was trained on: {source.trained_on.rstrip('.')}."
    return (
        f'<section><h2>Marked regions</h2><p class="decision">{_text(words.marked(segmentation))}</p>{pictures}'
        f"<table>{rows}</table><p>{_text(trained)}</p>{_technical(_model(source))}</section>"
    )


def _pictures(answer: Prediction, image: Slice, drawing: _Drawing, plain: bool) -> str:
    """The slice as given and, where there is evidence, with it; what a reader must know stands around each."""
    hu = image.unit == "HU"
    window = (drawing.window or answer.window or overlay.default_window(image)) if hu else drawing.window
    shown = "grey levels of the file (no HU)" if window is None else f"window {window.width:g} / {window.level:g} HU"
    caption = Caption(place=drawing.place, window=window)
    how: dict[str, Any] = {"letters": figures.LETTERS, "colormap": drawing.colormap}
    pictures = []
    if plain:
        drawn = framed_slice(image, caption, **how)
        pictures.append(figures.figure(drawn, "The slice as given", f"The slice, {shown}."))
    heat = answer.heat
    if heat is not None:
        drawn = framed_slice(image, caption, heat=heat, strength=answer.lit(heat, drawing.asked), **how)
        says = f"{words.evidence(heat)} {words.EVIDENCE}"
        pictures.append(figures.figure(drawn, "The slice with evidence", says))
    return f'<div class="pictures">{"".join(pictures)}</div>'


def _provenance(answer: Prediction) -> str:
    source, given = answer.provenance, answer.input
    low, high = answer.band
    rows = _model(source) | {
        "Evidence": "none" if answer.heat is None else words.evidence_measured(answer.heat),
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
    return _technical(rows)


def _model(source: Provenance) -> dict[str, str]:
    """Which model it was, to find it again."""
    return {
        "Model": source.model + (" (experimental)" if source.experimental else ""),
        "Architecture": source.architecture,
        "Revision": source.revision or "bundled or local",
        "Weights, SHA-256": source.weights_sha256,
    }


def _technical(rows: Mapping[str, str]) -> str:
    """What a specialist asks for, a click away on the screen and open on paper."""
    return f"<details class=technical><summary>Technical: where the numbers come from</summary>{_table(rows)}</details>"


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
