"""The TEKNOFEST 2021 preparation of a head CT slice: noise removed, the head cut out along its contour, and centred.

Grey levels 0..1 in, grey levels 0..1 out. A classifier sees the head in the middle of its square; a segmentation
model sees the same pixels where they were, so that image, mask and overlay share one geometry.
"""

from __future__ import annotations

import cv2
import numpy as np
from numpy.typing import NDArray

from strokenext.types import BoolArray, FloatArray

from .head import find_head, rotation

#: Side in pixels of the median filter; it takes single bright or dark pixels and lines one pixel wide.
MEDIAN = 3
#: Room left around the head, as a share of the distance from its centroid to the edge of the square.
MARGIN = 0.04


def denoised(grey: FloatArray) -> FloatArray:
    """(H, W) grey levels without speckle: the median of each pixel's 3 x 3 neighbours. Edges stay where they are."""
    return np.asarray(cv2.medianBlur(np.ascontiguousarray(grey, dtype=np.float32), MEDIAN), dtype=np.float32)


def contour_mask(grey: FloatArray) -> BoolArray | None:
    """(H, W) True within the head's outer contour; None where nothing stands out from the background."""
    head = find_head(grey)
    return None if head is None else head.mask


def cut_out(grey: FloatArray, mask: BoolArray | None) -> FloatArray:
    """(H, W) with everything outside the contour black: head rest, tubes, letters. Itself without a contour."""
    return grey if mask is None else np.where(mask, grey, np.float32(0))


def centring(mask: BoolArray, size: int) -> NDArray[np.float64]:
    """(2, 3) affine from a pixel (x, y) to a square of `size` pixels with the head's centroid in its middle.

    The head is not turned, and the whole of it is inside: the square reaches to the pixel of `mask` that is farthest
    from the centroid along either axis, and a little beyond. Raises ValueError for an empty mask.
    """
    ys, xs = np.nonzero(mask)
    if not len(xs):
        raise ValueError("an empty mask has no centroid")
    x, y = float(xs.mean()), float(ys.mean())
    reach = max(x - xs.min(), xs.max() - x, y - ys.min(), ys.max() - y) + 0.5
    return rotation((x, y), 0.0, reach * (1 + MARGIN), size)
