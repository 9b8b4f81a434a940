"""Overlays of a segmentation model: what it marks (filled) and what was outlined (lines), best, middling and worst.

They show patients' images: look at them where they were drawn, they belong in no repository.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import cv2
import numpy as np

from strokenext.overlay import REGION_COLORS, render
from strokenext.segment.segmentation import Segmentation
from strokenext.segment.segmenter import Segmenter
from strokenext.types import ByteArray, Gate
from training.data.images import open_image
from training.data.manifest import Manifest, Record

from .planes import MASK_CLASSES, Truth, truth_of
from .scores import count

#: Slices per sheet, in columns; slices that are segmented at most to choose from.
COLUMNS, ROWS, MOST_SLICES = 6, 3, 240
#: Side of a tile in pixels, and the colour of an outlined truth by class.
TILE = 300
TRUTH = ((255, 255, 255), (255, 214, 0), (255, 90, 90))


@dataclass(frozen=True, eq=False)
class ScoredTile:
    """A tile and what it is sorted by."""

    tile: ByteArray
    score: float


def draw_overlays(segmenter: Segmenter, manifest: Manifest, records: Sequence[Record], folder: Path) -> Path:
    """One sheet per source with masks: best slices above, middling, worst below; and one of false alarms."""
    folder.mkdir(parents=True, exist_ok=True)
    for source in sorted({r.source for r in records}):
        chosen = [r for r in records if r.source == source]
        chosen = chosen[:: max(1, -(-len(chosen) // MOST_SLICES))]
        drawn = sorted((scored_tile(segmenter, manifest, r) for r in chosen), key=lambda d: -d.score)
        middle = max(0, len(drawn) // 2 - COLUMNS // 2)
        rows = [drawn[:COLUMNS], drawn[middle : middle + COLUMNS], drawn[-COLUMNS:]]
        _write(folder / f"{source}.png", [d.tile for row in rows for d in row])
    return folder


def scored_tile(segmenter: Segmenter, manifest: Manifest, record: Record) -> ScoredTile:
    """A record's tile; its score is the mean Dice of what is known to be there, else minus the share marked."""
    image = open_image(manifest.file(record))
    answer = segmenter.segment(image, force=True, gate=Gate(True))
    truth = truth_of(manifest, record, image)
    compared = zip(answer.regions, truth.masks, truth.known, strict=False)
    scores = [count(region.mask, mask, known).dice for region, mask, known in compared if mask.any()]
    marked = sum(r.pixels for r in answer.regions) / image.pixels.size
    score = float(np.mean(scores)) if scores else -marked
    words = f"Dice {score:.2f}" if scores else f"marked {100 * marked:.2f} %"
    return ScoredTile(tile(answer, truth, words), score)


def tile(answer: Segmentation, truth: Truth, words: str) -> ByteArray:
    """(TILE, TILE, 3) the slice, marks filled in their colours, the truth as thin lines, a caption."""
    picture = render(answer.image, regions=answer.regions, fill=0.3)
    scale = TILE / max(picture.shape[:2])
    large = cv2.resize(picture, None, fx=scale, fy=scale, interpolation=cv2.INTER_CUBIC)
    for mask, color in zip(truth.masks, TRUTH, strict=True):
        shape = cv2.resize(mask.astype(np.uint8), large.shape[1::-1], interpolation=cv2.INTER_NEAREST)
        lines, _ = cv2.findContours(shape, cv2.RETR_LIST, cv2.CHAIN_APPROX_NONE)
        cv2.drawContours(large, lines, -1, color, 1)
    out = np.zeros((TILE, TILE, 3), np.uint8)
    out[: large.shape[0], : large.shape[1]] = large[:TILE, :TILE]
    cv2.putText(out, words, (6, 16), cv2.FONT_HERSHEY_SIMPLEX, 0.45, (255, 255, 255), 1, cv2.LINE_AA)
    return out


def _write(file: Path, tiles: Sequence[ByteArray]) -> None:
    empty = np.zeros((TILE, TILE, 3), np.uint8)
    full = [*tiles, *[empty] * (COLUMNS * ROWS - len(tiles))][: COLUMNS * ROWS]
    sheet = np.vstack([np.hstack(full[r * COLUMNS : (r + 1) * COLUMNS]) for r in range(ROWS)])
    key = np.zeros((24, sheet.shape[1], 3), np.uint8)
    words = [(f"filled: {name} as marked", color) for name, color in zip(MASK_CLASSES, REGION_COLORS, strict=False)]
    words += [(f"line: {name} as it should be", color) for name, color in zip(MASK_CLASSES, TRUTH, strict=True)]
    for i, (text, color) in enumerate(words):
        cv2.putText(key, text, (8 + 430 * i, 16), cv2.FONT_HERSHEY_SIMPLEX, 0.45, color, 1, cv2.LINE_AA)
    cv2.imencode(".png", np.vstack([key, sheet])[:, :, ::-1])[1].tofile(file)
