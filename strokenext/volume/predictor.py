"""A loaded volume model that judges a whole series at once.

    prediction = strokenext.load_volume("assets/cnn3d-ich").predict(volume)

The gate still looks at every slice: those it refuses (neck, face, localizers) are left out, and the rest are stacked
as the model's record says. Like `Predictor` it only reads its network, so threads may share it.
"""

from __future__ import annotations

import threading
from collections.abc import Callable, Sequence
from contextlib import nullcontext
from dataclasses import dataclass, replace
from hashlib import sha256
from pathlib import Path
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import nn

from strokenext.answer import decision
from strokenext.answer import device as devices
from strokenext.errors import InputError, ModelMismatchError
from strokenext.explain import gradcam as evidence
from strokenext.gate import check_scope
from strokenext.preprocess.planes import Planes, Stacked
from strokenext.record.config import ModelConfig
from strokenext.record.weights import load_config, load_model, resolve, revision_of
from strokenext.slice.prediction import InputFacts
from strokenext.slice.predictor import as_image, provenance
from strokenext.types import FloatArray, Gate, Heat, Volume
from strokenext.version import versions

from .prediction import VolumePrediction, VolumeSlice

#: The bundled volume model, where the repository has one.
DEFAULT = "cnn3d-ich"


@dataclass(frozen=True, eq=False)
class _Answer:
    logits: tuple[float, ...]
    maps: FloatArray | None
    heats: tuple[Heat | None, ...]


