"""A head is found whichever way it lies, what is turned comes back in its own pixels, upright stays upright."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

import strokenext
from strokenext.preprocess import orientation
from strokenext.preprocess.contract import to_image
from strokenext.types import Edges, Slice, Volume
from training.drawing.phantom.head import head_phantom

#: Quarter turns of `np.rot90` (anticlockwise) and how far clockwise the head then lies.
QUARTERS = [(0, 0.0), (3, 90.0), (2, 180.0), (1, 270.0)]


def picture(kind: str = "normal", seed: int = 1, level: float = 0.4) -> Slice:
    grey = np.clip(head_phantom(kind, seed=seed, level=level).hu / 80, 0, 1) * 255
    return Slice(np.rint(grey).astype(np.float32), "grey", kind="png")


def rotated(image: Slice, quarters: int) -> Slice:
    return replace(image, pixels=np.ascontiguousarray(np.rot90(image.pixels, quarters)))


def apart(a: float, b: float) -> float:
    return min((a - b) % 360, (b - a) % 360)


@settings(deadline=None, max_examples=25)
@given(angle=st.floats(-360, 360), wide=st.integers(40, 90), high=st.integers(40, 90))
def test_turning_keeps_every_pixel_and_the_affine_says_where_it_went(angle: float, wide: int, high: int) -> None:
    pixels = np.full((high, wide), 10, np.float32)
    y, x = high // 3, wide // 4
    pixels[y - 1 : y + 2, x - 1 : x + 2] = 200
    turned = orientation.turn(Slice(pixels, "grey"), angle)
    assert turned.image.pixels.max() > 150
    found = np.unravel_index(int(turned.image.pixels.argmax()), turned.image.shape)
    there = turned.affine @ [x, y, 1]
    assert np.hypot(there[0] - found[1], there[1] - found[0]) < 2
    corners = [(0, 0), (wide - 1, 0), (0, high - 1), (wide - 1, high - 1)]
    for corner in corners:
        px, py = turned.affine @ [*corner, 1]
        assert -0.51 <= px <= turned.image.shape[1] - 0.49
        assert -0.51 <= py <= turned.image.shape[0] - 0.49


def test_a_quarter_turn_is_exact() -> None:
    image = picture()
    back = orientation.turn(rotated(image, 3), 90.0).image.pixels
    np.testing.assert_allclose(back, image.pixels, atol=1e-3)


@pytest.mark.parametrize(
    ("edges", "angle"),
    [
        (Edges("R", "L", "A", "P"), 0.0),
        (Edges("A", "P", "L", "R"), 270.0),
        (Edges("P", "A", "R", "L"), 90.0),
        (Edges("L", "R", "PH", "AF"), 180.0),
        (Edges("R", "L", "H", "F"), None),
    ],
)
def test_the_file_s_own_statement_goes_first(edges: Edges, angle: float | None) -> None:
    assert orientation.stated(replace(picture(), edges=edges)) == angle
    if angle is not None:
        assert orientation.angle_of([replace(picture(), edges=edges)]) == angle


@pytest.mark.parametrize(("quarters", "angle"), QUARTERS)
def test_a_series_is_turned_as_one(quarters: int, angle: float) -> None:
    for seed in (1, 2, 3):
        heads = [rotated(picture(seed=seed, level=level), quarters) for level in (0.2, 0.3, 0.4, 0.5, 0.6, 0.7)]
        found = orientation.angle_of(heads)
        assert found is not None
        assert apart(found, angle) <= orientation.STEP


def test_a_phantom_is_never_turned_wrongly() -> None:
    """On its own a slice may leave it open, but none is turned to where it does not belong."""
    told = 0
    for seed in range(4):
        for kind in ("normal", "hemorrhage", "infarct"):
            image = picture(kind, seed, 0.4)
            assert orientation.angle_of([image]) == 0.0
            assert orientation.angle_of([replace(image, pixels=image.pixels[:, ::-1])]) == 0.0
            for quarters, angle in QUARTERS[1:]:
                found = orientation.angle_of([rotated(image, quarters)])
                told += found is not None
                assert found is None or apart(found, angle) <= orientation.STEP
    assert told >= 30


def test_a_turned_picture_gets_the_upright_one_s_answer_and_its_evidence_in_its_own_pixels() -> None:
    presence = strokenext.load(task="presence", device="cpu", kind="slice")
    image = picture("hemorrhage", 2)
    upright = presence.predict(image)
    assert "turned" not in [c.code for c in upright.cautions]
    assert upright.heat is not None
    there = to_image(upright.heat.total, upright.heat.affine, upright.heat.input_size, image.shape)
    for quarters, angle in QUARTERS[1:]:
        given_ = rotated(image, quarters)
        found = presence.predict(given_)
        assert [c.code for c in found.cautions] == ["turned"] or "turned" in [c.code for c in found.cautions]
        if orientation.angle_of([given_]) != angle:
            continue  # it could not be told: that is said, and nothing else promised
        assert found.decision == upright.decision
        assert found.logit == pytest.approx(upright.logit, abs=0.3)
        assert found.heat is not None
        here = to_image(found.heat.total, found.heat.affine, found.heat.input_size, given_.shape)
        assert np.corrcoef(here.ravel(), np.rot90(there, quarters).ravel())[0, 1] > 0.95
    series = presence.predict_volume(Volume(tuple(rotated(image, 2) for _ in range(3))))
    assert "turned" in [c.code for c in series.cautions]


def test_a_picture_without_a_head_is_left_as_it_is() -> None:
    assert orientation.angle_of([Slice(np.zeros((80, 80), np.float32), "grey")]) == 0.0
