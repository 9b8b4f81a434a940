"""Augmentation of a batch of cached slices in torch, on whatever device they are, from numbers hashed per example.

Grey levels are 0..1 over the brain window, air and what lies outside the head is 0 and stays so.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import torch
from numpy.typing import NDArray
from scipy import stats
from torch import Tensor
from torch.nn.functional import affine_grid, conv2d, grid_sample

from strokenext.preprocess.contract import BRAIN_LEVEL, GAIN_LIMITS
from strokenext.preprocess.head import LEAST_TISSUE, TISSUE

#: Grey level up to which a pixel is air: it stays black whatever the contrast.
AIR = 0.004
#: The brain's level is found again after augmentation with this error (standard deviation, as a share).
LEVEL_ERROR = 0.03
#: A blur of fewer pixels changes nothing and is omitted.
SHARP = 0.2
#: Sides of the rectangle that `erase` blacks out, as shares of the picture's side.
ERASED = (0.1, 0.3)
_GOLDEN = np.uint64(0x9E3779B97F4A7C15)


@dataclass(frozen=True)
class Augment:
    """How far the pictures feed changes an image, each drawn evenly or as a probability; all 0 leaves it as it is.

    `flip` and `erase` are probabilities (mirrored left to right; a rectangle blacked out); `rotate` in degrees
    either way; `shift` as a share of the side; `scale`, `contrast` and `brightness` as shares of 1 either way;
    `window` is how far either end of the HU window moves, in HU;
    `noise` is the largest standard deviation of grey levels 0..1 and `blur` the largest sigma in pixels.
    """

    flip: float = 0.5
    rotate: float = 15.0
    shift: float = 0.06
    scale: float = 0.12
    contrast: float = 0.2
    brightness: float = 0.1
    window: float = 10.0
    noise: float = 0.03
    blur: float = 0.8
    erase: float = 0.0


def uniform(seed: int, positions: Sequence[int], count: int) -> NDArray[np.float64]:
    """(N, count) numbers in 0..1 by hashing seed, position and column (SplitMix64, Steele et al. 2014)."""
    start = _hashed(np.uint64(seed) + _GOLDEN) + np.asarray(list(positions), dtype=np.uint64) * _GOLDEN
    columns = np.arange(1, count + 1, dtype=np.uint64) * _GOLDEN
    bits = _hashed(_hashed(start)[:, None] + columns)
    return (bits >> np.uint64(11)).astype(np.float64) * 2.0**-53


def _hashed(x: NDArray[np.uint64] | np.uint64) -> NDArray[np.uint64]:
    with np.errstate(over="ignore"):
        x = (x ^ (x >> np.uint64(30))) * np.uint64(0xBF58476D1CE4E5B9)
        x = (x ^ (x >> np.uint64(27))) * np.uint64(0x94D049BB133111EB)
        return np.asarray(x ^ (x >> np.uint64(31)))


@dataclass(frozen=True, eq=False)
class Augmentation:
    """What happens to each of N examples; every field is (N,) or (N, k) float64.

    `matrix` (N, 2, 3) is `affine_grid`'s, from output to input in -1..1; `contrast` and `brightness` apply around
    the brain's level; `low` and `high` are the new ends of the window in grey levels; `box` is (left, top, width,
    height) in shares of the side, 0 wide where nothing is erased.
    """

    matrix: NDArray[np.float64]
    contrast: NDArray[np.float64]
    brightness: NDArray[np.float64]
    low: NDArray[np.float64]
    high: NDArray[np.float64]
    noise: NDArray[np.float64]
    key: NDArray[np.int64]
    blur: NDArray[np.float64]
    gain: NDArray[np.float64]
    box: NDArray[np.float64]

    @classmethod
    def draw(cls, seed: int, positions: Sequence[int], how: Augment, window_width: float) -> Augmentation:
        """The numbers of the examples at these positions; `window_width` in HU is what grey 0..1 stands for."""
        u = uniform(seed, positions, 20)
        either = 2 * u - 1
        angle = np.radians(how.rotate) * either[:, 0]
        zoom = 1 / (1 + how.scale * either[:, 1])
        mirror = np.where(u[:, 2] < how.flip, -1.0, 1.0)  # left and right only: upside down is no anatomy
        shift = 2 * how.shift * either[:, 3:5]
        cos, sin = np.cos(angle) * zoom, np.sin(angle) * zoom
        matrix = np.stack([mirror * cos, -mirror * sin, shift[:, 0], sin, cos, shift[:, 1]], axis=1).reshape(-1, 2, 3)
        jitter = how.window / window_width
        error = LEVEL_ERROR if how.contrast > 0 or how.brightness > 0 or jitter > 0 else 0.0
        sides = ERASED[0] + (ERASED[1] - ERASED[0]) * u[:, 11:13]
        sides = sides * (u[:, 13:14] < how.erase)
        return cls(
            matrix=matrix,
            contrast=1 + how.contrast * either[:, 5],
            brightness=how.brightness * either[:, 6],
            low=jitter * either[:, 7],
            high=1 + jitter * either[:, 8],
            noise=how.noise * u[:, 9],
            key=(u[:, 16] * 2**32).astype(np.int64),
            blur=how.blur * u[:, 10],
            gain=np.exp(error * stats.norm.ppf(np.clip(u[:, 17], 1e-9, 1 - 1e-9))),
            box=np.concatenate([u[:, 14:16] * (1 - sides), sides], axis=1),
        )

    def apply(self, grey: Tensor, inner: Tensor, size: int, level: bool) -> Tensor:
        """(N, 1, C, C) cached grey levels to (N, 1, size, size) augmented ones, relevelled with `level`."""

        def per(values: NDArray[np.float64]) -> Tensor:
            return torch.from_numpy(values.astype(np.float32)).to(grey.device).view(-1, 1, 1, 1)

        warped = resample(grey, size, self.matrix, self.blur)
        out = (warped - BRAIN_LEVEL) * per(self.contrast) + BRAIN_LEVEL + per(self.brightness)
        out = (out - per(self.low)) / per(self.high - self.low)
        if self.noise.any():
            out = out + per(self.noise) * grain(torch.from_numpy(self.key).to(grey.device), size)
        out = torch.where(warped <= AIR, warped, out.clamp(0, 1))
        if level:
            out = (relevelled(out, resample(inner, size, self.matrix)) * per(self.gain)).clamp(0, 1)
        return erased(out, self.box)


def resample(
    pictures: Tensor, size: int, matrix: NDArray[np.float64] | None = None, blur: NDArray[np.float64] | None = None
) -> Tensor:
    """(N, 1, C, C) to (N, 1, size, size), bilinear, what lies outside black.

    When shrinking by a factor r it blurs first with 0.4 * sqrt(r^2 - 1) input pixels: together with the blur that
    framing at the cached size had, that is the 0.4 * r of `strokenext.preprocess`. `blur` (N,) is a further sigma
    in output pixels.
    """
    ratio = pictures.shape[-1] / size
    sigma = np.zeros(len(pictures)) if blur is None else blur * ratio
    if ratio > 1:
        sigma = np.hypot(sigma, 0.4 * math.sqrt(ratio**2 - 1))
    if sigma.max(initial=0) > SHARP:
        pictures = softened(pictures, sigma)
    if ratio == 1 and matrix is None:
        return pictures
    turned = np.tile(np.eye(2, 3), (len(pictures), 1, 1)) if matrix is None else matrix
    theta = torch.from_numpy(turned.astype(np.float32)).to(pictures.device)
    grid = affine_grid(theta, [len(pictures), 1, size, size], align_corners=False)
    return grid_sample(pictures, grid, mode="bilinear", padding_mode="zeros", align_corners=False)


def softened(pictures: Tensor, sigma: NDArray[np.float64]) -> Tensor:
    """Gaussian blur of (N, 1, S, S), each picture with its own sigma in pixels, cut off at three of them."""
    reach = np.where(sigma > SHARP, np.ceil(3 * sigma), 0)[:, None]
    radius = int(reach.max())
    steps = np.arange(-radius, radius + 1)
    kernels = np.exp(-0.5 * (steps / np.maximum(sigma, SHARP)[:, None]) ** 2) * (np.abs(steps) <= reach)
    weights = torch.from_numpy((kernels / kernels.sum(axis=1, keepdims=True)).astype(np.float32)).to(pictures.device)
    count = len(pictures)
    x = pictures.transpose(0, 1)
    x = conv2d(x, weights.view(count, 1, 1, -1), padding=(0, radius), groups=count)
    return conv2d(x, weights.view(count, 1, -1, 1), padding=(radius, 0), groups=count).transpose(0, 1)


def relevelled(grey: Tensor, inner: Tensor) -> Tensor:
    """Bring the brain's median of each (N, 1, S, S) to BRAIN_LEVEL, as `strokenext.preprocess` does for one picture."""
    tissue = (inner > 0.5) & (grey > TISSUE[0]) & (grey < TISSUE[1])
    values = torch.where(tissue, grey, torch.nan).flatten(1)
    middle = values.nanmedian(dim=1).values
    enough = (tissue.flatten(1).sum(dim=1) >= LEAST_TISSUE) & (middle > 0)
    gain = torch.where(enough, (BRAIN_LEVEL / middle).clamp(*GAIN_LIMITS), torch.ones_like(middle))
    return (grey * gain.view(-1, 1, 1, 1)).clamp(0, 1)


