"""The outline of the head in grey levels 0..1: what stands out from black air, from a grey, from a page, in a frame.

An ordinary slice lies on black and is told by one limit. What a workstation, a slide or a camera puts around it is told
by the corners of the picture: a head, however tightly cropped, leaves them free.
"""

from __future__ import annotations

from collections.abc import Iterator
from operator import itemgetter
from typing import Any, NamedTuple

import cv2
import numpy as np
from numpy.typing import NDArray

from strokenext.types import BoolArray, FloatArray

#: Rows and columns of a part of a picture: top, bottom, left, right, the ends left out.
Region = tuple[int, int, int, int]
#: Grey level above which a pixel is not the black of air; JPEG noise in air stays below.
AIR = 0.04
#: A border between these levels is black air that a screenshot or gamma lifted to dark grey.
LIFTED = (0.02, 0.15)
#: A corner is one part in so many of a side long; corners are free where less than this share of them stands out.
CORNER, FREE = 8, 0.3
#: Grey levels tried one after the other as the limit where the air stands out as well: noise, glow, another level.
LIMITS = (0.06, 0.09, 0.13, 0.18, 0.25, 0.32, 0.4, 0.5)
#: Greys of a frame or of a surround lie within this of one another; tissue, even after JPEG, spreads wider.
PLAIN = 0.05
#: Neighbours on the border of a surround differ by less in the median: CT tissue and noise have more grain.
GRAIN = 0.015
#: What a frame holds is at least this share of the picture's shorter side.
LEAST_INNER = 0.3
#: A head is a share of the picture between these, longer than wide by less than this, ...
HEAD_AREA, ELONGATED = (0.04, 0.9), 1.9
#: ... fills this share of its convex hull, and of the closest box around it less than a window on a page does.
SOLID, WINDOW = 0.85, 0.9
#: A crop through jaw and nose fills less of its hull; taken where nothing else has the shape of a head.
LESS_SOLID = 0.78
#: Glow around a head is at least the rest of what stands out.
GLOW = 0.9
#: Along all but this share of an outline the head is this much brighter than what is around; the light of a screen
#: and the bands of a camera end without such a step. Both sides are averaged over so many pixels.
STEP, WEAK, REACH = 0.05, 0.2, 7
#: A window is turned by less than this, degrees: a photograph of a screen.
ASKEW = 8.0
#: What is left off on each side of a photograph that shows more than the screen, a share of it.
AROUND = 0.05


def outline(grey: FloatArray, depth: int = 2) -> BoolArray | None:
    """(H, W) the head in grey levels 0..1, its holes filled, or None where nothing stands out from the background.

    On black it is the largest part. Else the first that stands out from frame, air, surround or page, has the shape
    of a head and ends in a step; where none has, one of less even shape, or, as in a picture that cuts the head, what
    stands out from the air inside a frame.
    """
    if _on_black(grey):
        found = _largest_filled(grey > AIR)
        if found is None or _like_head(found):
            return found
        return _inside(grey, found, depth)
    fallback: list[tuple[bool, BoolArray]] = []
    for region in dict.fromkeys((_unframed(grey), _whole(grey), _inset(grey))):
        part = grey[_slices(region)]
        for number, found in enumerate(_candidates(part)):
            if found is None:
                continue
            cut = number == 0 and _cut_head(found)
            mask = _inside(part, found, depth)
            if cut or (_like_head(mask) and _steps(part, mask)):
                return _placed(mask, region, grey.shape)
            uneven = _like_head(found, LESS_SOLID) and _steps(part, found)
            fallback.append((uneven, _placed(found, region, grey.shape)))
    return max(fallback, key=itemgetter(0))[1] if fallback else None  # of equals the first


def _inside(grey: FloatArray, mask: BoolArray, depth: int) -> BoolArray:
    """(H, W) the head in a window on a page or in a screen that glows, or the mask where it is neither."""
    window = _window(mask) if depth else None
    found = None if window is None else outline(grey[_slices(window)], depth - 1)
    if window is not None and found is not None and _like_head(found) and _steps(grey[_slices(window)], found):
        return _placed(found, window, grey.shape)
    glows = not _steps(grey, mask)
    for limit in LIMITS:
        brighter = _largest_filled((grey > limit) & mask)
        if brighter is not None and brighter.sum() < GLOW * mask.sum() and _like_head(brighter):
            if glows and _steps(grey, brighter):
                return brighter
            around = mask & (cv2.dilate(brighter.astype(np.uint8), np.ones((9, 9), np.uint8)) == 0)
            if around.any() and np.ptp(np.percentile(grey[around], (12, 88))) < 2 * PLAIN:
                return brighter
    return mask


