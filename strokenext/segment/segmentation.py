"""What a segmentation model marks on one slice, with where that comes from."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any

import numpy as np

from strokenext import overlay
from strokenext.answer.answer import Answer, Files, pictures
from strokenext.answer.provenance import InputFacts, Provenance
from strokenext.frame.framed import Caption, Place, framed_slice
from strokenext.frame.naming import case_title
from strokenext.regions import Region
from strokenext.types import Caution, Gate, Slice, Window


@dataclass(frozen=True, eq=False)
class Segmentation(Answer):
    """The marked regions of one slice, one per class of the model, in its order; a region may be empty.

    None of them exists where the image was refused: then `gate.reason` says why. `window` is the one that HU went
    through, None without HU. `image` is the slice itself, for drawing; it is not part of the JSON. `cautions` say
    what about the picture may have changed what is marked.
    """

    classes: tuple[str, ...]
    regions: tuple[Region, ...]
    gate: Gate
    window: Window | None
    input: InputFacts
    provenance: Provenance
    image: Slice = field(repr=False)
    cautions: tuple[Caution, ...] = ()

    @property
    def refused(self) -> bool:
        """Whether nothing was looked for because the image is outside the model's scope."""
        return not self.regions

    @property
    def empty(self) -> bool:
        """Whether nothing is marked."""
        return not any(region.pixels for region in self.regions)

    def to_json(self) -> dict[str, Any]:
        """Plain JSON values, finite numbers only."""
        return {
            "task": "segmentation",
            "classes": list(self.classes),
            "gate": dict(vars(self.gate)),
            "regions": None if self.refused else [region.to_json() for region in self.regions],
            "spacing": None if self.image.spacing is None else list(self.image.spacing),
            "input": self.input.to_json(),
            "provenance": self.provenance.to_json(),
            "cautions": [dict(vars(caution)) for caution in self.cautions],
            "case": None if self.image.label is None else dict(vars(self.image.label)),
        }

    def picture(self, title: str = "", place: Place | None = None) -> bytes:
        """PNG of the slice with the regions drawn on it, in its frame."""
        window = self.window if self.image.unit == "HU" else None
        named = case_title(self.image.label, self.input.sha256, title)
        nothing = "Nothing is marked." if self.empty else ""
        caption = Caption(named, place, nothing, self.cautions, window)
        return overlay.png(framed_slice(self.image, caption, regions=self.regions))

    def labels(self) -> bytes:
        """PNG (H, W) of numbers: 0 nothing, 1 the first class, 2 the second, ...; a later class covers an earlier."""
        numbers = np.zeros(self.image.shape, dtype=np.uint8)
        for number, region in enumerate(self.regions, 1):
            numbers[region.mask] = number
        return overlay.png(numbers)

    def files(self) -> Files:
        """slice.png, overlay.png and labels.png; the slice alone where the image was refused."""
        plain = pictures(self.image, self.window, None, None, Caption())
        return plain if self.refused else plain | {"overlay.png": self.picture(), "labels.png": self.labels()}
