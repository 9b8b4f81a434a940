"""Which pictures a model's figures speak of: a small classifier of appearance, stored in the model's record.

It was trained to tell the model's own training pictures from the same pictures in other windows and with another grain,
sharpness or gamma; its limits are those that its validation pictures stay within. Beyond them nobody knows how often
an answer is right. `python -m training inputs` measures it on held-back patients and on sources never seen.
"""

from __future__ import annotations

from dataclasses import dataclass, fields
from typing import Any, Literal, NamedTuple

import numpy as np
from numpy.typing import NDArray

from strokenext.preprocess.appearance import NAMES
from strokenext.types import FloatArray, Unit

#: What a picture can look like; the order of the classifier's outputs.
LOOKS = ("known", "window", "style")
Rows = tuple[tuple[float, ...], ...]


class Likeness(NamedTuple):
    """How far a picture is from the known ones, and how much it looks like another window: logarithms of odds."""

    strange: float
    window: float


@dataclass(frozen=True)
class Experience:
    """`units` are those of the validation pictures; `names` what was measured, with `mean` and `spread` over the
    training pictures; `hidden` (h, n + 1) and `output` (3, h + 1) the two layers with their offsets last; the limits
    act on `Likeness`. Raises ValueError for another shape or numbers that are not finite."""

    units: tuple[Unit, ...]
    names: tuple[str, ...]
    mean: tuple[float, ...]
    spread: tuple[float, ...]
    hidden: Rows
    output: Rows
    strange_from: float
    window_from: float

    def __post_init__(self) -> None:
        if self.names != NAMES:
            raise ValueError("the experience measures other things than this version; finish the model anew")
        if not set(self.units) <= {"HU", "grey"} or not self.units:
            raise ValueError("an experience is of pictures in HU, in grey levels, or both")
        shapes = (self._hidden.shape, self._output.shape, len(self.mean), len(self.spread))
        n, h = len(NAMES), len(self.hidden)
        if shapes != ((h, n + 1), (len(LOOKS), h + 1), n, n) or min(self.spread) <= 0:
            raise ValueError("the layers of an experience do not fit together")
        numbers = np.concatenate([np.ravel(np.asarray(getattr(self, f.name), float)) for f in fields(self)[2:]])
        if not np.isfinite(numbers).all():
            raise ValueError("an experience holds finite numbers only")

    @property
    def _hidden(self) -> NDArray[np.float64]:
        return np.asarray(self.hidden, dtype=np.float64)

    @property
    def _output(self) -> NDArray[np.float64]:
        return np.asarray(self.output, dtype=np.float64)

    def likeness(self, appearance: FloatArray) -> Likeness:
        """Of a picture of this appearance, see `strokenext.preprocess.appearance`."""
        x = np.append((np.asarray(appearance, float) - self.mean) / self.spread, 1.0)
        scores = self._output @ np.append(np.maximum(self._hidden @ x, 0), 1.0)
        known, window, style = (float(s) for s in scores)
        return Likeness(float(np.logaddexp(window, style)) - known, window - known)

    def unknown(self, appearance: FloatArray | None, unit: Unit) -> Literal["unit", "appearance", "window"] | None:
        """Why the validation pictures say nothing of such a one; None where they do."""
        if appearance is None:
            return "appearance"
        found = self.likeness(appearance)
        if unit == "grey" and found.window >= self.window_from:
            return "window"
        if found.strange >= self.strange_from:
            return "appearance"
        return None if unit in self.units else "unit"

    def to_dict(self) -> dict[str, Any]:
        """Plain JSON values."""
        record = {f.name: getattr(self, f.name) for f in fields(self)}
        lists = {name: list(record[name]) for name in ("units", "names", "mean", "spread")}
        return record | lists | {name: [list(row) for row in record[name]] for name in ("hidden", "output")}

    @classmethod
    def from_dict(cls, record: dict[str, Any]) -> Experience:
        """Inverse of `to_dict`. Raises ValueError or TypeError for anything else."""
        if set(record) != {f.name for f in fields(cls)}:
            raise ValueError("the entries of an experience are not those this version knows")
        lists = {name: tuple(record[name]) for name in ("units", "names", "mean", "spread")}
        layers = {name: tuple(map(tuple, record[name])) for name in ("hidden", "output")}
        return cls(**record | lists | layers)
