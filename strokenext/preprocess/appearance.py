"""How a head looks in a picture, as a few numbers: what windows, scanners, kernels and exports leave behind.

Nothing of them depends on where the head lies or how it is turned. They are measured before the brain is brought to
one grey level, on the head frame of SIDE pixels, whatever the model's own frame is.
"""

from __future__ import annotations

import cv2
import numpy as np

from strokenext.types import BoolArray, FloatArray, Slice

from .contract import Framed, Preprocess, levelled
from .head import TISSUE, tissue_level, well_inside

SIDE = 192
FRAMING = Preprocess(size=SIDE, frame="head", level=False, channels="plain")
#: Percentiles of the smoothed brain, relative to its level, and of what lies between brain and skin.
BRAIN_SHARES, RIM_SHARES = (2, 10, 25, 75, 90, 98), (10, 20, 35, 50)
#: Standard deviations in pixels of the blurs between whose results the brain's grain is measured.
SCALES = (0.7, 1.2, 2.0, 3.5, 6.0, 10.0)
#: What is measured, in the order of the values.
NAMES: tuple[str, ...] = (
    "level",
    *(f"brain {share}" for share in BRAIN_SHARES),
    "white",
    "black",
    *(f"rim {share}" for share in RIM_SHARES),
    "between brain and white",
    "between black and brain",
    *(f"grain {scale:g}" for scale in SCALES),
    "resolution",
)
#: Added to shares before their logarithm is taken.
_LEAST = 0.01
#: Fewer pixels of tissue than this, well inside the head, say nothing.
_LEAST_TISSUE = 200


def appearance(image: Slice) -> FloatArray | None:
    """(len(NAMES),) float32, or None where no brain is seen."""
    framed = FRAMING.framed(image)
    grey, inside = framed.grey, well_inside(framed.head)
    tissue = inside & (grey > TISSUE[0]) & (grey < TISSUE[1])
    level = tissue_level(grey[inside])
    if level <= 0 or tissue.sum() < _LEAST_TISSUE:
        return None
    smooth = np.asarray(cv2.GaussianBlur(grey, (0, 0), 1.5), dtype=np.float32)
    rim = framed.head & ~inside
    white, black, above, below = _shares(framed, level)
    values = [
        np.log(level + _LEAST),
        *np.percentile(smooth[tissue], BRAIN_SHARES) / level,
        white,
        black,
        *np.percentile(grey[rim], RIM_SHARES),
        above,
        below,
        *_grain(levelled(grey, [level]), tissue),
        np.log(np.hypot(framed.affine[0, 0], framed.affine[0, 1])),
    ]
    return np.asarray(values, dtype=np.float32)


def _shares(framed: Framed, level: float) -> tuple[float, ...]:
    """Logarithms of the head's white share, black share, share above the brain, share below it."""
    grey = framed.grey[framed.head]
    parts = (
        grey >= TISSUE[1],
        grey <= TISSUE[0],
        (grey > 1.5 * level) & (grey < TISSUE[1]),
        (grey > TISSUE[0]) & (grey < 0.5 * level),
    )
    return tuple(float(np.log(part.mean() + _LEAST)) for part in parts)


def _grain(grey: FloatArray, tissue: BoolArray) -> list[float]:
    """Logarithm of the spread between one blur and the next, in brain tissue."""
    values, before = [], grey
    for scale in SCALES:
        after = np.asarray(cv2.GaussianBlur(grey, (0, 0), scale), dtype=np.float32)
        values.append(float(np.log(np.std((before - after)[tissue]) + 1e-4)))
        before = after
    return values
