"""What a record's files hold: the slice, and the mask that an annotation tool wrote."""

from __future__ import annotations

from pathlib import Path

import cv2
import numpy as np

from strokenext.errors import DataError, InputError
from strokenext.io.read import read_slice
from strokenext.types import BoolArray, Slice

from .manifest import Manifest, Record


def open_image(file: Path) -> Slice:
    """One slice through the library's own reader. Raises its InputError, also for what is no image of a head slice."""
    image = read_slice(file)
    if image.header.scope_problem:
        raise InputError(image.header.scope_problem)
    return image


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
