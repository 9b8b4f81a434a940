"""A slice and its evidence to pixels (H, W, 3) uint8. Zero heat changes no pixel.

Colours stand for absolute logit units from 0 to the model's full scale, the same for every image, and the
opacity of a pixel grows with its heat: an image without evidence looks exactly like the image. All colour
maps rise evenly in lightness and stay apart for colour-blind eyes (viridis, inferno: van der Walt and Smith;
cividis: Nuñez, Anderton, Renslow 2018; amber: one hue).
"""

from __future__ import annotations

import io
import itertools
from collections.abc import Sequence
from functools import lru_cache

import cv2
import numpy as np
from PIL import Image, ImageDraw, ImageFont

from strokenext.preprocess.contract import to_image

from .errors import OptionError
from .regions import Region
from .types import ByteArray, FloatArray, Heat, Slice, Window
from .windows import brightness_contrast, choices, grey01, to_bytes

_OPENCV = {"inferno": cv2.COLORMAP_INFERNO, "cividis": cv2.COLORMAP_CIVIDIS, "viridis": cv2.COLORMAP_VIRIDIS}
#: In the order to offer them; inferno first, since cividis fades into the mid-grey of brain.
COLORMAPS: tuple[str, ...] = (*_OPENCV, "amber")
STYLES: tuple[str, ...] = ("heat", "contour", "grid")
#: Iso-lines of the contour style, as parts of the full scale.
LEVELS: tuple[float, ...] = (0.25, 0.50, 0.75)
#: How opaque the strongest evidence is drawn.
OPACITY = 0.5
_AMBER = (255, 176, 0)
#: RGB of a segmentation's regions in their order, apart from every colour map and from each other: cyan, green, pink.
REGION_COLORS: tuple[tuple[int, int, int], ...] = ((0, 209, 255), (120, 230, 90), (255, 130, 200))


def render(
    image: Slice,
    heat: Heat | None = None,
    *,
    window: Window | None = None,
    opacity: float = OPACITY,
    colormap: str = "inferno",
    encoder: str = "both",
    style: str = "heat",
    brightness: float = 0.0,
    contrast: float = 1.0,
    regions: Sequence[Region] = (),
    fill: float = 0.2,
) -> ByteArray:
    """(H, W, 3) uint8 RGB of a slice, with the evidence of `encoder` ("both", "A", "B") drawn over it.

    `regions` of a segmentation are outlined over that in REGION_COLORS and filled with the opacity `fill`.

    `style`: "heat" interpolates between cells, "grid" shows the true cells, "contour" draws lines at 25, 50
    and 75 % of the full scale. Raises OptionError for a value outside its range, naming the choices.
    """
    _one_of("colour map", colormap, COLORMAPS)
    _one_of("style", style, STYLES)
    if not (0 <= opacity <= 1 and 0 <= fill <= 1):
        raise OptionError("Opacity goes from 0 to 1.")
    picture = np.repeat(grey(image, window, brightness, contrast)[:, :, None], 3, axis=2)
    if heat is not None:
        level = part_of_scale(heat, image.shape, encoder, cells=style == "grid")
        draw = _contours if style == "contour" else _blend
        picture = draw(picture, level, colormap, opacity)
    for region, color in zip(regions, itertools.cycle(REGION_COLORS), strict=False):
        picture = _outlined(picture, region, color, fill)
    return picture


def grey(image: Slice, window: Window | None = None, brightness: float = 0.0, contrast: float = 1.0) -> ByteArray:
    """(H, W) uint8: HU through the window (by default the file's own, else the brain's), or adjusted grey levels.

    Raises OptionError for a window on a picture without HU, and for brightness or contrast on one with HU.
    """
    if image.unit == "HU":
        if (brightness, contrast) != (0.0, 1.0):
            raise OptionError("This image has HU: choose a window instead of brightness and contrast.")
        return to_bytes(grey01(image, window or default_window(image)))
    if window is not None:
        raise OptionError("This image has no HU, so a window cannot be applied: use brightness and contrast.")
    return to_bytes(brightness_contrast(image, brightness, contrast))


def default_window(image: Slice) -> Window:
    """The window to draw an image with HU through when none is chosen: its file's own first one, else the brain's."""
    return choices(image)[0]