def _on_black(grey: FloatArray) -> bool:
    """Whether the picture lies on black, as nearly every slice does: border and corners are the black of air."""
    return bool(np.median(border(grey)) <= LIFTED[0] and _in_corners(grey > AIR) < FREE)


def _candidates(grey: FloatArray) -> Iterator[BoolArray | None]:
    """The largest part that stands out from the air, from an even grey around it, from ever brighter air."""
    level = float(np.median(border(grey)))
    yield _largest_filled(grey > AIR + (level if LIFTED[0] < level < LIFTED[1] else 0.0))
    surround = _surround(grey)
    if surround is not None:
        yield _largest_filled(_off_page(grey, surround))
    for limit in LIMITS:
        if _in_corners(grey > limit) < FREE:
            yield _largest_filled(grey > limit)


def _like_head(mask: BoolArray, solid: float = SOLID) -> bool:
    """Whether a mask has the size and shape of a head that lies free in the picture."""
    shape = _shape(mask)
    free = _in_corners(mask) < FREE and HEAD_AREA[0] < mask.mean() < HEAD_AREA[1]
    return free and shape.solid > solid and shape.box < WINDOW and max(shape.sides) < ELONGATED * min(shape.sides)


def _steps(grey: FloatArray, mask: BoolArray) -> bool:
    """Whether a mask ends in a step down all around, where the picture goes on beyond it."""
    inside, outside = (part.astype(np.float32) for part in (mask, ~mask))
    size = (REACH, REACH)
    shares = [cv2.boxFilter(part, -1, size, borderType=cv2.BORDER_CONSTANT) for part in (inside, outside)]
    means = [
        cv2.boxFilter(grey * part, -1, size, borderType=cv2.BORDER_CONSTANT) / np.maximum(share, 1e-3)
        for part, share in zip((inside, outside), shares, strict=True)
    ]
    edge = mask & (cv2.erode(mask.astype(np.uint8), np.ones((3, 3), np.uint8), borderValue=1) == 0)
    return bool(edge.any() and np.percentile((means[0] - means[1])[edge], 100 * WEAK) > STEP)


def _cut_head(mask: BoolArray) -> bool:
    """Whether a mask may be a head that the picture cuts: solid, and out of the corners."""
    return _in_corners(mask) < FREE and _shape(mask).solid > SOLID


class _Shape(NamedTuple):
    """Shares of a mask in its convex hull and in the closest box around it; that box's sides in pixels, its angle."""

    solid: float
    box: float
    sides: tuple[float, float]
    degrees: float


def _shape(mask: BoolArray) -> _Shape:
    """That of the largest part of a mask."""
    contours, _ = cv2.findContours(mask.astype(np.uint8), cv2.RETR_EXTERNAL, cv2.CHAIN_APPROX_NONE)
    points = max(contours, key=cv2.contourArea)
    area = max(float(cv2.contourArea(points)), 1.0)
    _, sides, degrees = cv2.minAreaRect(points)
    width, height = (max(float(side), 1.0) for side in sides)
    hull = max(float(cv2.contourArea(cv2.convexHull(points))), 1.0)
    return _Shape(area / hull, area / (width * height), (width, height), float(degrees))


def border(picture: NDArray[Any]) -> NDArray[Any]:
    """The values along the four edges of a picture (H, W), the corners twice."""
    return np.concatenate([picture[0], picture[-1], picture[:, 0], picture[:, -1]])


def solidity(mask: BoolArray) -> float:
    """The share that a mask fills of its convex hull, 0..1."""
    return _shape(mask)[0]


def filled(mask: BoolArray) -> BoolArray:
    """(H, W) with its holes filled: the black brain of a bone window belongs to the head."""
    contours, _ = cv2.findContours(mask.astype(np.uint8), cv2.RETR_EXTERNAL, cv2.CHAIN_APPROX_NONE)
    return np.asarray(cv2.drawContours(np.zeros(mask.shape, np.uint8), contours, -1, 1, cv2.FILLED) > 0)


def _slices(region: Region) -> tuple[slice, slice]:
    top, bottom, left, right = region
    return slice(top, bottom), slice(left, right)


def _placed(part: BoolArray, region: Region, shape: tuple[int, ...]) -> BoolArray:
    out = np.zeros(shape, dtype=np.bool_)
    out[_slices(region)] = part
    return out


def _whole(grey: FloatArray) -> Region:
    return 0, grey.shape[0], 0, grey.shape[1]


def _inset(grey: FloatArray) -> Region:
    dy, dx = (round(side * AROUND) for side in grey.shape)
    return dy, grey.shape[0] - dy, dx, grey.shape[1] - dx


