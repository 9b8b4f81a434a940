"""A loaded segmentation model that marks lesions on slices.

segmentation = strokenext.load("assets/unet-ich", kind="segmentation").segment("slice.dcm")
segmentation.regions[0].name, segmentation.regions[0].area, segmentation.save("out")
series = strokenext.load("assets/unet-ich", kind="segmentation").segment_series("series.zip")
series.extents[0].volume, series.extents[0].diameter  # ml, mm
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
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
from .series import SeriesSegmentation


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
            raise InputError(f"This is a series of {len(given)} slices. Mark it with segment_series.")
        checked = check_scope(given) if gate is None else gate
        angle = angle_of([given]) if checked.accepted or force else None
        return self._segment(given, name, checked, checked.accepted or force, angle)

    def segment_series(
        self,
        series: Any,
        *,
        force: bool = False,
        gates: Sequence[Gate] | None = None,
        progress: Callable[[int, int], None] | None = None,
    ) -> SeriesSegmentation:
        """Mark every slice of a series: a Volume, or anything `read_any` takes that holds one, and measure the whole.

        The gate is asked of each slice (`gates` are its answers at hand), which way up the head lies of all together;
        `progress` hears how many of how many are done. Raises InputError for a single slice, and what `segment` raises.
        """
        volume, name = read_named(series)
        if not isinstance(volume, Volume):
            raise InputError("This is a single slice. Mark it with segment, or give the whole series.")
        each = self.each(volume, name, force=force, gates=gates, progress=progress)
        return SeriesSegmentation.of(volume, tuple(each))

    def each(
        self,
        volume: Volume,
        name: str = "",
        *,
        force: bool = False,
        gates: Sequence[Gate] | None = None,
        progress: Callable[[int, int], None] | None = None,
    ) -> Iterator[Segmentation]:
        """The slices of a series one after the other, as `segment_series` marks them; `gates` are checks at hand."""
        gates = [check_scope(one) for one in volume] if gates is None else gates
        looked = [gate.accepted or force for gate in gates]
        upright = angle_of([one for one, look in zip(volume, looked, strict=True) if look]) if any(looked) else None
        for done, (one, gate, look) in enumerate(zip(volume, gates, looked, strict=True), 1):
            yield self._segment(one, name, gate, look, upright if look else None)
            if progress is not None:
                progress(done, len(volume))

    def _segment(self, given: Slice, name: str, checked: Gate, looked: bool, angle: float | None) -> Segmentation:
        """One slice, looked at or not, of a head that lies at that angle."""
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
