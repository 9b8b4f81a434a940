"""A slice as the network gets it: upright, through the pixel contract, with what to be careful about."""

from __future__ import annotations

from dataclasses import dataclass

from strokenext.answer.cautions import turned, unlike
from strokenext.preprocess import orientation
from strokenext.preprocess.contract import Prepared
from strokenext.record.config import ModelConfig
from strokenext.types import Caution, Slice


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
    unknown = unlike(orientation.upright(image, angle).image, config, in_scope)
    prepared = orientation.prepared_upright(image, config.preprocess, angle)
    return Ready(prepared, not unknown, (*turned(angle), *unknown))
