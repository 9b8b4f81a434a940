"""A loaded model that answers about slices, one by one or over a series."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
import torch
from torch import Tensor

from strokenext.answer import decision
from strokenext.answer import device as devices
from strokenext.answer.checkpoint import Checkpoint
from strokenext.answer.decision import Rule
from strokenext.answer.provenance import InputFacts
from strokenext.errors import InputError, ModelError, OptionError
from strokenext.explain import gradcam as evidence
from strokenext.explain.methods import Method, method_named
from strokenext.gate import check_scope
from strokenext.io.read import read_named
from strokenext.preprocess.contract import Prepared
from strokenext.preprocess.orientation import angle_of
from strokenext.types import Gate, Heat, Progress, Slice, Volume

from .prediction import Prediction, SeriesPrediction
from .ready import Ready, ready
from .windowed import DEPENDS, otherwise

#: Slices of a series that go through the network at once.
BATCH = 8


@dataclass(frozen=True)
class _Options:
    """How to predict; everything checked."""

    rule: Rule
    explain: bool
    method: Method
    target: int | None
    force: bool


@dataclass(frozen=True)
class _Output:
    """What the network gives for one slice, and what it was given; nothing for a refused one."""

    logits: tuple[float, ...] | None = None
    heat: Heat | None = None
    ready: Ready | None = None


class Predictor(Checkpoint):
    """One model of slices on one device."""

    kind = "slice"

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
        """The answer about one slice: a Slice, or anything `read_any` takes (path, bytes, PIL image, array).

        `threshold` replaces the model's own and moves the band with it; `force` answers about an image that the
        gate refuses; `target` is the class whose evidence is mapped (by default "stroke" for presence and
        the label for subtype); `name` is recorded in place of the file's own. Raises InputError for a
        series, OptionError for options out of range.
        """
        options = self._options(explain, method, threshold, force, target)
        given, own = read_named(image)
        if isinstance(given, Volume):
            raise InputError(
                f"This is a series of {len(given)} slices. Use predict_volume for the whole of it, or give one slice."
            )
        angle = angle_of([given])
        found = self._predict([given], [own if name is None else name], options, angle)[0]
        return self._doubted(found, options.rule, angle)

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
        """The answers about every slice of a Volume (or of anything `read_any` takes that is a series), pooled.

        `progress` receives (slices done, slices in all). Slices that the gate refuses keep their reason and
        have no probability; the rest give the series' own, see `decision.pooled`.
        """
        options = self._options(explain, method, threshold, force, None)
        given, _ = read_named(volume)
        slices = given.slices if isinstance(given, Volume) else (given,)
        predictions: list[Prediction] = []
        angle = angle_of(slices)
        for start in range(0, len(slices), BATCH):
            batch = slices[start : start + BATCH]
            predictions += self._predict(batch, [""] * len(batch), options, angle)
            if progress is not None:
                progress(len(predictions), len(slices))
        ranked = sorted((p.probability or 0.0, i) for i, p in enumerate(predictions) if p.probability is not None)
        for _, i in ranked[-decision.TOP :]:  # those that the series' answer rests on
            predictions[i] = self._doubted(predictions[i], options.rule, angle)
        return self._series(tuple(predictions), options.rule, given)

    # -- inside ------------------------------------------------------------------------------------

    def _options(
        self, explain: bool, method: str, threshold: float | None, force: bool, target: str | None
    ) -> _Options:
        if target is not None and target not in self.classes:
            raise OptionError(f"There is no class '{target}'. Choose one of: {', '.join(self.classes)}.")
        index = None if target is None else self.classes.index(target)
        return _Options(decision.rule(self.config, threshold), explain, method_named(method), index, force)

    def _predict(
        self, images: Sequence[Slice], names: Sequence[str], options: _Options, angle: float | None
    ) -> list[Prediction]:
        """A few slices at once: gate, pixels, one pass of the network, then each its numbers and evidence."""
        gates = [check_scope(image) for image in images]
        used = [i for i, gate in enumerate(gates) if gate.accepted or options.force]
        prepared = {i: ready(images[i], self.config, angle, gates[i].accepted) for i in used}
        outputs = self._run(prepared, options)
        return [
            self._prediction(image, name, gate, outputs.get(i, _Output()), options.rule)
            for i, (image, name, gate) in enumerate(zip(images, names, gates, strict=True))
        ]

    def _doubted(self, found: Prediction, rule: Rule, angle: float | None) -> Prediction:
        """The answer, with a caution where another window of a picture without HU would change it."""
        if found.label is None or DEPENDS.code in {c.code for c in found.cautions}:
            return found
        inputs = list(otherwise(found.image, self.config, angle))
        if not inputs:
            return found
        with self.turn():
            logits = self._encode(devices.send(torch.from_numpy(np.stack(inputs)), self.device)).logits
        labels = {rule.label(decision.observed(self.config, row).probability) for row in logits.tolist()}
        return found if labels == {found.label} else replace(found, cautions=(*found.cautions, DEPENDS))

    def _run(self, prepared: dict[int, Ready], options: _Options) -> dict[int, _Output]:
        """Raw logits and evidence by index."""
        if not prepared:
            return {}
        with self.turn():
            x = devices.send(torch.from_numpy(np.stack([r.prepared.pixels for r in prepared.values()])), self.device)
            encoded = self._encode(x)
            outputs = {}
            for row, (i, given) in enumerate(prepared.items()):
                one = encoded.one(row)
                heat = self._heat(x[row : row + 1], one, given.prepared, options) if options.explain else None
                outputs[i] = _Output(tuple(one.logits[0].tolist()), heat, given)
        return outputs

    def _encode(self, x: Tensor) -> evidence.Encoded:
        """One pass; where half precision overflows, once more in float32."""
        try:
            with devices.mixed(self.device):
                return evidence.encode(self._model, x)
        except ModelError:
            if self.device.type != "cuda":
                raise
        return evidence.encode(self._model, x)

    def _heat(self, x: Tensor, encoded: evidence.Encoded, prepared: Prepared, options: _Options) -> Heat:
        index = options.target
        if index is None:
            label = options.rule.label(decision.observed(self.config, encoded.logits[0].tolist()).probability)
            index = 1 if self.task == "presence" else self.classes.index(label)
        method = options.method
        maps = evidence.maps(self._model, x, encoded, index, method.name)
        maps.flags.writeable = False
        return Heat(
            maps=maps,
            encoders=self.encoders,
            class_name=self.classes[index],
            method=method.name,
            affine=prepared.affine,
            input_size=x.shape[-1],
            full_scale=self.config.heat_scale if method.absolute else float(maps.sum(axis=0).max()) or 1.0,
            absolute=method.absolute,
        )

    def _prediction(self, image: Slice, name: str, gate: Gate, output: _Output, rule: Rule) -> Prediction:
        facts, given = InputFacts.of(image, name), output.ready
        window = None if given is None else given.prepared.window
        return Prediction(
            **decision.answered(self.config, rule, output.logits, given is not None and given.known),
            gate=gate,
            heat=output.heat,
            window=window,
            input=facts,
            provenance=self.provenance(window, facts.sha256),
            image=image,
            cautions=tuple(dict.fromkeys((*image.cautions, *(() if given is None else given.cautions)))),
        )

    def _series(self, slices: tuple[Prediction, ...], rule: Rule, given: Slice | Volume) -> SeriesPrediction:
        predicted = {i: p.probability for i, p in enumerate(slices) if p.probability is not None}
        count = min(decision.TOP, len(predicted))
        return SeriesPrediction(
            **decision.decided(self.config, rule, decision.pooled(list(predicted.values())) if predicted else None),
            slices=slices,
            pooled=count,
            aggregation=f"mean of the {count} highest accepted slices" if predicted else "no slice was accepted",
            peak=max(predicted, key=lambda i: predicted[i]) if predicted else None,
            sha256=given.sha256,
            cautions=tuple(dict.fromkeys((*given.cautions, *(c for p in slices for c in p.cautions)))),
            positions=given.positions if isinstance(given, Volume) else None,
            left_out=given.left_out if isinstance(given, Volume) else (),
            case=given.label,
        )
