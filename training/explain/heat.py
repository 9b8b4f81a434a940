"""What a heat map of one slice is measured by, and whether a map without knowledge would do as well.

Everything is in the model's input frame, (S, S) pixels: masks are carried there by the affine of the preprocessing,
heat is drawn up from its own grid, and where it points is the middle of its hottest cell. Pointing game and energy go
with a centre prior as the guess that needs no model; weight randomisation after Adebayo 2018 (arXiv 1810.03292),
deletion and insertion after Petsiuk 2018 (arXiv 1806.07421).
"""

from __future__ import annotations

import copy
from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

import cv2
import numpy as np
from scipy import stats

from strokenext.types import BoolArray, FloatArray, Slice
from training.cache.planes import FRAMING
from training.data.manifest import Record
from training.drawing.brain import brain_depth

if TYPE_CHECKING:
    from torch import Tensor, nn

    from strokenext.preprocess.contract import Prepared

#: A hit may miss the mask by half a cell of a 7 x 7 grid, the coarseness of the maps themselves.
TOLERANCE_GRID = 7
#: Steps of deletion and insertion.
STEPS = 10
#: Less brain than this share of the head was not found: the head stands for it.
LEAST_BRAIN = 0.1


@dataclass(frozen=True)
class HeatScores:
    """Measures of one image; None where there is no mask, no heat, or it was not asked for. `unit` is the patient.

    `ratio` is the mean heat in the mask over the mean heat in the rest of the brain, infinite where that has none;
    an image without any heat has hit and energy 0 and no ratio.
    """

    unit: str
    source: str
    hit: float | None = None
    energy: float | None = None
    control_hit: float | None = None
    control_energy: float | None = None
    mask_share: float | None = None  # of the head: what heat spread evenly over the head would put in the mask
    ratio: float | None = None
    control_ratio: float | None = None
    outside: float | None = None
    flip: float | None = None
    randomised: float | None = None
    deletion: float | None = None
    insertion: float | None = None
    random_deletion: float | None = None


@dataclass(frozen=True, eq=False)
class View:
    """A slice in the model's frame with its brain (S, S) and, where it has one, its lesion (S, S)."""

    prepared: Prepared
    brain: BoolArray
    mask: BoolArray | None = None


