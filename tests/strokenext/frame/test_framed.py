"""The picture that is taken away: its pixels untouched, and around them what a reader must know."""

from __future__ import annotations

from dataclasses import replace
from typing import get_args

import numpy as np
import pytest

from strokenext import overlay
from strokenext.frame.framed import NOTICE, Caption, Place, framed, framed_slice
from strokenext.regions import Region
from strokenext.types import Caution, CautionCode, Edges, Heat, Slice, Window
from tests.helpers.reading import cut_out, stands_on

CAPTION = Caption(
    "CT7.zip · Head · 5 mm", Place(8, 16, 42.5), "stroke (probability of stroke 0.83)", (), Window(80, 40)
)
EDGES = Edges("R", "L", "A", "P")


def image(side: int = 512, **more: object) -> Slice:
    pixels = np.random.default_rng(0).uniform(0, 80, (side, side)).astype(np.float32)
    known = {"spacing": (220 / side, 220 / side), "edges": EDGES}
    return Slice(pixels, "HU", **(known | more))  # type: ignore[arg-type]


def heat(side: int, peak: float = 1.0) -> Heat:
    maps = np.zeros((2, 8, 8), np.float32)
    maps[0, 3, 3] = peak
    return Heat(maps, ("A", "B"), "stroke", "gradcam", np.array([[96 / side, 0, 0], [0, 96 / side, 0]]), 96, 2.0)


def letters(side: int) -> int:
    """The height of the letters in pixels for a picture of that side."""
    return max(14, round(max(512, side) / 42))


@pytest.mark.parametrize("side", [128, 300, 512, 1024, 2048])
def test_everything_is_legible_on_pictures_of_every_size(side: int) -> None:
    slice_ = image(side)
    drawn = overlay.render(slice_, heat(side), window=Window(80, 40))
    caution = Caution("contrast", "Contrast medium was given.")
    made = framed(drawn, slice_, replace(CAPTION, cautions=(caution,)), heat=heat(side))
    size = letters(side)
    assert 0.017 <= size / max(made.shape[:2]) <= 0.04  # legible when the whole picture is on a screen
    for text in (
        "Slice 9 of 16, at 42.5 mm · window 80 / 40 HU",
        "stroke (probability of stroke 0.83)",
        "5 cm",
        "Evidence for",
        "% of scale",
        "0 %",
        "100 %+",
        "Caution: Contrast medium was given.",
        NOTICE,
    ):
        assert stands_on(made, text, size), text
    for text in (CAPTION.title, "R", "L", "A", "P"):
        assert stands_on(made, text, size, bold=True), text
    assert not stands_on(made, "Contrast agent was withheld", size)  # the test of the test


def test_no_pixel_of_the_picture_is_covered() -> None:
    slice_ = image(600)
    drawn = overlay.render(slice_, heat(600), window=Window(80, 40))
    made = framed(drawn, slice_, CAPTION, heat=heat(600))
    where = [
        (y, x)
        for y in range(made.shape[0] - 600 + 1)
        for x in range(made.shape[1] - 600 + 1)
        if (made[y, x : x + 600] == drawn[0]).all()
    ]
    assert len(where) == 1
    y, x = where[0]
    np.testing.assert_array_equal(made[y : y + 600, x : x + 600], drawn)


def test_small_pictures_grow_by_a_whole_factor() -> None:
    slice_ = image(128)
    drawn = overlay.render(slice_, window=Window(80, 40))
    made = framed(drawn, slice_, CAPTION)
    grown = np.repeat(np.repeat(drawn, 4, axis=0), 4, axis=1)
    rows = [y for y in range(made.shape[0] - 512) if (made[y, :, 0] > 0).sum() > 400]
    columns = np.flatnonzero((made[rows[0] + 256] > 0).any(axis=1))
    x = int(columns[np.searchsorted(columns, 28)])
    assert any((made[y : y + 512, x - d : x - d + 512] == grown).all() for y in rows[:3] for d in range(3))


def test_letters_and_scale_only_where_the_file_states_them() -> None:
    bare = image(512, spacing=None, edges=None)
    made = framed(overlay.render(bare, window=Window(80, 40)), bare, CAPTION)
    assert not stands_on(made, "5 cm", 14)
    assert not stands_on(made, "R", 14, bold=True)
    partly = image(512, edges=Edges("R", "L", "", ""))
    made = framed(overlay.render(partly, window=Window(80, 40)), partly, replace(CAPTION, title=""))
    assert stands_on(made, "L", 14, bold=True)


@pytest.mark.parametrize(("spacing", "length"), [(0.43, 50), (0.2, 20), (1.0, 100), (0.02, 2), (9.0, 200)])
def test_the_scale_bar_is_as_long_as_it_says(spacing: float, length: int) -> None:
    slice_ = image(512, spacing=(spacing, spacing))
    made = framed(overlay.render(slice_, window=Window(80, 40)), slice_, CAPTION)
    ink = (made == 235).sum(axis=2) + (made == 240).sum(axis=2) + (made == 245).sum(axis=2) == 3
    runs = [np.flatnonzero(np.diff(np.r_[0, row.astype(int), 0])) for row in ink]
    longest = max(int((run[1::2] - run[::2]).max()) for run in runs if run.size)
    assert longest == pytest.approx(length / spacing, abs=3)
    assert stands_on(made, f"{length // 10} cm" if length >= 10 else f"{length} mm", 14)


