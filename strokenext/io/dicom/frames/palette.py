"""Palette colours (PS3.3 C.7.6.3.1.5) to RGB of 8 or 16 bits, tables in any byte order and of either width."""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray
from pydicom.dataset import Dataset
from pydicom.pixels import apply_color_lut

from strokenext.io.dicom import numbers


def apply(stored: NDArray[Any], ds: Dataset) -> NDArray[Any]:
    """Indices (H, W) to (H, W, 3) through the file's table; segmented tables are left to pydicom."""
    names = [f"{c}PaletteColorLookupTableData" for c in ("Red", "Green", "Blue")]
    described = numbers.numbers(ds, "RedPaletteColorLookupTableDescriptor")
    if not all(n in ds for n in names) or len(described) != 3:
        return np.asarray(apply_color_lut(stored, ds))[..., :3]
    entries, first = int(described[0]) % 65536 or 65536, int(described[1])
    if stored.dtype.kind == "u" and first < 0:
        first += 65536  # the descriptor was read as signed
    tables = [_entries(bytes(ds[n].value), entries, ds.original_encoding[1] is not False) for n in names]
    places = np.clip(stored.astype(np.int64) - first, 0, min(len(t) for t in tables) - 1)
    table = np.stack(tables, axis=1)
    # entries of 8 bits in words of 16 would all be shown black
    wide = table.max() > 255
    return np.asarray(table[places] if wide else table[places].astype(np.uint8))


def _entries(data: bytes, entries: int, little: bool) -> NDArray[np.uint16]:
    """The entries of one colour: words where there are two bytes for each, else bytes."""
    if len(data) >= 2 * entries:
        return np.frombuffer(data, "<u2" if little else ">u2", entries).astype(np.uint16)
    plain = np.frombuffer(data, np.uint8)
    if not little:  # bytes in words of the other order
        plain = plain[: len(plain) // 2 * 2].reshape(-1, 2)[:, ::-1].ravel()
    return plain[:entries].astype(np.uint16)
