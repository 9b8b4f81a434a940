"""Contact sheets: what the images of each source and class look like, as they are and in the model's frame."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import cv2
import numpy as np
from numpy.typing import NDArray

from strokenext.types import ByteArray
from strokenext.windows import BRAIN, grey01, to_bytes

from .harmony import HARMONISED
from .images import open_image
from .labels import class_name
from .manifest import Manifest, Record

TILE = HARMONISED.size
COLUMNS = 10


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
    plain = [cv2.resize(grey01(s, BRAIN), (TILE, TILE), interpolation=cv2.INTER_AREA) for s in slices]
    return [caption, _strip(plain), _strip([HARMONISED.framed(s).grey for s in slices])]


def _strip(tiles: Sequence[NDArray[Any]]) -> ByteArray:
    """Tiles side by side, black where there are fewer than COLUMNS."""
    return np.pad(to_bytes(np.hstack(tiles)), ((0, 0), (0, (COLUMNS - len(tiles)) * TILE)))
