"""A record's mask file, as annotation tools write them: white on black, or 1 on 0."""

from __future__ import annotations

import cv2
import numpy as np

from strokenext.errors import DataError
from strokenext.types import BoolArray

from .manifest import Manifest, Record


def read_mask(manifest: Manifest, record: Record, shape: tuple[int, int]) -> BoolArray:
    """(H, W) of the record's mask file: its bright half, or all that is not 0 where it is a map of small numbers.

    Raises DataError when it is no picture of that size.
    """
    file = manifest.root / str(record.extra["mask"])
    data = np.fromfile(file, np.uint8) if file.is_file() else np.zeros(0, np.uint8)
    pixels = cv2.imdecode(data, cv2.IMREAD_GRAYSCALE) if data.size else None
    if pixels is None or pixels.shape != shape:
        raise DataError(f"The mask {file.name} is no picture of the size of {record.path}. Prepare the data again.")
    return np.asarray(pixels > (127 if pixels.max(initial=0) > 127 else 0))
