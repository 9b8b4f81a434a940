"""What a segmentation model marks in a whole series: how large each class is in the head, in ml and mm.

The volume is planimetry (Cavalieri): the marked area of each slice times the stretch that the slice stands for.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from itertools import pairwise
from typing import Any

from strokenext.answer.answer import Files
from strokenext.types import Caution, Volume

from .segmentation import Segmentation


@dataclass(frozen=True)
class Extent:
    """One class in a series: `volume` in ml and `diameter`, the longest line within one part on one slice, in mm, both
    None where the files do not state the geometry; `slices` are the indices of those on which it is marked."""

    name: str
    volume: float | None
    diameter: float | None
    slices: tuple[int, ...]

    def to_json(self) -> dict[str, Any]:
        """Plain JSON values."""
        return {
            "name": self.name,
            "volume_ml": None if self.volume is None else round(self.volume, 2),
            "diameter_mm": None if self.diameter is None else round(self.diameter, 1),
            "slices": list(self.slices),
        }


@dataclass(frozen=True, eq=False)
class SeriesSegmentation:
    """A series: one Segmentation per slice, from the feet to the head, and the extent of each class.

    Slices that the gate refused carry no marks and count nothing: `looked` says how many were looked at.
    """

    slices: tuple[Segmentation, ...]
    extents: tuple[Extent, ...]
    cautions: tuple[Caution, ...] = ()

    @classmethod
    def of(cls, volume: Volume, marked: Sequence[Segmentation]) -> SeriesSegmentation:
        """The marks of a series' slices taken together, one per slice and in their order."""
        thick = None if volume.positions is None or len(volume) < 2 else stretches(volume.positions)
        names = marked[0].classes
        extents = tuple(_extent(name, number, marked, thick) for number, name in enumerate(names))
        cautions = dict.fromkeys((*volume.cautions, *(c for one in marked for c in one.cautions)))
        return cls(tuple(marked), extents, tuple(cautions))

    def __len__(self) -> int:
        return len(self.slices)

    @property
    def looked(self) -> int:
        """How many slices were looked at."""
        return sum(not one.refused for one in self.slices)

    def to_json(self) -> dict[str, Any]:
        """Plain JSON values; `slices` holds each slice's own."""
        return {
            "task": "segmentation",
            "classes": [extent.name for extent in self.extents],
            "extents": [extent.to_json() for extent in self.extents],
            "looked_at": self.looked,
            "cautions": [dict(vars(caution)) for caution in self.cautions],
            "slices": [one.to_json() for one in self.slices],
        }

    def files(self) -> Files:
        """As `Segmentation.files`, of the slice with the largest mark of any class; empty where nothing is marked."""
        largest = max(self.slices, key=lambda one: max((region.pixels for region in one.regions), default=0))
        return {} if largest.empty else largest.files()


def stretches(positions: Sequence[float]) -> tuple[float, ...]:
    """mm that each of two or more slices at these ascending positions stands for: half the way to each neighbour, and
    at the two ends as far outwards as inwards."""
    gaps = [b - a for a, b in pairwise(positions)]
    return tuple((before + after) / 2 for before, after in zip([gaps[0], *gaps], [*gaps, gaps[-1]], strict=True))


def _extent(name: str, number: int, marked: Sequence[Segmentation], thick: Sequence[float] | None) -> Extent:
    regions = [(i, one.regions[number]) for i, one in enumerate(marked) if one.regions]
    present = [(i, region) for i, region in regions if region.pixels]
    areas = [(i, region.area) for i, region in present]
    sized = all(region.spacing is not None for _, region in regions) and bool(regions)
    whole = None if thick is None or not sized else sum((area or 0) * thick[i] for i, area in areas) / 1000
    longest = max((region.diameter or 0.0 for _, region in present), default=0.0) if sized else None
    return Extent(name, whole, longest, tuple(i for i, _ in present))
