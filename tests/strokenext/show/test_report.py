"""The page to take away: complete, self-contained, inert, and it says nothing it should not."""

from __future__ import annotations

import base64
import io
import re
from dataclasses import replace
from html import escape
from html.parser import HTMLParser
from xml.etree import ElementTree

import numpy as np
import pytest
from PIL import Image

import strokenext.slice.predictor as room
from strokenext import overlay
from strokenext.cascade import triage
from strokenext.show import figures, report, words
from strokenext.show.report import Reader
from strokenext.types import Gate, Label, LeftOut, Slice, Window
from tests.helpers.reading import cut_out, stands_on
from tests.helpers.toy import head, predictor, series

#: The height of the letters on the report's pictures.
LETTERS = round(14 * figures.LETTERS)
EVIL = '<script>alert("x")</script>\'&'


pytestmark = pytest.mark.usefixtures("gate")


class Page(HTMLParser):
    """Tags, attributes and text of a page, and whether every tag is closed."""

    def __init__(self, text: str) -> None:
        super().__init__()
        self.tags: list[tuple[str, dict[str, str | None]]] = []
        self.open: list[str] = []
        self.words: list[str] = []
        self.feed(text)

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.tags.append((tag, dict(attrs)))
        if tag not in ("meta", "img"):
            self.open.append(tag)

    def handle_endtag(self, tag: str) -> None:
        assert self.open.pop() == tag

    def handle_data(self, data: str) -> None:
        if self.open and self.open[-1] != "style":
            self.words.append(data)

    @property
    def text(self) -> str:
        return " ".join(self.words)

    def images(self) -> list[np.ndarray]:
        found = [attrs["src"] or "" for tag, attrs in self.tags if tag == "img"]
        assert all(source.startswith("data:image/png;base64,") for source in found)
        return [np.asarray(Image.open(io.BytesIO(base64.b64decode(source.split(",")[1])))) for source in found]


def page(*args: object, **options: object) -> Page:
    made = Page(report.html(*args, **options))  # type: ignore[arg-type]
    assert made.open == []
    return made


def test_a_prediction_is_told_whole() -> None:
    found = predictor().predict(head())
    made = page(found)
    for said in (
        words.NOTICE,
        words.decision(found),
        words.probability(found),
        words.interval(found),
        words.trained(found),
        found.provenance.weights_sha256,
        found.input.sha256,
        "window 80 / 40 HU",
        "The reader's own judgement",
    ):
        assert said in made.text
    plain, drawn = made.images()
    pixels = overlay.render(head(), window=Window(80, 40))
    np.testing.assert_array_equal(cut_out(plain, pixels), pixels)
    assert (cut_out(drawn, pixels) != pixels).any()
    assert stands_on(drawn, "% of scale", LETTERS)
    assert not stands_on(plain, "% of scale", LETTERS)


def test_nothing_runs_and_nothing_is_loaded() -> None:
    text = report.html(triage(head(), presence=predictor(), subtype=predictor("subtype")))
    made = Page(text)
    assert not {tag for tag, _ in made.tags} & {"script", "iframe", "object", "link", "form", "a"}
    assert not [name for _, attrs in made.tags for name in attrs if name.startswith("on")]
    assert "default-src 'none'" in text
    assert not re.search(r"(https?:|url\(|@import)", text)
    assert all(attrs.get("alt") for tag, attrs in made.tags if tag == "img")
    assert "@media print" in text


def test_text_from_outside_is_escaped() -> None:
    found = predictor().predict(replace(head(), notes=(EVIL,)), name=EVIL)
    found = replace(found, provenance=replace(found.provenance, trained_on=EVIL, model=EVIL, revision=EVIL))
    found = replace(found, gate=Gate(False, EVIL, "photo"))
    text = report.html(found, reader=Reader(EVIL, EVIL, EVIL))
    assert "<script" not in text
    assert Page(text).text.count(EVIL) >= 6
    assert found.input.name not in re.sub(r"<table>.*?</table>", "", text)  # a file's name may be a person's


def test_the_name_of_the_file_is_not_printed() -> None:
    assert "MUELLER" not in report.html(predictor().predict(head(), name="MUELLER_HANS.dcm"))


def test_the_reader_s_words_are_printed_and_room_is_left_without_them() -> None:
    found = predictor().predict(head())
    assert "small bleed, thalamus" in page(found, reader=Reader(comment="small bleed, thalamus")).text
    assert sum(attrs.get("class") == "blank" for _, attrs in page(found).tags) == 3


