"""Pixels from a heat map: nothing where there is nothing, the right colour where there is something."""

from __future__ import annotations

import io
from dataclasses import replace

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from PIL import Image

from strokenext import overlay
from strokenext.errors import OptionError
from strokenext.types import Heat, Slice, Window

SIDE = 64
IDENTITY = np.array([[1.0, 0, 0], [0, 1.0, 0]])


def grey_slice(seed: int = 0) -> Slice:
    return Slice(np.random.default_rng(seed).uniform(0, 255, (SIDE, SIDE)).astype(np.float32), "grey")


def heat(a: object = 0.0, b: object = 0.0, full_scale: float = 2.0, side: int = 8) -> Heat:
    maps = np.zeros((2, side, side), dtype=np.float32)
    maps[0], maps[1] = np.asarray(a), np.asarray(b)
    return Heat(maps, ("A", "B"), "stroke", "gradcam", IDENTITY, SIDE, full_scale)


def spot(value: float, row: int = 2, column: int = 5) -> np.ndarray:
    grid = np.zeros((8, 8), dtype=np.float32)
    grid[row, column] = value
    return grid


@pytest.mark.parametrize("style", overlay.STYLES)
@pytest.mark.parametrize("colormap", overlay.COLORMAPS)
def test_zero_heat_changes_no_pixel(style: str, colormap: str) -> None:
    image = grey_slice()
    plain = overlay.render(image)
    np.testing.assert_array_equal(overlay.render(image, heat(), style=style, colormap=colormap, opacity=1.0), plain)
    partly = overlay.render(image, heat(spot(5.0)), style=style, colormap=colormap, opacity=1.0)
    cold = overlay.part_of_scale(heat(spot(5.0)), image.shape, cells=style == "grid") == 0
    assert 0.5 < cold.mean() < 1
    np.testing.assert_array_equal(partly[cold], plain[cold])
    assert (partly != plain).any()


def test_the_peak_has_the_colour_of_its_value() -> None:
    """Half of the full scale at opacity 1 over black is half of the colour map's middle."""
    black = Slice(np.zeros((SIDE, SIDE), dtype=np.float32), "grey")
    shown = overlay.render(black, heat(spot(1.0)), opacity=1.0, style="grid", colormap="viridis")
    wanted = np.rint(overlay.colors("viridis")[128].astype(float) * 0.5)
    np.testing.assert_allclose(shown[20, 44], wanted, atol=1)  # cell (2, 5) spans rows 16..23, columns 40..47
    beyond = overlay.render(black, heat(spot(200.0)), opacity=1.0, style="grid", colormap="viridis")
    np.testing.assert_array_equal(beyond[20, 44], overlay.colors("viridis")[255])


def test_the_scale_is_absolute() -> None:
    """The same map is fainter in a model whose full scale is higher; the image does not set it."""
    image = grey_slice()
    strong = overlay.part_of_scale(heat(spot(1.0), full_scale=1.0), image.shape)
    weak = overlay.part_of_scale(heat(spot(1.0), full_scale=10.0), image.shape)
    np.testing.assert_allclose(weak, strong / 10, atol=1e-6)
    assert strong.max() == pytest.approx(1.0, abs=0.15)


def test_each_encoder_and_both() -> None:
    image, both = grey_slice(), heat(spot(1.0, 1, 1), spot(0.5, 6, 6))
    a, b, total = (overlay.part_of_scale(both, image.shape, e) for e in ("A", "B", "both"))
    np.testing.assert_allclose(a + b, total, atol=1e-6)
    assert a[:32, :32].sum() == pytest.approx(a.sum())
    assert b[32:, 32:].sum() == pytest.approx(b.sum())
    with pytest.raises(OptionError, match="both, A, B"):
        overlay.render(image, both, encoder="C")


def test_grid_style_shows_flat_cells() -> None:
    level = overlay.part_of_scale(heat(spot(2.0)), (SIDE, SIDE), cells=True)
    assert (level[16:24, 40:48] == 1).all()
    assert level.sum() == 64


def test_heat_lands_where_the_affine_says() -> None:
    """A model input that is the right half of a 128-wide picture: x_input = x - 64."""
    image = Slice(np.zeros((64, 128), dtype=np.float32), "grey")
    moved = replace(heat(spot(2.0)), affine=np.array([[1.0, 0, -64], [0, 1.0, 0]]))
    level = overlay.part_of_scale(moved, image.shape, cells=True)
    assert (level[16:24, 104:112] > 0.99).all()
    assert not level[:, :64].any()


