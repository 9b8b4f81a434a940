"""A loaded model that judges slices and series.

`load` once and keep the predictor: the library holds no model of its own. A predictor only reads its
network, so any number of threads may use it; on a GPU they take turns.
"""

from __future__ import annotations

import os
import threading
from collections.abc import Callable, Mapping, Sequence
from contextlib import AbstractContextManager, nullcontext
from dataclasses import dataclass
from datetime import UTC, datetime
from hashlib import sha256
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn

from strokenext.answer import decision
from strokenext.answer import device as devices
from strokenext.answer.decision import Rule
from strokenext.errors import InputError, ModelError, ModelMismatchError, OptionError
from strokenext.explain import gradcam as evidence
from strokenext.gate import check_scope
from strokenext.io.read import read_any
from strokenext.preprocess.contract import Prepared
from strokenext.record.config import ModelConfig
from strokenext.record.weights import load_model, resolve, revision_of
from strokenext.types import Gate, Heat, Slice, Volume, Window
from strokenext.version import versions

from .prediction import InputFacts, Prediction, Provenance, SeriesPrediction

Progress = Callable[[int, int], None]
#: Slices of a series that go through the network at once.
BATCH = 8


@dataclass(frozen=True)
class _Ask:
    """How to judge; everything checked."""

    rule: Rule
    explain: bool
    method: evidence.Method
    target: int | None
    force: bool


class Predictor:
    """One model on one device. `config` is the model's record, `revision` its commit on the Hub, if any."""

    def __init__(
        self, model: nn.Module, config: ModelConfig, on: str | torch.device = "auto", revision: str | None = None
    ) -> None:
        """Takes the network over: it is moved to the device, put in evaluation mode and frozen."""
        if config.masks is not None:
            raise ModelMismatchError(
                f"The model '{config.name}' marks lesions and answers no question. Load it with "
                "strokenext.load_segmenter."
            )
        if len(config.classes) != 2:
            raise ModelMismatchError(f"The model '{config.name}' is no classifier of two classes.")
        if config.planes is not None:
            raise ModelMismatchError(
                f"The model '{config.name}' judges whole series, not slices. Load it with strokenext.load_volume."
            )
        self.device = devices.choose(str(on))
        self.config = config
        self.revision = revision
        self.lock = threading.Lock()
        self._model = devices.place(model.eval().requires_grad_(False), self.device)
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
        image: Any,
        *,
        explain: bool = True,
        method: str = "gradcam",
        threshold: float | None = None,
        force: bool = False,
        target: str | None = None,
        name: str | None = None,
    ) -> Prediction:
        """Judge one slice: a Slice, or anything `read_any` takes (path, bytes, PIL image, array).

        `threshold` replaces the model's own and moves the band with it; `force` judges an image that the
        gate refuses; `target` is the class whose evidence is mapped (by default "stroke" for presence and
        the label for subtype); `name` is recorded in place of the file's own. Raises InputError for a
        series, OptionError for options out of range.
        """
        ask = self._ask(explain, method, threshold, force, target)
        given, own = as_image(image)
        if isinstance(given, Volume):
            raise InputError(
                f"This is a series of {len(given)} slices. Use predict_volume for the whole of it, or give one slice."
            )
        return self._judge([given], [own if name is None else name], ask)[0]

    def predict_volume(
        self,
        volume: Any,
        *,
        explain: bool = False,
        method: str = "gradcam",
        threshold: float | None = None,
        force: bool = False,
        progress: Progress | None = None,
    ) -> SeriesPrediction:
        """Judge every slice of a Volume (or of anything `read_any` takes that is a series) and pool them.

        `progress` receives (slices done, slices in all). Slices that the gate refuses keep their reason and
        have no probability; the rest give the series' own, see `decision.pooled`.
        """
        ask = self._ask(explain, method, threshold, force, None)
        given, _ = as_image(volume)
        slices = given.slices if isinstance(given, Volume) else (given,)
        found: list[Prediction] = []
        for start in range(0, len(slices), BATCH):
            batch = slices[start : start + BATCH]
            found += self._judge(batch, [""] * len(batch), ask)
            if progress is not None:
                progress(len(found), len(slices))
        return self._series(tuple(found), ask.rule, given.sha256)

    # -- inside ------------------------------------------------------------------------------------

    def _ask(self, wanted: bool, method: str, threshold: float | None, force: bool, target: str | None) -> _Ask:
        if target is not None and target not in self.classes:
            raise OptionError(f"There is no class '{target}'. Choose one of: {', '.join(self.classes)}.")
        index = None if target is None else self.classes.index(target)
        return _Ask(decision.rule(self.config, threshold), wanted, evidence.method_named(method), index, force)

    def _judge(self, images: Sequence[Slice], names: Sequence[str], ask: _Ask) -> list[Prediction]:
        """A few slices at once: gate, pixels, one pass of the network, then each its numbers and evidence."""
        gates = [check_scope(image) for image in images]
        used = [i for i, gate in enumerate(gates) if gate.accepted or ask.force]
        prepared = {i: self.config.preprocess.apply(images[i]) for i in used}
        answers = self._run(prepared, ask)
        return [
            self._prediction(image, name, gate, prepared.get(i), answers.get(i), ask)
            for i, (image, name, gate) in enumerate(zip(images, names, gates, strict=True))
        ]

    def _run(self, prepared: dict[int, Prepared], ask: _Ask) -> dict[int, tuple[tuple[float, ...], Heat | None]]:
        """Raw logits and evidence by index."""
        if not prepared:
            return {}
        with self._turn():
            x = devices.send(torch.from_numpy(np.stack([p.pixels for p in prepared.values()])), self.device)
            encoded = self._encode(x)
            answers = {}
            for row, (i, pixels) in enumerate(prepared.items()):
                logits = tuple(float(v) for v in encoded.logits[row].tolist())
                heat = self._heat(x[row : row + 1], encoded.one(row), logits, pixels, ask) if ask.explain else None
                answers[i] = (logits, heat)
        return answers

    def _turn(self) -> AbstractContextManager[object]:
        """Threads share the CPU freely, since the network is only read; on a GPU one batch at a time holds memory."""
        return nullcontext() if self.device.type == "cpu" else self.lock

    def _encode(self, x: Tensor) -> evidence.Encoded:
        """One pass; where half precision overflows, once more in float32."""
        try:
            with devices.mixed(self.device):
                return evidence.encode(self._model, x)
        except ModelError:
            if self.device.type != "cuda":
                raise
        return evidence.encode(self._model, x)

    def _heat(
        self, x: Tensor, encoded: evidence.Encoded, logits: tuple[float, ...], prepared: Prepared, ask: _Ask
    ) -> Heat:
        index = ask.target
        if index is None:
            label = ask.rule.label(decision.calibrated(logits, self.config.temperature))
            index = 1 if self.task == "presence" else self.classes.index(label)
        maps = evidence.maps(self._model, x, encoded, index, ask.method.name)
        maps.flags.writeable = False
        return Heat(
            maps=maps,
            encoders=tuple(getattr(self._model, "encoders", ("A",))),
            class_name=self.classes[index],
            method=ask.method.name,
            affine=prepared.affine,
            input_size=x.shape[-1],
            full_scale=self.config.heat_scale if ask.method.absolute else float(maps.sum(axis=0).max()) or 1.0,
            absolute=ask.method.absolute,
        )

    def _prediction(
        self,
        image: Slice,
        name: str,
        gate: Gate,
        prepared: Prepared | None,
        answer: tuple[tuple[float, ...], Heat | None] | None,
        ask: _Ask,
    ) -> Prediction:
        logits, heat = answer if answer is not None else (None, None)
        probability = None if logits is None else decision.calibrated(logits, self.config.temperature)
        similar = None if probability is None else decision.reliability(self.config, probability)
        window = None if prepared is None else prepared.window
        digest = image.sha256 or sha256(image.pixels.tobytes()).hexdigest()
        return Prediction(
            task=self.task,
            classes=self.classes,
            label=None if probability is None else ask.rule.label(probability),
            decision="refused" if probability is None else ask.rule.decision(probability),
            probability=probability,
            logit=None if logits is None else decision.log_odds(logits),
            logits=logits,
            threshold=ask.rule.threshold,
            band=ask.rule.band,
            interval=None if similar is None else (float(similar.interval[0]), float(similar.interval[1])),
            similar=None if similar is None else similar.n,
            gate=gate,
            heat=heat,
            window=window,
            input=InputFacts(name, digest, image.kind, image.unit, image.shape),
            provenance=provenance(self.config, self.revision, self.device, self._versions, window, digest),
            image=image,
        )

    def _series(self, slices: tuple[Prediction, ...], rule: Rule, digest: str) -> SeriesPrediction:
        judged = {i: p.probability for i, p in enumerate(slices) if p.probability is not None}
        probability = decision.pooled(list(judged.values())) if judged else None
        count = min(decision.TOP, len(judged))
        return SeriesPrediction(
            task=self.task,
            classes=self.classes,
            slices=slices,
            label=None if probability is None else rule.label(probability),
            decision="refused" if probability is None else rule.decision(probability),
            probability=probability,
            pooled=count,
            aggregation=f"mean of the {count} highest accepted slices" if judged else "no slice was accepted",
            peak=max(judged, key=lambda i: judged[i]) if judged else None,
            threshold=rule.threshold,
            band=rule.band,
            sha256=digest,
        )


