"""Where a number comes from: what was given to which model, enough to compute it again."""

from __future__ import annotations

from dataclasses import dataclass
from hashlib import sha256
from typing import Any

from strokenext.types import Slice, Volume, Window


@dataclass(frozen=True)
class InputFacts:
    """What the model was given. `name` is the file's own name, empty when it came as bytes or an array."""

    name: str
    sha256: str
    kind: str
    unit: str
    shape: tuple[int, ...]

    @classmethod
    def of(cls, image: Slice | Volume, name: str) -> InputFacts:
        """Those of a slice or a series (D, H, W), with the pixels' checksum where none is known."""
        if isinstance(image, Slice):
            digest = image.sha256 or sha256(image.pixels.tobytes()).hexdigest()
            return cls(name, digest, image.kind, image.unit, image.shape)
        digest = image.sha256 or sha256(image.array().tobytes()).hexdigest()
        return cls(name, digest, image[0].kind, image.unit, (len(image), *image[0].shape))

    def to_json(self) -> dict[str, Any]:
        """Plain JSON values."""
        return {**vars(self), "shape": list(self.shape)}


@dataclass(frozen=True)
class Provenance:
    """Which model, on what, from what.

    `architecture` is a row of the zoo; `preprocess` is the model's own record; `window` the one that HU went
    through, None without HU; `time` is ISO 8601 in UTC; `precision` is the encoders' arithmetic.
    """

    model: str
    architecture: str
    revision: str | None
    weights_sha256: str
    preprocess: dict[str, Any]
    window: Window | None
    versions: dict[str, str]
    device: str
    precision: str
    time: str
    input_sha256: str
    experimental: bool
    trained_on: str

    def to_json(self) -> dict[str, Any]:
        """Plain JSON values."""
        return {**vars(self), "window": None if self.window is None else dict(vars(self.window))}