def test_pixels_that_are_not_square_are_drawn_as_the_patient_is() -> None:
    tall = image(512, spacing=(1.0, 0.5))
    made = framed(overlay.render(tall, window=Window(80, 40)), tall, CAPTION)
    assert made.shape[0] > 1024
    odd = image(64, spacing=(1.0, 0.001))  # no sensible picture: drawn pixel by pixel
    assert max(framed(overlay.render(odd, window=Window(80, 40)), odd, CAPTION).shape) < 1200


def test_the_colour_bar_shows_the_colours_and_how_high_this_slice_comes() -> None:
    slice_ = image(512)
    drawn = np.zeros((512, 512, 3), np.uint8)
    made = framed(drawn, slice_, CAPTION, heat=heat(512), colormap="viridis")
    for wanted in (0, 128, 255):
        near = np.abs(made.astype(int) - overlay.colors("viridis")[wanted]).max(axis=2) <= 2
        assert near.sum() >= 14
    own = framed(drawn, slice_, CAPTION, heat=replace(heat(512), absolute=False))
    assert stands_on(own, "this slice only", 14)


def test_faint_evidence_says_so() -> None:
    slice_, drawn = image(512), np.zeros((512, 512, 3), np.uint8)
    said = "Evidence is drawn faint, since the model did not decide for stroke."
    assert stands_on(framed(drawn, slice_, CAPTION, heat=heat(512), strength=0.2), said, 14)
    assert not stands_on(framed(drawn, slice_, CAPTION, heat=heat(512)), said, 14)


def test_evidence_that_the_answer_is_against_is_not_drawn_and_that_is_said() -> None:
    slice_ = image(512)
    drawn = framed_slice(slice_, CAPTION, heat=heat(512), strength=0.0)
    assert stands_on(drawn, "Evidence is not drawn, since the model did not decide for stroke.", 14)
    assert not stands_on(drawn, "% of scale", 14)
    plain = overlay.render(slice_, window=Window(80, 40))
    np.testing.assert_array_equal(cut_out(drawn, plain), plain)
    lit = [framed_slice(slice_, CAPTION, heat=heat(512), strength=strength) for strength in (0.1, 0.5, 1.0)]
    glow = [int(np.abs(cut_out(picture, plain).astype(int) - plain).sum()) for picture in lit]
    assert 0 < glow[0] < glow[1] < glow[2]


def test_the_window_that_was_chosen_for_the_reader_is_said() -> None:
    slice_ = image(512, windows=(Window(90, 35),))
    assert stands_on(framed_slice(slice_, replace(CAPTION, window=None)), "window 90 / 35 HU", 14)


def test_marks_are_named_with_their_colours_and_sizes() -> None:
    slice_ = image(512)
    mask = np.zeros((512, 512), bool)
    mask[10:20, 10:20] = True
    region = Region("hemorrhage", "says", mask, 0.5, 0.9, slice_.spacing)
    made = framed(np.zeros((512, 512), np.uint8), slice_, CAPTION, regions=(region,))
    assert stands_on(made, "Marked: hemorrhage, 18 mm²", 14)
    assert (made == overlay.REGION_COLORS[0]).all(axis=2).sum() >= 80


@pytest.mark.parametrize("code", get_args(CautionCode))
def test_every_caution_stands_on_the_picture(code: CautionCode) -> None:
    caution = Caution(code, f"This is what is the matter with {code}, in a sentence that is longer than one line is.")
    slice_ = image(128)
    made = framed(np.zeros((128, 128), np.uint8), slice_, replace(CAPTION, cautions=(caution,)))
    assert stands_on(made, caution.sentence, 14)


@pytest.mark.parametrize("title", ["Жанна Müller ß", "漢字 CT", "a" * 400, "exe\\u202egnp.zip", " "])
def test_any_title_can_be_drawn(title: str) -> None:
    slice_ = image(128)
    made = framed(np.zeros((128, 128), np.uint8), slice_, replace(CAPTION, title=title))
    assert stands_on(made, NOTICE, 14)
    assert made.shape[1] < 800


@pytest.mark.parametrize("shape", [(20, 2000), (2000, 20), (1, 1)])
def test_odd_shapes(shape: tuple[int, int]) -> None:
    slice_ = Slice(np.zeros(shape, np.float32), "grey")
    made = framed(overlay.render(slice_), slice_, replace(CAPTION, window=None), heat=heat(64))
    assert made.dtype == np.uint8
    assert max(made.shape) < 5000
    assert stands_on(made, NOTICE, letters(max(shape)))
