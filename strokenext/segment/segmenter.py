"""A loaded segmentation model that marks lesions on slices.

    segmentation = strokenext.load_segmenter("assets/unet-ich").segment("slice.dcm")
    segmentation.regions[0].name, segmentation.regions[0].area, segmentation.save("out")

Like `Predictor` it only reads its network, so threads may share it.
"""

from __future__ import annotations

import threading
from collections.abc import Callable
from contextlib import nullcontext
from hashlib import sha256
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import nn

from strokenext.answer import device as devices
from strokenext.errors import InputError, ModelError, ModelMismatchError
from strokenext.gate import check_scope
from strokenext.preprocess.contract import Prepared
from strokenext.record.config import ModelConfig
from strokenext.record.weights import load_model, resolve, revision_of
from strokenext.regions import Region
from strokenext.slice.prediction import InputFacts
from strokenext.slice.predictor import as_image, provenance
from strokenext.types import FloatArray, Gate, Slice, Volume
from strokenext.version import versions

from .segmentation import Segmentation

#: The bundled segmentation model, where the repository has one.
DEFAULT = "unet-ich"


class Segmenter:
    """One segmentation model on one device. `config` is its record, `revision` its commit on the Hub, if any."""

    def __init__(
        self, model: nn.Module, config: ModelConfig, on: str | torch.device = "auto", revision: str | None = None
    ) -> None:
        """Takes the network over, as `Predictor` does. Raises ModelMismatchError for a classifier."""
        if config.masks is None:
            raise ModelMismatchError(
                f"The model '{config.name}' answers {config.task} and marks nothing. Load it with strokenext.load."
            )
        self.device = devices.choose(str(on))
        self.config = config
        self.revision = revision
        self.lock = threading.Lock()
        self._masks = config.masks
        self._model = devices.place(model.eval().requires_grad_(False), self.device)
        self._versions = versions()

    @property
    def name(self) -> str:
        """The model's name."""
        return self.config.name

    @property
    def classes(self) -> tuple[str, ...]:
        """What it marks, in the order of the regions."""
        return self.config.classes

    def segment(self, image: Any, *, force: bool = False, gate: Gate | None = None) -> Segmentation:
        """Mark one slice: a Slice, or anything `read_any` takes.

        `force` marks an image that the gate refuses; `gate` is a verdict already at hand. Raises InputError for a
        series, and ModelError when the network gives no finite numbers.
        """
        given, name = as_image(image)
        if isinstance(given, Volume):
            raise InputError(f"This is a series of {len(given)} slices. Mark its slices one by one.")
        verdict = check_scope(given) if gate is None else gate
        prepared = self.config.preprocess.apply(given) if verdict.accepted or force else None
        regions = () if prepared is None else self._regions(given, prepared)
        window = None if prepared is None else prepared.window
        digest = given.sha256 or sha256(given.pixels.tobytes()).hexdigest()
        return Segmentation(
            classes=self.classes,
            regions=regions,
            gate=verdict,
            window=window,
            input=InputFacts(name, digest, given.kind, given.unit, given.shape),
            provenance=provenance(self.config, self.revision, self.device, self._versions, window, digest),
            image=given,
        )

    def probabilities(self, prepared: Prepared) -> FloatArray:
        """(K, S, S) probability of each class at every pixel of the model's input."""
        with nullcontext() if self.device.type == "cpu" else self.lock, torch.inference_mode():
            x = devices.send(torch.from_numpy(prepared.pixels[None]), self.device)
            with devices.mixed(self.device):
                logits = self._model(x)
            found = (logits[0].float() / self.config.temperature).sigmoid().cpu().numpy()
        if not np.isfinite(found).all():
            raise ModelError(f"The model '{self.name}' gave numbers that are not finite for this image.")
        return np.asarray(found, dtype=np.float32)

    def _regions(self, image: Slice, prepared: Prepared) -> tuple[Region, ...]:
        maps = self.probabilities(prepared)
        return self._masks.regions(maps, self.classes, prepared.affine, image.shape, image.spacing)


def load_segmenter(
    model: str | Path | None = None,
    revision: str | None = None,
    device: str = "auto",
    progress: Callable[..., None] | None = None,
) -> Segmenter:
    """A segmenter of a bundled model, a folder, or a Hub repository; `model` None takes the bundled one.

    Raises what `strokenext.load` raises, and ModelMismatchError for a model that marks nothing.
    """
    where = devices.choose(device)
    folder = resolve(DEFAULT if model is None else model, None, revision, progress)
    network, config = load_model(folder, "cpu")
    return Segmenter(network, config, where, revision_of(folder))
