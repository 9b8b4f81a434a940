"""A series measured as a whole: volumes and diameters of drawn bodies come out as they were drawn."""

from __future__ import annotations

import json
from collections.abc import Sequence
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

import strokenext
from strokenext.answer.provenance import InputFacts, Provenance
from strokenext.errors import InputError
from strokenext.regions import Region
from strokenext.segment.segmentation import Segmentation
from strokenext.segment.series import SeriesSegmentation, stretches
from strokenext.show import words
from strokenext.types import BoolArray, Gate, Slice, Volume
from tests.helpers.masked_phantoms import bleeding, segmentation_model
from training.drawing.phantom.head import head_phantom

SIDE, SPACING = 160, (0.8, 0.5)


def marked(mask: BoolArray | None, spacing: tuple[float, float] | None = SPACING) -> Segmentation:
    """A slice with this mark as hematoma and none as edema; None: refused."""
    image = Slice(np.zeros((SIDE, SIDE), np.float32), "HU", spacing=spacing)
    masks = () if mask is None else (mask, np.zeros_like(mask))
    names = ("hematoma", "edema")
    regions = tuple(Region(n, "Drawn.", m, 0.5, 1.0, spacing) for n, m in zip(names, masks, strict=False))
    gate = Gate(mask is not None, "" if mask is not None else "Too dark.")
    by_hand = Provenance("drawn", "none", None, "", {}, None, {}, "cpu", "float32", "", "", True, "Nothing.")
    return Segmentation(names, regions, gate, None, InputFacts.of(image, ""), by_hand, image)


def body(positions: Sequence[float], radii: tuple[float, float, float]) -> list[BoolArray]:
    """Where slices at these mm cut an ellipsoid of these half-axes (z, y, x) in mm around the middle."""
    y, x = (np.arange(SIDE)[:, None] - 80) * SPACING[0], (np.arange(SIDE)[None] - 80) * SPACING[1]
    return [(z / radii[0]) ** 2 + (y / radii[1]) ** 2 + (x / radii[2]) ** 2 <= 1 for z in positions]


def series(
    positions: Sequence[float] | None, masks: Sequence[BoolArray | None], spacing: tuple[float, float] | None = SPACING
) -> SeriesSegmentation:
    slices = [marked(mask, spacing) for mask in masks]
    where = None if positions is None else tuple(positions)
    return SeriesSegmentation.of(Volume(tuple(one.image for one in slices), where), slices)


@pytest.mark.parametrize("gap", [1.0, 2.5, 5.0])
@pytest.mark.parametrize("radii", [(20.0, 20.0, 20.0), (25.0, 12.0, 30.0)])
def test_the_volume_and_the_diameter_of_a_drawn_body(radii: tuple[float, float, float], gap: float) -> None:
    positions = np.arange(-60, 60, gap)
    hematoma, edema = series(positions, body(positions, radii)).extents
    truth = 4 / 3 * np.pi * radii[0] * radii[1] * radii[2] / 1000
    assert hematoma.volume == pytest.approx(truth, rel=0.02)
    assert hematoma.diameter == pytest.approx(2 * max(radii[1:]), abs=2)  # mm; drawn on pixels of 0.8 x 0.5
    assert len(hematoma.slices) == sum(abs(z) <= radii[0] for z in positions)
    assert (edema.volume, edema.diameter, edema.slices) == (0.0, 0.0, ())


def test_slices_at_uneven_distances_stand_for_the_stretch_they_are_in() -> None:
    assert stretches([0, 4, 8, 15]) == (4, 4, 5.5, 7)
    positions = np.concatenate([np.arange(-60, 0, 2.0), np.arange(0, 60, 4.0)])
    ball = series(positions, body(positions, (22.0, 22.0, 22.0))).extents[0]
    assert ball.volume == pytest.approx(4 / 3 * np.pi * 22**3 / 1000, rel=0.03)


@settings(max_examples=40, deadline=None)
@given(st.lists(st.floats(0.1, 20), min_size=1, max_size=40))
def test_the_stretches_fill_the_series_without_gap_or_overlap(gaps: list[float]) -> None:
    positions = np.cumsum([0.0, *gaps]).tolist()
    whole = positions[-1] - positions[0] + (gaps[0] + gaps[-1]) / 2
    assert sum(stretches(positions)) == pytest.approx(whole)


def test_the_diameter_is_that_of_one_part_not_from_part_to_part() -> None:
    mask = np.zeros((SIDE, SIDE), bool)
    mask[10:20, 10:40] = True  # 8 mm x 15 mm
    mask[140:144, 100:104] = True
    region = marked(mask).regions[0]
    assert region.diameter == pytest.approx(np.hypot(8, 15))
    assert region.to_json()["diameter_mm"] == 17.0


def test_without_geometry_there_is_no_volume() -> None:
    masks = body([0, 5, 10], (8.0, 8.0, 8.0))
    for where, spacing in ((None, SPACING), ((0.0, 5.0, 10.0), None)):
        found = series(where, masks, spacing).extents[0]
        assert found.volume is None
        assert found.slices == (0, 1)
    assert words.extents(series(None, masks)) == (
        "Hematoma: on 2 slices, up to 17 mm across, no volume without the slices' positions; edema: nothing marked."
    )


def test_slices_that_were_refused_are_said_and_count_nothing() -> None:
    positions = [0.0, 5.0, 10.0, 15.0]
    masks: list[BoolArray | None] = [*body(positions, (8.0, 8.0, 8.0))]
    masks[3] = None
    found = series(positions, masks)
    assert (len(found), found.looked) == (4, 3)
    assert words.extents(found).endswith("edema: nothing marked. 1 of 4 slices were not looked at.")
    assert json.loads(json.dumps(found.to_json() | {"slices": []}, allow_nan=False))["looked_at"] == 3
    none = series(positions, [None] * 4)
    assert words.extents(none) == "Not marked: none of the 4 slices could be looked at."
    assert none.files() == {}


def test_a_model_measures_a_series_of_heads(tmp_path: Path) -> None:
    segmenter = strokenext.load(segmentation_model(tmp_path / "toy-marks"), device="cpu", kind="segmentation")
    phantoms = [head_phantom("normal", 160, 0, 0.3), *(bleeding(0, 160) for _ in range(3)), head_phantom("normal", 160)]
    volume = Volume(tuple(p.as_slice() for p in phantoms), tuple(5.0 * i for i in range(5)))
    heard: list[tuple[int, int]] = []
    found = segmenter.segment_series(volume, progress=lambda done, of: heard.append((done, of)))
    area = phantoms[1].lesion.sum() * phantoms[1].spacing[0] * phantoms[1].spacing[1]
    blood = found.extents[0]
    assert blood.volume == pytest.approx(3 * area * 5 / 1000, rel=0.15)
    assert blood.slices == (1, 2, 3)
    assert heard == [(i, 5) for i in range(1, 6)]
    single = segmenter.segment(volume[2]).regions[0]
    assert (found.slices[2].regions[0].mask == single.mask).all()
    assert set(found.files()) == {"slice.png", "overlay.png", "labels.png"}
    with pytest.raises(InputError, match="single slice"):
        segmenter.segment_series(volume[0])
