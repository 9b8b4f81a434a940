"""A slice as the network gets it: upright, through the pixel contract, with what to be careful about."""

from __future__ import annotations

from dataclasses import dataclass

from strokenext.preprocess import orientation
from strokenext.preprocess.appearance import appearance
from strokenext.preprocess.contract import Prepared
from strokenext.record.config import ModelConfig
from strokenext.types import Caution, Slice

_NOT_KNOWN = "How often the model is right on such a picture is not known."
#: Why the validation figures do not speak of a picture, see `Experience.unknown`; "record" where nobody can tell.
UNLIKE = {
    "scope": f"The picture is outside the model's scope and was judged on request. {_NOT_KNOWN}",
    "record": f"The model's record does not say what its validation pictures looked like. {_NOT_KNOWN}",
    "unit": f"None of the pictures that the model's figures were measured on came with HU. {_NOT_KNOWN}",
    "appearance": "Contrast, grain, sharpness or resolution are unlike those of the pictures that the model's figures "
    f"were measured on. {_NOT_KNOWN}",
    "window": f"The pictures that the model's figures were measured on were in a brain window. {_NOT_KNOWN}",
}
UNUSUAL_WINDOW = Caution(
    "unusual-window",
    "The picture looks as if it was saved in another window than the brain window (width 80, level 40) that the model "
    "was made for; in that window the answer may be another. Give the DICOM file, or save the picture in the brain "
    "window.",
)
_UNTOLD = Caution(
    "turned",
    "It could not be told which side of the head is up. The model was made for upright heads, the forehead at the top; "
    "turn the picture if it is not.",
)


@dataclass(frozen=True, eq=False)
class Ready:
    """A slice ready for the network, its affine from the picture as given, and what may change the answer.

    `known` says whether the validation figures speak of such pictures.
    """

    prepared: Prepared
    known: bool
    cautions: tuple[Caution, ...]


def ready(image: Slice, config: ModelConfig, angle: float | None, in_scope: bool) -> Ready:
    """The slice turned back by an angle in degrees (None: not known) and prepared."""
    unlike = _unlike(orientation.upright(image, angle).image, config, in_scope)
    prepared = orientation.prepared_upright(image, config.preprocess, angle)
    return Ready(prepared, not unlike, (*_turned(angle), *unlike))


def _unlike(image: Slice, config: ModelConfig, in_scope: bool) -> tuple[Caution, ...]:
    """What says that validation knows no such picture; nothing where it does."""
    if config.experience is None:
        reason = "record" if in_scope else "scope"
        return (Caution("unlike-training", UNLIKE[reason]),)
    found = config.experience.unknown(appearance(image), image.unit)
    why = found if in_scope else "scope"
    windowed = (UNUSUAL_WINDOW,) if found == "window" else ()
    return (*windowed, Caution("unlike-training", UNLIKE[why])) if why else ()


def _turned(angle: float | None) -> tuple[Caution, ...]:
    if angle is None:
        return (_UNTOLD,)
    if not angle:
        return ()
    way, by = ("clockwise", angle) if angle <= 180 else ("anticlockwise", 360 - angle)
    how = "upside down" if angle == 180 else f"turned {way} by about {by:.0f} degrees"
    sentence = f"The head is {how} in the picture. The model was given it upright, the forehead at the top."
    return (Caution("turned", sentence),)
