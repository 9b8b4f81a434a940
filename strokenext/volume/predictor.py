"""A loaded volume model that answers about a whole series at once.

    prediction = strokenext.load("assets/cnn3d-ich", kind="series").predict(volume)

The gate still looks at every slice: those it refuses (neck, face, localizers) are left out, and the rest are turned
upright where they lie turned and stacked as the model's record says.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field, replace
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray

from strokenext.answer import decision
from strokenext.answer.cautions import shown
from strokenext.answer.checkpoint import Checkpoint
from strokenext.answer.provenance import InputFacts
from strokenext.errors import InputError
from strokenext.explain import gradcam as evidence
from strokenext.gate import check_scope
from strokenext.io.read import read_named
from strokenext.preprocess.orientation import angle_of, combined, upright
from strokenext.preprocess.planes import Planes, Stacked
from strokenext.types import Caution, FloatArray, Gate, Heat, Volume, Window

from .prediction import VolumePrediction, VolumeSlice


@dataclass(frozen=True, eq=False)
class _Output:
    """What the network gives for one volume, `heats` by the index of the slice; nothing for a refused one."""

    logits: tuple[float, ...] | None = None
    window: Window | None = None
    cautions: tuple[Caution, ...] = ()
    maps: FloatArray | None = None
    heats: dict[int, Heat] = field(default_factory=dict)


class VolumePredictor(Checkpoint):
    """One model of whole series on one device."""

    kind = "series"

    def predict(
        self,
        volume: Any,
        *,
        explain: bool = True,
        threshold: float | None = None,
        force: bool = False,
        gates: Sequence[Gate] | None = None,
    ) -> VolumePrediction:
        """The answer about a Volume, or anything `read_any` takes that is a series.

        `threshold` replaces the model's own and moves the band with it; `force` reads the slices that the gate
        refuses too; `gates` are checks already at hand, one per slice. Too few slices with a head give a refused
        prediction with the reason. Raises InputError for a single slice, OptionError for a threshold out of range.
        """
        rule = decision.rule(self.config, threshold)
        given, name = read_named(volume)
        if not isinstance(given, Volume):
            raise InputError(
                f"'{self.name}' judges a whole series, and this is one slice. Give the folder, zip or NIfTI of the "
                "series, or choose a model of single slices."
            )
        checks = tuple(check_scope(image) for image in given) if gates is None else tuple(gates)
        used = [i for i, gate in enumerate(checks) if gate.accepted or force]
        gate = self._too_few(len(checks), len(used))
        output = self._run(given, used, explain) if gate.accepted else _Output()
        facts = InputFacts.of(given, name)
        return VolumePrediction(
            **decision.answered(self.config, rule, output.logits),
            gate=gate,
            planes=self._planes.depth,
            slices=tuple(VolumeSlice(check, output.heats.get(i), output.window) for i, check in enumerate(checks)),
            maps=output.maps,
            input=facts,
            provenance=self.provenance(output.window, facts.sha256),
            volume=given,
            cautions=tuple(dict.fromkeys((*given.cautions, *output.cautions))),
        )

    # -- inside ------------------------------------------------------------------------------------

    @property
    def _planes(self) -> Planes:
        assert self.config.planes is not None  # what makes a model one of series
        return self.config.planes

    def _too_few(self, total: int, used: int) -> Gate:
        if used >= self._planes.least:
            return Gate(True)
        reason = (
            f"{used} of {total} slices show a head with brain, and the volume model needs at least "
            f"{self._planes.least}. Open the whole series."
        )
        return Gate(False, reason, "too-few")

    def _run(self, volume: Volume, used: Sequence[int], explain: bool) -> _Output:
        positions = None if volume.positions is None else [volume.positions[i] for i in used]
        angle = angle_of([volume[i] for i in used])
        turned = [upright(volume[i], angle) for i in used]
        cautions = shown(volume[used[len(used) // 2]], self.config, angle)
        stacked = self._planes.apply([t.image for t in turned], positions, self.config.preprocess)
        affines = tuple(combined(a, t.affine) for a, t in zip(stacked.affines, turned, strict=True))
        stacked = replace(stacked, affines=affines)
        with self.turn():
            x = torch.from_numpy(stacked.pixels[None]).to(self.device)
            encoded = evidence.encode(self._model, x)  # in float32: one volume is too little to gain from less
            logits = tuple(encoded.logits[0].tolist())
            if not explain:
                return _Output(logits, stacked.window, cautions)
            positive = decision.observed(self.config, logits).probability >= self.config.threshold
            index = 1 if self.task == "presence" else int(positive)
            maps = evidence.maps(self._model, x, encoded, index)
        maps.flags.writeable = False
        heats = {i: self._heat(maps, stacked, k, index) for k, i in enumerate(used)}
        return _Output(logits, stacked.window, cautions, maps, heats)

    def _heat(self, maps: FloatArray, stacked: Stacked, i: int, index: int) -> Heat:
        """The evidence at one slice: the volume's map at its height, placed where its cells lie."""
        first, stride = float(self._model.first), int(self._model.stride)  # type: ignore[arg-type]
        at = float(np.clip((stacked.plane[i] - first) / stride, 0, maps.shape[1] - 1))
        below = int(at)
        above = min(below + 1, maps.shape[1] - 1)
        grid = maps[:, below] * (1 - (at - below)) + maps[:, above] * (at - below)
        placed, affine, side = place(grid, stacked.affines[i], stacked.pixels.shape[-1], first, stride)
        return Heat(placed, self.encoders, self.classes[index], "gradcam", affine, side, self.config.heat_scale)


def place(
    grid: FloatArray, affine: NDArray[np.float64], size: int, first: float, stride: int
) -> tuple[FloatArray, NDArray[np.float64], int]:
    """A map (E, h, w) whose cells lie at `first`, `first` + `stride`, ... of a frame of `size` pixels, for `Heat`.

    `Heat` takes its cells to fill the frame, so cells are repeated outwards until they cover it (they do see the
    border: a cell's field is far wider than a stride), and the affine (2, 3) is moved to the larger frame.
    Returns the map, the affine and the side of that frame in pixels.
    """
    last = first + (max(grid.shape[1:]) - 1) * stride
    more = max(0, int(np.ceil(max(first + 0.5, size - 0.5 - last) / stride - 0.5)))
    wide = np.pad(grid, ((0, 0), (more, more), (more, more)), mode="edge").astype(np.float32)
    moved = np.array(affine, dtype=np.float64)
    moved[:, 2] += (stride - 1) / 2 - (first - more * stride)
    return wide, moved, wide.shape[1] * stride
