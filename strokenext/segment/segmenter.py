"""A loaded segmentation model that marks lesions on slices.

segmentation = strokenext.load("assets/unet-ich", kind="segmentation").segment("slice.dcm")
segmentation.regions[0].name, segmentation.regions[0].area, segmentation.save("out")
"""

from __future__ import annotations

from typing import Any

import numpy as np
import torch

from strokenext.answer import device as devices
from strokenext.answer.cautions import shown
from strokenext.answer.checkpoint import Checkpoint
from strokenext.answer.provenance import InputFacts
from strokenext.errors import InputError, ModelError
from strokenext.gate import check_scope
from strokenext.io.read import read_named
from strokenext.preprocess.contract import Prepared
from strokenext.preprocess.orientation import angle_of, prepared_upright
from strokenext.regions import Region
from strokenext.types import FloatArray, Gate, Slice, Volume

from .segmentation import Segmentation


class Segmenter(Checkpoint):
    """One segmentation model on one device."""

    kind = "segmentation"

    def segment(self, image: Any, *, force: bool = False, gate: Gate | None = None) -> Segmentation:
        """Mark one slice: a Slice, or anything `read_any` takes. A head that lies turned reaches the model upright.

        `force` marks an image that the gate refuses; `gate` is a check already at hand. Raises InputError for a
        series, and ModelError when the network gives no finite numbers.
        """
        given, name = read_named(image)
        if isinstance(given, Volume):
            raise InputError(f"This is a series of {len(given)} slices. Mark its slices one by one.")
        checked = check_scope(given) if gate is None else gate
        looked = checked.accepted or force
        angle = angle_of([given]) if looked else None
        prepared = prepared_upright(given, self.config.preprocess, angle) if looked else None
        regions = () if prepared is None else self._regions(given, prepared)
        window = None if prepared is None else prepared.window
        facts = InputFacts.of(given, name)
        return Segmentation(
            classes=self.classes,
            regions=regions,
            gate=checked,
            window=window,
            input=facts,
            provenance=self.provenance(window, facts.sha256),
            image=given,
            cautions=tuple(dict.fromkeys((*given.cautions, *(shown(given, self.config, angle) if looked else ())))),
        )

    def probabilities(self, prepared: Prepared) -> FloatArray:
        """(K, S, S) probability of each class at every pixel of the model's input."""
        with self.turn(), torch.inference_mode():
            x = devices.send(torch.from_numpy(prepared.pixels[None]), self.device)
            with devices.mixed(self.device):
                logits = self._model(x)
            maps = (logits[0].float() / self.config.temperature).sigmoid().cpu().numpy()
        if not np.isfinite(maps).all():
            raise ModelError(f"The model '{self.name}' gave numbers that are not finite for this image.")
        return np.asarray(maps, dtype=np.float32)

    def _regions(self, image: Slice, prepared: Prepared) -> tuple[Region, ...]:
        maps = self.probabilities(prepared)
        assert self.config.masks is not None  # what makes a model one of segmentation
        return self.config.masks.regions(maps, self.classes, prepared.affine, image.shape, image.spacing)
