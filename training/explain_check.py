"""Whether heat maps mean anything: hits in lesion masks against a centre prior, heat outside the head, equivariance
under mirroring, change under weight randomisation (Adebayo 2018), and deletion and insertion (Petsiuk 2018).

Everything is measured in the model's input frame, (S, S) pixels: masks are carried there by the affine of the
preprocessing, heat is drawn up from its own grid. A mask of edema or infarct is not the blood: `mask_of` says which.
"""

from __future__ import annotations

import copy
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

import cv2
import numpy as np
from numpy.typing import NDArray
from scipy import stats

from strokenext.errors import DataError
from strokenext.types import BoolArray, FloatArray

from .prepare import open_image
from .records import Manifest, Record
from .resampling import bootstrap, paired_bootstrap
from .results import Result

if TYPE_CHECKING:
    from torch import Tensor, nn

    from strokenext.preprocess import Prepared

Progress = Callable[[int, int], None]
#: A hit may miss the mask by half a cell of a 7 x 7 grid, the coarseness of the maps themselves.
TOLERANCE_GRID = 7
#: Steps of deletion and insertion.
STEPS = 10


@dataclass(frozen=True)
class Case:
    """Measures of one image; None where there is no mask or no heat. `unit` is the patient."""

    unit: str
    source: str
    hit: float | None
    energy: float | None
    control_hit: float | None
    control_energy: float | None
    mask_share: float | None  # of the head: what heat spread evenly over the head would put in the mask
    outside: float | None
    flip: float | None
    randomised: float | None
    deletion: float
    insertion: float
    random_deletion: float


def check(
    folder: str | Path,
    manifest: Manifest,
    records: Sequence[Record],
    result: Result,
    *,
    device: str = "cpu",
    limit: int = 150,
    seed: int = 0,
    progress: Progress | None = None,
) -> Result:
    """The result with `extra["explanation"]`: positive records, those with a mask first, at most `limit` of them.

    Raises DataError when no record is positive.
    """
    from strokenext.weights import load_model

    model, config = load_model(folder, device)
    rng = np.random.default_rng(seed)
    positive = [r for r in records if r.label(config.task) == 1 or (config.task == "subtype" and r.subtype is not None)]
    order = sorted(rng.permutation(len(positive)).tolist(), key=lambda i: "mask" not in positive[i].extra)
    if not order:
        raise DataError("Explanations are checked on positive images, and there is none.")
    scrambled = randomised(model, seed)
    cases = []
    for n, i in enumerate(order[:limit]):
        r = positive[i]
        prepared = config.preprocess.apply(open_image(manifest.file(r)))
        mask = mask_in_frame(manifest, r, prepared)
        cases.append(examine(model, scrambled, prepared, mask, int(r.label(config.task) or 0), r, rng))
        if progress is not None:
            progress(n + 1, min(limit, len(order)))
    kinds = sorted({str(r.extra["mask_of"]) for r in positive if "mask_of" in r.extra})
    return replace(result, extra={**result.extra, "explanation": summarise(cases) | {"masks_of": kinds}})


