"""A slice as the network gets it: upright, through the pixel contract, with what to be careful about."""

from __future__ import annotations

from dataclasses import dataclass, replace

from strokenext.preprocess import orientation
from strokenext.preprocess.contract import Prepared, Preprocess
from strokenext.types import Caution, Slice


@dataclass(frozen=True, eq=False)
class Ready:
    """A slice ready for the network, its affine from the picture as given, and what may change the answer."""

    prepared: Prepared
    cautions: tuple[Caution, ...]


def ready(image: Slice, preprocess: Preprocess, angle: float | None) -> Ready:
    """The slice turned back by an angle in degrees (None: not known) and prepared."""
    turned = orientation.upright(image, angle)
    prepared = preprocess.apply(turned.image)
    affine = orientation.combined(prepared.affine, turned.affine)
    return Ready(replace(prepared, affine=affine), _turned(angle))


def _turned(angle: float | None) -> tuple[Caution, ...]:
    if angle is None:
        return (
            Caution(
                "turned",
                "It could not be told which side of the head is up. The model was made for upright heads, the forehead "
                "at the top; turn the picture if it is not.",
            ),
        )
    if not angle:
        return ()
    way, by = ("clockwise", angle) if angle <= 180 else ("anticlockwise", 360 - angle)
    how = "upside down" if angle == 180 else f"turned {way} by about {by:.0f} degrees"
    sentence = f"The head is {how} in the picture. The model was given it upright, the forehead at the top."
    return (Caution("turned", sentence),)