def test_a_refused_image_has_a_reason_and_no_number(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(room, "check_scope", lambda image: Gate(False, "This is a photograph.", "photo"))
    made = page(predictor().predict(head()))
    assert "Not judged. This is a photograph." in made.text
    assert "calibrated probability" not in made.text
    assert len(made.images()) == 1
    forced = page(predictor().predict(head(), force=True))
    assert "judged on request" in forced.text
    assert "The model's score for stroke is" in forced.text


def test_a_triage_says_when_the_second_question_was_not_asked() -> None:
    models = {"presence": predictor(log_odds=-6.0), "subtype": predictor("subtype")}
    assert "asked only when presence is positive" in page(triage(head(), **models)).text
    models["presence"] = predictor(log_odds=6.0)
    made = page(triage(head(), **models))
    assert "Ischemic or hemorrhagic?" in made.text
    assert "experimental" in made.text


def test_a_series_lists_every_slice() -> None:
    found = predictor().predict_volume(series(4), explain=True)
    made = page(found)
    assert words.series(found) in made.text
    assert made.text.count(" %") >= 4
    assert len(made.images()) == 2  # of the peak slice
    both = triage(series(2), presence=predictor(), subtype=predictor("subtype"))
    assert "Ischemic or hemorrhagic?" in page(both).text


def curve_of(text: str) -> ElementTree.Element:
    """The drawing of the curve, which is well-formed XML."""
    return ElementTree.fromstring(text[text.index("<svg") : text.index("</svg>") + 6])


def test_a_series_report_says_which_slice_it_shows_and_draws_the_curve(gate: dict[str, Gate]) -> None:
    volume = replace(
        series(6),
        positions=tuple(5.0 * i for i in range(6)),
        left_out=(LeftOut("MUELLER.dcm", "This is a localizer."), LeftOut("HANS.dcm", "This is a localizer.")),
    )
    gate[volume[4].sha256] = Gate(False, "This is a photograph.", "photo")
    found = predictor().predict_volume(volume, explain=True)
    one = predictor().predict(volume[1])
    text = report.html(one, volume[1], series=found, place=found.place(1), title="Case 3 · 5 mm")
    made = Page(text)
    assert "Slice 2 of 6, at 5.0 mm" in made.text
    assert stands_on(made.images()[1], "Slice 2 of 6, at 5.0 mm", LETTERS)
    assert words.decision(found) in made.text
    assert words.probability(found) in made.text
    assert "2 left out: This is a localizer." in made.text
    assert "MUELLER" not in text
    assert f"toy-presence ({'bundled or local'}, weights {'ab' * 6})" in made.text
    drawing = curve_of(text)
    bars = [e for e in drawing.iter("rect") if e.get("fill") not in ("none", figures._BAND)]
    heights = [float(bar.get("height", 0)) for bar in bars]
    wanted = [p * (figures.BOTTOM - figures.TOP) for p in found.curve if p is not None]
    np.testing.assert_allclose(heights, wanted, atol=0.06)
    assert len([e for e in drawing.iter("rect") if e.get("fill") == "none"]) == 1  # the slice that was refused
    said = [e.text for e in drawing.iter("text")]
    assert {"Slice, from the feet to the head", "Probability of stroke", "slice 2, shown", "threshold 0.40"} <= {*said}
    marked = [bar for bar in bars if bar.get("stroke-width") == "2"]
    assert marked == [bars[1]]
    band = next(e for e in drawing.iter("rect") if e.get("fill") == figures._BAND)
    assert float(band.get("height", 0)) == pytest.approx(0.2 * (figures.BOTTOM - figures.TOP), abs=0.06)


@pytest.mark.parametrize("count", [1, 2, 17, 300])
def test_a_curve_of_any_length_stays_within_its_drawing(count: int) -> None:
    one = predictor().predict_volume(series(1))
    found = replace(one, slices=one.slices * count, pooled=1)
    for shown in {0, count // 2, count - 1}:
        drawing = ElementTree.fromstring(re.search("<svg.*</svg>", figures.curve(found, shown))[0])  # type: ignore[index]
        for at in (float(e.get(k, 0)) for e in drawing.iter() for k in ("x", "x1", "x2")):
            assert 0 <= at <= figures.WIDTH
        numbers = [e for e in drawing.iter("text") if (e.text or "").isdecimal() and e.get("y") == "175.0"]
        assert 1 <= len(numbers) <= 11
        assert numbers[0].text == "1"


def test_the_case_is_named_on_top_in_the_window_s_title_and_on_each_printed_page() -> None:
    found = predictor().predict(head())
    text = report.html(found, title='CT7.zip "}</style><script>')
    assert "<script" not in text
    assert f"StrokeNeXt report: {escape('CT7.zip ' + chr(34) + '}</style><script>')}</title>" in text
    assert '<p class="case">CT7.zip' in text
    sheet = text[text.index("@top-left") : text.index("@bottom-left")]
    assert re.search(r'content:"CT7\\00002ezip[^"]*"', sheet)
    assert "@bottom-right" in text
    labelled = replace(head(), label=Label("Head", "Axial 5.0", "2024-05-03", 5.0))
    assert "Head · Axial 5.0 · 5 mm · 2024-05-03" in page(predictor().predict(labelled)).text
    assert f"Input {found.input.sha256[:12]}" in page(found).text


def test_evidence_is_drawn_as_the_answer_says_unless_the_reader_asks() -> None:
    pixels = overlay.render(head(), window=Window(80, 40))

    def glow(log_odds: float, **asked: bool) -> int:
        drawn = page(predictor(log_odds=log_odds).predict(head()), **asked).images()[1]
        return int(np.abs(cut_out(drawn, pixels).astype(int) - pixels).sum())

    assert glow(-6.0) == 0 < glow(-1.0) < glow(6.0)
    assert glow(-6.0, evidence=True) > 0
    assert glow(6.0, evidence=False) == 0


def test_a_picture_without_hu_says_so() -> None:
    grey = Slice(np.clip(head().pixels, 0, 255), "grey", kind="png")
    assert "no HU" in page(predictor().predict(grey)).text
    assert "window 200 / 60 HU" in page(predictor().predict(head()), window=Window(200, 60)).text
