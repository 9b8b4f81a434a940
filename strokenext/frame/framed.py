"""A drawn slice to the picture that is taken away: everything a reader needs to know about it stands around it.

Nothing is drawn over the pixels. Above: what the case is called, which slice, the window. At the sides: the patient's
directions, where the file states them. Right: the colour bar. Below: scale bar, answer, cautions, notice. Small
pictures are enlarged by a whole factor so that the letters are legible; `strokenext.render` gives the pixels alone.
"""

from __future__ import annotations

import itertools
from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Any

import cv2
import numpy as np
from PIL import Image, ImageDraw

from strokenext import overlay
from strokenext.regions import Region
from strokenext.types import ByteArray, Caution, Edges, Heat, Slice, Window

from . import lettering

NOTICE = "Research use only. Not a medical device."
#: The picture's longer side in pixels, at least.
LEAST = 512
#: Lengths of the scale bar in mm.
NICE_MM = (1, 2, 5, 10, 20, 50, 100, 200)
PAPER, INK, DIM, LETTER, ALERT = (0, 0, 0), (235, 240, 245), (166, 179, 192), (255, 217, 168), (255, 196, 120)
#: Pixels that are not square are drawn so, up to this ratio of their sides.
WIDEST = 4.0


@dataclass(frozen=True)
class Place:
    """Where a slice lies: `index` from 0 at the feet, of `count`; `position` in mm where the file states it."""

    index: int
    count: int
    position: float | None = None

    def __str__(self) -> str:
        text = f"Slice {self.index + 1} of {self.count}"
        return text if self.position is None else f"{text}, at {self.position:.1f} mm"


@dataclass(frozen=True)
class Caption:
    """What is written around a picture: `title` names the case, `answer` is what the model says of it."""

    title: str = ""
    place: Place | None = None
    answer: str = ""
    cautions: tuple[Caution, ...] = ()
    window: Window | None = None  # that the picture was drawn through; None without HU


def framed_slice(
    image: Slice,
    caption: Caption,
    *,
    heat: Heat | None = None,
    strength: float = 1.0,
    colormap: str = "inferno",
    opacity: float = overlay.OPACITY,
    regions: Sequence[Region] = (),
    letters: float = 1.0,
    **drawing: Any,
) -> ByteArray:
    """(H, W, 3) uint8 RGB of a slice drawn by `overlay.render`, with its frame, through the window of the caption.

    `strength` is how strongly the answer lets its evidence glow, see `Classification.lit`; at 0 it is not drawn, and
    the frame says so. Raises OptionError for values that `render` does not draw.
    """
    if image.unit == "HU" and caption.window is None:
        caption = replace(caption, window=overlay.default_window(image))
    shown = heat if strength > 0 else None
    how: dict[str, Any] = {"window": caption.window, "colormap": colormap, "regions": regions, **drawing}
    drawn = overlay.render(image, shown, opacity=opacity * strength, **how)
    around: dict[str, Any] = {"colormap": colormap, "strength": strength, "regions": regions, "letters": letters}
    return framed(drawn, image, caption, heat=heat, **around)


def framed(
    drawn: ByteArray,
    image: Slice,
    caption: Caption,
    *,
    heat: Heat | None = None,
    colormap: str = "inferno",
    strength: float = 1.0,
    regions: Sequence[Region] = (),
    letters: float = 1.0,
) -> ByteArray:
    """(H, W, 3) uint8 RGB of a drawn slice (H, W) or (H, W, 3) with its frame.

    `heat` with its `colormap` gives the colour bar; `strength` below 1 says that the evidence is drawn faint, 0 that
    it is not drawn; `regions` are listed with their colours; `letters` is their size beside the usual.
    """
    pixels = _enlarged(drawn, image)
    page = _Page(pixels, image, caption, heat if strength > 0 else None, colormap, letters)
    return page.drawn(_below(caption, heat, strength), regions)


