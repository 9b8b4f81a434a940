"""Contact sheets: what the images of each source and class look like, as they are and in the model's frame."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Sequence
from pathlib import Path

import cv2
import numpy as np

from strokenext.preprocess.contract import Preprocess
from strokenext.types import ByteArray, FloatArray
from strokenext.windows import BRAIN, grey01, to_bytes

from .images import open_image
from .labels import class_name
from .manifest import Manifest, Record

TILE = 128
COLUMNS = 10
_HARMONISED = Preprocess(size=TILE, frame="head", level=True)


def contact_sheets(manifest: Manifest, out: Path, seed: int = 0) -> list[Path]:
    """One PNG per source: for each class a row of random slices as they are and the same slices harmonised."""
    by_source: dict[str, dict[str, list[Record]]] = defaultdict(lambda: defaultdict(list))
    for r in manifest:
        by_source[r.source][class_name(r)].append(r)
    rng = np.random.default_rng(seed)
    files = []
    for source, classes in sorted(by_source.items()):
        rows = [row for name in sorted(classes) for row in _rows(manifest, name, classes[name], rng)]
        file = out / f"contact_{''.join(c if c.isalnum() else '_' for c in source)}.png"
        cv2.imencode(".png", np.vstack(rows))[1].tofile(file)
        files.append(file)
    return files


def _rows(manifest: Manifest, name: str, records: Sequence[Record], rng: np.random.Generator) -> list[ByteArray]:
    """A caption strip and two strips of tiles."""

    chosen = sorted(rng.choice(len(records), min(COLUMNS, len(records)), replace=False).tolist())
    slices = [open_image(manifest.file(records[i])) for i in chosen]
    caption = np.zeros((18, COLUMNS * TILE), np.uint8)
    text = f"{name}: {len(records)} images; above as they are, below framed and levelled"
    cv2.putText(caption, text, (4, 13), cv2.FONT_HERSHEY_SIMPLEX, 0.4, 255, 1, cv2.LINE_AA)
    plain = [_tile(grey01(s, BRAIN)) for s in slices]
    return [caption, _strip(plain), _strip([_HARMONISED.framed(s).grey for s in slices])]


def _tile(grey: FloatArray) -> FloatArray:
    return np.asarray(cv2.resize(grey, (TILE, TILE), interpolation=cv2.INTER_AREA), np.float32)


def _strip(tiles: Sequence[FloatArray]) -> ByteArray:
    strip = np.zeros((TILE, COLUMNS * TILE), np.uint8)
    for i, tile in enumerate(tiles):
        strip[:, i * TILE : (i + 1) * TILE] = to_bytes(tile)
    return strip