def examine(
    model: nn.Module,
    scrambled: nn.Module,
    prepared: Prepared,
    mask: BoolArray | None,
    index: int,
    record: Record,
    rng: np.random.Generator,
) -> Case:
    """Every measure of one image for the logit of class `index`."""
    import torch

    x = torch.from_numpy(prepared.pixels)[None].to(next(model.parameters()).device)
    heat = heat_in_frame(model, x, index)
    mirrored = heat_in_frame(model, x.flip(-1), index)[:, ::-1]
    control = centre_prior(prepared.head)
    total, grid = float(heat.sum()), max(x.shape[-1] // TOLERANCE_GRID, 1)
    inside = mask is not None and bool(mask.any())
    use_mask = mask if inside else None
    kernel = cv2.getStructuringElement(cv2.MORPH_ELLIPSE, (grid, grid))
    near = None if use_mask is None else cv2.dilate(use_mask.astype(np.uint8), kernel) > 0
    deletion, insertion, chance = deletion_insertion(model, x, index, heat, rng)
    return Case(
        unit=record.unit,
        source=record.source,
        hit=None if near is None or total == 0 else float(near.flat[int(heat.argmax())]),
        energy=None if use_mask is None or total == 0 else float(heat[use_mask].sum() / total),
        control_hit=None if near is None else float(near.flat[int(control.argmax())]),
        control_energy=None if use_mask is None else float(control[use_mask].sum() / control.sum()),
        mask_share=None if use_mask is None else float((use_mask & prepared.head).sum() / max(prepared.head.sum(), 1)),
        outside=None if total == 0 else float(heat[~prepared.head].sum() / total),
        flip=_correlation(heat, mirrored),
        randomised=_correlation(heat, heat_in_frame(scrambled, x, index)),
        deletion=deletion,
        insertion=insertion,
        random_deletion=chance,
    )


def heat_in_frame(model: nn.Module, x: Tensor, index: int) -> FloatArray:
    """(S, S) heat of both encoders together, drawn up from its grid."""
    from strokenext import explain

    _, maps = explain.heat(model, x, index)
    side = (x.shape[-1], x.shape[-1])
    return np.asarray(cv2.resize(maps.sum(axis=0), side, interpolation=cv2.INTER_LINEAR), np.float32)


def centre_prior(head: BoolArray) -> FloatArray:
    """(S, S) Gaussian on the middle of the head, a quarter of its size wide: the guess that needs no model."""
    ys, xs = np.nonzero(head) if head.any() else np.nonzero(np.ones_like(head))
    y, x = np.mgrid[: head.shape[0], : head.shape[1]]
    width, height = max(float(np.ptp(xs)), 1.0) / 4, max(float(np.ptp(ys)), 1.0) / 4
    squares = ((x - xs.mean()) / width) ** 2 + ((y - ys.mean()) / height) ** 2
    return np.exp(-0.5 * squares).astype(np.float32)


def mask_in_frame(manifest: Manifest, record: Record, prepared: Prepared) -> BoolArray | None:
    """(S, S) lesion mask of a record in the model's frame; None where it has none."""
    if "mask" not in record.extra:
        return None
    data = np.fromfile(manifest.root / str(record.extra["mask"]), np.uint8)
    mask = cv2.imdecode(data, cv2.IMREAD_GRAYSCALE)
    if mask is None or mask.shape != tuple(record.size):
        raise DataError(f"The mask of {record.path} cannot be read or has another size than its image.")
    size = prepared.pixels.shape[-1]
    warped = cv2.warpAffine((mask > 0).astype(np.float32), prepared.affine, (size, size), flags=cv2.INTER_LINEAR)
    return np.asarray(warped > 0.5)


def randomised(model: nn.Module, seed: int = 0) -> nn.Module:
    """A copy whose every weight tensor is shuffled: same numbers, nothing learned left."""
    import torch

    generator = torch.Generator().manual_seed(seed)
    other = copy.deepcopy(model)
    with torch.no_grad():
        for p in other.parameters():
            flat = p.detach().cpu().reshape(-1)
            p.copy_(flat[torch.randperm(flat.numel(), generator=generator)].reshape(p.shape).to(p.device))
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
        rank = torch.from_numpy(np.argsort(np.argsort(-values.reshape(-1), kind="stable")).reshape(size, size)).to(
            x.device
        )
        for step in range(STEPS + 1):
            batch.append(torch.where(rank < size * size * step / STEPS, end, start))
    with torch.inference_mode():
        p = model(torch.cat(batch)).float().softmax(dim=1)[:, index].cpu().numpy().reshape(3, STEPS + 1)
    return float(p[0].mean()), float(p[1].mean()), float(p[2].mean())


def _correlation(a: FloatArray, b: FloatArray) -> float | None:
    """Rank correlation of two maps on a 14 x 14 grid; None when one is flat."""
    small = [cv2.resize(np.ascontiguousarray(v), (14, 14), interpolation=cv2.INTER_AREA).reshape(-1) for v in (a, b)]
    if any(np.ptp(s) == 0 for s in small):
        return None
    return float(stats.spearmanr(*small).statistic)


def summarise(cases: Sequence[Case]) -> dict[str, Any]:
    """Means with 95 % intervals over patients; hits and energy also minus those of the centre prior."""
    found: dict[str, Any] = {"images": len(cases), "no_heat": sum(c.outside is None for c in cases)}
    names = [f for f in Case.__dataclass_fields__ if f not in ("unit", "source")]
    for name in names:
        values, units = _column(cases, name)
        if len(values):
            found[name] = bootstrap(_mean, np.zeros(len(values)), values, units).to_dict()
    for name in ("hit", "energy"):
        both = [c for c in cases if getattr(c, name) is not None]
        if both:
            a, _ = _column(both, name)
            b, units = _column(both, f"control_{name}")
            difference, p = paired_bootstrap(_mean, np.zeros(len(a)), a, b, units)
            found[f"{name}_minus_control"] = difference.to_dict() | {"p": p}
    found["by_source"] = {
        s: {n: float(_column([c for c in cases if c.source == s], n)[0].mean())
            for n in ("hit", "energy", "outside") if len(_column([c for c in cases if c.source == s], n)[0])}
        for s in sorted({c.source for c in cases})
    }  # fmt: skip
    return found


def _column(cases: Sequence[Case], name: str) -> tuple[NDArray[np.float64], list[str]]:
    """The defined values of one measure and their units."""
    rows = [(getattr(c, name), c.unit) for c in cases if getattr(c, name) is not None]
    return np.array([v for v, _ in rows], np.float64), [u for _, u in rows]


def _mean(_: NDArray[np.int64], values: NDArray[np.float64]) -> float:
    return float(values.mean())
