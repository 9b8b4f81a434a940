"""Whether a model answers the same after what workstations, slides and cameras do to a picture."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import replace

import numpy as np

from strokenext.slice.prediction import Prediction
from strokenext.slice.predictor import Predictor
from strokenext.types import Slice
from training.gate.check import Rate
from training.gate.variations import VARIATIONS, Variation, unvaried

#: A probability that moves by more than this is told from one that merely wavers.
MOVED = 0.1
#: Pictures of a source that go through every variation.
VARIED = 24


def exported(models: Sequence[Predictor], sources: Mapping[str, Sequence[Slice]], most: int = VARIED) -> Iterator[Rate]:
    """For each model and variation: pictures without HU whose decision is another one afterwards.

    Of the varied pictures that the gate accepts. The codes count those it refuses, answers turned into their opposite
    (the rest passes from or to indeterminate), changes beside which no new caution stands, and probabilities moved.
    """
    images = [image for own in sources.values() for image in own[:: max(1, -(-len(own) // most))] if image.unit != "HU"]
    for model in models:
        before = [model.predict(image, explain=False) for image in images]
        for number, (name, variation) in enumerate(VARIATIONS.items()):
            if number:  # the first one changes nothing
                after = [
                    model.predict(_varied(image, variation, (seed, number)), explain=False)
                    for seed, image in enumerate(images)
                ]
                yield _rate(f"{model.task}, {name}", before, after)


def _varied(image: Slice, variation: Variation, seed: tuple[int, int]) -> Slice:
    return replace(image, pixels=variation(unvaried(image.pixels.copy()), np.random.default_rng(seed)).grey)


def _rate(group: str, before: Sequence[Prediction], after: Sequence[Prediction]) -> Rate:
    pairs = [(b, a) for b, a in zip(before, after, strict=True) if not a.refused and not b.refused]
    changed = [(b, a) for b, a in pairs if b.decision != a.decision]
    codes = {
        "refused": len(before) - len(pairs),
        "turned into the opposite": sum("indeterminate" not in (b.decision, a.decision) for b, a in changed),
        "changed without a new caution": sum(not _codes(a) - _codes(b) for b, a in changed),
        f"moved by over {MOVED}": sum(abs((b.probability or 0) - (a.probability or 0)) > MOVED for b, a in pairs),
    }
    return Rate(group, len(pairs), len(changed), codes)


def _codes(prediction: Prediction) -> set[str]:
    return {caution.code for caution in prediction.cautions}
