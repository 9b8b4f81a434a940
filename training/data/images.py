"""What a record's files hold: the slice, the mask that an annotation tool wrote, and what a model sees of them."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from pathlib import Path

import cv2
import numpy as np

from strokenext.errors import DataError, InputError
from strokenext.io.read import read_slice
from strokenext.preprocess.contract import Preprocess
from strokenext.types import BoolArray, FloatArray, Slice

from .manifest import Manifest, Record

#: Bytes of model input that are kept; what comes after is decoded again each time.
BUDGET = 700 << 20


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


class Views:
    """(3, S, S) float32 model input of a manifest's records, through the reader and contract of a user's file.

    It is kept in memory for the next model that sees its pixels the same way.
    """

    def __init__(self, manifest: Manifest, budget: int = BUDGET) -> None:
        self.manifest, self.budget = manifest, budget
        self._kept: dict[tuple[str, Preprocess], FloatArray] = {}
        self._bytes = 0

    def pixels(self, record: Record, preprocess: Preprocess) -> FloatArray:
        """One record's input. Raises the reader's errors for a file that can no longer be read."""
        key = (record.path, preprocess)
        if key not in self._kept:
            made = preprocess.apply(open_image(self.manifest.file(record))).pixels
            if self._bytes + made.nbytes > self.budget:
                return made
            self._kept[key] = made
            self._bytes += made.nbytes
        return self._kept[key]

    def batches(self, records: Sequence[Record], preprocess: Preprocess, size: int) -> Iterator[FloatArray]:
        """(N, 3, S, S) for `size` records at a time, in order; the last batch may be short."""
        for start in range(0, len(records), size):
            yield np.stack([self.pixels(r, preprocess) for r in records[start : start + size]])
