"""Findings that are no stroke, drawn into examples of every class alike."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np

from strokenext.types import FloatArray
from training.drawing.canvas import Canvas

from . import calcium, dura, outside, scanner, spaces

#: Draws one finding into the grey levels of a canvas.
Draw = Callable[[np.random.Generator, Canvas, FloatArray], FloatArray]

#: How often each finding is drawn. On average two to three of them stand on an example, on one in twelve none.
FINDINGS: dict[Draw, float] = {
    spaces.ventricles: 0.06,
    spaces.atrophy: 0.18,
    spaces.sulci: 0.08,
    spaces.mega_cisterna: 0.03,
    spaces.arachnoid_cyst: 0.03,
    calcium.anywhere: 0.15,
    calcium.pineal: 0.12,
    calcium.choroid_plexus: 0.14,
    calcium.basal_ganglia: 0.08,
    calcium.falx: 0.08,
    dura.falx: 0.25,
    dura.tentorium: 0.12,
    dura.transverse_sinus: 0.10,
    dura.bright_cortex: 0.10,
    outside.scalp_hematoma: 0.08,
    outside.burr_hole: 0.04,
    outside.shunt: 0.02,
    outside.old_defect: 0.03,
    scanner.skull_in_slice: 0.12,
    scanner.bands: 0.25,
    scanner.petrous_streak: 0.08,
    scanner.streaks: 0.06,
    scanner.shading: 0.45,
    scanner.motion: 0.05,
}


def mimic(rng: np.random.Generator, canvas: Canvas) -> FloatArray:
    """(S, S) grey 0..1 with some of the FINDINGS, in the order of the table: spaces, dense things, the scanner last."""
    grey = canvas.grey.copy()
    for draw, share in FINDINGS.items():
        if rng.random() < share:
            grey = draw(rng, canvas, grey)
    return np.asarray(np.clip(grey, 0, 1), dtype=np.float32)
