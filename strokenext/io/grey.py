"""Grey levels 0..255 from colours, deep pixels and unwindowed values."""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray

from strokenext.types import BoolArray, FloatArray, Window

#: Difference between the strongest and weakest channel, of 255, from which a pixel counts as coloured.
COLOURED = 24


def luminance(colour: NDArray[Any]) -> tuple[FloatArray, float]:
    """(H, W, 3) of uint8 or uint16 to brightness (H, W) float32 0..255 and the share of coloured pixels.

    Weights of ITU-R BT.601, as Pillow uses them.
    """
    scale = np.float32(1 / 257 if colour.dtype == np.uint16 else 1)
    red, green, blue = (colour[..., i].astype(np.float32) * scale for i in range(3))
    spread = np.maximum(np.maximum(red, green), blue) - np.minimum(np.minimum(red, green), blue)
    grey = np.float32(0.299) * red + np.float32(0.587) * green + np.float32(0.114) * blue
    # equal channels keep their exact value instead of a sum rounded in float32
    return np.where(spread == 0, red, grey), float((spread > COLOURED).mean())


def stretched(values: NDArray[np.float64], window: Window | None, seen: BoolArray | None = None) -> NDArray[np.float64]:
    """Any values to 0..255 through a window, or linearly from the least to the most of the pixels seen."""
    if window is not None:
        low, width = window.low, window.width
    else:
        known = values if seen is None or not seen.any() else values[seen]
        low, width = float(known.min()), float(known.max() - known.min())
    if width <= 0:
        return np.zeros_like(values)
    return np.clip((values - low) / width, 0.0, 1.0) * 255.0
