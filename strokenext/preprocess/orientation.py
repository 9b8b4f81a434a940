"""Which way up is the head in a picture, and the picture turned upright where it is not.

A file that states its orientation is believed. Anything else is looked at: a small network scores how upright the head
looks at each of TURNS angles, and the angle with the highest score is taken. It sees a disc around the head, so that
the frame of the picture tells it nothing. Mirror images cannot be told apart: a head is nearly symmetric.
`python -m training orientation` trains it and measures how often it is wrong (results/orientation.json).
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from functools import cache
from pathlib import Path
from typing import TYPE_CHECKING

import cv2
import numpy as np
from numpy.typing import NDArray

from strokenext.types import FloatArray, Slice
from strokenext.windows import BRAIN, grey01

from .contract import Prepared, Preprocess, levelled
from .head import SEARCH_SIZE, brain_level, find_head, rotation
from .outline import border

if TYPE_CHECKING:
    from torch import nn

#: Angles at which the head is looked at: every 30 degrees, within what the search for the midline covers afterwards.
TURNS = 12
STEP = 360 // TURNS
#: Side in pixels of what the network sees.
SIDE = 48
#: Room left around the head, as a share of its radius.
MARGIN = 1.05
#: Below this probability of upright, within a step, a picture is turned; from `UPRIGHT` on it is upright.
TURNED, UPRIGHT = 0.005, 0.5
#: Where the picture is turned to must be as clear as this.
CLEAR = 0.9
#: Slices of a series that are looked at, and from which part of it: face and vertex say little.
SEEN, MIDDLE = 9, (0.25, 0.8)
#: No slice says more against an angle than this.
LEAST_LOG = -9.0
WEIGHTS = Path(__file__).with_suffix(".safetensors")
#: Angle in degrees, clockwise, by which the front of the head lies away from the top of the picture.
_FRONT_AT = {"top": 0.0, "right": 90.0, "bottom": 180.0, "left": 270.0}


@dataclass(frozen=True, eq=False)
class Turned:
    """A slice with the head upright. `angle` in degrees is how far clockwise the head was turned, None where that
    cannot be told; `affine` (2, 3) takes a pixel (x, y) of the slice as given to `image`."""

    image: Slice
    angle: float | None
    affine: NDArray[np.float64]


def upright(image: Slice, angle: float | None) -> Turned:
    """The slice turned back by an angle in degrees, see `angle_of`; itself where it is 0 or nobody can tell."""
    return turn(image, angle) if angle else Turned(image, angle, np.eye(2, 3))


def angle_of(images: Sequence[Slice]) -> float | None:
    """Degrees clockwise by which the head is turned in a picture, or in all pictures of one series.

    As the file states it; else a multiple of STEP, 0 for upright, as the network sees it on at most SEEN slices from
    the middle of the series; None where it cannot be told. Without any head it is 0: that is the gate's matter.
    """
    known = stated(images[0])
    if known is not None:
        return known
    start, stop = (len(images) * share for share in MIDDLE)
    places = sorted({int(i) for i in np.linspace(start, max(start, stop - 1), SEEN)} & set(range(len(images))))
    seen = [found for i in places if (found := views(grey01(images[i], BRAIN))) is not None]
    return told(probabilities(seen)) if seen else 0.0


def stated(image: Slice) -> float | None:
    """Degrees clockwise from the top to the front of the head by the file's own statement; None without one."""
    if image.edges is None:
        return None
    found = [_FRONT_AT[side] for side, letters in image.edges._asdict().items() if letters[:1] == "A"]
    return found[0] if found else None


def told(chances: FloatArray) -> float | None:
    """The angle that the probabilities (TURNS,) of the angles leave no doubt about, or None."""
    near = near_by(chances)
    if near[0] >= UPRIGHT:
        return 0.0
    best = int(np.argmax(chances))
    return float(best * STEP) if near[0] < TURNED and near[best] >= CLEAR else None


def near_by(chances: FloatArray) -> FloatArray:
    """(TURNS,) the probability of each angle together with its two neighbours'."""
    return chances + np.roll(chances, 1) + np.roll(chances, -1)