def grain(keys: Tensor, size: int) -> Tensor:
    """(N, 1, size, size) noise of mean 0 and standard deviation 1 from (N,) keys: four hashed bytes added.

    MurmurHash3's finaliser in 64-bit integers cut to 32, so that every device makes the same noise.
    """
    mask = 0xFFFFFFFF
    x = torch.arange(size * size, device=keys.device)[None] * 0x9E3779B1 + keys[:, None] * 0x85EBCA77 & mask
    for turn, factor in ((16, 0x85EBCA6B), (13, 0xC2B2AE35), (16, 1)):
        x = (x ^ (x >> turn)) * factor & mask
    total = sum((x >> shift) & 255 for shift in (0, 8, 16, 24))
    spread = math.sqrt(4 * (256**2 - 1) / 12)
    return ((total - 510).float() / spread).view(-1, 1, size, size)  # type: ignore[union-attr]


def erased(pictures: Tensor, box: NDArray[np.float64]) -> Tensor:
    """Black out each picture's rectangle."""
    if not box[:, 2].any():
        return pictures
    return pictures.masked_fill(inside(box, pictures.shape[-1], pictures.device), 0)


def inside(box: NDArray[np.float64], size: int, device: torch.device) -> Tensor:
    """(N, 1, size, size) True within rectangles (left, top, width, height) given in shares of the side."""
    axis = (torch.arange(size, device=device) + 0.5) / size
    left, top, width, height = (torch.from_numpy(box[:, k]).to(device).view(-1, 1, 1) for k in range(4))
    across = (axis >= left) & (axis < left + width)
    down = (axis >= top) & (axis < top + height)
    return (across & down.transpose(1, 2))[:, None]