class VolumePredictor:
    """One volume model on one device. `config` is the model's record, `revision` its commit on the Hub, if any."""

    def __init__(
        self, model: nn.Module, config: ModelConfig, on: str | torch.device = "auto", revision: str | None = None
    ) -> None:
        """Takes the network over, as `Predictor` does. Raises ModelMismatchError for a model of single slices."""
        if config.planes is None or len(config.classes) != 2:
            raise ModelMismatchError(
                f"The model '{config.name}' judges single slices, not whole series. Load it with strokenext.load."
            )
        self.device = devices.choose(str(on))
        self.config = config
        self.revision = revision
        self.lock = threading.Lock()
        self._planes: Planes = config.planes
        self._model = model.eval().requires_grad_(False).to(self.device)
        self._versions = versions()

    @property
    def name(self) -> str:
        """The model's name."""
        return self.config.name

    @property
    def task(self) -> str:
        """The question it answers, "presence" or "subtype"."""
        return self.config.task

    @property
    def classes(self) -> tuple[str, str]:
        """(negative, positive)."""
        return self.config.classes[0], self.config.classes[1]

    def predict(
        self,
        volume: Any,
        *,
        explain: bool = True,
        threshold: float | None = None,
        force: bool = False,
        gates: Sequence[Gate] | None = None,
    ) -> VolumePrediction:
        """Judge a Volume, or anything `read_any` takes that is a series.

        `threshold` replaces the model's own and moves the band with it; `force` reads the slices that the gate
        refuses too; `gates` are verdicts already at hand, one per slice. Too few slices with a head give a refused
        prediction with the reason. Raises InputError for a single slice, OptionError for a threshold out of range.
        """
        rule = decision.rule(self.config, threshold)
        given, name = as_image(volume)
        if not isinstance(given, Volume):
            raise InputError(
                f"'{self.name}' judges a whole series, and this is one slice. Give the folder, zip or NIfTI of the "
                "series, or choose a model of single slices."
            )
        verdicts = tuple(check_scope(image) for image in given) if gates is None else tuple(gates)
        used = [i for i, gate in enumerate(verdicts) if gate.accepted or force]
        if len(used) < self._planes.least:
            return self._prediction(given, name, verdicts, self._too_few(verdicts, len(used)), None, rule, None)
        stacked = self._stack(given, used)
        found = self._run(stacked, explain)
        heats: list[Heat | None] = [None] * len(given)
        for i, heat in zip(used, found.heats, strict=True):
            heats[i] = heat
        answer = replace(found, heats=tuple(heats))
        return self._prediction(given, name, verdicts, Gate(True), answer, rule, stacked)

    # -- inside ------------------------------------------------------------------------------------

    def _stack(self, volume: Volume, used: Sequence[int]) -> Stacked:
        positions = None if volume.positions is None else [volume.positions[i] for i in used]
        return self._planes.apply([volume[i] for i in used], positions, self.config.preprocess)

    def _too_few(self, verdicts: Sequence[Gate], count: int) -> Gate:
        said = (
            f"{count} of {len(verdicts)} slices show a head with brain, and the volume model needs at least "
            f"{self._planes.least}. Open the whole series."
        )
        return Gate(False, said, "too-few")

    def _run(self, stacked: Stacked, wanted: bool) -> _Answer:
        with nullcontext() if self.device.type == "cpu" else self.lock:
            x = torch.from_numpy(stacked.pixels[None]).to(self.device)
            encoded = evidence.encode(self._model, x)  # in float32: one volume is too little to gain from less
            logits = tuple(float(v) for v in encoded.logits[0].tolist())
            if not wanted:
                return _Answer(logits, None, (None,) * len(stacked.plane))
            index = 1 if self.task == "presence" else self._label_index(logits)
            maps = evidence.maps(self._model, x, encoded, index)
        maps.flags.writeable = False
        heats = tuple(self._heat(maps, stacked, i, index) for i in range(len(stacked.plane)))
        return _Answer(logits, maps, heats)

    def _label_index(self, logits: Sequence[float]) -> int:
        return int(decision.calibrated(logits, self.config.temperature) >= self.config.threshold)

    def _heat(self, maps: FloatArray, stacked: Stacked, i: int, index: int) -> Heat:
        """The evidence at one slice: the volume's map at its height, placed where its cells lie."""
        first, stride = float(self._model.first), int(self._model.stride)  # type: ignore[arg-type]
        at = float(np.clip((stacked.plane[i] - first) / stride, 0, maps.shape[1] - 1))
        below = min(int(at), maps.shape[1] - 2) if maps.shape[1] > 1 else 0
        above = min(below + 1, maps.shape[1] - 1)
        grid = maps[:, below] * (1 - (at - below)) + maps[:, above] * (at - below)
        placed, affine, side = place(grid, stacked.affines[i], stacked.pixels.shape[-1], first, stride)
        names = tuple(getattr(self._model, "encoders", ("A",)))
        return Heat(placed, names, self.classes[index], "gradcam", affine, side, self.config.heat_scale)

    def _prediction(
        self,
        volume: Volume,
        name: str,
        verdicts: Sequence[Gate],
        gate: Gate,
        answer: _Answer | None,
        rule: decision.Rule,
        stacked: Stacked | None,
    ) -> VolumePrediction:
        config = self.config
        probability = None if answer is None else decision.calibrated(answer.logits, config.temperature)
        similar = None if probability is None else decision.reliability(config, probability)
        window = None if stacked is None else stacked.window
        heats = (None,) * len(volume) if answer is None else answer.heats
        digest = volume.sha256 or sha256(volume.array().tobytes()).hexdigest()
        return VolumePrediction(
            task=self.task,
            classes=self.classes,
            label=None if probability is None else rule.label(probability),
            decision="refused" if probability is None else rule.decision(probability),
            probability=probability,
            logit=None if answer is None else decision.log_odds(answer.logits),
            logits=None if answer is None else answer.logits,
            threshold=rule.threshold,
            band=rule.band,
            interval=None if similar is None else (float(similar.interval[0]), float(similar.interval[1])),
            similar=None if similar is None else similar.n,
            gate=gate,
            planes=self._planes.depth,
            slices=tuple(VolumeSlice(g, heat, window) for g, heat in zip(verdicts, heats, strict=True)),
            maps=None if answer is None else answer.maps,
            input=InputFacts(name, digest, volume[0].kind, volume.unit, (len(volume), *volume[0].shape)),
            provenance=provenance(config, self.revision, self.device, self._versions, window, digest),
            volume=volume,
        )


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


def judges_series(model: str | Path, task: str | None = None) -> bool:
    """Whether a bundled name, folder or Hub repository is a volume model. Raises what `strokenext.load` raises."""
    return load_config(resolve(model, task)).planes is not None


def load_volume(
    model: str | Path | None = None,
    revision: str | None = None,
    device: str = "auto",
    progress: Callable[..., None] | None = None,
) -> VolumePredictor:
    """A volume predictor of a bundled model, a folder, or a Hub repository; `model` None takes the bundled one.

    Raises what `strokenext.load` raises, and ModelMismatchError for a model of single slices.
    """
    where = devices.choose(device)
    folder = resolve(DEFAULT if model is None else model, None, revision, progress)
    network, config = load_model(folder, "cpu")
    return VolumePredictor(network, config, where, revision_of(folder))
