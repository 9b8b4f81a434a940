"""The test sets a model card reports, by name: each says who the positives and who the normals are.

Two rows where the choice of normals matters: against patients without any lesion, and against every held-back slice
without one. The wider choice is the harder test; both stand in the card, so that none is chosen silently.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from training.measure import calibration, metrics
from training.measure.bootstrap import bootstrap

Bools = NDArray[np.bool_]

#: Unlabelled slices this far from every annotated one stand for slices without blood where a source labels none.
AWAY = 3
#: Positives by the kinds of stroke among them.
_WHAT = {(0,): "ischemic", (1,): "hemorrhage"}


@dataclass(frozen=True, eq=False)
class Scored:
    """Margins (N,) of logits, positive minus negative, with each slice's label and patient."""

    margins: NDArray[np.float64]
    labels: NDArray[np.int64]
    groups: NDArray[np.str_]

    def __add__(self, other: Scored) -> Scored:
        return Scored(*(np.concatenate([getattr(self, k), getattr(other, k)]) for k in ("margins", "labels", "groups")))

    def where(self, keep: Bools) -> Scored:
        """The slices for which `keep` (N,) is true."""
        return Scored(self.margins[keep], self.labels[keep], self.groups[keep])

    @property
    def ranked(self) -> bool:
        """Whether both classes are there."""
        return len(np.unique(self.labels)) == 2


@dataclass(frozen=True, eq=False)
class Held:
    """Every slice that training never saw, columns (N,): `external` for evaluation only, `away` unlabelled and taken
    as free of a lesion, `low` with too little brain for the narrower rows, `affected` of a patient with a lesion on
    any slice of the manifest, `subtype` 0, 1 or -1."""

    scored: Scored
    sources: NDArray[np.str_]
    subtype: NDArray[np.int64]
    external: Bools
    away: Bools
    low: Bools
    affected: Bools

    @property
    def positive(self) -> Bools:
        return np.asarray(self.scored.labels == 1)

    @property
    def free(self) -> Bools:
        """Labelled free of a lesion."""
        return ~self.positive & ~self.away


def presence_rows(held: Held, who: str) -> Iterator[tuple[str, Scored]]:
    """Each source of the test part alone, then each unseen source against held-back normals, narrow and wide.

    `who` was held back: "patients" or "images".
    """
    inside = ~held.external
    for source in np.unique(held.sources[inside]):
        here = inside & (held.sources == source)
        normal, words = here & held.free, "the other slices"
        if not normal.any():
            normal, words = here & held.away, "slices away from it"
        positive = here & held.positive
        name = f"held-back {who}, {source}: {_what(held, positive)} against "
        yield name + words, held.scored.where(positive | (normal & ~held.low))
        if (normal & held.low).any():
            yield f"{name}{words}, those with little brain too", held.scored.where(positive | normal)
    normal = inside & held.free
    origin = " and ".join(np.unique(held.sources[normal]))
    for source in np.unique(held.sources[held.external]):
        there = held.external & (held.sources == source)
        positive = there & held.positive
        name, what = f"unseen source {_title(source)}:", _what(held, positive)
        if (there & held.free).any():
            yield f"{name} {what} against its own other slices", held.scored.where(positive | (there & held.free))
        else:
            narrow = normal & ~held.affected & ~held.low
            yield f"{name} {what} against held-back {origin} patients without any", held.scored.where(positive | narrow)
            yield (
                f"{name} {what} against all held-back {origin} slices without it",
                held.scored.where(positive | normal),
            )


def subtype_rows(held: Held, who: str) -> Iterator[tuple[str, Scored]]:
    """The test part and its sources with both kinds, then unseen ischemic against unseen and held-back blood."""
    inside = ~held.external
    yield f"held-back {who}: ischemic against hemorrhagic", held.scored.where(inside)
    for source in np.unique(held.sources[inside]):
        name = f"held-back {who}, {source}: ischemic against hemorrhagic"
        yield name, held.scored.where(inside & (held.sources == source))
    ischemic, blood = (held.external & (held.subtype == kind) for kind in (0, 1))
    names = [" and ".join(map(_title, np.unique(held.sources[side]))) for side in (ischemic, blood)]
    yield (f"unseen sources: {names[0]} ischemic against {names[1]} hemorrhagic",
           held.scored.where(ischemic | blood))  # fmt: skip
    if ischemic.any():
        yield (f"{names[0]} ischemic against held-back hemorrhagic {who}",
               held.scored.where(ischemic | (inside & (held.subtype == 1))))  # fmt: skip


def rows(held: Held, task: str, who: str) -> dict[str, Scored]:
    """The named test sets of a task that hold both classes; of two with the same slices the first."""
    found: dict[str, Scored] = {}
    for name, scored in (presence_rows if task == "presence" else subtype_rows)(held, who):
        if scored.ranked and not any(len(s.labels) == len(scored.labels) and np.array_equal(s.margins, scored.margins)
                                     for s in found.values()):  # fmt: skip
            found[name] = scored
    return found


def _what(held: Held, positive: Bools) -> str:
    return _WHAT.get(tuple(np.unique(held.subtype[positive]).tolist()), "stroke")


def _title(source: str) -> str:
    """Short names are abbreviations."""
    return source.upper() if len(source) <= 4 else str(source)


def measure(scored: Scored, temperature: float, threshold: float) -> dict[str, Any]:
    """AUROC with its interval over patients, and what the stored threshold does."""
    p = calibration.apply_temperature(scored.margins, temperature)
    estimate = bootstrap(metrics.auroc, scored.labels, p, scored.groups)
    positive = scored.labels == 1
    return {
        "slices": len(p), "positives": int(positive.sum()), "groups": len(np.unique(scored.groups)),
        "auroc": estimate.to_dict(),
        "sensitivity": float((p[positive] >= threshold).mean()),
        "specificity": float((p[~positive] < threshold).mean()),
        "sensitivity_at_specificity_0.85": metrics.sensitivity_at_specificity(scored.labels, p, 0.85),
        "balanced_accuracy": metrics.balanced_accuracy(scored.labels, p, threshold),
        "brier": calibration.brier(scored.labels, p), "ece": calibration.ece(scored.labels, p),
    }  # fmt: skip


def narrow_rows(names: Sequence[str] | Mapping[str, Any]) -> list[str]:
    """Names of rows whose normals are the narrower choice, with a wider row beside them."""
    return [n for n in names if n.endswith("patients without any")]