def mixed(
    grey: Tensor,
    other: Tensor,
    truth: Tensor,
    other_truth: Tensor,
    numbers: NDArray[np.float64],
    mixup: float,
    cutmix: float,
) -> tuple[Tensor, Tensor]:
    """Each picture mixed with another (Zhang 2018) or with a box of it (Yun 2019), and the (N, K) soft targets.

    `mixup` and `cutmix` are the Beta distributions' parameters, 0 for none; where both are above 0 each example
    gets one of the two, evenly. `numbers` (N, 5) in 0..1 decide.
    """
    cut = numbers[:, 0] < (0.5 if mixup and cutmix else 1.0 if cutmix else 0.0)
    alpha = np.where(cut, cutmix or 1.0, mixup or 1.0)
    share = stats.beta.ppf(numbers[:, 1], alpha, alpha)
    side = np.sqrt(1 - share) * cut
    box = np.stack([numbers[:, 2] * (1 - side), numbers[:, 3] * (1 - side), side, side], axis=1)
    covered = inside(box, grey.shape[-1], grey.device)
    area = covered.float().mean(dim=(1, 2, 3))
    blend = torch.from_numpy(np.where(cut, 1.0, share).astype(np.float32)).to(grey.device)
    kept = torch.where(torch.from_numpy(cut).to(grey.device), 1 - area, blend).view(-1, 1)
    out = torch.where(covered, other, grey * blend.view(-1, 1, 1, 1) + other * (1 - blend.view(-1, 1, 1, 1)))
    return out, truth * kept + other_truth * (1 - kept)
