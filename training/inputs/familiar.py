"""What tells a model's own pictures from others: a small classifier of appearance, and the limits validation sets.

The known pictures are those that the gate accepts of the training part, as they are and in windows hardly different;
the others are the same pictures in another window, or with another grain, sharpness or gamma. No other source is used,
so that every other source remains a test.
"""

from __future__ import annotations

import warnings
from collections.abc import Iterator, Sequence
from dataclasses import dataclass

import cv2
import numpy as np
from numpy.typing import NDArray
from sklearn.exceptions import ConvergenceWarning
from sklearn.neural_network import MLPClassifier

from strokenext.gate import check_scope
from strokenext.preprocess.appearance import NAMES, appearance
from strokenext.record.experience import LOOKS, Experience
from strokenext.types import FloatArray, Slice, Unit, Window
from strokenext.windows import BRAIN, grey01
from training.data.images import open_image
from training.data.manifest import Manifest, Record

from .windows import through

#: Slices of the training part and of validation, evenly spaced over their records.
TRAINED, VALIDATED = 600, 300
#: Units of the hidden layer, their weight decay, and the seed of alterations and training.
HIDDEN, DECAY, SEED = 16, 0.05, 3
#: Shares of the validation pictures that stay within the limits.
KNOWN_KEPT, WINDOW_KEPT = 0.95, 0.98
#: Digits kept of a number in the record.
DIGITS = 5


@dataclass(frozen=True, eq=False)
class Looks:
    """Appearances (N, len(NAMES)) and what each is: 0 known, 1 another window, 2 another style; units of the slices."""

    values: NDArray[np.float64]
    look: NDArray[np.int64]
    units: frozenset[str]


def experience(
    manifest: Manifest, trained: Sequence[Record], validated: Sequence[Record], seed: int = SEED
) -> Experience | None:
    """The classifier of a model's training records with the limits of its validation records.

    None where either has too few pictures that the gate accepts: then nothing says what they look like.
    """
    rng = np.random.default_rng(seed)
    train = looks(accepted(manifest, trained, TRAINED), rng)
    own = list(accepted(manifest, validated, VALIDATED))
    known = [a for image in own if (a := appearance(image)) is not None]
    if set(train.look.tolist()) != set(range(len(LOOKS))) or not known:
        return None
    units = tuple(sorted({image.unit for image in own}))
    found = _classifier(train, units, seed)
    likeness = [found.likeness(a) for a in known]
    strange = float(np.quantile([one.strange for one in likeness], KNOWN_KEPT))
    window = float(np.quantile([one.window for one in likeness], WINDOW_KEPT))
    return Experience(**{**vars(found), "strange_from": round(strange, 4), "window_from": round(window, 4)})


def accepted(manifest: Manifest, records: Sequence[Record], most: int) -> Iterator[Slice]:
    """At most `most` slices that the gate accepts, evenly spaced over the records."""
    for record in records[:: max(1, -(-len(records) // most))]:
        image = open_image(manifest.file(record))
        if check_scope(image).accepted:
            yield image


def looks(images: Iterator[Slice], rng: np.random.Generator) -> Looks:
    """Each picture twice as known, in another window and in another style."""
    values, look, units = [], [], set()
    for image in images:
        units.add(image.unit)
        pictures = (image, slightly(image, rng), rewindowed(image, rng), restyled(image, rng))
        for kind, picture in zip((0, 0, 1, 2), pictures, strict=True):
            measured = appearance(picture)
            if measured is not None:
                values.append(measured)
                look.append(kind)
    return Looks(np.asarray(values, np.float64), np.asarray(look, np.int64), frozenset(units))


def slightly(image: Slice, rng: np.random.Generator) -> Slice:
    """In a window hardly different from the brain window."""
    return through(image, Window(rng.uniform(70, 92), rng.uniform(37, 43)))


def rewindowed(image: Slice, rng: np.random.Generator) -> Slice:
    """In a wide window, three times of four, or in a narrow one."""
    if rng.random() < 0.25:
        return through(image, Window(rng.uniform(25, 55), rng.uniform(30, 50)))
    width = float(np.exp(rng.uniform(np.log(130), np.log(2500))))
    return through(image, Window(width, rng.uniform(20, 60) if width < 600 else rng.uniform(0, 400)))


def restyled(image: Slice, rng: np.random.Generator) -> Slice:
    """Blurred, noisy, sharpened, or through a gamma."""
    grey = grey01(image, BRAIN)
    way = int(rng.integers(4))
    if way == 0:
        grey = _blurred(grey, rng.uniform(0.8, 2.2) * max(grey.shape) / 512)
    elif way == 1:
        noise = rng.standard_normal(grey.shape).astype(np.float32)
        correlated = _blurred(noise, rng.uniform(0.4, 1.2))
        noise = correlated / correlated.std() if rng.random() < 0.7 else noise
        grey = grey + noise * np.float32(rng.uniform(0.025, 0.12)) * (grey > 0.012)
    elif way == 2:
        grey = grey + np.float32(rng.uniform(0.7, 2)) * (grey - _blurred(grey, rng.uniform(0.7, 2)))
    else:
        grey = grey ** np.float32(rng.uniform(0.45, 0.75) if rng.random() < 0.5 else rng.uniform(1.4, 2.2))
    return Slice(np.rint(np.clip(grey, 0, 1) * 255).astype(np.float32), "grey", kind="png")


def _blurred(grey: FloatArray, sigma: float) -> FloatArray:
    return np.asarray(cv2.GaussianBlur(grey, (0, 0), sigma), dtype=np.float32)


def _classifier(train: Looks, units: tuple[Unit, ...], seed: int) -> Experience:
    """The two layers, with limits that nothing reaches."""
    mean, spread = train.values.mean(0), train.values.std(0) + 1e-6
    net = MLPClassifier((HIDDEN,), alpha=DECAY, max_iter=600, random_state=seed)
    with warnings.catch_warnings():  # it need not settle: the limits come from validation
        warnings.simplefilter("ignore", ConvergenceWarning)
        net.fit((train.values - mean) / spread, train.look)
    layers = [np.vstack([w, b]).T for w, b in zip(net.coefs_, net.intercepts_, strict=True)]
    hidden, output = (tuple(tuple(round(float(v), DIGITS) for v in row) for row in layer) for layer in layers)
    center, width = (tuple(round(float(v), DIGITS + 1) for v in column) for column in (mean, spread))
    return Experience(units, NAMES, center, width, hidden, output, 1e9, 1e9)