def _window(mask: BoolArray) -> Region | None:
    """The inside of a rectangle, a little askew or not, that is not the whole picture; None where it is none."""
    shape = _shape(mask)
    turned = shape.degrees % 90
    askew = min(turned, 90 - turned)
    if shape.box < WINDOW or askew > ASKEW or min(shape.sides) < 32:
        return None
    x, y, width, height = cv2.boundingRect(mask.astype(np.uint8))
    if width * height > 0.98 * mask.size:
        return None
    dx, dy = (round(np.tan(np.radians(askew)) * side) + 2 for side in (height, width))
    return y + dy, y + height - dy, x + dx, x + width - dx


def _unframed(grey: FloatArray) -> Region:
    """The inside of a frame: the lines of one grey that is not black, taken off side by side."""
    top, bottom, left, right = _whole(grey)
    for _ in range(2):  # a frame of two greys: a page around a window
        rows, columns = _plain_lines(grey[:, left:right]), _plain_lines(grey[top:bottom].T)
        top, bottom = _peeled(rows, top, bottom)
        left, right = _peeled(columns, left, right)
        if min(bottom - top, right - left) < LEAST_INNER * min(grey.shape):
            return _whole(grey)  # all of it is plain
    soft = np.array([top, bottom, left, right]) - _whole(grey)  # the softened edge of the frame goes with it
    return tuple(np.array([top, bottom, left, right]) + 2 * np.sign(soft))


def _plain_lines(lines: FloatArray) -> BoolArray:
    """Which rows are of one grey, letters on them aside, and not black."""
    low, middle, high = np.percentile(lines, (8, 50, 92), axis=1)
    return np.asarray((high - low < PLAIN) & (middle > AIR))


def _peeled(plain: BoolArray, first: int, last: int) -> tuple[int, int]:
    """The stretch [first, last) without the plain lines at its two ends."""
    while first < last and plain[first]:
        first += 1
    while last > first and plain[last - 1]:
        last -= 1
    return first, last


def _corners(picture: NDArray[Any]) -> list[NDArray[Any]]:
    """The values along the edges next to the corners of a picture: top left, top right, bottom left, bottom right."""
    height, width = (max(2, side // CORNER) for side in picture.shape)
    rows, columns = (slice(height), slice(-height, None)), (slice(width), slice(-width, None))
    return [
        np.concatenate([picture[-edge_row, columns[edge_column]], picture[rows[edge_row], -edge_column]])
        for edge_row in (0, 1)
        for edge_column in (0, 1)
    ]


def _in_corners(foreground: BoolArray) -> float:
    return float(np.concatenate(_corners(foreground)).mean())


def _surround(grey: FloatArray) -> FloatArray | None:
    """(H, W) the even grey around the head, lit from one side or not; None where the corners hold anything else."""
    corners = _corners(grey)
    spread = [float(np.ptp(np.percentile(corner, (12, 88)))) for corner in corners]
    even = [value < 2 * PLAIN for value in spread]
    grain = float(np.median([np.median(np.abs(np.diff(corner))) for corner in corners]))
    if sum(even) < 2 or grain > GRAIN:
        return None
    levels = np.array([float(np.median(corner)) for corner in corners])
    levels[~np.array(even)] = np.median(levels[even])
    ramp = cv2.resize(levels.reshape(2, 2).astype(np.float32), grey.shape[::-1], interpolation=cv2.INTER_LINEAR_EXACT)
    return np.asarray(ramp, dtype=np.float32)


def _off_page(grey: FloatArray, surround: FloatArray) -> BoolArray:
    """What is not connected to the border by the grey of the surround, and is not black."""
    page = (np.abs(grey - surround) < PLAIN + 0.03 * (surround > 0.75)).astype(np.uint8)
    _, labels = cv2.connectedComponents(page, connectivity=4)
    edge = border(labels)
    outside = np.isin(labels, edge[edge > 0]).astype(np.uint8)
    # Grown a little: the softened edge of the page would frame the picture.
    return np.asarray((cv2.dilate(outside, np.ones((5, 5), np.uint8)) == 0) & (grey > AIR))


def _largest_filled(foreground: BoolArray) -> BoolArray | None:
    """The largest connected part after letters, tubes and head rests are cut off, its holes filled."""
    side = max(3, round(min(foreground.shape) * 0.02)) | 1
    kernel = cv2.getStructuringElement(cv2.MORPH_ELLIPSE, (side, side))
    closed = cv2.morphologyEx(foreground.astype(np.uint8), cv2.MORPH_CLOSE, kernel)
    opened = cv2.morphologyEx(filled(closed > 0).astype(np.uint8), cv2.MORPH_OPEN, kernel)
    count, labels, stats, _ = cv2.connectedComponentsWithStats(opened, connectivity=4)
    if count < 2:
        return None
    best = 1 + int(np.argmax(stats[1:, cv2.CC_STAT_AREA]))
    if stats[best, cv2.CC_STAT_AREA] < 0.01 * foreground.size:
        return None
    return np.asarray(labels == best)