def views(grey: FloatArray) -> FloatArray | None:
    """(TURNS, SIDE, SIDE) the head in a picture (H, W) of grey levels, turned back by each angle; None without one."""
    scale = min(1.0, SEARCH_SIZE / max(grey.shape))
    small = np.asarray(cv2.resize(grey, None, fx=scale, fy=scale, interpolation=cv2.INTER_AREA), dtype=np.float32)
    head = find_head(small)
    if head is None:
        return None
    even = levelled(small * head.mask, [brain_level(small, head.mask)])
    outline, _ = cv2.findContours(head.mask.astype(np.uint8), cv2.RETR_EXTERNAL, cv2.CHAIN_APPROX_NONE)
    center, radius = cv2.minEnclosingCircle(max(outline, key=len))
    return turned_views(even, (center[0], center[1]), radius * MARGIN)


def turned_views(even: FloatArray, center: tuple[float, float], radius: float, tilt: float = 0.0) -> FloatArray:
    """(TURNS, SIDE, SIDE) of a head in black, around a centre (x, y); the first is turned back by `tilt` alone."""
    shrink = 2 * radius / SIDE
    even = np.asarray(cv2.GaussianBlur(even, (0, 0), 0.4 * shrink), dtype=np.float32) if shrink > 1.2 else even
    matrices = (rotation(center, tilt + k * STEP, radius, SIDE) for k in range(TURNS))
    return np.stack([cv2.warpAffine(even, m, (SIDE, SIDE), flags=cv2.INTER_LINEAR) for m in matrices])


def probabilities(seen: Sequence[FloatArray]) -> FloatArray:
    """(TURNS,) how likely each angle is, from the views of one or more slices that lie alike; they sum to 1."""
    import torch

    with torch.inference_mode():
        scores = _loaded()(torch.from_numpy(np.concatenate(seen))[:, None]).view(len(seen), TURNS)
        likely = torch.log_softmax(scores, 1).clamp(min=LEAST_LOG).sum(0)
        return np.asarray(torch.softmax(likely, 0).numpy(), dtype=np.float32)


def network() -> nn.Module:
    """(N, 1, SIDE, SIDE) -> (N, 1), how upright a head looks; untrained."""
    from torch import nn

    return nn.Sequential(
        nn.Conv2d(1, 16, 5, 2, 2), nn.GELU(),
        nn.Conv2d(16, 32, 3, 2, 1), nn.GELU(),
        nn.Conv2d(32, 32, 3, 2, 1), nn.GELU(),
        nn.Flatten(), nn.Dropout(0.3), nn.Linear(32 * (SIDE // 8) ** 2, 48), nn.GELU(), nn.Linear(48, 1),
    )  # fmt: skip


@cache
def _loaded() -> nn.Module:
    """The trained network; it is only read."""
    from safetensors.torch import load_file

    made = network()
    made.load_state_dict({name: tensor.float() for name, tensor in load_file(WEIGHTS).items()}, strict=True)
    return made.eval().requires_grad_(False)


def turn(image: Slice, angle: float) -> Turned:
    """A slice turned anticlockwise by an angle in degrees, on a canvas that holds all of it."""
    height, width = image.shape
    back = rotation(((width - 1) / 2, (height - 1) / 2), angle, 0.5, 1)  # at the scale of the pixels
    linear = back[:, :2]
    size = np.ceil(np.abs(linear) @ np.array([width, height]) - 1e-6).astype(int)
    affine = np.hstack([linear, ((size - 1) / 2 - linear @ np.array([width - 1, height - 1]) / 2)[:, None]])
    fill = float(np.median(border(image.pixels)))
    pixels = _warped(image.pixels, affine, size, fill)
    padding = None if image.padding is None else _warped(image.padding.astype(np.float32), affine, size, 1) > 0.5
    return Turned(replace(image, pixels=pixels, padding=padding, edges=None), angle, affine)


def _warped(pixels: FloatArray, affine: NDArray[np.float64], size: NDArray[np.int_], fill: float) -> FloatArray:
    across, down = (int(side) for side in size)
    made = cv2.warpAffine(pixels, affine, (across, down), flags=cv2.INTER_LINEAR, borderValue=fill)
    return np.asarray(made, dtype=np.float32)


def prepared_upright(image: Slice, preprocess: Preprocess, angle: float | None) -> Prepared:
    """A slice turned back by an angle and prepared; the affine is from the picture as given."""
    turned = upright(image, angle)
    prepared = preprocess.apply(turned.image)
    return replace(prepared, affine=combined(prepared.affine, turned.affine))


def combined(second: NDArray[np.float64], first: NDArray[np.float64]) -> NDArray[np.float64]:
    """(2, 3) affine that does `first`, then `second`."""
    return np.asarray(second @ np.vstack([first, [0, 0, 1]]))