def test_contours_enclose_what_reaches_their_level() -> None:
    """A smooth hill: the line of 25 % lies where the hill is a quarter of the full scale, within a pixel's rise."""
    yy, xx = np.mgrid[0:SIDE, 0:SIDE]
    hill = np.clip(1 - np.hypot(yy - 32, xx - 32) / 28, 0, 1).astype(np.float32)
    black = Slice(np.zeros((SIDE, SIDE), dtype=np.float32), "grey")
    shown = overlay.render(black, heat(2 * hill, side=SIDE), style="contour", opacity=1.0)
    drawn = shown.any(axis=2)
    near = np.min([np.abs(hill - part) for part in overlay.LEVELS], axis=0)
    assert drawn.sum() > 100
    assert near[drawn].max() < 0.06
    assert not overlay.render(black, heat(spot(0.4)), style="contour").any()  # 20 % of the scale: no line


def test_window_of_hu_and_no_window_without_hu() -> None:
    hu = Slice(np.array([[0.0, 40.0], [80.0, 1000.0]], dtype=np.float32), "HU", windows=(Window(200, 100),))
    np.testing.assert_array_equal(overlay.grey(hu, Window(80, 40)), [[0, 128], [255, 255]])
    np.testing.assert_array_equal(overlay.grey(hu), [[0, 51], [102, 255]])  # the file's own window
    with pytest.raises(OptionError, match="window instead"):
        overlay.render(hu, brightness=0.2)
    with pytest.raises(OptionError, match="no HU"):
        overlay.render(grey_slice(), window=Window(80, 40))
    brighter = overlay.render(grey_slice(), brightness=0.2)
    assert brighter.mean() > overlay.render(grey_slice()).mean()


@pytest.mark.parametrize(
    ("options", "said"),
    [({"colormap": "jet"}, "cividis"), ({"style": "blob"}, "contour"), ({"opacity": 1.5}, "0 to 1")],
)
def test_options_outside_their_range(options: dict[str, object], said: str) -> None:
    with pytest.raises(OptionError, match=said):
        overlay.render(grey_slice(), heat(), **options)  # type: ignore[arg-type]


@pytest.mark.parametrize("colormap", overlay.COLORMAPS)
def test_lightness_rises_so_that_colour_is_not_needed(colormap: str) -> None:
    """Relative luminance (Rec. 709) never falls by more than rounding, and spans most of the range."""
    luminance = overlay.colors(colormap) @ np.array([0.2126, 0.7152, 0.0722])
    assert np.diff(luminance).min() > -1.5
    assert luminance[-1] - luminance[0] > 120


def test_colorbar_runs_upwards_and_names_its_unit() -> None:
    bar = overlay.colorbar(heat(full_scale=3.2), "cividis")
    assert bar.shape == (256, 104, 3)
    np.testing.assert_array_equal(bar[34, 15], overlay.colors("cividis")[255])
    np.testing.assert_array_equal(bar[244, 15], overlay.colors("cividis")[0])
    relative = overlay.colorbar(replace(heat(), absolute=False))
    assert (relative[:34] != overlay.colorbar(heat())[:34]).any()
    assert overlay.colorbar(heat(), dark=False)[0, 0].tolist() == [255, 255, 255]


def test_png_is_lossless() -> None:
    pixels = overlay.render(grey_slice(), heat(spot(1.0)))
    np.testing.assert_array_equal(np.asarray(Image.open(io.BytesIO(overlay.png(pixels)))), pixels)


@settings(deadline=None, max_examples=30)
@given(
    st.lists(st.floats(0, 50, width=32), min_size=64, max_size=64),
    st.floats(0, 1),
    st.sampled_from(overlay.STYLES),
    st.sampled_from(overlay.COLORMAPS),
)
def test_any_heat_gives_a_picture_of_the_image_size(
    values: list[float], opacity: float, style: str, colormap: str
) -> None:
    shown = overlay.render(
        grey_slice(), heat(np.reshape(values, (8, 8))), opacity=opacity, style=style, colormap=colormap
    )
    assert shown.shape == (SIDE, SIDE, 3)
    assert shown.dtype == np.uint8
    if opacity == 0:
        np.testing.assert_array_equal(shown, overlay.render(grey_slice()))
