"""What workstations, slides, web sites and cameras do to a picture of a head CT, drawn at random for each picture.

Unlike `pictures.ALTERED`, where each change is one fixed step that a test can name, these have a strength drawn from
the whole range that is met. Each says where the pixels of the picture went, so that the head found can be compared.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, replace

import cv2
import numpy as np
from numpy.typing import NDArray

from strokenext.preprocess.head import find_head
from strokenext.types import FloatArray
from training.drawing.augment import recompressed

#: Grey levels above this are bone in a brain window.
BONE = 225
#: Sides in pixels of exported pictures, the longer one.
SIDES = (96, 1024)


@dataclass(frozen=True, eq=False)
class Export:
    """A picture (H, W) of grey levels 0..255; `place` is the (3, 3) matrix to it from the original pixel (x, y)."""

    grey: FloatArray
    place: NDArray[np.float64]


Variation = Callable[[Export, np.random.Generator], Export]


def unvaried(grey: FloatArray) -> Export:
    """A picture of grey levels 0..255 as it is."""
    return Export(grey, np.eye(3))


def _grey(values: object) -> FloatArray:
    return np.clip(np.asarray(values, dtype=np.float32), 0, 255)


def _brain(picture: FloatArray) -> float:
    """The grey level of most of the tissue."""
    tissue = picture[(picture > 12) & (picture < 200)]
    return float(np.median(tissue)) if tissue.size else 100.0


def _moved(export: Export, grey: FloatArray, x: float, y: float) -> Export:
    """The export with its pixel (x, y) at the origin of `grey`."""
    return Export(grey, np.array([[1.0, 0, -x], [0, 1, -y], [0, 0, 1]]) @ export.place)


def skull_box(picture: FloatArray) -> tuple[int, int, int, int]:
    """(x, y, width, height) of the bone of the head, or of the whole picture where none stands out."""
    head = find_head(picture / np.float32(255))
    inside = np.ones(picture.shape, np.bool_) if head is None else head.mask
    bone = ((picture > BONE) & inside).astype(np.uint8)
    x, y, width, height = cv2.boundingRect(cv2.morphologyEx(bone, cv2.MORPH_OPEN, np.ones((3, 3), np.uint8)))
    whole = (0, 0, picture.shape[1], picture.shape[0])
    return (x, y, width, height) if min(width, height) > 0.25 * min(picture.shape) else whole


def _cut(export: Export, margins: NDArray[np.float64]) -> Export:
    """Cut to the skull's box and a margin (left, top, right, bottom), in shares of the box; negative cuts into it."""
    x, y, width, height = skull_box(export.grey)
    left, top, right, bottom = margins * (width, height, width, height)
    x0, y0 = max(0, round(x - left)), max(0, round(y - top))
    cut = export.grey[y0 : round(y + height + bottom), x0 : round(x + width + right)]
    return _moved(export, cut.copy(), x0, y0)


def cropped_to_skull(export: Export, rng: np.random.Generator) -> Export:
    return _cut(export, rng.uniform(0, 0.06, 4))


def cropped_into_skull(export: Export, rng: np.random.Generator) -> Export:
    """Up to a sixteenth of the head is cut off on each side: skull is lost, hardly any brain."""
    return _cut(export, -rng.uniform(0, 0.06, 4))


def grey_surround(export: Export, rng: np.random.Generator) -> Export:
    """Air is dark grey: a screenshot's lifted black (which leaves the brain above it), a slide's grey page."""
    level = rng.uniform(10, 90)
    if rng.random() < 0.5:
        lifted = min(level, 0.75 * _brain(export.grey))
        return replace(export, grey=np.maximum(export.grey, np.float32(lifted)))
    return replace(export, grey=_grey(level + export.grey * (255 - level) / 255))


