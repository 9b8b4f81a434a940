"""Pieces of a training loop that every recipe shares: schedule, averaged weights, checkpoints, real-slice scores."""

from __future__ import annotations

import copy
import math
import os
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn

from strokenext.preprocess import stack_channels
from strokenext.types import FloatArray

from . import augment
from .data import CACHE_SIZE, Cache


def schedule(step: int, total: int, warmup: int = 150) -> float:
    """Learning-rate factor 0..1: linear warm-up, then a cosine down to 1 %."""
    if step < warmup:
        return (step + 1) / warmup
    done = min(1.0, (step - warmup) / max(1, total - warmup))
    return 0.01 + 0.99 * 0.5 * (1 + math.cos(math.pi * done))


def parameter_groups(model: nn.Module, weight_decay: float) -> list[dict[str, Any]]:
    """Matrices and kernels decay; biases, norms and LayerScale do not."""
    decayed = [p for p in model.parameters() if p.requires_grad and p.ndim > 1]
    free = [p for p in model.parameters() if p.requires_grad and p.ndim <= 1]
    return [{"params": decayed, "weight_decay": weight_decay}, {"params": free, "weight_decay": 0.0}]


class Average:
    """Exponential moving average of a model's weights; buffers are copied."""

    def __init__(self, model: nn.Module, decay: float = 0.998) -> None:
        self.model = copy.deepcopy(model).eval()
        self.decay = decay

    @torch.no_grad()
    def update(self, model: nn.Module, step: int) -> None:
        """Move towards `model`; faster at the start, when the average is still the initial noise."""
        decay = min(self.decay, (step + 1) / (step + 10))
        for mine, theirs in zip(self.model.parameters(), model.parameters(), strict=True):
            mine.lerp_(theirs, 1 - decay)
        for kept, now in zip(self.model.buffers(), model.buffers(), strict=True):
            kept.copy_(now)


def save_state(path: Path, **parts: Any) -> None:
    """Write a checkpoint whole or not at all."""
    temporary = path.with_suffix(".part")
    torch.save(parts, temporary)
    os.replace(temporary, path)


def load_state(path: Path) -> dict[str, Any]:
    """A checkpoint this machine wrote; tensors and plain values only."""
    return torch.load(path, map_location="cpu", weights_only=True)


def framed_rows(cache: Cache, rows: list[int], size: int) -> Tensor:
    """(N, 1, S, S) levelled grey of cached rows without augmentation."""
    matrix = augment.plain(CACHE_SIZE, size)
    out = np.empty((len(rows), 1, size, size), dtype=np.float32)
    for place, row in enumerate(rows):
        planes = augment.warp(np.ascontiguousarray(cache.planes[row][[0, 2]].transpose(1, 2, 0)), matrix, size)
        out[place, 0] = augment.relevel(planes[..., 0] / np.float32(255), planes[..., 1] > 127)
    return torch.from_numpy(out)


@torch.inference_mode()
def logits_of(forward: Callable[[Tensor], Tensor], grey: Tensor, batch: int = 64) -> FloatArray:
    """(N, K) float32 logits of framed grey pictures (N, 1, S, S)."""
    parts = [forward(stack_channels(grey[i : i + batch], "stroke")) for i in range(0, len(grey), batch)]
    return np.asarray(torch.cat(parts).float().numpy(), dtype=np.float32)
