"""Whether pictures that are numbered one after the other look like neighbouring slices of one scan.

Public sets number the pictures of many patients through, so names alone would mix patients. In a scan the head moves
and changes little from slice to slice, and more the further two slices are apart; between patients it does neither.
The measure is 1 - r, with r the correlation of two pictures as they lie, shrunk. Each is compared with others of the
same pictures, so that no window, scanner or distance of the slices sets its scale.
"""

from __future__ import annotations

from itertools import pairwise

import numpy as np
from numpy.typing import NDArray

from strokenext.types import FloatArray, Slice

#: Pictures are compared at this side, which averages noise away and keeps the outline of the head and the ventricles.
SIDE = 64
#: HU between which brain and blood differ; pictures without HU are compared as they are.
LOWEST, HIGHEST = -20.0, 100.0
#: A picture whose shrunk values vary less (standard deviation in grey levels or HU) shows nothing.
FAINT = 1.0
#: Neighbours of a scan are this much closer to each other than its other pictures are.
CLOSER = 0.6
#: And alike at all; in a run of fewer pictures than FEW, whose distances say little, more so.
ALIKE, ALIKE_OF_FEW, FEW = 0.6, 0.75, 5
#: Between two patients a picture is as far from the next as from the one after it, and the two are not much alike.
BREAK, BREAK_ALIKE = 0.85, 0.9


def shrunk(image: Slice) -> FloatArray | None:
    """(SIDE * SIDE,) mean 0 and length 1 of a picture as it lies; None for one that shows nothing."""
    from PIL import Image

    pixels = np.clip(image.pixels, LOWEST, HIGHEST) if image.unit == "HU" else image.pixels
    small = Image.fromarray(pixels.astype(np.float32)).resize((SIDE, SIDE), Image.Resampling.BOX)
    values = np.asarray(small, dtype=np.float64).ravel()
    values -= values.mean()
    length = float(np.linalg.norm(values))
    return (values / length).astype(np.float32) if length > FAINT * SIDE else None


def parts(pictures: list[FloatArray]) -> list[range]:
    """The places of N pictures in order, cut where one scan ends and another begins; a part of one stands alone.

    A part of several is of pictures that resemble each other as neighbours of one scan do.
    """
    if len(pictures) < 3:
        return [range(n, n + 1) for n in range(len(pictures))]
    stacked = np.stack(pictures)
    distance = np.maximum(0.0, 1.0 - stacked @ stacked.T).astype(np.float64)
    cuts = [n + 1 for n in range(len(pictures) - 1) if _breaks(distance, n)]
    least = FEW if cuts else 3  # among many pictures a few resemble each other by chance
    found: list[range] = []
    for first, end in pairwise([0, *cuts, len(pictures)]):
        whole = end - first >= least and _of_one_scan(distance[first:end, first:end])
        found += [range(first, end)] if whole else [range(n, n + 1) for n in range(first, end)]
    return found


def _breaks(distance: NDArray[np.float64], n: int) -> bool:
    """Whether a scan ends between the pictures n and n + 1."""
    around = [distance[a, b] for a, b in ((n - 1, n + 1), (n, n + 2)) if a >= 0 and b < len(distance)]
    return bool(distance[n, n + 1] > 1 - BREAK_ALIKE and distance[n, n + 1] > BREAK * np.mean(around))


def _of_one_scan(distance: NDArray[np.float64]) -> bool:
    """Whether all of these pictures follow each other in one scan."""
    near = float(np.median(np.diag(distance, 1)))
    far = float(np.median(distance[np.triu_indices(len(distance), 2)]))
    alike = ALIKE_OF_FEW if len(distance) < FEW else ALIKE
    return near <= 1 - alike and near <= CLOSER * far