def part_of_scale(heat: Heat, shape: tuple[int, int], encoder: str = "both", cells: bool = False) -> FloatArray:
    """(H, W) float32 0..1: the evidence on the original image over the full scale, 1 where it exceeds it.

    `cells` keeps each cell of the true grid flat instead of interpolating.
    """
    _one_of("encoder", encoder, ("both", *heat.encoders))
    grid = heat.total if encoder == "both" else heat.maps[heat.encoders.index(encoder)]
    if not grid.any():
        return np.zeros(shape, dtype=np.float32)
    if cells:
        rows, columns = (np.arange(heat.input_size) * n // heat.input_size for n in grid.shape)
        grid = grid[rows][:, columns]
    spread = to_image(grid, heat.affine, heat.input_size, shape)
    return np.clip(spread / heat.full_scale, 0.0, 1.0).astype(np.float32)


@lru_cache(maxsize=len(COLORMAPS))
def colors(colormap: str) -> ByteArray:
    """(256, 3) uint8 RGB of a colour map, from nothing to the full scale."""
    _one_of("colour map", colormap, COLORMAPS)
    ramp = np.arange(256, dtype=np.uint8)
    if colormap == "amber":
        table = np.rint(ramp[:, None] / 255.0 * np.array(_AMBER)).astype(np.uint8)
    else:
        table = cv2.applyColorMap(ramp[:, None], _OPENCV[colormap])[:, 0, ::-1].copy()
    table.flags.writeable = False
    return np.asarray(table, dtype=np.uint8)


def colorbar(heat: Heat | None, colormap: str = "inferno", *, height: int = 256, dark: bool = True) -> ByteArray:
    """(height, 104, 3) uint8: the colours with ticks at 0, 25, 50, 75 and 100 % of the full scale.

    A method whose scale holds within one image only is labelled so. `dark`: light letters on black.
    """
    paper, ink = ((0, 0, 0), (230, 230, 230)) if dark else ((255, 255, 255), (30, 30, 30))
    table = colors(colormap)
    canvas = Image.new("RGB", (104, height), paper)
    draw = ImageDraw.Draw(canvas)
    top, bottom = 34, height - 12
    for y in range(top, bottom + 1):
        color = table[round(255 * (bottom - y) / (bottom - top))]
        draw.line([(8, y), (27, y)], fill=(int(color[0]), int(color[1]), int(color[2])))
    font, small = ImageFont.load_default(12), ImageFont.load_default(11)
    absolute = heat is None or heat.absolute
    draw.text((8, 4), "evidence", fill=ink, font=font)
    draw.text((8, 17), "(% of scale)" if absolute else "(this image only)", fill=ink, font=small)
    for part in (0.0, *LEVELS, 1.0):
        y = round(bottom - part * (bottom - top))
        draw.line([(27, y), (32, y)], fill=ink)
        beyond = "+" if part == 1.0 else ""  # stronger evidence has this colour too
        draw.text((36, y - 7), f"{part * 100:.0f} %{beyond}", fill=ink, font=small)
    return np.asarray(canvas, dtype=np.uint8).copy()


def png(pixels: ByteArray) -> bytes:
    """(H, W) or (H, W, 3) uint8 to the bytes of a lossless PNG."""
    buffer = io.BytesIO()
    Image.fromarray(np.ascontiguousarray(pixels)).save(buffer, "PNG")
    return buffer.getvalue()


def _blend(picture: ByteArray, level: FloatArray, colormap: str, opacity: float) -> ByteArray:
    """Colour over the picture, each pixel as opaque as its heat is strong."""
    alpha = (opacity * level)[:, :, None]
    color = colors(colormap)[np.rint(level * 255).astype(np.uint8)].astype(np.float32)
    mixed = picture * (1 - alpha) + color * alpha
    return np.where(alpha > 0, np.rint(mixed), picture).astype(np.uint8)


def _contours(picture: ByteArray, level: FloatArray, colormap: str, opacity: float) -> ByteArray:
    """Lines around what reaches each of LEVELS; solid from an opacity of one half."""
    thickness = max(1, round(min(level.shape) / 400))
    out = picture.copy()
    for part in LEVELS:
        lines, _ = cv2.findContours((level >= part).astype(np.uint8), cv2.RETR_LIST, cv2.CHAIN_APPROX_NONE)
        layer = np.zeros(level.shape, dtype=np.uint8)
        cv2.drawContours(layer, lines, -1, 1, thickness)
        drawn = (layer > 0) & (level > 0)
        alpha = min(1.0, 2 * opacity)
        color = colors(colormap)[round(255 * (0.4 + 0.6 * part))].astype(np.float32)  # the dark end would not show
        out[drawn] = np.rint(out[drawn] * (1 - alpha) + color * alpha).astype(np.uint8)
    return out


def _outlined(picture: ByteArray, region: Region, color: tuple[int, int, int], fill: float) -> ByteArray:
    """A region in its colour: a line along the inside of its edge, the rest filled; nothing outside it changes."""
    if region.mask.shape != picture.shape[:2]:
        raise OptionError("The regions belong to another picture: they have another number of pixels.")
    thickness = max(1, round(min(region.mask.shape) / 400))
    shape = region.mask.astype(np.uint8)
    reach = 2 * thickness + 1
    inner = cv2.erode(shape, np.ones((reach, reach), np.uint8), borderValue=0) > 0
    alpha = np.where(inner, fill, np.where(region.mask, 1.0, 0.0))[:, :, None]
    mixed = picture * (1 - alpha) + np.array(color) * alpha
    return np.where(alpha > 0, np.rint(mixed), picture).astype(np.uint8)


def _one_of(what: str, given: str, known: tuple[str, ...]) -> None:
    if given not in known:
        raise OptionError(f"There is no {what} '{given}'. Choose one of: {', '.join(known)}.")
