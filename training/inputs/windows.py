"""Pictures in other windows than the training ones, made of pictures in the brain window.

What a picture clipped is filled in: black around the head is air, black inside it fat, white is bone. Real HU need no
filling, see `through`.
"""

from __future__ import annotations

import cv2
import numpy as np

from strokenext.preprocess.head import find_head
from strokenext.types import FloatArray, Slice, Window
from strokenext.windows import BRAIN, apply, grey01

#: HU of what the brain window shows black (around the head, inside it) and of the densest bone.
AIR, FAT, BONE = -1000.0, -90.0, 1100.0


def through(image: Slice, window: Window) -> Slice:
    """An 8-bit picture of the slice through a window, without HU."""
    hu = image.pixels if image.unit == "HU" else filled_hu(grey01(image, BRAIN))
    return Slice(np.rint(apply(hu, window) * 255).astype(np.float32), "grey", kind="png")


def filled_hu(grey: FloatArray) -> FloatArray:
    """(H, W) HU of a picture 0..1 in the brain window, bone and fat as they may have been."""
    head = find_head(grey)
    inside = np.ones(grey.shape, bool) if head is None else head.mask
    hu = BRAIN.low + grey * BRAIN.width
    white = (grey >= 0.985).astype(np.float32)
    reach = 0.012 * max(grey.shape)
    deep = cv2.GaussianBlur(white, (0, 0), reach) * white
    hu = hu + (BONE - BRAIN.high) * np.clip(2 * deep - 0.7, 0, 1)
    hu = np.where(grey <= 0.012, np.where(inside, FAT, AIR), hu)
    return np.asarray(cv2.GaussianBlur(hu.astype(np.float32), (0, 0), 0.5), dtype=np.float32)
