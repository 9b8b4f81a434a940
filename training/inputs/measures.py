"""The rates of `python -m training inputs`: known pictures, decisions that a window changes, heads found turned."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import ClassVar

import numpy as np

from strokenext.preprocess import orientation
from strokenext.preprocess.appearance import appearance
from strokenext.record.experience import Experience
from strokenext.slice.prediction import Prediction
from strokenext.slice.predictor import Predictor
from strokenext.types import Slice, Window
from training.data.manifest import Record
from training.gate.check import Rate
from training.measure.metrics import auroc

from .familiar import SEED, restyled, rewindowed
from .windows import through

#: Windows that pictures without HU are saved in.
WINDOWS = ((80, 40), (100, 40), (120, 40), (200, 40), (400, 40), (40, 40), (2000, 300))
#: Quarter turns of numpy (anticlockwise) and mirror, by the angle at which the head then lies.
TURNED = {"upright": (0, False), "90 degrees": (3, False), "upside down": (2, False), "270 degrees": (1, False)}
MIRRORED = {"mirrored left to right": (0, True), "mirrored top to bottom": (2, True)}


@dataclass(frozen=True)
class Area:
    """An AUROC over `n` pictures."""

    group: str
    n: int
    value: float

    codes: ClassVar[dict[str, int]] = {}

    def row(self) -> str:
        return f"| {self.group} | {self.n} | | {self.value:.3f} |"

    def record(self) -> dict[str, object]:
        return {"group": self.group, "n": self.n, "auroc": round(self.value, 4)}


def likeness(
    known: Experience, sources: Mapping[str, Sequence[Slice]], others: Mapping[str, Sequence[Slice]], title: str = ""
) -> Iterator[Rate | Area]:
    """Of which pictures validation says nothing, by source; those with HU as they are and as brain-window pictures."""
    rng = np.random.default_rng(SEED + 1)
    groups = dict(sources)
    if not title:
        own = [image for images in sources.values() for image in images]
        groups |= {"all, in another window": [rewindowed(image, rng) for image in own]}
        groups |= {"all, in another style": [restyled(image, rng) for image in own]}
    for name, images in others.items():
        groups |= {f"{name}, with HU": images}
        groups |= {f"{name}, as pictures in the window 80/40": [through(i, Window(80, 40)) for i in images]}
    scores: dict[str, list[float]] = {}
    for name, images in groups.items():
        seen = [(appearance(image), image.unit) for image in images]
        reasons: Counter[str] = Counter(known.unknown(a, unit) or "known" for a, unit in seen)
        scores[name] = [known.likeness(a).strange for a, _ in seen if a is not None]
        yield Rate(f"{title}{name}", len(images), len(images) - reasons["known"], dict(reasons))
    if title:
        left = title.removesuffix(" left out: ")
        kept = [s for name, values in scores.items() if name != left for s in values]
        labels, both = np.repeat([0, 1], [len(kept), len(scores[left])]), np.array([*kept, *scores[left]])
        yield Area(f"{title}AUROC of {left} against the others", len(both), auroc(labels, both))


def warned(models: Sequence[Predictor], sources: Mapping[str, Sequence[Slice]]) -> Iterator[Rate]:
    """The pictures of a source, every second one, beside which a caution about their window stands."""
    for name, images in sources.items():
        answers = [[model.predict(image, explain=False) for model in models] for image in images[::2]]
        said = [{a.task for a in pair if "unusual-window" in {c.code for c in a.cautions}} for pair in answers]
        codes = {model.task: sum(model.task in tasks for tasks in said) for model in models}
        yield Rate(f"{name}, said unusual-window of its own pictures", len(answers), sum(map(bool, said)), codes)


def changed(models: Sequence[Predictor], others: Mapping[str, Sequence[Slice]]) -> Iterator[Rate]:
    """For each window: the slices whose decision differs from that on their HU, and those of them without a caution."""
    for name, images in others.items():
        wanted = [[model.predict(image, explain=False) for model in models] for image in images]
        for width, level in WINDOWS:
            flips = silent = refused = warned = 0
            for image, before in zip(images, wanted, strict=True):
                picture = through(image, Window(width, level))
                after = [model.predict(picture, explain=False) for model in models]
                if after[0].refused:
                    refused += 1
                    continue
                codes = {c.code for answer in after for c in answer.cautions}
                warned += "unusual-window" in codes
                flip = any(_differ(a, b) for a, b in zip(before, after, strict=True))
                flips += flip
                silent += flip and not codes & {"unusual-window", "unlike-training"}
            counts = {"refused": refused, "said unusual-window": warned, "changed without a caution": silent}
            yield Rate(f"{name}, window {width}/{level}, decision changed", len(images) - refused, flips, counts)


def _differ(before: Prediction, after: Prediction) -> bool:
    return before.label != after.label


def turns(images: Sequence[tuple[Record, Slice]]) -> Iterator[Rate]:
    """Heads turned to where they do not belong; the codes count what was found, not told, and wrong."""
    for name, (quarters, mirror) in (TURNED | MIRRORED).items():
        for source in sorted({record.source for record, _ in images}):
            found: Counter[str] = Counter()
            stacks: dict[str, list[Slice]] = {}
            for record, image in images:
                if record.source == source:
                    lying = _lying(image, quarters, mirror)
                    found[_verdict(orientation.angle_of([lying]), quarters)] += 1
                    stacks.setdefault(record.unit, []).append(lying)
            n = sum(found.values())
            yield Rate(f"{name}, {source}, slice by slice: wrong", n, found["wrong"], dict(found))
            wholes = [stack for stack in stacks.values() if len({i.shape for i in stack}) == 1 and len(stack) > 3]
            together = Counter(_verdict(orientation.angle_of(stack), quarters) for stack in wholes)
            if wholes:
                n, wrong = sum(together.values()), together["wrong"]
                yield Rate(f"{name}, {source}, patient by patient: wrong", n, wrong, dict(together))


def _lying(image: Slice, quarters: int, mirror: bool) -> Slice:
    pixels = image.pixels[:, ::-1] if mirror else image.pixels
    return replace(image, pixels=np.ascontiguousarray(np.rot90(pixels, quarters)))


def _verdict(angle: float | None, quarters: int) -> str:
    if angle is None:
        return "not told"
    apart = (angle + 90 * quarters) % 360
    return "found" if min(apart, 360 - apart) <= orientation.STEP else "wrong"
