"""The page to take away: complete, self-contained, inert, and it says nothing it should not."""

from __future__ import annotations

import base64
import io
import re
from dataclasses import replace
from html.parser import HTMLParser

import numpy as np
import pytest
from PIL import Image

import strokenext.slice.predictor as room
from strokenext import overlay
from strokenext.cascade import triage
from strokenext.show import report, words
from strokenext.show.report import Reader
from strokenext.types import Gate, Slice, Window
from tests.helpers.toy import head, predictor, series

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
    plain, drawn, bar = made.images()
    np.testing.assert_array_equal(plain, overlay.render(head(), window=Window(80, 40)))
    assert (plain != drawn).any()
    assert bar.shape[1] == 104


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
    assert len(made.images()) == 3  # of the peak slice
    both = triage(series(2), presence=predictor(), subtype=predictor("subtype"))
    assert "Ischemic or hemorrhagic?" in page(both).text


def test_a_picture_without_hu_says_so() -> None:
    grey = Slice(np.clip(head().pixels, 0, 255), "grey", kind="png")
    assert "no HU" in page(predictor().predict(grey)).text
    assert "window 200 / 60 HU" in page(predictor().predict(head()), window=Window(200, 60)).text