def letters(export: Export, rng: np.random.Generator) -> Export:
    """Letters and a ruler, a few of them over the head."""
    out, (height, width) = export.grey.astype(np.uint8), export.grey.shape
    for text in rng.choice(["R", "L", "A", "W80 L40", "IM 14/28", "120kV 300mA", "Ex: 1234", "10 cm"], 5):
        at = (int(rng.uniform(0, 0.9) * width), int(rng.choice((0.06, 0.12, 0.5, 0.9, 0.97)) * height))
        size = float(rng.uniform(0.6, 1.6)) * width / 700
        cv2.putText(out, str(text), at, cv2.FONT_HERSHEY_SIMPLEX, size, int(rng.uniform(150, 256)), 1, cv2.LINE_AA)
    x = int(rng.choice((0.03, 0.95)) * width)
    for tick in range(11):
        y = int((0.25 + 0.05 * tick) * height)
        cv2.line(out, (x, y), (x + max(2, width // 50), y), 255, 1)
    return replace(export, grey=out.astype(np.float32))


def bordered(export: Export, rng: np.random.Generator) -> Export:
    """A page or a frame of one grey around it, up to a quarter of its side."""
    height, width = export.grey.shape
    top, bottom, left, right = (int(v) for v in rng.uniform(0, 0.25, 4) * (height, height, width, width))
    level = float(rng.choice((0, 255, 240, rng.uniform(0, 255))))
    page = cv2.copyMakeBorder(export.grey, top, bottom, left, right, cv2.BORDER_CONSTANT, value=level)
    return _moved(export, np.asarray(page, dtype=np.float32), -left, -top)


def jpeg(export: Export, rng: np.random.Generator) -> Export:
    return _recompressed(export, int(rng.integers(20, 60)))


def _recompressed(export: Export, quality: int) -> Export:
    return replace(export, grey=recompressed(export.grey.astype(np.uint8), quality).astype(np.float32))


def resized(export: Export, rng: np.random.Generator) -> Export:
    return to_side(export, round(float(np.exp(rng.uniform(*np.log(SIDES))))))


def to_side(export: Export, side: int) -> Export:
    """The picture with its longer side of so many pixels."""
    scale = side / max(export.grey.shape)
    how = cv2.INTER_AREA if scale < 1 else cv2.INTER_CUBIC
    grey = _grey(cv2.resize(export.grey, None, fx=scale, fy=scale, interpolation=how))
    shift = (scale - 1) / 2  # pixel centres sit at whole numbers
    return Export(grey, np.array([[scale, 0, shift], [0, scale, shift], [0, 0, 1]]) @ export.place)


def gamma(export: Export, rng: np.random.Generator) -> Export:
    power = float(np.exp(rng.uniform(np.log(0.5), np.log(2))))
    return replace(export, grey=_grey(255 * (export.grey / 255) ** power))


def window(export: Export, rng: np.random.Generator) -> Export:
    """Another window around the brain: its grey between 12 and 60 % of white, CSF black to near brain, bone white."""
    picture = export.grey
    brain = _brain(picture)
    level, width = rng.uniform(30, 155), rng.uniform(0.35, 1.5)
    inside = level + (picture - brain) * width * level / brain
    white = np.clip((picture - 215) / 35, 0, 1)  # what was bone stays bone
    return replace(export, grey=_grey(np.where(picture < 4, 0, inside * (1 - white) + 255 * white)))


def photographed(export: Export, rng: np.random.Generator) -> Export:
    """A screen through a camera: a little askew, lit from one side, its black glowing, with moire, blur and noise."""
    height, width = export.grey.shape
    corners = np.array([(0, 0), (width, 0), (width, height), (0, height)], dtype=np.float32)
    askew = corners + rng.uniform(0, 0.04, (4, 2)).astype(np.float32) * (width, height) * np.where(corners > 0, -1, 1)
    place = cv2.getPerspectiveTransform(corners, askew.astype(np.float32))
    glow = float(rng.uniform(5, 45))
    lifted = (glow + export.grey * (255 - glow) / 255).astype(np.float32)
    shown = cv2.warpPerspective(lifted, place, (width, height), borderValue=float(rng.uniform(5, 60)))
    y, x = np.mgrid[0:height, 0:width].astype(np.float32) / max(height, width)
    angle, period = rng.uniform(0, 2 * np.pi), rng.uniform(0.008, 0.05)
    light = 1 + rng.uniform(0, 0.3) * ((x - 0.5) * np.cos(angle) + (y - 0.5) * np.sin(angle))
    moire = rng.uniform(0, 4) * np.sin(2 * np.pi * (x * np.sin(angle) + y * np.cos(angle)) / period)
    blurred = cv2.GaussianBlur(shown * light + moire, (0, 0), float(rng.uniform(0.3, 1.2)) * max(height, width) / 512)
    noisy: FloatArray = blurred + rng.normal(0, rng.uniform(1, 6), export.grey.shape)
    return Export(_grey(noisy * rng.uniform(0.75, 1)), place @ export.place)


VARIATIONS: dict[str, Variation] = {
    "as it is": lambda e, _: e,
    "cropped to the skull": cropped_to_skull,
    "cropped into the skull": cropped_into_skull,
    "grey surround": grey_surround,
    "letters and a ruler": letters,
    "border": bordered,
    "JPEG quality 20": lambda e, _: _recompressed(e, 20),
    "128 pixels": lambda e, _: to_side(e, 128),
    "96 to 1024 pixels": resized,
    "gamma 0.5 to 2": gamma,
    "any brain-like window": window,
    "photographed": photographed,
}
#: The order in which several of them are met: the window first, the export last.
CHAIN = (
    *(window, gamma, cropped_to_skull, cropped_into_skull, grey_surround, bordered, letters),
    *(photographed, resized, jpeg),
)


def several(export: Export, rng: np.random.Generator) -> Export:
    """Three variations one after the other, as a slide does to a screenshot of a workstation."""
    for index in sorted(rng.choice(len(CHAIN), 3, replace=False)):
        export = CHAIN[index](export, rng)
    return export


VARIATIONS["three of them"] = several
#: What is done to any picture, head or not, on its way: no step asks where a head is.
EXPORTS: dict[str, Variation] = {
    name: VARIATIONS[name]
    for name in ("grey surround", "letters and a ruler", "border", "JPEG quality 20", "128 pixels", "photographed")
}
