"""Bleeds and infarcts drawn into lesion-free slices of the masks feed, with their masks.

Outlined edema surrounds spontaneous parenchymal hemorrhages of one hospital. A network that saw nothing else marks
little elsewhere: subdural, epidural, subarachnoid and ventricular blood come from the simulator, on real slices, and
so does every infarct, since no outlined one may be trained on.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import torch
from torch import Tensor

from strokenext.preprocess.contract import Framed
from strokenext.preprocess.outline import filled
from strokenext.types import BoolArray, FloatArray
from training.drawing import augment
from training.drawing.batch_augment import AIR
from training.drawing.bleed import bleed
from training.drawing.brain import brain_depth
from training.drawing.canvas import Canvas, Lesion
from training.drawing.infarct import infarct
from training.drawing.mimics.mimic import mimic

#: What an example of the masks feed is.
FREE, BLEED, REAL, INFARCT = range(4)
#: A slice on which less than this share of the inner head is brain that bone encloses carries no drawn lesion.
LEAST_BRAIN = 0.6


def with_lesions(
    grey: Tensor,
    inner: Tensor,
    masks: Tensor,
    known: Tensor,
    kinds: Sequence[int],
    keys: Sequence[tuple[int, int]],
    severity: tuple[float, float] = (3.0, 24.0),
) -> tuple[Tensor, Tensor, Tensor, list[bool]]:
    """grey (N, 1, C, C), masks and known (N, K, C, C) with what the kind says drawn in; which of them show a lesion.

    `keys` seed each example. Lookalikes (calcium, dense falx and sinus, streaks) are drawn on lesion-free slices as
    well, so that they mean nothing. Around a drawn bleed the edema is not known: the simulator darkens a rim and
    outlines none. A slice with too little brain stays as it is, without a lesion.
    """
    grey, masks, known = grey.clone(), masks.clone(), known.clone()
    lesions = [kind == REAL for kind in kinds]
    for n in (n for n, kind in enumerate(kinds) if kind != REAL):
        rng, inside = np.random.default_rng((*keys[n], 1)), inner[n, 0].numpy(force=True) > 0.5
        drawn = drawn_on(rng, grey[n, 0].numpy(force=True), inside, kinds[n], severity)
        if drawn is not None:
            grey[n, 0] = torch.from_numpy(drawn.grey)
        if drawn is not None and kinds[n] == BLEED:
            masks[n, 0], known[n, 0], known[n, 1], lesions[n] = torch.from_numpy(drawn.mask), 1.0, 0.0, True
        elif drawn is not None and kinds[n] == INFARCT:
            masks[n, 2], known[n, 2], lesions[n] = torch.from_numpy(drawn.mask), 1.0, True
    return grey, masks, known, lesions


def drawn_on(
    rng: np.random.Generator, grey: FloatArray, inner: BoolArray, kind: int, severity: tuple[float, float]
) -> Lesion | None:
    """The slice with lookalikes and a lesion of that kind; None where there is too little brain to draw on."""
    levelled = augment.relevel(grey, inner)
    depth = brain_depth(Framed(levelled, filled(grey > AIR), np.eye(2, 3)))
    if (depth > 0).sum() < LEAST_BRAIN * max(int(inner.sum()), 1):
        return None
    canvas = Canvas(mimic(rng, Canvas(levelled, depth)), depth)
    if kind == INFARCT:
        return infarct(rng, canvas, severity)
    return bleed(rng, canvas) if kind == BLEED else Lesion(canvas.grey, np.zeros_like(grey))
