"""Maps to regions: where they lie, how large they are, what is too small."""

from __future__ import annotations

from dataclasses import replace

import cv2
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from strokenext.preprocess.contract import Preprocess, on_picture
from strokenext.preprocess.head import rotation
from strokenext.regions import Masks, Region, without_specks
from strokenext.show import words
from strokenext.types import Slice


def square(rows: slice, columns: slice, shape: tuple[int, int] = (20, 24)) -> np.ndarray:
    mask = np.zeros(shape, dtype=bool)
    mask[rows, columns] = True
    return mask


def region(mask: np.ndarray, spacing: tuple[float, float] | None = None) -> Region:
    return Region("lesion", "A mark.", mask, 0.5, 1.0, spacing)


ONE = Masks((0.5,), (0.0,), ("A mark.",))


class TestGeometry:
    @settings(max_examples=40, deadline=None)
    @given(
        height=st.integers(60, 240),
        width=st.integers(60, 240),
        size=st.sampled_from([64, 96, 160]),
        row=st.floats(0.3, 0.7),
        column=st.floats(0.3, 0.7),
        frame=st.sampled_from(["square", "contour-in-place"]),
    )
    def test_a_disc_comes_back_to_where_it_was(
        self, height: int, width: int, size: int, row: float, column: float, frame: str
    ) -> None:
        """Through the model's own framing and back: the disc lies within a pixel of its place and keeps its area."""
        radius = 0.12 * min(height, width)
        yy, xx = np.mgrid[0:height, 0:width]
        middle = (row * (height - 1), column * (width - 1))
        disc = np.hypot(yy - middle[0], xx - middle[1]) < radius
        image = Slice(np.where(disc, 200.0, 100.0).astype(np.float32), "grey")
        prepared = Preprocess(size, frame=frame, channels="plain").apply(image)  # type: ignore[arg-type]
        drawn = cv2.warpAffine(disc.astype(np.float32), prepared.affine, (size, size), flags=cv2.INTER_LINEAR)
        (found,) = ONE.regions(drawn[None], ("lesion",), prepared.affine, image.shape)
        ys, xs = np.nonzero(found.mask)
        pixel = max(1.0, max(height, width) / size)
        assert abs(ys.mean() - middle[0]) < 0.6 * pixel
        assert abs(xs.mean() - middle[1]) < 0.6 * pixel
        assert found.pixels == pytest.approx(disc.sum(), rel=0.35)

    @settings(max_examples=30, deadline=None)
    @given(x=st.integers(5, 42), y=st.integers(5, 42), angle=st.floats(-40, 40), radius=st.floats(20, 40))
    def test_one_pixel_of_the_input_is_read_where_the_affine_says(
        self, x: int, y: int, angle: float, radius: float
    ) -> None:
        affine = rotation((24.0, 24.0), angle, radius, 48)
        values = np.zeros((48, 48), dtype=np.float32)
        u, v = affine @ np.array([x, y, 1.0])
        if not (1 <= u <= 46 and 1 <= v <= 46):
            return
        values[round(v) - 1 : round(v) + 2, round(u) - 1 : round(u) + 2] = 1.0
        assert on_picture(values, affine, (48, 48))[y, x] > 0.99

    def test_outside_the_input_nothing_is_marked(self) -> None:
        affine = rotation((10.0, 10.0), 0.0, 5.0, 32)  # the input sees a corner of the picture only
        (found,) = ONE.regions(np.ones((1, 32, 32), np.float32), ("lesion",), affine, (40, 40))
        ys, xs = np.nonzero(found.mask)
        assert 4 <= ys.min() <= ys.max() <= 16
        assert 4 <= xs.min() <= xs.max() <= 16


class TestRegion:
    def test_area_parts_and_box(self) -> None:
        found = region(square(slice(2, 6), slice(3, 8)) | square(slice(12, 14), slice(20, 22)), (0.5, 2.0))
        assert (found.pixels, found.parts, found.box) == (24, 2, (3, 2, 19, 12))
        assert found.area == pytest.approx(24.0)
        assert found.diameter == pytest.approx(np.hypot(2, 10))  # of the larger part, corner to corner
        assert words.size(found) == "24 mm² in 2 parts, up to 10 mm across"
        assert words.size(replace(found, spacing=None)) == "24 pixels in 2 parts"

    def test_nothing(self) -> None:
        found = region(np.zeros((5, 5), bool), (1.0, 1.0))
        assert (found.pixels, found.parts, found.box, found.area, found.outlines()) == (0, 0, None, 0.0, ())
        assert words.size(found) == "nothing marked"

    def test_outlines_follow_the_edges_of_the_pixels(self) -> None:
        ring = square(slice(2, 9), slice(2, 9)) & ~square(slice(4, 7), slice(4, 7))
        lines = region(ring).outlines()
        assert len(lines) == 2  # outside and hole
        outer = np.array(max(lines, key=lambda line: np.ptp(np.array(line)[:, 0])))
        assert outer.min(axis=0) == pytest.approx([2.125, 2.125])  # within an eighth of the edge at 2
        assert outer.max(axis=0) == pytest.approx([8.875, 8.875])
        single = np.array(region(square(slice(3, 4), slice(5, 6))).outlines()[0])
        assert np.ptp(single, axis=0) == pytest.approx([0.75, 0.75])  # a single pixel has an area too

    def test_specks_are_left_out(self) -> None:
        mask = square(slice(0, 3), slice(0, 3)) | square(slice(10, 11), slice(10, 12))
        assert without_specks(mask, 3).sum() == 9
        assert without_specks(mask, 0).sum() == 11
        # The least size is in the input's pixels: 45 pixels of the picture are 11.25 of an input half as fine.
        drawn = np.zeros((1, 20, 20), np.float32)
        drawn[0, 5:8, 5:8] = 1
        halves = np.array([[0.5, 0, 0], [0, 0.5, 0.0]])
        for least, kept in ((11.0, True), (12.0, False)):
            (found,) = Masks((0.5,), (least,), ("A mark.",)).regions(drawn, ("x",), halves, (40, 40))
            assert bool(found.pixels) is kept
