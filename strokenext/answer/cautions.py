"""What about a picture, as a model is given it, may change the answer: how it lies, its window, how known it looks.

Predictors of every kind say these beside what the file's reader said.
"""

from __future__ import annotations

from functools import lru_cache
from pathlib import Path

from strokenext.errors import ModelError
from strokenext.preprocess import orientation
from strokenext.preprocess.appearance import appearance
from strokenext.record.config import ModelConfig
from strokenext.record.experience import Experience
from strokenext.record.find import assets_folder, bundled
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


def turned(angle: float | None) -> tuple[Caution, ...]:
    """That a head lies turned by so many degrees clockwise; None where nobody could tell."""
    if angle is None:
        return (_UNTOLD,)
    if not angle:
        return ()
    way, by = ("clockwise", angle) if angle <= 180 else ("anticlockwise", 360 - angle)
    how = "upside down" if angle == 180 else f"turned {way} by about {by:.0f} degrees"
    sentence = f"The head is {how} in the picture. The model was given it upright, the forehead at the top."
    return (Caution("turned", sentence),)


def unlike(image: Slice, config: ModelConfig, in_scope: bool) -> tuple[Caution, ...]:
    """What says that validation knows no such upright picture; nothing where it does."""
    if config.experience is None:
        reason = "record" if in_scope else "scope"
        return (Caution("unlike-training", UNLIKE[reason]),)
    found = config.experience.unknown(appearance(image), image.unit)
    why = found if in_scope else "scope"
    windowed = (UNUSUAL_WINDOW,) if found == "window" else ()
    return (*windowed, Caution("unlike-training", UNLIKE[why])) if why else ()


def shown(image: Slice, config: ModelConfig, angle: float | None) -> tuple[Caution, ...]:
    """How a picture lies and is windowed, for models whose figures are not measured picture by picture.

    A window is recognised by what the model knows of pictures or, where its record holds nothing, by what the
    bundled one knows.
    """
    known = config.experience or _experience(assets_folder())
    if image.unit == "HU" or known is None:
        return turned(angle)
    seen = known.unknown(appearance(orientation.upright(image, angle).image), image.unit)
    return (*turned(angle), *((UNUSUAL_WINDOW,) if seen == "window" else ()))


@lru_cache(maxsize=4)
def _experience(_assets: Path) -> Experience | None:
    """That of the bundled presence model, None where there is none."""
    try:
        return next((c.experience for c in bundled() if c.task == "presence" and c.experience), None)
    except ModelError:  # a folder of someone's own, half copied
        return None
