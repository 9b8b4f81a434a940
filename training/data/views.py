"""Pixels of records as a model sees them, kept in memory for the next model that sees them the same way."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

import numpy as np

from strokenext.preprocess.contract import Preprocess
from strokenext.types import FloatArray

from .images import open_image
from .manifest import Manifest, Record

#: Bytes of model input that are kept; what comes after is decoded again each time.
BUDGET = 700 << 20


class Views:
    """(3, S, S) float32 model input of a manifest's records, through the reader and contract of a user's file."""

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
