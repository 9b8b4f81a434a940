"""Slices to planes at equal distances, with one grey level for the whole head."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from strokenext.errors import InputError, ModelError
from strokenext.preprocess.contract import BRAIN_LEVEL, Preprocess, levelled
from strokenext.preprocess.planes import CENTRE, SPREAD, Planes, normalised, plane_of, resampled
from strokenext.types import Volume
from tests.helpers.toy import series

PIXELS = Preprocess(size=48, frame="head", level=True, channels="stroke")


class TestPlanes:
    def test_a_blob_on_one_slice_lies_on_the_plane_of_that_slice(self):
        stack = np.zeros((5, 4, 4), np.float32)
        stack[3, 1, 2] = 1.0
        planes = resampled(stack, np.arange(5.0), 9)  # two planes per slice: slice 3 is plane 6
        assert planes.shape == (9, 4, 4)
        assert planes[:, 1, 2].tolist() == [0, 0, 0, 0, 0, 0.5, 1, 0.5, 0]
        assert plane_of(np.arange(5.0), 9).tolist() == [0, 2, 4, 6, 8]

    def test_positions_in_mm_count_and_not_the_number_of_slices(self):
        stack = np.arange(4, dtype=np.float32)[:, None, None] * np.ones((1, 2, 2), np.float32)
        stack[:] = np.array([0.0, 5.0, 10.0, 20.0])[:, None, None]  # each slice holds its own height
        planes = resampled(stack, np.array([0.0, 5.0, 10.0, 20.0]), 11)  # 2 mm planes, with a gap of 10 mm above
        assert planes[:, 0, 0] == pytest.approx(np.arange(0, 21, 2.0))

    def test_thin_slices_are_averaged_over_a_plane_instead_of_skipped(self):
        stack = np.zeros((90, 1, 1), np.float32)
        stack[1::2] = 1.0  # every second slice: a sampled plane would be all 0 or all 1
        planes = resampled(stack, np.arange(90.0), 9)
        assert planes[1:-1].ravel() == pytest.approx(np.full(7, 0.5), abs=0.06)

    @settings(max_examples=40, deadline=None)
    @given(st.lists(st.floats(0.1, 20), min_size=1, max_size=60), st.integers(8, 80), st.floats(-3, 3))
    def test_a_linear_ramp_and_a_constant_survive_any_spacing(self, gaps: list[float], depth: int, value: float):
        at = np.concatenate([[0.0], np.cumsum(gaps)])
        constant = resampled(np.full((len(at), 1, 1), value, np.float32), at, depth)
        assert constant == pytest.approx(value, abs=1e-5)
        ramp = resampled(at[:, None, None].astype(np.float32), at, depth).ravel()
        assert np.all(np.diff(ramp) > 0)
        assert ramp[depth // 2] == pytest.approx(at[-1] * (depth // 2) / (depth - 1), rel=0.02, abs=0.02 * at[-1])

    def test_order_is_demanded(self):
        for at in ([0.0, 2.0, 1.0], [0.0, 1.0, 1.0], [3.0, 2.0, 1.0]):
            with pytest.raises(InputError, match="do not ascend"):
                resampled(np.zeros((3, 2, 2), np.float32), np.array(at), 8)

    def test_one_gain_for_the_whole_head(self):
        """A slice twice as bright stays twice as bright; slices without a level of their own follow."""
        grey = np.stack([np.full((2, 2), v, np.float32) for v in (0.3, 0.3, 0.3, 0.6)])
        out = levelled(grey, [0.3, 0.3, 0.0, 0.6])
        assert out[0, 0, 0] == pytest.approx(BRAIN_LEVEL)
        assert out[3] / out[0] == pytest.approx(2.0)
        assert levelled(grey, [0.0] * 4) is grey

    def test_brain_is_the_same_number_for_every_scanner(self):
        assert normalised(np.array([CENTRE, BRAIN_LEVEL], np.float32)) == pytest.approx(
            [0, (BRAIN_LEVEL - CENTRE) / SPREAD]
        )
        brighter = Volume(tuple(replace(s, pixels=s.pixels + 6) for s in series(6)))
        same, other = (Planes(46, 4).apply(v.slices, None, PIXELS).pixels for v in (series(6), brighter))
        middle = (slice(None), 23, slice(20, 28), slice(20, 28))
        assert other[middle].mean() == pytest.approx(same[middle].mean(), abs=0.06)

    def test_the_record_is_strict(self):
        assert Planes.from_dict(Planes(50, 9).to_dict()) == Planes(50, 9)
        for wrong in (
            {"depth": 64},
            {"depth": 64, "least": 8, "more": 1},
            {"depth": "64", "least": 8},
            [],
            None,
            {"depth": 4, "least": 8},
            {"depth": True, "least": 8},
        ):
            with pytest.raises(ModelError, match="record of planes"):
                Planes.from_dict(wrong)