def load(
    model: str | Path | None = None,
    task: str | None = None,
    revision: str | None = None,
    device: str = "auto",
    progress: Callable[..., None] | None = None,
) -> Predictor:
    """A predictor of a bundled model, a folder, or a Hub repository "owner/repo" at a pinned `revision`.

    `model` None takes the bundled default of the task, `task` None what the model answers (presence where
    it could be either). Raises ModelNotFoundError, ModelMismatchError, ModelError, HubUnavailableError,
    DeviceError.
    """
    where = devices.choose(device)  # before a download, not after it
    try:
        folder = resolve(model, task or "presence", revision, progress)
    except ModelMismatchError:
        if task is not None or model is None:
            raise
        folder = resolve(model, None, revision, progress)
    network, config = load_model(folder, "cpu")
    return Predictor(network, config, where, revision_of(folder))


def provenance(
    config: ModelConfig,
    revision: str | None,
    device: torch.device,
    software: Mapping[str, str],
    window: Window | None,
    input_sha256: str,
) -> Provenance:
    """Where an answer of this model at this moment comes from."""
    planes = {} if config.planes is None else {"planes": config.planes.to_dict()}
    return Provenance(
        model=config.name,
        architecture=config.architecture,
        revision=revision,
        weights_sha256=config.weights_sha256,
        preprocess=config.preprocess.to_dict() | planes,
        window=window,
        versions=dict(software),
        device=str(device),
        precision=devices.precision(device) if config.planes is None else "float32",
        time=datetime.now(UTC).isoformat(timespec="seconds"),
        input_sha256=input_sha256,
        experimental=config.experimental,
        trained_on=config.trained_on,
    )


def as_image(source: Any) -> tuple[Slice | Volume, str]:
    """The decoded image and the name of its file, "" when it has none."""
    if isinstance(source, Slice | Volume):
        return source, ""
    return read_any(source), Path(source).name if isinstance(source, str | os.PathLike) else ""