def _below(caption: Caption, heat: Heat | None, strength: float) -> list[tuple[str, tuple[int, int, int]]]:
    """The lines under the picture with their colours."""
    lines = [(caption.answer, INK)] if caption.answer else []
    if heat is not None and strength < 1:
        how = "drawn faint" if strength > 0 else "not drawn"
        lines.append((f"Evidence is {how}, since the model did not decide for {heat.class_name}.", DIM))
    lines += [(f"Caution: {caution.sentence}", ALERT) for caution in caption.cautions]
    return [*lines, (NOTICE, INK)]


def _enlarged(drawn: ByteArray, image: Slice) -> ByteArray:
    """(H, W, 3) with square pixels as the file's spacing says, at least LEAST long."""
    pixels = drawn if drawn.ndim == 3 else np.repeat(drawn[:, :, None], 3, axis=2)
    height, width = pixels.shape[:2]
    factor = -(-LEAST // max(height, width))
    wide, high = _aspect(image)
    size = (round(width * factor * wide), round(height * factor * high))
    if size == (width, height):
        return pixels
    whole = wide == high == 1
    how = cv2.INTER_NEAREST if whole else cv2.INTER_LINEAR
    return np.asarray(cv2.resize(np.ascontiguousarray(pixels), size, interpolation=how), dtype=np.uint8)


def _aspect(image: Slice) -> tuple[float, float]:
    """How much wider and higher than its pixels a picture is drawn."""
    row, column = image.spacing or (1.0, 1.0)
    wide, high = column / min(row, column), row / min(row, column)
    return (wide, high) if max(wide, high) <= WIDEST else (1.0, 1.0)


class _Page:
    """The sheet around the picture; lengths are in the picture's own letters, so that all grow with it."""

    def __init__(
        self, pixels: ByteArray, image: Slice, caption: Caption, heat: Heat | None, colormap: str, letters: float
    ) -> None:
        self.pixels, self.image, self.caption, self.heat, self.colormap = pixels, image, caption, heat, colormap
        self.height, self.width = pixels.shape[:2]
        self.size = round(letters * max(14, round(max(self.height, self.width) / 42)))
        self.line = round(1.4 * self.size)
        self.margin = 2 * self.size
        self.bar = 7 * self.size if heat is not None else 0
        self.sheet = max(self.width + 2 * self.margin + self.bar, 24 * self.size)
        self.left = max(self.margin, (self.sheet - self.bar - self.width) // 2)

    def drawn(self, below: Sequence[tuple[str, tuple[int, int, int]]], regions: Sequence[Region]) -> ByteArray:
        """The whole sheet."""
        room = self.sheet - 2 * self.size
        head = [(text, INK, True) for text in self._fit(self.caption.title, room, bold=True)[:3]]
        head += [(text, DIM, False) for text in self._fit(self._second(), room)]
        foot = [(text, colour) for sentence, colour in below for text in self._fit(sentence, room)]
        colours = itertools.cycle(overlay.REGION_COLORS)
        marks = [(region, colour) for region, colour in zip(regions, colours, strict=False) if region.pixels]
        top = self.size // 2 + len(head) * self.line + self.line
        base = top + self.height
        strips = 1 + (self.image.spacing is not None)
        total = base + (strips + len(marks) + len(foot)) * self.line + self.size
        canvas = Image.new("RGB", (self.sheet, max(total, top + 12 * self.size)), PAPER)
        self.pen = ImageDraw.Draw(canvas)
        for number, (text, colour, bold) in enumerate(head):
            self._write(self.size, self.size // 2 + number * self.line, text, colour, bold)
        canvas.paste(Image.fromarray(np.ascontiguousarray(self.pixels)), (self.left, top))
        if self.image.edges is not None:
            self._letters(self.image.edges, top)
        if self.heat is not None:
            self._colours(canvas, self.heat, top)
        y = base + self.line
        if self.image.spacing is not None:
            self._scale(y, self.image.spacing[1])
            y += self.line
        for region, colour in marks:
            self._mark(y, region, colour)
            y += self.line
        for text, colour in foot:
            self._write(self.size, y, text, colour)
            y += self.line
        return np.asarray(canvas, dtype=np.uint8).copy()

    def _second(self) -> str:
        place = "" if self.caption.place is None else str(self.caption.place)
        window = self.caption.window
        shown = "grey levels, no HU" if self.image.unit == "grey" else ""
        if window is not None:
            shown = f"window {window.width:g} / {window.level:g} HU"
        return " · ".join(part for part in (place, shown) if part)

    def _fit(self, text: str, room: int, bold: bool = False) -> list[str]:
        """`text` as lines that fit, in letters that can be drawn."""
        font = lettering.font(self.size, text, bold)
        return [line for line in lettering.wrapped(lettering.drawable(text, font), font, room) if line]

    def _write(
        self, x: float, y: float, text: str, colour: tuple[int, int, int], bold: bool = False, anchor: str = "la"
    ) -> None:
        self.pen.text((x, y), text, fill=colour, font=lettering.font(self.size, text, bold), anchor=anchor)

    def _letters(self, edges: Edges, top: int) -> None:
        """The patient's directions beside the picture, never on it."""
        gap = self.margin // 2
        middle, centre = top + self.height // 2, self.left + self.width // 2
        self._write(self.left - gap, middle, edges.left, LETTER, True, "mm")
        self._write(self.left + self.width + gap, middle, edges.right, LETTER, True, "mm")
        self._write(centre, top - self.line // 2, edges.top, LETTER, True, "mm")
        self._write(centre, top + self.height + self.line // 2, edges.bottom, LETTER, True, "mm")

    def _scale(self, y: int, spacing: float) -> None:
        """A bar of a round length, below the picture's right end."""
        per_mm = self.width / self.image.shape[1] / spacing
        length = max((mm for mm in NICE_MM if mm * per_mm <= 0.3 * self.width), default=NICE_MM[0])
        end, start = self.left + self.width, self.left + self.width - length * per_mm
        middle, tick, thick = y + self.line // 2, self.size // 3, max(2, self.size // 8)
        self.pen.line([(start, middle), (end, middle)], fill=INK, width=thick)
        for x in (start, end):
            self.pen.line([(x, middle - tick), (x, middle + tick)], fill=INK, width=thick)
        text = f"{length // 10} cm" if length >= 10 else f"{length} mm"
        self._write(start - self.size // 2, middle, text, INK, anchor="rm")

    def _colours(self, canvas: Image.Image, heat: Heat, top: int) -> None:
        """The colour bar: what it measures, its numbers, and how high this slice comes."""
        x = self.left + self.width + self.margin
        for number, text in enumerate(("Evidence for", heat.class_name)):
            self._write(x, top + number * self.line, text, INK)
        unit = "% of scale" if heat.absolute else "this slice only"
        self._write(x, top + 2 * self.line, unit, DIM)
        above, wide = top + round(3.6 * self.line), self.size
        high = max(6 * self.size, min(self.height - round(4.2 * self.line), 24 * self.size))
        table = overlay.colors(self.colormap)[np.linspace(255, 0, high).round().astype(int)]
        canvas.paste(Image.fromarray(np.repeat(table[:, None], wide, axis=1)), (x, above))
        self.pen.rectangle([(x - 1, above - 1), (x + wide, above + high)], outline=DIM)
        for part in (0.0, *overlay.LEVELS, 1.0):
            y = above + round((1 - part) * (high - 1))
            self.pen.line([(x + wide, y), (x + wide + self.size // 3, y)], fill=INK)
            text = f"{part * 100:.0f} %" + ("+" if part == 1 else "")
            self._write(x + wide + self.size // 2, y, text, INK, anchor="lm")
        y = above + round((1 - min(heat.peak / heat.full_scale, 1.0)) * (high - 1))
        half = self.size // 3
        self.pen.polygon([(x - 1, y), (x - 1 - half, y - half), (x - 1 - half, y + half)], fill=INK)

    def _mark(self, y: int, region: Region, colour: tuple[int, int, int]) -> None:
        """A region's colour, name and size."""
        side = self.size * 3 // 4
        self.pen.rectangle([(self.size, y + 2), (self.size + side, y + 2 + side)], fill=colour)
        area = f"{region.pixels:,} pixels" if region.area is None else f"{region.area:,.0f} mm²"
        self._write(self.size + 2 * side, y, f"Marked: {region.name}, {area}", INK)
