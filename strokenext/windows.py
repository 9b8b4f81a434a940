"""The preset table and window arithmetic.

Sources of the presets: stroke 40/40 (BJR 2011, PMC3473839); narrow stroke 8/32 (Lev 1999, sensitivity
for acute infarct 57 % to 71 %); the others are those of OHIF and of common practice.
"""

from __future__ import annotations

import numpy as np

from .errors import OptionError
from .types import ByteArray, FloatArray, Slice, Window

#: In the order of the number keys 1 to 6.
PRESETS: tuple[Window, ...] = (
    Window(80, 40, "brain"),
    Window(40, 40, "stroke"),
    Window(8, 32, "narrow stroke"),
    Window(215, 75, "subdural"),
    Window(400, 40, "soft tissue"),
    Window(2500, 480, "bone"),
)


def preset(name: str) -> Window:
    """The preset of that name. Raises OptionError naming the ones there are."""
    for window in PRESETS:
        if window.name == name.strip().lower():
            return window
    raise OptionError(f"No window preset is called '{name}'. Choose one of: {', '.join(w.name for w in PRESETS)}.")


#: Soft tissue of the head, width 80 and level 40 HU: bone and fresh blood white, air and fat black.
BRAIN = preset("brain")


def custom(width: float, level: float) -> Window:
    """A window of the user's own, in HU. Raises OptionError unless 1 <= width <= 20000 and |level| <= 10000."""
    if not (np.isfinite(width) and np.isfinite(level) and 1 <= width <= 20000 and abs(level) <= 10000):
        raise OptionError("A window needs a width of 1 to 20000 HU and a level of -10000 to 10000 HU.")
    return Window(float(width), float(level), "custom")


def apply(hu: FloatArray, window: Window) -> FloatArray:
    """HU to 0..1 float32, linear between `window.low` and `window.high`, clipped outside."""
    return np.clip((hu - window.low) / window.width, 0.0, 1.0).astype(np.float32)


def grey01(image: Slice, window: Window) -> FloatArray:
    """Any slice to 0..1 float32: through the window when it holds HU, else its grey levels over 255."""
    if image.unit == "HU":
        return apply(image.pixels, window)
    return np.clip(image.pixels / 255.0, 0.0, 1.0).astype(np.float32)


def brightness_contrast(image: Slice, brightness: float = 0.0, contrast: float = 1.0) -> FloatArray:
    """Grey levels to 0..1 float32 around mid-grey; brightness -1..1, contrast 0.1..10, for images without HU."""
    if not (-1 <= brightness <= 1 and 0.1 <= contrast <= 10):
        raise OptionError("Brightness goes from -1 to 1 and contrast from 0.1 to 10.")
    grey = image.pixels / 255.0
    return np.clip((grey - 0.5) * contrast + 0.5 + brightness, 0.0, 1.0).astype(np.float32)


def to_bytes(grey: FloatArray) -> ByteArray:
    """0..1 to uint8 0..255, rounded."""
    return np.rint(np.clip(grey, 0.0, 1.0) * 255.0).astype(np.uint8)


def choices(image: Slice) -> tuple[Window, ...]:
    """The windows to offer for a slice: its file's own first, then the presets; none when it has no HU."""
    return (*image.windows, *PRESETS) if image.unit == "HU" else ()
