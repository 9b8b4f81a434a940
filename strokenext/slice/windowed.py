"""Whether a decision hangs on the window that a picture without HU was saved in.

Nobody knows that window. For each that is common, the picture is taken back to the brain window as if it had been
saved in it; where the result looks no stranger for it, the model is asked about it too. HU leave no such doubt.
"""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np

from strokenext.preprocess import orientation
from strokenext.preprocess.appearance import appearance
from strokenext.record.config import ModelConfig
from strokenext.types import Caution, FloatArray, Slice, Window
from strokenext.windows import BRAIN, apply

#: Widths in HU around the brain window's level that pictures are saved in.
WIDTHS = (40.0, 100.0, 120.0, 150.0, 200.0)
#: How much stranger than the known pictures, or than the picture itself, one taken back may look, in logarithms of
#: odds: it was clipped and its grey levels are coarser.
ALLOWANCE = 3.0
DEPENDS = Caution(
    "unusual-window",
    "The picture has no HU, and the answer hangs on the window it was saved in: had that been another than the "
    "brain window (width 80, level 40), the model would decide otherwise. Give the DICOM file if there is one.",
)


def otherwise(image: Slice, config: ModelConfig, angle: float | None) -> Iterator[FloatArray]:
    """The model's inputs (3, S, S) for the windows that a picture may have been saved in; none for HU."""
    known = config.experience
    if image.unit == "HU" or known is None:
        return
    upright = orientation.upright(image, angle).image
    own = appearance(upright)
    limit = max(known.strange_from, np.inf if own is None else known.likeness(own).strange) + ALLOWANCE
    for width in WIDTHS:
        taken = taken_back(upright, width)
        seen = appearance(taken)
        if seen is not None and known.likeness(seen).strange < limit:
            yield config.preprocess.apply(taken).pixels


def taken_back(image: Slice, width: float) -> Slice:
    """A picture in the brain window, as if it had been saved in one of this width; what was clipped stays so."""
    saved = Window(width, BRAIN.level)
    hu = np.asarray(saved.low + saved.width * np.clip(image.pixels / 255, 0, 1), dtype=np.float32)
    grey = np.where(image.pixels <= 0, 0, np.where(image.pixels >= 255, 255, apply(hu, BRAIN) * 255))
    return Slice(grey, "grey", kind=image.kind, padding=image.padding)