def examine(
    model: nn.Module,
    scrambled: nn.Module,
    view: View,
    index: int,
    record: Record,
    rng: np.random.Generator,
    removal: bool = True,
) -> HeatScores:
    """Every measure of one image for the logit of class `index`; deletion and insertion only with `removal`."""
    import torch

    head = view.prepared.head
    x = torch.from_numpy(view.prepared.pixels)[None].to(next(model.parameters()).device)
    grid = heat_grid(model, x, index)
    heat = drawn_up(grid, x.shape[-1])
    mirrored = np.ascontiguousarray(heat_in_frame(model, x.flip(-1), index)[:, ::-1])
    total, in_mask = float(heat.sum()), {}
    if (mask := view.mask) is not None and mask.any():
        near, control = grown(mask, max(x.shape[-1] // TOLERANCE_GRID, 1)), centre_prior(head)
        in_mask = {
            "hit": float(total > 0 and near[peak(grid, x.shape[-1])]),
            "energy": float(heat[mask].sum() / total) if total else 0.0,
            "control_hit": float(near.flat[int(control.argmax())]),
            "control_energy": float(control[mask].sum() / control.sum()),
            "mask_share": float((mask & head).sum() / max(head.sum(), 1)),
            "ratio": ratio(heat, mask, view.brain),
            "control_ratio": ratio(control, mask, view.brain),
        }
    curves = deletion_insertion(model, x, index, heat, rng) if removal else (None, None, None)
    return HeatScores(
        record.unit,
        record.source,
        **in_mask,
        outside=float(heat[~head].sum() / total) if total else None,
        flip=correlation(heat, mirrored),
        randomised=correlation(heat, heat_in_frame(scrambled, x, index)),
        deletion=curves[0],
        insertion=curves[1],
        random_deletion=curves[2],
    )


def heat_grid(model: nn.Module, x: Tensor, index: int) -> FloatArray:
    """(h, w) heat of every encoder together on the model's true grid."""
    from strokenext.explain import gradcam

    _, maps = gradcam.heat(model, x, index)
    return np.asarray(maps.sum(axis=0), np.float32)


def drawn_up(grid: FloatArray, size: int) -> FloatArray:
    """(size, size) of a heat grid."""
    return np.asarray(cv2.resize(grid, (size, size), interpolation=cv2.INTER_LINEAR), np.float32)


def heat_in_frame(model: nn.Module, x: Tensor, index: int) -> FloatArray:
    """(S, S) heat of every encoder together, drawn up from its grid."""
    return drawn_up(heat_grid(model, x, index), x.shape[-1])


def peak(grid: FloatArray, size: int) -> tuple[int, int]:
    """Row and column of the middle of the hottest cell in a frame of `size` pixels.

    Drawn up, a hot cell at the edge is level from its middle to the corner of the frame, whose first pixel is no
    place that the map points to.
    """
    row, column = divmod(int(grid.argmax()), grid.shape[1])
    return int((row + 0.5) * size / grid.shape[0]), int((column + 0.5) * size / grid.shape[1])


def ratio(heat: FloatArray, mask: BoolArray, brain: BoolArray) -> float | None:
    """Mean heat in the mask over mean heat in the rest of the brain; None without any heat or any rest."""
    rest = brain & ~mask
    if not rest.any() or not float(heat[mask].sum() + heat[rest].sum()):
        return None
    inside, outside = float(heat[mask].mean()), float(heat[rest].mean())
    return inside / outside if outside else float("inf")


def grown(mask: BoolArray, side: int) -> BoolArray:
    """The mask with a margin of half an ellipse of `side` pixels."""
    kernel = cv2.getStructuringElement(cv2.MORPH_ELLIPSE, (side, side))
    return np.asarray(cv2.dilate(mask.astype(np.uint8), kernel) > 0)


def centre_prior(head: BoolArray) -> FloatArray:
    """(S, S) Gaussian on the middle of the head, a quarter of its size wide: the guess that needs no model."""
    ys, xs = np.nonzero(head) if head.any() else np.nonzero(np.ones_like(head))
    y, x = np.mgrid[: head.shape[0], : head.shape[1]]
    width, height = max(float(np.ptp(xs)), 1.0) / 4, max(float(np.ptp(ys)), 1.0) / 4
    squares = ((x - xs.mean()) / width) ** 2 + ((y - ys.mean()) / height) ** 2
    return np.exp(-0.5 * squares).astype(np.float32)


def in_frame(mask: BoolArray, prepared: Prepared) -> BoolArray:
    """(S, S) of a mask on the slice's own pixels."""
    size = prepared.pixels.shape[-1]
    turned = cv2.warpAffine(mask.astype(np.float32), prepared.affine, (size, size), flags=cv2.INTER_LINEAR)
    return np.asarray(turned > 0.5)


def brain_in_frame(image: Slice, prepared: Prepared) -> BoolArray:
    """(S, S) inside of the skull in the model's frame; the head where no closed skull shows."""
    framed = FRAMING.framed(image)
    size, bottom = prepared.pixels.shape[-1], np.array([[0.0, 0.0, 1.0]])
    way = np.vstack([prepared.affine, bottom]) @ np.linalg.inv(np.vstack([framed.affine, bottom]))
    inside = (brain_depth(framed) > 0).astype(np.float32)
    brain = cv2.warpAffine(inside, way[:2], (size, size), flags=cv2.INTER_LINEAR) > 0.5
    return np.asarray(brain if brain.sum() >= LEAST_BRAIN * prepared.head.sum() else prepared.head)


def randomised(model: nn.Module, pictures: Sequence[FloatArray] = (), seed: int = 0) -> nn.Module:
    """A copy whose every weight tensor is shuffled: same numbers, nothing learned left.

    Batch norm keeps statistics of what the learned weights made; on `pictures`, (3, S, S) each, they are measured
    again, or the shuffled network would answer with numbers beyond float32.
    """
    import torch

    generator = torch.Generator().manual_seed(seed)
    other = copy.deepcopy(model)
    with torch.no_grad():
        for p in other.parameters():
            flat = p.detach().cpu().reshape(-1)
            p.copy_(flat[torch.randperm(flat.numel(), generator=generator)].reshape(p.shape).to(p.device))
    norms = [m for m in other.modules() if isinstance(m, torch.nn.modules.batchnorm._BatchNorm)]
    if norms and len(pictures) > 1:
        other.eval()
        for norm in norms:
            norm.reset_running_stats()
            norm.momentum = None
            norm.train()
        with torch.no_grad():
            other(torch.from_numpy(np.stack(pictures)).to(next(other.parameters()).device))
        other.eval()
    return other


def deletion_insertion(
    model: nn.Module, x: Tensor, index: int, heat: FloatArray, rng: np.random.Generator
) -> tuple[float, float, float]:
    """Mean class probability while the hottest tenths of the picture are blurred away, uncovered, and at random.

    Low deletion and high insertion are good; the third number is deletion in random order of 7 x 7 cells.
    """
    import torch

    size = x.shape[-1]
    blurred = torch.from_numpy(np.stack([cv2.GaussianBlur(c, (0, 0), size / 12) for c in x[0].cpu().numpy()]))[None]
    blurred = blurred.to(x.device)
    noise = cv2.resize(rng.random((7, 7)).astype(np.float32), (size, size), interpolation=cv2.INTER_NEAREST)
    batch = []
    for values, start, end in ((heat, x, blurred), (heat, blurred, x), (noise, x, blurred)):
        places = stats.rankdata(-values, method="ordinal").reshape(values.shape) - 1
        rank = torch.from_numpy(places).to(x.device)
        for step in range(STEPS + 1):
            batch.append(torch.where(rank < size * size * step / STEPS, end, start))
    with torch.inference_mode():
        p = model(torch.cat(batch)).float().softmax(dim=1)[:, index].cpu().numpy().reshape(3, STEPS + 1)
    return float(p[0].mean()), float(p[1].mean()), float(p[2].mean())


def correlation(a: FloatArray, b: FloatArray) -> float | None:
    """Rank correlation of two maps on a 14 x 14 grid; None when one is flat."""
    small = [cv2.resize(np.ascontiguousarray(v), (14, 14), interpolation=cv2.INTER_AREA).reshape(-1) for v in (a, b)]
    if any(np.ptp(s) == 0 for s in small):
        return None
    return float(stats.spearmanr(*small).statistic)
