"""A network on its device with its record: what the predictors of every kind are.

A predictor only reads its network, so any number of threads may use it; on a GPU they take turns.
"""

from __future__ import annotations

import threading
from contextlib import AbstractContextManager, nullcontext
from datetime import UTC, datetime
from typing import ClassVar

import torch
from torch import nn

from strokenext.errors import ModelMismatchError
from strokenext.record.config import Kind, ModelConfig
from strokenext.types import Window
from strokenext.version import versions

from . import device as devices
from .provenance import Provenance

_DOES: dict[Kind, str] = {
    "slice": "answers about single slices",
    "series": "answers about whole series",
    "segmentation": "marks lesions and answers no question",
}


class Checkpoint:
    """One model on one device. `config` is the model's record, `revision` its commit on the Hub, if any."""

    kind: ClassVar[Kind]

    def __init__(
        self, model: nn.Module, config: ModelConfig, on: str | torch.device = "auto", revision: str | None = None
    ) -> None:
        """Takes the network over: it is moved to the device, put in evaluation mode and frozen.

        Raises ModelMismatchError for a model of another kind, DeviceError for a device that is not there.
        """
        check_kind(config, self.kind)
        self.config = config
        self.revision = revision
        self.device = devices.choose(str(on))
        self.lock = threading.Lock()
        self._model = devices.place(model.eval().requires_grad_(False), self.device, flat=config.planes is None)
        self._versions = versions()

    @property
    def name(self) -> str:
        """The model's name."""
        return self.config.name

    @property
    def task(self) -> str:
        """What it answers: "presence", "subtype", or "segmentation"."""
        return self.config.task

    @property
    def classes(self) -> tuple[str, ...]:
        """(negative, positive); of a segmentation model what it marks, in the order of the regions."""
        return self.config.classes

    @property
    def encoders(self) -> tuple[str, ...]:
        """Names of the network's encoders, one map of evidence each."""
        return tuple(getattr(self._model, "encoders", ("A",)))

    def turn(self) -> AbstractContextManager[object]:
        """Threads share the CPU freely, since the network is only read; on a GPU one batch at a time holds memory."""
        return nullcontext() if self.device.type == "cpu" else self.lock

    def provenance(self, window: Window | None, input_sha256: str) -> Provenance:
        """Where an answer of this model at this moment comes from."""
        config = self.config
        planes = {} if config.planes is None else {"planes": config.planes.to_dict()}
        return Provenance(
            model=config.name,
            architecture=config.architecture,
            revision=self.revision,
            weights_sha256=config.weights_sha256,
            preprocess=config.preprocess.to_dict() | planes,
            window=window,
            versions=dict(self._versions),
            device=str(self.device),
            precision=devices.precision(self.device) if config.planes is None else "float32",
            time=datetime.now(UTC).isoformat(timespec="seconds"),
            input_sha256=input_sha256,
            experimental=config.experimental,
            trained_on=config.trained_on,
        )


def check_kind(config: ModelConfig, kind: Kind) -> None:
    """Raises ModelMismatchError, with the kind to ask for, unless the model is of that kind."""
    if config.kind != kind:
        raise ModelMismatchError(
            f"The model '{config.name}' {_DOES[config.kind]}, so it is no model of the kind '{kind}'. "
            f"Load it with kind='{config.kind}', or name another model."
        )
