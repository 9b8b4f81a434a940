"""Augmentation of one framed slice: geometry, then what scanners, windows and exports do to grey levels."""

from __future__ import annotations

import cv2
import numpy as np

from strokenext.preprocess.contract import levelled
from strokenext.preprocess.head import tissue_level
from strokenext.types import BoolArray, ByteArray, FloatArray


def geometry(rng: np.random.Generator, size_in: int, size: int, strength: float = 1.0) -> np.ndarray:
    """(2, 3) matrix from cached pixel to training pixel: turn, zoom, stretch, shift, mirror.

    Mostly small, because framing already brought the head upright; sometimes as far off as framing is on a
    tight crop or a tilted head. Mirroring left and right respects anatomy, upside down would not.
    """
    angle = np.radians((rng.normal(0, 5) if rng.random() < 0.9 else rng.uniform(-30, 30)) * strength)
    zoom = size / size_in * (1 + rng.uniform(-0.18, 0.1) * strength)
    stretch = 1 + rng.uniform(-0.08, 0.08) * strength
    mirror = -1.0 if rng.random() < 0.5 else 1.0
    cos, sin = np.cos(angle) * zoom, np.sin(angle) * zoom
    linear = np.array([[cos, sin], [-sin, cos]]) @ np.diag([mirror * stretch, 1 / stretch])
    shift = rng.uniform(-0.03, 0.03, 2) * size * strength
    offset = (size - 1) / 2 + shift - linear @ np.full(2, (size_in - 1) / 2)
    return np.hstack([linear, offset[:, None]])


def plain(size_in: int, size: int) -> np.ndarray:
    """The matrix that only rescales, for validation."""
    scale = size / size_in
    offset = (size - 1) / 2 - scale * (size_in - 1) / 2
    return np.array([[scale, 0, offset], [0, scale, offset]])


def warp(planes: np.ndarray, matrix: np.ndarray, size: int) -> FloatArray:
    """(H, W, P) planes resampled to (size, size, P) float32."""
    out = cv2.warpAffine(planes, matrix, (size, size), flags=cv2.INTER_LINEAR)
    return np.asarray(out.reshape(size, size, -1), dtype=np.float32)


def bend(rng: np.random.Generator, planes: FloatArray) -> FloatArray:
    """(S, S, P) with a smooth displacement of up to about 3 % of the side: heads differ more than affinely."""
    size = planes.shape[0]
    grid = np.arange(size, dtype=np.float32)
    cells = int(rng.integers(3, 6))
    coarse = rng.normal(0, rng.uniform(0.004, 0.014) * size, (cells, cells, 2)).astype(np.float32)
    shift = cv2.resize(coarse, (size, size), interpolation=cv2.INTER_CUBIC)
    x, y = grid[None, :] + shift[..., 0], grid[:, None] + shift[..., 1]
    threes = [np.ascontiguousarray(planes[..., i : i + 3]) for i in range(0, planes.shape[-1], 3)]
    parts = [cv2.remap(three, x, y, cv2.INTER_LINEAR).reshape(size, size, -1) for three in threes]
    return np.asarray(np.concatenate(parts, axis=-1), dtype=np.float32)


def window_jitter(rng: np.random.Generator, grey: FloatArray) -> FloatArray:
    """The picture as if exported through another window: both ends moved, then clipped as an export clips."""
    low = rng.uniform(-0.12, 0.14)
    high = 1.0 + (rng.uniform(-0.22, 0.1) if rng.random() < 0.7 else rng.uniform(0.1, 1.2))
    out = np.clip((grey - low) / (high - low), 0, 1)
    out[grey <= 0.004] = 0 if rng.random() < 0.8 else out[grey <= 0.004]
    if rng.random() < 0.3:
        out = out ** np.float32(rng.uniform(0.8, 1.25))
    return np.asarray(out, dtype=np.float32)


