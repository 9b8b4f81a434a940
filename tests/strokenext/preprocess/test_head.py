"""The head's outline, midline and brain level, on phantoms whose geometry is known."""

from __future__ import annotations

import cv2
import numpy as np
import pytest

from strokenext import windows
from strokenext.preprocess import head
from strokenext.types import Window
from training.drawing.phantom.head import head_phantom

BRAIN = Window(80, 40)


def picture(size: int = 256) -> np.ndarray:
    return windows.apply(head_phantom("normal", size=size, seed=3).hu, BRAIN)


def turned(grey: np.ndarray, degrees: float) -> np.ndarray:
    middle = ((grey.shape[1] - 1) / 2, (grey.shape[0] - 1) / 2)
    return cv2.warpAffine(grey, cv2.getRotationMatrix2D(middle, degrees, 1.0), grey.shape[::-1])


def test_the_outline_is_that_of_the_skull() -> None:
    phantom = head_phantom("normal", size=256, seed=3)
    found = head.find_head(windows.apply(phantom.hu, BRAIN))
    assert found is not None
    bone = phantom.hu > 300
    assert found.mask[bone].mean() > 0.99
    assert found.mask[phantom.brain].all()
    assert not found.mask[:5].any()


@pytest.mark.parametrize("degrees", [-20, -8, 0, 8, 20])
def test_the_midline_is_found_to_two_degrees(degrees: float) -> None:
    # OpenCV turns counter-clockwise: the top leans to the left, a negative tilt.
    found = head.find_head(turned(picture(), degrees))
    assert found is not None
    assert found.tilt == pytest.approx(-degrees, abs=2.5)


def test_size_and_place_scale_with_the_picture() -> None:
    small, large = head.find_head(picture(256)), head.find_head(picture(512))
    assert small is not None
    assert large is not None
    assert large.extent[0] == pytest.approx(2 * small.extent[0], rel=0.02)
    assert large.mask.mean() == pytest.approx(small.mask.mean(), rel=0.03)


def test_letters_in_the_corners_do_not_move_the_head() -> None:
    plain = picture()
    letters = cv2.putText(np.zeros(plain.shape, np.uint8), "R 12", (4, 18), cv2.FONT_HERSHEY_SIMPLEX, 0.5, 255, 1)
    lettered = np.maximum(plain, letters / np.float32(255))
    a, b = head.find_head(plain), head.find_head(lettered)
    assert a is not None
    assert b is not None
    assert np.allclose(a.middle, b.middle, atol=1.5)


def test_a_white_page_around_the_picture_is_not_the_head() -> None:
    page = np.pad(picture(), 40, constant_values=1.0)
    found = head.find_head(page)
    assert found is not None
    assert found.mask.mean() < 0.6
    assert not found.mask[:30].any()


@pytest.mark.parametrize("level", [0.0, 0.02])
def test_a_blank_picture_has_no_head(level: float) -> None:
    assert head.find_head(np.full((128, 128), level, np.float32)) is None


def test_the_brain_level_is_that_of_white_and_grey_matter() -> None:
    grey = picture()
    found = head.find_head(grey)
    assert found is not None
    # White matter 30 HU and grey matter 37 HU through 80/40 are 0.375 and 0.46.
    assert 0.36 < head.brain_level(grey, found.mask) < 0.47
