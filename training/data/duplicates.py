"""Exact and near duplicates: fingerprints, pairs and the groups they form.

Two images are near duplicates when their 64-bit perceptual hashes differ in few bits AND their 32x32 thumbnails
correlate: the hash finds candidates fast, the thumbnail keeps neighbouring slices of different patients apart.
Both are taken of the picture's content (black margins cut off), so copies that were resized, recompressed,
brightened, cropped to the head or padded are found. Turned and mirrored copies are not.
"""

from __future__ import annotations

from collections.abc import Hashable, Iterable, Sequence
from dataclasses import dataclass

import cv2
import numpy as np
from scipy.cluster.hierarchy import DisjointSet

from strokenext.types import FloatArray, Slice
from strokenext.windows import BRAIN, grey01

THUMB = 32
#: Grey level 0..1 below which a pixel is margin.
MARGIN_LEVEL = 0.08
#: Bits of 64 that may differ, and the correlation that thumbnails must reach. Measured on 3,743 slices of ct_ich,
#: phe_sich and lesion_masks: 246 pairs within a patient, none across. Of 150 of them these copies are found: resized
#: to 224 pixels 98 %, halved and saved as JPEG of quality 70 97 %, a fifth brighter 99 %, darker 97 %, padded 91 %.
#: Pictures of 128 pixels and less are too coarse: about every second copy of theirs is missed.
HASH_DISTANCE = 10
CORRELATION = 0.985


@dataclass(frozen=True, eq=False)
class Fingerprint:
    """`phash` is 64 bits; `thumb` is (THUMB * THUMB,) float32 of zero mean and unit length."""

    phash: int
    thumb: FloatArray


def fingerprint(image: Slice) -> Fingerprint:
    """The fingerprint of a slice. A picture without structure has hash 0 and a zero thumbnail: it matches nothing."""
    content = _content(grey01(image, BRAIN))
    small = np.asarray(cv2.resize(content, (THUMB, THUMB), interpolation=cv2.INTER_AREA), np.float32)
    flat = small.reshape(-1) - small.mean()
    length = float(np.linalg.norm(flat))
    if length < 1e-3:
        return Fingerprint(0, np.zeros(THUMB * THUMB, np.float32))
    return Fingerprint(phash(small), (flat / length).astype(np.float32))


def _content(grey: FloatArray) -> FloatArray:
    """The picture without its black margins, centred on a square."""
    scale = min(1.0, 256 / max(grey.shape))
    small = cv2.resize(grey, None, fx=scale, fy=scale, interpolation=cv2.INTER_AREA)
    x, y, width, height = cv2.boundingRect((cv2.blur(small, (3, 3)) > MARGIN_LEVEL).astype(np.uint8))
    if width < 8 or height < 8:
        return np.asarray(small, np.float32)
    side = max(width, height)
    left, top = (side - width) // 2, (side - height) // 2
    square = np.zeros((side, side), np.float32)
    square[top : top + height, left : left + width] = small[y : y + height, x : x + width]
    return square


def phash(small: FloatArray) -> int:
    """64-bit DCT hash of a 32x32 picture: which of the 8x8 lowest frequencies lie above their median (Zauner 2010)."""
    low = cv2.dct(np.asarray(small, np.float32))[:8, :8].reshape(-1)
    bits = low > np.median(low[1:])
    return int(np.packbits(bits).view(">u8")[0])


def near_pairs(
    prints: Sequence[Fingerprint], distance: int = HASH_DISTANCE, correlation: float = CORRELATION
) -> list[tuple[int, int]]:
    """Index pairs (i < j) of near duplicates, in order; compared block by block, memory stays flat."""
    if not prints:
        return []
    hashes = np.array([p.phash for p in prints], np.uint64)
    thumbs = np.stack([p.thumb for p in prints])
    pairs: list[tuple[int, int]] = []
    for start in range(0, len(hashes), 512):
        block = slice(start, start + 512)
        close = np.bitwise_count(hashes[block, None] ^ hashes[None, start:]) <= distance
        close &= thumbs[block] @ thumbs[start:].T >= correlation
        rows, columns = np.nonzero(np.triu(close, 1))
        pairs += zip((rows + start).tolist(), (columns + start).tolist(), strict=True)
    return pairs


def connect(keys: Iterable[Hashable], pairs: Iterable[tuple[Hashable, Hashable]]) -> dict[Hashable, Hashable]:
    """Each key to the first key (in the order given) of the group it is joined to."""
    groups = DisjointSet(keys)
    for a, b in pairs:
        groups.merge(a, b)
    first: dict[Hashable, Hashable] = {}
    return {key: first.setdefault(groups[key], key) for key in groups}