def degrade(rng: np.random.Generator, grey: FloatArray) -> FloatArray:
    """Reconstruction kernel, dose, resampling and compression: blur or sharpen, noise, 8-bit steps, JPEG."""
    size = grey.shape[0]
    roll = rng.random()
    if roll < 0.35:
        grey = soften(grey, rng.uniform(0.3, 1.3) * size / 160)
    elif roll < 0.5:
        grey = grey + rng.uniform(0.2, 0.9) * (grey - soften(grey, size / 160))
    if rng.random() < 0.6:
        grain = rng.standard_normal((size, size)).astype(np.float32)
        if rng.random() < 0.7:
            grain = soften(grain, rng.uniform(0.4, 1.2)) * 2
        grey = grey + grain * rng.uniform(0.004, 0.04) * (grey > 0.01)
    out = np.rint(np.clip(grey, 0, 1) * 255).astype(np.uint8)
    if rng.random() < 0.2:
        out = recompressed(out, int(rng.integers(40, 95)))
    return out.astype(np.float32) / np.float32(255)


def exported(rng: np.random.Generator, grey: FloatArray) -> FloatArray:
    """What people do to a picture before they send it: made small, compressed hard, written on, a ruler beside it.

    A third of the pictures is left as it is. JPEG works on the small copy, so that its blocks are as large as there.
    """
    if rng.random() < 0.35:
        return grey
    size = grey.shape[0]
    if rng.random() < 0.25:
        grey = _written_on(rng, grey)
    side = int(np.exp(rng.uniform(np.log(72), np.log(400)))) if rng.random() < 0.6 else size
    shrink = cv2.INTER_AREA if side < size else cv2.INTER_LINEAR
    small = cv2.resize(grey, (side, side), interpolation=shrink) if side != size else grey
    out = np.rint(np.clip(small, 0, 1) * 255).astype(np.uint8)
    if rng.random() < 0.6:
        out = recompressed(out, int(rng.integers(20, 96)))
    back = cv2.resize(out, (size, size), interpolation=cv2.INTER_AREA if side > size else cv2.INTER_LINEAR)
    return np.asarray(back, dtype=np.float32) / np.float32(255)


def _written_on(rng: np.random.Generator, grey: FloatArray) -> FloatArray:
    """Letters or tick marks over the picture's rim, at times over the head, as viewers burn them in."""
    size = grey.shape[0]
    ink = np.zeros((size, size), dtype=np.uint8)
    for _ in range(int(rng.integers(1, 6))):
        text = "".join(rng.choice(list("RLAPHF0123456789:mkV"), int(rng.integers(1, 9))))
        across = rng.uniform(0, 0.85)
        edge = rng.uniform(0.03, 0.12) if rng.random() < 0.5 else rng.uniform(0.88, 0.99)
        at = (across, edge) if rng.random() < 0.6 else (0.8 * round(edge), across)
        place, scale = (int(at[0] * size), int(at[1] * size)), size * rng.uniform(0.001, 0.0025)
        cv2.putText(ink, text, place, cv2.FONT_HERSHEY_SIMPLEX, scale, 255, 1, cv2.LINE_AA)
    if rng.random() < 0.4:
        column = int(size * (rng.uniform(0.01, 0.05) if rng.random() < 0.5 else rng.uniform(0.93, 0.97)))
        ink[int(size * 0.2) : int(size * 0.8) : max(2, size // 30), column : column + max(2, size // 50)] = 255
    return np.maximum(grey, ink / np.float32(255) * np.float32(rng.uniform(0.6, 1.0)))


def recompressed(picture: ByteArray, quality: int) -> ByteArray:
    """(H, W) grey levels 0..255 saved as JPEG and read again."""
    _, code = cv2.imencode(".jpg", picture, [cv2.IMWRITE_JPEG_QUALITY, quality])
    return np.asarray(cv2.imdecode(code, cv2.IMREAD_GRAYSCALE), dtype=np.uint8)


def soften(grey: FloatArray, sigma: float) -> FloatArray:
    """Gaussian blur, sigma in pixels."""
    return np.asarray(cv2.GaussianBlur(grey, (0, 0), sigma), dtype=np.float32)


def relevel(grey: FloatArray, inner: BoolArray, error: float = 1.0) -> FloatArray:
    """Bring the brain's median back to BRAIN_LEVEL as `strokenext.preprocess` does, times a small error."""
    return levelled(grey, [tissue_level(grey[inner])], error)


def erase(rng: np.random.Generator, grey: FloatArray) -> FloatArray:
    """Cut off a border as tight crops do, rarely."""
    if rng.random() < 0.08:
        side, depth = int(rng.integers(4)), int(grey.shape[0] * rng.uniform(0.02, 0.1))
        turned = np.rot90(grey, side).copy()
        turned[:depth] = 0
        return np.ascontiguousarray(np.rot90(turned, -side))
    return grey
