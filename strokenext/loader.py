"""A name, folder or Hub repository to the predictor of its model's kind.

`load` once and keep the predictor: the library holds no model of its own. (The file is not called `load`, because
the package's function `load` would be hidden by it.)
"""

from __future__ import annotations

from pathlib import Path
from typing import Literal, TypedDict, Unpack, overload

from strokenext.answer.checkpoint import check_kind
from strokenext.answer.device import choose
from strokenext.record.config import Kind
from strokenext.record.find import resolve, revision_of
from strokenext.record.weights import load_network
from strokenext.segment.segmenter import Segmenter
from strokenext.slice.predictor import Predictor
from strokenext.types import Progress
from strokenext.volume.predictor import VolumePredictor

#: The bundled model of a kind when none is named, where the repository has one; slices have one per task.
DEFAULTS: dict[Kind | None, str] = {"series": "cnn3d-ich", "segmentation": "unet-ich"}


class _More(TypedDict, total=False):
    """What is given by name beside a kind."""

    revision: str | None
    device: str
    progress: Progress | None


@overload
def load(
    model: str | Path | None = ..., task: str | None = ..., *, kind: Literal["slice"], **more: Unpack[_More]
) -> Predictor: ...
@overload
def load(
    model: str | Path | None = ..., task: str | None = ..., *, kind: Literal["series"], **more: Unpack[_More]
) -> VolumePredictor: ...
@overload
def load(
    model: str | Path | None = ..., task: str | None = ..., *, kind: Literal["segmentation"], **more: Unpack[_More]
) -> Segmenter: ...
@overload
def load(
    model: str | Path | None = ...,
    task: str | None = ...,
    revision: str | None = ...,
    device: str = ...,
    progress: Progress | None = ...,
    kind: None = ...,
) -> Predictor | VolumePredictor | Segmenter: ...


def load(
    model: str | Path | None = None,
    task: str | None = None,
    revision: str | None = None,
    device: str = "auto",
    progress: Progress | None = None,
    kind: Kind | None = None,
) -> Predictor | VolumePredictor | Segmenter:
    """The predictor of a bundled model, a folder, or a Hub repository "owner/repo" at a pinned `revision`.

    `model` None takes the bundled default of the kind, of slices that of the task. `task` None takes what the model
    answers (presence where it could be either), `kind` None what the model is: a Predictor of "slice", a
    VolumePredictor of "series" or a Segmenter of "segmentation". Raises ModelNotFoundError, ModelMismatchError
    (another task or kind), ModelError, HubUnavailableError, DeviceError.
    """
    where = choose(device)  # before a download, not after it
    folder, config = resolve(DEFAULTS.get(kind) if model is None else model, task, revision, progress, "presence")
    if kind is not None:
        check_kind(config, kind)
    predictors: dict[Kind, type[Predictor | VolumePredictor | Segmenter]] = {
        "slice": Predictor,
        "series": VolumePredictor,
        "segmentation": Segmenter,
    }
    return predictors[config.kind](load_network(folder, config), config, where, revision_of(folder))
