"""The head is found in whatever workstations, slides and cameras put around it, on phantoms whose place is known."""

from __future__ import annotations

from collections.abc import Callable

import cv2
import numpy as np
import pytest

from strokenext import windows
from strokenext.preprocess import head
from strokenext.types import FloatArray
from training.drawing.phantom.head import Kind, head_phantom
from training.gate.variations import VARIATIONS, unvaried
from training.gate.varied import box_overlap, moved


def picture(size: int = 256, kind: Kind = "normal") -> FloatArray:
    return np.asarray(windows.apply(head_phantom(kind, size=size, seed=3).hu, windows.BRAIN), dtype=np.float32)


@pytest.mark.parametrize("kind", ["normal", "hemorrhage"])
@pytest.mark.parametrize("name", VARIATIONS)
def test_the_box_of_the_head_is_the_same_however_the_picture_was_exported(name: str, kind: Kind) -> None:
    grey = picture(384, kind)
    plain = head.find_head(grey)
    assert plain is not None
    for seed in range(4):
        export = VARIATIONS[name](unvaried(255 * grey), np.random.default_rng(seed))
        found = head.find_head(export.grey / np.float32(255))
        assert found is not None
        assert box_overlap(found.mask, moved(plain.mask, export)) > 0.8, seed


SURROUNDS: dict[str, Callable[[FloatArray, float], FloatArray]] = {
    "lifted black": lambda grey, level: np.maximum(grey, np.float32(level)),
    "grey page": lambda grey, level: level + (1 - level) * grey,
    "frame": lambda grey, level: np.pad(grey, ((30, 50), (0, 40)), constant_values=level),
    "lit from the left": lambda grey, level: np.maximum(grey, np.linspace(1.3 * level, 0.7 * level, grey.shape[1])),
}


@pytest.mark.parametrize("level", [0.06, 0.2, 0.3])
@pytest.mark.parametrize("name", SURROUNDS)
def test_grey_instead_of_black_around_the_head_is_not_the_head(name: str, level: float) -> None:
    grey = picture()
    plain, found = head.find_head(grey), head.find_head(np.asarray(SURROUNDS[name](grey, level), dtype=np.float32))
    assert plain is not None
    assert found is not None
    expected = np.pad(plain.mask, ((30, 50), (0, 40))) if name == "frame" else plain.mask
    assert box_overlap(found.mask, expected) > 0.87  # a surround as bright as the scalp takes it away, never more
    assert found.tilt == pytest.approx(plain.tilt, abs=2)


def test_letters_on_a_frame_leave_it_a_frame() -> None:
    page = (255 * np.pad(picture(), 40, constant_values=0.5)).astype(np.uint8)
    lettered = cv2.putText(page, "R", (8, 150), cv2.FONT_HERSHEY_SIMPLEX, 0.7, 255, 1)
    found, plain = head.find_head(lettered / np.float32(255)), head.find_head(picture())
    assert found is not None
    assert plain is not None
    assert box_overlap(found.mask, np.pad(plain.mask, 40)) > 0.95


def test_a_window_on_a_black_page_is_looked_into() -> None:
    window = np.maximum(picture(), np.float32(0.1))
    found, plain = head.find_head(np.pad(window, ((20, 60), (90, 10)))), head.find_head(picture())
    assert found is not None
    assert plain is not None
    assert box_overlap(found.mask, np.pad(plain.mask, ((20, 60), (90, 10)))) > 0.9


def test_where_the_picture_cuts_the_head_its_edge_is_the_edge_of_the_head() -> None:
    """The skull is white like a page, and yet no page around the brain."""
    grey = picture()
    plain = head.find_head(grey)
    assert plain is not None
    rows, columns = np.nonzero(plain.mask)
    cut = grey[rows.min() + 12 : rows.max() - 12, columns.min() + 12 : columns.max() - 12]
    for page in (0.0, 1.0, 0.5):
        found = head.find_head(np.pad(cut, 30, constant_values=page))
        assert found is not None
        expected = np.pad(np.ones(cut.shape, np.bool_), 30)
        assert box_overlap(found.mask, expected) > 0.93, page


def test_tissue_that_the_picture_cuts_is_no_surround() -> None:
    """A cut-out of brain has a grey border too, but a grainy one: nothing is taken off it."""
    found = head.find_head(picture(512)[170:340, 170:340])
    assert found is not None
    assert found.mask.mean() > 0.9
