"""The answer as HTML: what the model says, how sure that kind of score has been, and where it comes from."""

from __future__ import annotations

from collections.abc import Sequence, Set
from html import escape

from demo.service import ServiceState
from demo.sessions import Case, Reading
from strokenext import Caution, Prediction, Segmentation, SeriesPrediction, VolumePrediction, words

from . import text
from .viewer import region_color


def note(sentence: str, kind: str = "wait") -> str:
    """A panel with one sentence: kind "wait", "empty", "error" or "hidden"."""
    return f'<div class="a-note a-{kind}">{escape(sentence)}</div>'


def state(models: ServiceState) -> str:
    """The state of the models, for the bar at the top; a click says which they are."""
    sentence = {
        "loading": text.MODELS_LOADING,
        "ready": text.models_ready(models.architectures) + (f". {models.message}" if models.absent else ""),
        "failed": models.message,
    }[models.status]
    said = escape(sentence)
    if models.status == "ready":
        named = escape(text.models_named(models.architectures, models.device))
        said = f"<details><summary>{said}</summary><p>{named}</p></details>"
    return f'<div class="s-state s-{models.status}" role="status">{said}</div>'


def progress(done: int, total: int) -> str:
    """A bar while a series is being predicted."""
    share = 100 * done / max(total, 1)
    bar = f'<div class="a-progress"><i style="width:{share:.0f}%"></i></div>'
    return f'<div class="a-note a-wait">{escape(text.series_progress(done, total))}{bar}</div>'


def html(case: Case, stored: float | None = None) -> str:
    """The whole panel for the slice that is shown; `stored` is the presence model's own threshold.

    What is said of the case and what is said of the slice stand in elements of their own: the browser removes the
    second the moment the reader leaves the slice.
    """
    if case.hidden:
        return note(text.HIDDEN, "hidden")
    if case.answer is None:
        return note(text.NOT_YET)
    presence, subtype = case.answer.presence, case.answer.subtype
    of_case = [f'<p class="a-label">{escape(case.label)}</p>'] if case.label else []
    of_case += [_reading(case.reading)] if case.reading else []
    of_case += [_series(case.series.presence, presence)] if case.series else []
    of_case += [_whole(case.whole)] if case.whole else []
    of_all = words.cautions(case.volume, case.series, case.whole)
    of_case += [_cautions(of_all)] if of_all else []
    own = [caution for caution in words.cautions(case.answer, case.marked) if caution not in of_all]
    parts = [_presence(case, presence, stored)] + ([_cautions(own)] if own else [])
    if presence.probability is not None:
        parts += [_subtype(subtype), _evidence(presence)]
    parts += [_marked(case.marked)] if case.marked is not None else []
    parts += [
        _notes(case, {caution.sentence for caution in (*of_all, *own)}),
        _training(presence, subtype, case.whole, case.marked),
        _provenance(presence),
    ]
    return f'<div class="snx-answer" data-slice="{case.index}">{_of("case", of_case)}{_of("slice", parts)}</div>'


def _of(what: str, parts: Sequence[str]) -> str:
    return f'<div data-of="{what}">{"".join(parts)}</div>' if parts else ""


def _presence(case: Case, presence: Prediction, stored: float | None) -> str:
    where = f" on slice {case.index + 1}" if len(case.images) > 1 else ""
    head = f"<h2>Stroke{where}</h2>"
    if presence.probability is None:
        return (
            f'<section class="a-card a-refused" data-decision="refused">{head}'
            f'<p class="a-big">{text.REFUSED}</p><p class="a-reason">{escape(presence.gate.reason)}</p></section>'
        )
    forced = "" if presence.gate.accepted else f'<p class="a-warn">{text.FORCED} {escape(presence.gate.reason)}</p>'
    interval = f"<p>{escape(words.interval(presence))}</p>"
    return (
        f'<section class="a-card" data-decision="{escape(presence.decision)}">{head}'
        f'<p class="a-number"><b>{words.percent(presence.probability)}</b><span>probability of stroke</span></p>'
        f"{bar(presence, ('0', '1'))}"
        f'<p class="a-decision">{escape(words.decision(presence))}</p>{forced}{interval}'
        f'<p class="a-dim">{escape(text.threshold(presence.threshold, presence.band, stored))}</p></section>'
    )


