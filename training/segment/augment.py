"""Augmentation for segmentation: the same mirror, turn, zoom, shift and elastic bending for a slice and its masks.

Contrast, brightness, window, noise and blur change the slice alone, as for the pictures feed.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace

import numpy as np
import torch
from numpy.typing import NDArray
from scipy import stats
from torch import Tensor
from torch.nn.functional import affine_grid, grid_sample, interpolate

from training.drawing.batch_augment import Augmentation, resample, uniform
from training.train.recipe import Recipe

#: Elastic bending (Simard 2003): random shifts at this many points a side, smooth between them.
KNOTS = 5
#: Standard deviation of such a shift, as a share of the picture's side; the map stays one-to-one up to about 0.05.
BEND = 0.012


def bending(seed: int, positions: Sequence[int], bend: float = BEND) -> Tensor:
    """(N, 2, KNOTS, KNOTS) float32 shifts (x, y) in units of -1..1, hashed from the seed and each position."""
    drawn = uniform(seed, positions, 2 * KNOTS * KNOTS)
    shifts = 2 * bend * stats.norm.ppf(np.clip(drawn, 1e-4, 1 - 1e-4))
    return torch.from_numpy(shifts.astype(np.float32)).view(-1, 2, KNOTS, KNOTS)


def sampling(matrix: NDArray[np.float64], shifts: Tensor, size: int) -> Tensor:
    """(N, size, size, 2) places in -1..1 to read from: the affine (N, 2, 3), then the bending."""
    theta = torch.from_numpy(matrix.astype(np.float32))
    grid = affine_grid(theta, [len(theta), 1, size, size], align_corners=False)
    smooth = interpolate(shifts, (size, size), mode="bicubic", align_corners=True)
    return grid + smooth.permute(0, 2, 3, 1)


def augmented(
    grey: Tensor, inner: Tensor, masks: Tensor, known: Tensor, recipe: Recipe, positions: Sequence[int], size: int
) -> tuple[Tensor, Tensor, Tensor]:
    """Cached planes (N, k, C, C) 0..1 to grey levels (N, 1, size, size), masks and what is known (N, K, size, size).

    Masks keep soft edges; what comes from outside the picture is known to hold nothing.
    """
    drawn = Augmentation.draw(recipe.seed, positions, recipe.augment, recipe.window[0])
    bend = bending(recipe.seed + 7, positions) if recipe.augment.rotate else torch.zeros(len(positions), 2, 2, 2)
    places = sampling(drawn.matrix, bend.to(grey.device), grey.shape[-1]).to(grey.device)

    def read(planes: Tensor) -> Tensor:
        return grid_sample(planes, places, mode="bilinear", padding_mode="zeros", align_corners=False)

    still = np.tile(np.eye(2, 3), (len(positions), 1, 1))
    pixels = replace(drawn, matrix=still).apply(read(grey), read(inner), size, recipe.level)
    unknown = to_size(read(1 - known), size)
    return pixels, to_size(read(masks), size), (unknown < 0.5).float()


def to_size(planes: Tensor, size: int) -> Tensor:
    """(N, K, C, C) to (N, K, size, size), blurred before shrinking as the grey levels are."""
    count, classes = planes.shape[:2]
    return resample(planes.flatten(0, 1)[:, None], size)[:, 0].view(count, classes, size, size)
