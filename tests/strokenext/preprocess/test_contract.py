"""The pixel contract: geometry there and back, one brain level from any window, a strict record."""

from __future__ import annotations

import cv2
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from strokenext import windows
from strokenext.errors import ModelError
from strokenext.preprocess.contract import (
    BRAIN_LEVEL,
    IMAGENET_MEAN,
    IMAGENET_STD,
    Preprocess,
    stack_channels,
    to_image,
)
from strokenext.preprocess.head import brain_level
from strokenext.types import Slice, Window
from training.drawing.phantom.head import head_phantom

STROKE = Preprocess(size=160, frame="head", level=True, channels="stroke")
PLAIN = Preprocess(size=224)


def grey_slice(window: Window, size: int = 256) -> Slice:
    """The phantom as a PNG of that window: no HU left."""
    hu = head_phantom("normal", size=size, seed=3).hu
    return Slice(np.rint(windows.apply(hu, window) * 255).astype(np.float32), "grey")


def test_plain_contract_is_a_window_and_imagenet_statistics() -> None:
    image = Slice(np.full((64, 64), 40.0, np.float32), "HU")  # the brain window's level: grey 0.5
    pixel = PLAIN.apply(image).pixels[:, 112, 112]
    assert pixel == pytest.approx([(0.5 - m) / s for m, s in zip(IMAGENET_MEAN, IMAGENET_STD, strict=True)], abs=1e-5)


@pytest.mark.parametrize("window", [Window(80, 40), Window(100, 50), Window(240, 110), Window(120, 40)])
def test_the_brain_arrives_at_one_level_whatever_the_window(window: Window) -> None:
    framed = STROKE.framed(grey_slice(window))
    assert brain_level(framed.grey, framed.head) == pytest.approx(BRAIN_LEVEL, abs=0.02)


def test_hu_and_its_png_give_the_same_input() -> None:
    hu = STROKE.apply(head_phantom("normal", size=256, seed=3).as_slice()).pixels[0]
    png = STROKE.apply(grey_slice(Window(80, 40))).pixels[0]
    assert np.abs(hu - png).mean() < 0.03  # 8-bit steps are 0.004 / 0.3


def test_outside_the_head_is_black() -> None:
    prepared = STROKE.apply(head_phantom("normal", size=256, seed=3).as_slice())
    assert not prepared.head[0, 0]
    assert prepared.pixels[0, 0, 0] == pytest.approx(-0.35 / 0.3, abs=1e-5)


def test_mirrored_picture_gives_mirrored_channels() -> None:
    import torch

    grey = torch.rand(2, 1, 64, 64)
    for channels in ("stroke", "grey"):
        flipped = stack_channels(grey, channels).flip(-1)
        assert torch.allclose(stack_channels(grey.flip(-1), channels), flipped, atol=1e-5)


@settings(max_examples=25, deadline=None)
@given(st.integers(60, 300), st.integers(60, 300), st.integers(0, 1), st.floats(0.25, 0.75), st.floats(0.25, 0.75))
def test_a_mark_goes_to_the_input_and_heat_comes_back_to_it(h: int, w: int, head: int, fy: float, fx: float) -> None:
    y, x = round(fy * (h - 1)), round(fx * (w - 1))
    pixels = np.zeros((h, w), np.float32)
    cv2.ellipse(pixels, (w // 2, h // 2), (w // 3, h // 3), 0, 0, 360, 40.0, -1)
    contract = STROKE if head else PLAIN
    prepared = contract.apply(Slice(pixels, "HU"))
    u, v = prepared.affine @ [x, y, 1]
    if not (8 <= u < contract.size - 8 and 8 <= v < contract.size - 8):
        return  # a point outside the frame has no heat
    grid = np.zeros((contract.size, contract.size), np.float32)
    grid[round(v), round(u)] = 1.0
    grid = cv2.GaussianBlur(grid, (0, 0), 3.0)
    back = to_image(grid, prepared.affine, contract.size, (h, w))
    found = np.unravel_index(int(back.argmax()), back.shape)
    pixel = 1 / np.hypot(prepared.affine[0, 0], prepared.affine[0, 1])
    assert np.hypot(found[0] - y, found[1] - x) <= 1.5 * max(1.0, pixel)


def test_records_round_trip_and_are_strict() -> None:
    assert Preprocess.from_dict(STROKE.to_dict()) == STROKE
    good = STROKE.to_dict()
    for wrong in ({"size": 160}, good | {"extra": 1}, good | {"size": 5}, good | {"frame": "x"}):
        with pytest.raises(ModelError):
            Preprocess.from_dict(wrong)


def test_a_blank_slice_still_has_a_shape() -> None:
    prepared = STROKE.apply(Slice(np.full((50, 70), -1000.0, np.float32), "HU"))
    assert prepared.pixels.shape == (3, 160, 160)
    assert np.isfinite(prepared.pixels).all()