def _subtype(subtype: Prediction | None) -> str:
    head = f'<h2>Type <em class="a-tag">{text.EXPERIMENTAL}</em></h2>'
    if subtype is None or subtype.probability is None:
        reason = text.NO_SUBTYPE if subtype is None else subtype.gate.reason
        return f'<section class="a-card a-minor">{head}<p class="a-dim">{escape(reason)}</p></section>'
    interval = f"<p>{escape(words.interval(subtype))}</p>"
    left, right = words.percent(1 - subtype.probability), words.percent(subtype.probability)
    return (
        f'<section class="a-card a-minor" data-decision="{escape(subtype.decision)}">{head}'
        f'<p class="a-pair"><span>Ischemic <b>{left}</b></span><span><b>{right}</b> Hemorrhagic</span></p>'
        f'{bar(subtype, ("", ""), "a-two")}<p class="a-decision">{escape(words.decision(subtype))}</p>'
        f"{interval}</section>"
    )


def bar(prediction: Prediction | VolumePrediction, ends: tuple[str, str], kind: str = "") -> str:
    """The probability on 0..1 with the threshold as a line and the indeterminate band as a field."""
    p, (low, high) = prediction.probability or 0.0, prediction.band
    label = f"Probability {p:.2f}, threshold {prediction.threshold:.2f}, indeterminate band {low:.2f} to {high:.2f}"
    return (
        f'<div class="a-bar {kind}" role="img" aria-label="{label}">'
        f'<i class="b-fill" style="width:{p * 100:.2f}%"></i>'
        f'<i class="b-band" style="left:{low * 100:.2f}%;width:{(high - low) * 100:.2f}%"></i>'
        f'<i class="b-threshold" style="left:{prediction.threshold * 100:.2f}%"></i>'
        f'<i class="b-value" style="left:{p * 100:.2f}%"></i></div>'
        + (f'<div class="a-ends"><span>{ends[0]}</span><span>{ends[1]}</span></div>' if ends[0] else "")
    )


def _series(series: SeriesPrediction, presence: Prediction) -> str:
    """The series at the threshold of the slice's answer, which the reader may have moved since."""
    line = escape(words.series(series))
    if series.probability is None:
        return f'<section class="a-card a-minor a-series"><h2>Series</h2><p>{line}</p></section>'
    decision = series.under(presence.rule).decision
    return (
        f'<section class="a-card a-minor a-series" data-decision="{escape(decision)}"><h2>Series</h2>'
        f'<p class="a-pair"><span>{escape(text.SHORT[decision])}</span><b>{words.percent(series.probability)}</b></p>'
        f'<p class="a-dim">{line}</p></section>'
    )


def _whole(whole: VolumePrediction) -> str:
    """The series as the volume model sees it, at its own threshold, beside what the slices add up to."""
    head = f'<h2>{text.WHOLE} <em class="a-tag">{text.WHOLE_TAG}</em></h2>'
    if whole.probability is None:
        return (
            f'<section class="a-card a-minor a-series a-whole" data-decision="refused">{head}'
            f'<p class="a-decision">{text.REFUSED}</p><p class="a-reason">{escape(whole.gate.reason)}</p></section>'
        )
    rule = text.threshold(whole.threshold, whole.band, None)
    return (
        f'<section class="a-card a-minor a-series a-whole" data-decision="{escape(whole.decision)}">{head}'
        f'<p class="a-pair"><span>{escape(text.SHORT[whole.decision])}</span>'
        f"<b>{words.percent(whole.probability)}</b></p>{bar(whole, ('0', '1'))}"
        f'<p class="a-dim">{escape(words.whole(whole))} {escape(rule)}</p></section>'
    )


def _evidence(presence: Prediction) -> str:
    heat = presence.heat
    if heat is None:
        return ""
    return (
        f'<section class="a-card a-minor"><h2>Evidence</h2><p>{escape(words.evidence(heat))}</p>'
        f'<p class="a-dim">{words.EVIDENCE}</p></section>'
    )


