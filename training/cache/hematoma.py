"""Where the blood is on a slice whose perihematomal edema was outlined: a mask derived, drawn by no annotator.

The masks of PHE-SICH-CT-IDS outline the edema beside a hematoma, mostly as open crescents. The blood is the bright
tissue next to them. It is found in two steps: what stands out from the brain and touches the outline's surroundings,
then everything connected to it that is brighter than halfway between the brain and the blood itself. Slices on
which nothing stands out (a pale rest of a bleed, a slice grazing it) have no derived mask, and say so.
"""

from __future__ import annotations

from dataclasses import dataclass

import cv2
import numpy as np

from strokenext.preprocess.contract import Framed
from strokenext.preprocess.head import find_head
from strokenext.preprocess.outline import filled
from strokenext.types import BoolArray, FloatArray
from training.drawing.brain import brain_depth

#: How far from the outlined edema blood may lie, as a share of the head's width: 7 pixels of 320 in phe_sich.
REACH = 0.037
#: Blood stands out from the brain by this many of its standard deviations and at least this grey level (5 HU).
DEVIATIONS, LEAST_STEP = 2.2, 0.06
#: Fewer pixels than this are noise, as a share of the head's area.
LEAST_AREA = 2.5e-4
#: Sigma in pixels, as a share of the head's width, that noise is smoothed with before thresholds.
SMOOTHING = 0.0063
#: Brain this close to the skull, as a share of the head's width, is partial volume of bone; a little farther in it
#: may still be brightened by the skull, and a mask most of which lies there is no hematoma.
EDGE, SHELL, SHELL_SHARE = 0.01, 0.05, 0.4
#: Brighter than this is bone or calcification.
CALCIFIED = 0.93


@dataclass(frozen=True, eq=False)
class Derived:
    """`blood` (H, W) beside the outlined edema; `unclear` (H, W) is as bright and not connected to it."""

    blood: BoolArray
    unclear: BoolArray


def derive_hematoma(grey: FloatArray, edema: BoolArray) -> Derived | None:
    """The hematoma of a slice from its grey levels (H, W) 0..1 in a brain window and its outlined edema (H, W).

    None where the brain cannot be found or nothing bright lies beside the edema.
    """
    head = find_head(grey)
    if head is None or not edema.any():
        return None
    width = head.extent[0]
    framed = Framed(np.where(head.mask, grey, np.float32(0)).astype(np.float32), head.mask, np.eye(2, 3))
    depth = brain_depth(framed) / np.float32(width)
    brain = (depth > EDGE) & ~edema
    if not brain.any():
        return None
    smooth = cv2.GaussianBlur(grey, (0, 0), SMOOTHING * width)
    middle = float(np.median(smooth[brain]))
    spread = 1.4826 * float(np.median(np.abs(smooth[brain] - middle)))
    near = cv2.dilate(edema.astype(np.uint8), _disc(round(REACH * width))) > 0
    least = LEAST_AREA * float(head.mask.sum())
    seed = _touching(brain & (smooth > middle + max(DEVIATIONS * spread, LEAST_STEP)), near, least)
    if not seed.any():
        return None
    halfway = (middle + float(np.median(smooth[seed]))) / 2
    bright = brain & (smooth > halfway)
    blood = filled(_touching(bright, near, least)) & ~edema
    if not blood.any() or (depth[blood] < SHELL).mean() > SHELL_SHARE:
        return None
    return Derived(blood, bright & ~blood & (smooth < CALCIFIED) & (depth > SHELL))


def _touching(bright: BoolArray, near: BoolArray, least: float) -> BoolArray:
    """The connected parts of `bright` of `least` pixels or more that reach into `near`."""
    opened = cv2.morphologyEx(bright.astype(np.uint8), cv2.MORPH_OPEN, _disc(1))
    count, labels, stats, _ = cv2.connectedComponentsWithStats(opened, connectivity=4)
    large = [k for k in range(1, count) if stats[k, cv2.CC_STAT_AREA] >= least]
    reached = set(np.unique(labels[near])) & set(large)
    return np.asarray(np.isin(labels, sorted(reached)))


def _disc(radius: int) -> np.ndarray:
    return cv2.getStructuringElement(cv2.MORPH_ELLIPSE, (2 * radius + 1, 2 * radius + 1))
