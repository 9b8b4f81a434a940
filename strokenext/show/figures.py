"""Pictures and drawings of the report: framed slices, the line from 0 to 1, the curve of a series."""

from __future__ import annotations

import base64
from collections.abc import Sequence
from html import escape

from strokenext import overlay
from strokenext.slice.prediction import Prediction, SeriesPrediction
from strokenext.types import ByteArray
from strokenext.volume.prediction import VolumePrediction

from . import words

#: How much larger the letters in frames are: two pictures share the width of a sheet of paper.
LETTERS = 1.6
#: The curve's drawing area in its own units: left, top, right, bottom of WIDTH x HEIGHT.
WIDTH, HEIGHT = 720, 210
LEFT, TOP, RIGHT, BOTTOM = 58, 22, 712, 160
_INK, _DIM, _BAND, _LINE, _BAR, _OVER = "#1a1d21", "#4b535d", "#dfe4ea", "#1a1d21", "#8fb4d6", "#0b5fa5"


def figure(pixels: ByteArray, alternative: str, caption: str) -> str:
    """A picture inside the page itself, with what stands below it; beside another both are drawn to one scale."""
    data = base64.b64encode(overlay.png(pixels)).decode("ascii")
    below = f"<figcaption>{_text(caption)}</figcaption>" if caption else ""
    image = f'<img alt="{_text(alternative)}" src="data:image/png;base64,{data}">'
    return f'<figure style="flex-grow:{pixels.shape[1]}">{image}{below}</figure>'


def line(answer: Prediction | SeriesPrediction | VolumePrediction) -> str:
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


def curve(answer: SeriesPrediction, shown: int | None) -> str:
    """SVG of the probability of each slice, the slice `shown` (from 0) marked, with threshold, band and axes in words.

    Slices that were refused are empty boxes.
    """
    count, (low, high) = len(answer), answer.band
    parts = [
        _box(LEFT, _y(high), RIGHT - LEFT, _y(low) - _y(high), _BAND),
        *(_bar(i, count, p, answer.threshold, i == shown) for i, p in enumerate(answer.curve)),
        _rule(LEFT, BOTTOM, RIGHT, BOTTOM, _INK),
        _rule(LEFT, TOP, LEFT, BOTTOM, _INK),
        _rule(LEFT, _y(answer.threshold), RIGHT, _y(answer.threshold), _LINE, "5 4"),
        _say(RIGHT, _y(answer.threshold) - 4, f"threshold {answer.threshold:.2f}", "end"),
        *(_say(LEFT - 6, _y(p) + 4, f"{p:g}", "end") for p in (0, 0.5, 1)),
        *(_say(_x(i, count), BOTTOM + 15, str(i + 1)) for i in _ticks(count)),
        _say((LEFT + RIGHT) / 2, HEIGHT - 8, "Slice, from the feet to the head"),
        f'<text x="14" y="{(TOP + BOTTOM) / 2}" text-anchor="middle" font-size="12" fill="{_DIM}" '
        f'transform="rotate(-90 14 {(TOP + BOTTOM) / 2})">Probability of {_text(answer.classes[1])}</text>',
    ]
    if shown is not None:
        parts.append(_shown(_x(shown, count), shown))
    says = f"Probability of {answer.classes[1]} by slice: {answer.predicted} of {count} slices judged"
    return (
        f'<figure class="curve"><svg viewBox="0 0 {WIDTH} {HEIGHT}" role="img" aria-label="{_text(says)}" '
        f'font-family="system-ui,sans-serif">{"".join(parts)}</svg>'
        "<figcaption>A bar for each slice, dark from the threshold on. Grey: nothing is decided. "
        "Boxes without a bar: not judged.</figcaption></figure>"
    )


def _x(index: int, count: int) -> float:
    """The middle of a slice's bar."""
    return LEFT + (index + 0.5) * (RIGHT - LEFT) / count


def _y(probability: float) -> float:
    return BOTTOM - probability * (BOTTOM - TOP)


def _bar(index: int, count: int, probability: float | None, threshold: float, shown: bool) -> str:
    wide = 0.76 * (RIGHT - LEFT) / count
    x = _x(index, count) - wide / 2
    if probability is None:
        return f'<rect x="{x:.1f}" y="{TOP}" width="{wide:.1f}" height="{BOTTOM - TOP}" fill="none" stroke="{_BAND}"/>'
    edge = f' stroke="{_INK}" stroke-width="2"' if shown else ""
    colour = _OVER if probability >= threshold else _BAR
    high = max(BOTTOM - _y(probability), 1)
    return f'<rect x="{x:.1f}" y="{BOTTOM - high:.1f}" width="{wide:.1f}" height="{high:.1f}" fill="{colour}"{edge}/>'


def _shown(x: float, index: int) -> str:
    """A mark above the slice on the pictures; its words stay within the drawing."""
    anchor = "start" if x < WIDTH / 4 else "end" if x > 3 * WIDTH / 4 else "middle"
    mark = f'<path class="shown" d="M{x:.1f} {TOP}l-5 -8h10z" fill="{_INK}"/>'
    return mark + _say(x, TOP - 10, f"slice {index + 1}, shown", anchor)


def _ticks(count: int) -> Sequence[int]:
    """The first slice and about ten at round numbers."""
    step = next(n for n in (1, 2, 5, 10, 20, 50, 100, 200, 500, 1000, 10**6) if count / n <= 10)
    numbers = {1, *range(step, count + 1, step)}
    return sorted(n - 1 for n in numbers if n <= count)


def _box(x: float, y: float, wide: float, high: float, colour: str) -> str:
    return f'<rect x="{x:.1f}" y="{y:.1f}" width="{wide:.1f}" height="{max(high, 0):.1f}" fill="{colour}"/>'


def _rule(x: float, y: float, to_x: float, to_y: float, colour: str, dashes: str = "") -> str:
    dashed = f' stroke-dasharray="{dashes}"' if dashes else ""
    return f'<line x1="{x:.1f}" y1="{y:.1f}" x2="{to_x:.1f}" y2="{to_y:.1f}" stroke="{colour}"{dashed}/>'


def _say(x: float, y: float, text: str, anchor: str = "middle") -> str:
    at = f'x="{x:.1f}" y="{y:.1f}" text-anchor="{anchor}"'
    return f'<text {at} font-size="12" fill="{_DIM}">{_text(text)}</text>'


def _text(value: object) -> str:
    return escape(str(value), quote=True)
