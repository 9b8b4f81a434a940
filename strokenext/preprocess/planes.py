"""A series to a volume model's input: framed slices, one grey level for the whole head, planes at equal distances.

`Planes` is stored in a volume model's config.json beside `Preprocess`, and training uses the same functions. Slices
are framed one by one, as slice models see them; a slice at the vertex therefore fills its square as one through the
middle does, and every series arrives in the same frame whatever its scanner's field of view.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import asdict, dataclass, fields, replace
from typing import Any

import numpy as np
from numpy.typing import NDArray

from strokenext.errors import InputError, ModelError
from strokenext.types import FloatArray, Slice, Window

from .contract import Preprocess, levelled
from .head import brain_level

#: The grey level that becomes 0 in the model's input, and the distance that becomes 1: air -1.2, brain 0.3, bone 2.2.
CENTRE, SPREAD = 0.35, 0.3


@dataclass(frozen=True, eq=False)
class Stacked:
    """A series ready for a volume model.

    `pixels` is (1, D, S, S) float32; `plane` (n,) float64 is where each slice lies, 0..D-1; `affines` are (2, 3),
    from a pixel (x, y) of the slice to the model's frame; `window` is the one HU went through, None without HU.
    """

    pixels: FloatArray
    plane: NDArray[np.float64]
    affines: tuple[NDArray[np.float64], ...]
    window: Window | None


@dataclass(frozen=True)
class Planes:
    """How slices become a volume: `depth` planes from the first slice to the last, from `least` slices or more."""

    depth: int = 64
    least: int = 8

    def __post_init__(self) -> None:
        for name, low, high in (("depth", 8, 512), ("least", 2, 128)):
            value = getattr(self, name)
            if isinstance(value, bool) or not isinstance(value, int) or not low <= value <= high:
                raise ModelError(f"The record of planes has {name} {value!r}; it must be {low} to {high}.")

    def to_dict(self) -> dict[str, Any]:
        """Plain JSON values."""
        return asdict(self)

    @classmethod
    def from_dict(cls, record: object) -> Planes:
        """Inverse of `to_dict`. Raises ModelError on unknown or missing keys."""
        names = {f.name for f in fields(cls)}
        if not isinstance(record, dict) or set(record) != names:
            raise ModelError(f"The record of planes must have exactly the keys {', '.join(sorted(names))}.")
        return cls(**record)

    def apply(self, slices: Sequence[Slice], positions: Sequence[float] | None, preprocess: Preprocess) -> Stacked:
        """The input made of `slices`, from the feet to the head; `positions` in mm, or None for equal distances.

        Raises InputError for fewer slices than `least`.
        """
        if len(slices) < self.least:
            raise InputError(f"A volume needs at least {self.least} slices that show a head; these are {len(slices)}.")
        framed = [replace(preprocess, level=False).framed(image) for image in slices]
        grey = np.stack([f.grey for f in framed])
        if preprocess.level:
            grey = levelled(grey, [brain_level(f.grey, f.head) for f in framed])
        at = np.arange(len(slices), dtype=np.float64) if positions is None else np.asarray(positions, dtype=np.float64)
        window = Window(*preprocess.window) if slices[0].unit == "HU" else None
        pixels = normalised(resampled(grey, at, self.depth))[None]
        return Stacked(pixels, plane_of(at, self.depth), tuple(f.affine for f in framed), window)


def plane_of(at: NDArray[np.float64], depth: int) -> NDArray[np.float64]:
    """Positions in any unit to planes: the first slice lies on plane 0, the last on `depth` - 1.

    Raises InputError unless there are several, each above the one before.
    """
    if len(at) < 2 or np.any(np.diff(at) <= 0):
        raise InputError("The slices of this series do not ascend from the feet to the head.")
    return (at - at[0]) / (at[-1] - at[0]) * (depth - 1)


def resampled(stack: FloatArray, at: NDArray[np.float64], depth: int) -> FloatArray:
    """(n, S, S) slices at positions `at`, ascending, to (depth, S, S) planes at equal distances between the ends.

    Linear between neighbouring slices; where slices lie closer than planes, the mean over a plane's thickness.
    Raises InputError as `plane_of` does.
    """
    weights = _weights(plane_of(at, depth), depth)
    flat = weights @ stack.reshape(len(stack), -1)
    return np.asarray(flat.reshape(depth, *stack.shape[1:]), dtype=np.float32)


def normalised(grey: FloatArray) -> FloatArray:
    """Grey levels 0..1 to the numbers the network sees."""
    return np.asarray((grey - CENTRE) / SPREAD, dtype=np.float32)


def _weights(plane: NDArray[np.float64], depth: int) -> FloatArray:
    """(depth, n) how much of each slice is in each plane; rows sum to 1."""
    fine = 1 if len(plane) <= depth else 2 * -(-len(plane) // depth)  # points over a plane's thickness
    offsets = (np.arange(fine) + 0.5) / fine - 0.5 if fine > 1 else np.zeros(1)
    points = np.clip(np.arange(depth)[:, None] + offsets, 0, depth - 1)
    right = np.clip(np.searchsorted(plane, points, side="right"), 1, len(plane) - 1)
    share = (points - plane[right - 1]) / (plane[right] - plane[right - 1])
    out = np.zeros((depth, len(plane)), dtype=np.float32)
    rows = np.repeat(np.arange(depth), fine)
    np.add.at(out, (rows, right.ravel() - 1), (1 - share.ravel()) / fine)
    np.add.at(out, (rows, right.ravel()), share.ravel() / fine)
    return out
