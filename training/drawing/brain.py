"""The brain of a framed slice: the largest part that bone encloses."""

from __future__ import annotations

import cv2
import numpy as np

from strokenext.preprocess.contract import Framed
from strokenext.preprocess.head import edge_distance
from strokenext.types import FloatArray

#: Bone fills everything above this level of the brain window.
BONE = 0.93
#: Share of the brain's outline that must lie at bone.
ENCLOSED = 0.8


def brain_depth(framed: Framed) -> FloatArray:
    """(S, S) distance in pixels to the edge of the brain, 0 outside it, from a brain window with white bone."""
    size = framed.grey.shape[0]
    soft = ((framed.grey < BONE) & framed.head).astype(np.uint8)
    # The edge of the frame counts as bone, so that scalp outside the skull stays a separate part.
    kernel = cv2.getStructuringElement(cv2.MORPH_ELLIPSE, (5, 5))
    parts = cv2.morphologyEx(soft, cv2.MORPH_OPEN, kernel)
    parts[edge_distance(framed.head) < size * 0.02] = 0
    count, labels, stats, _ = cv2.connectedComponentsWithStats(parts, connectivity=4)
    if count < 2:
        return np.zeros_like(framed.grey)
    brain = (labels == 1 + int(np.argmax(stats[1:, cv2.CC_STAT_AREA]))).astype(np.uint8)
    contours, _ = cv2.findContours(brain, cv2.RETR_EXTERNAL, cv2.CHAIN_APPROX_NONE)
    brain = cv2.drawContours(np.zeros_like(brain), contours, -1, 1, cv2.FILLED)
    # Soft tissue that bone does not enclose is a face or a neck.
    bone = cv2.dilate((framed.grey >= BONE).astype(np.uint8), np.ones((9, 9), np.uint8)) > 0
    outline = cv2.drawContours(np.zeros_like(brain), contours, -1, 1, 1) > 0
    if bone[outline].mean() < ENCLOSED:
        return np.zeros_like(framed.grey)
    return edge_distance(brain)