def _marked(marks: Segmentation) -> str:
    """What the segmentation model marks, in the colours of the overlay, and what a mark means."""
    rows = "".join(
        f'<li><i style="background:{region_color(i)}"></i><div><b>{escape(region.name)}</b>, '
        f'{escape(words.size(region))}<p class="a-dim">{escape(region.says)}</p></div></li>'
        for i, region in enumerate(marks.regions)
    )
    nothing = f"<p>{text.MARKED_NOTHING}</p>" if marks.empty else ""
    return (
        f'<section class="a-card a-minor a-marks"><h2>{text.MARKED} '
        f'<em class="a-tag">{text.EXPERIMENTAL}</em></h2>{nothing}<ul>{rows}</ul>'
        f'<p class="a-dim">{escape(words.MARKS)}</p></section>'
    )


def _reading(reading: Reading) -> str:
    return (
        '<section class="a-card a-minor"><h2>Your reading</h2>'
        f"<p>{escape(reading.verdict)}, after {reading.seconds:.0f} s, before the model's answer was shown.</p>"
        "</section>"
    )


def _cautions(cautions: Sequence[Caution]) -> str:
    """What about the file may have changed the answer, beside the answer."""
    items = "".join(f"<li>{escape(caution.sentence)}</li>" for caution in cautions)
    return f'<section class="a-card a-cautions"><h2>{words.CAUTIONS}</h2><ul>{items}</ul></section>'


def _notes(case: Case, said: Set[str]) -> str:
    """What else the file says of itself, without the sentences `said` beside the answer."""
    image = case.images[case.index]
    sentences = list(image.notes)
    if image.header.burned_in_text:
        sentences.append(text.BURNED_IN)
    if case.volume is not None:
        sentences += case.volume.notes
        sentences += [left.reason for left in case.volume.left_out[:20]]
    sentences = [sentence for sentence in dict.fromkeys(sentences) if sentence not in said]
    if not sentences:
        return ""
    items = "".join(f"<li>{escape(sentence)}</li>" for sentence in sentences)
    return f'<details class="a-more"><summary>About this file</summary><ul>{items}</ul></details>'


def _training(
    presence: Prediction, subtype: Prediction | None, whole: VolumePrediction | None, marked: Segmentation | None
) -> str:
    lines = [f"<p><b>Presence.</b> {escape(presence.provenance.trained_on)}</p>"]
    if subtype is not None:
        lines.append(f"<p><b>Type, experimental.</b> {escape(subtype.provenance.trained_on)}</p>")
    if whole is not None:
        lines.append(f"<p><b>{text.WHOLE}.</b> {escape(whole.provenance.trained_on)}</p>")
    if marked is not None:
        lines.append(f"<p><b>Marks, experimental.</b> {escape(marked.provenance.trained_on)}</p>")
    return f'<details class="a-more" open><summary>What the model was trained on</summary>{"".join(lines)}</details>'


def _provenance(presence: Prediction) -> str:
    source = presence.provenance
    window = f"{source.window.width:g} / {source.window.level:g} HU" if source.window else "none (no HU)"
    rows: Sequence[tuple[str, str]] = (
        ("Model", source.model),
        ("Architecture", source.architecture),
        ("Revision", source.revision or "bundled"),
        ("Weights", source.weights_sha256[:16]),
        ("Input", source.input_sha256[:16]),
        ("Model's window", window),
        ("Device", source.device),
        ("Time", source.time),
        ("Raw logit", f"{presence.logit:.3f}" if presence.logit is not None else "none"),
        *(() if presence.heat is None else (("Evidence", words.evidence_measured(presence.heat)),)),
        *((name, version) for name, version in source.versions.items()),
    )
    cells = "".join(f"<tr><th scope=row>{escape(name)}</th><td>{escape(str(value))}</td></tr>" for name, value in rows)
    head = "Technical: model, numbers, versions"
    return f'<details class="a-more"><summary>{head}</summary><table>{cells}</table></details>'
