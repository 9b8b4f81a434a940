"""The test sets a model card reports, by name: each says who the positives and who the normals are.

Two rows where the choice of normals matters: against patients without any lesion, and against every held-out slice
without one. The wider choice is the harder test; both stand in the card, so that none is chosen silently.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Literal

import numpy as np
from numpy.typing import NDArray

from training.measure.scored import Scored

Bools = NDArray[np.bool_]
#: Who the negatives are: labelled so, the narrower choice of those, or unlabelled slices far from a lesion.
Normals = Literal["labelled", "narrow", "unlabelled"]

#: Unlabelled slices this far from every annotated one stand for slices without blood where a source labels none.
AWAY = 3
#: Positives by the kinds of stroke among them.
_POSITIVES = {(0,): "ischemic", (1,): "hemorrhage"}


@dataclass(frozen=True, eq=False)
class NamedSet:
    """A named set of a card; `unseen_ischemic` says that its infarcts come from a source never trained on."""

    name: str
    scored: Scored
    normals: Normals = "labelled"
    unseen_ischemic: bool = False


@dataclass(frozen=True, eq=False)
class HeldOutScores:
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

    def of(self, source: str) -> Bools:
        """The slices of a source."""
        return np.asarray(self.sources == source)


def named_sets(slices: HeldOutScores, task: str, who: str) -> list[NamedSet]:
    """The named test sets of a task that hold both classes; of two with the same slices the first.

    `who` was held out: "patients" or "images".
    """
    kept: list[NamedSet] = []
    for candidate in (_presence_sets if task == "presence" else _subtype_sets)(slices, who):
        margins = candidate.scored.margins
        if candidate.scored.ranked and not any(np.array_equal(s.scored.margins, margins) for s in kept):
            kept.append(candidate)
    return kept


def _presence_sets(slices: HeldOutScores, who: str) -> Iterator[NamedSet]:
    """Each source of the test part alone, then each unseen source against held-out normals, narrow and wide."""
    inside, where = ~slices.external, slices.scored.where
    for source in np.unique(slices.sources[inside]):
        here = inside & slices.of(source)
        positive, normal = here & slices.positive, here & slices.free
        kind: Normals = "labelled" if normal.any() else "unlabelled"
        against = "the other slices" if normal.any() else "slices away from it"
        normal = normal if normal.any() else here & slices.away
        name = f"held-back {who}, {source}: {_positives(slices, positive)} against {against}"
        yield NamedSet(name, where(positive | (normal & ~slices.low)), kind)
        if (normal & slices.low).any():
            yield NamedSet(f"{name}, those with little brain too", where(positive | normal), kind)
    normal = inside & slices.free
    origin = " and ".join(np.unique(slices.sources[normal]))
    for source in np.unique(slices.sources[slices.external]):
        there = slices.external & slices.of(source)
        positive, own = there & slices.positive, there & slices.free
        name = f"unseen source {_title(source)}: {_positives(slices, positive)} against"
        infarcts = bool((slices.subtype[positive] == 0).all())
        if own.any():
            yield NamedSet(f"{name} its own other slices", where(positive | own), unseen_ischemic=infarcts)
            continue
        narrow = normal & ~slices.affected & ~slices.low
        yield NamedSet(f"{name} held-back {origin} patients without any", where(positive | narrow), "narrow", infarcts)
        wide = where(positive | normal)
        yield NamedSet(f"{name} all held-back {origin} slices without it", wide, unseen_ischemic=infarcts)


def _subtype_sets(slices: HeldOutScores, who: str) -> Iterator[NamedSet]:
    """The test part and its sources with both kinds, then unseen ischemic against unseen and held-out blood."""
    inside, where = ~slices.external, slices.scored.where
    yield NamedSet(f"held-back {who}: ischemic against hemorrhagic", where(inside))
    for source in np.unique(slices.sources[inside]):
        name = f"held-back {who}, {source}: ischemic against hemorrhagic"
        yield NamedSet(name, where(inside & slices.of(source)))
    ischemic, blood = (slices.external & (slices.subtype == kind) for kind in (0, 1))
    a, b = (" and ".join(map(_title, np.unique(slices.sources[side]))) for side in (ischemic, blood))
    name = f"unseen sources: {a} ischemic against {b} hemorrhagic"
    yield NamedSet(name, where(ischemic | blood), unseen_ischemic=True)
    if ischemic.any():
        held_out_blood = inside & (slices.subtype == 1)
        name = f"{a} ischemic against held-back hemorrhagic {who}"
        yield NamedSet(name, where(ischemic | held_out_blood), unseen_ischemic=True)


def _positives(slices: HeldOutScores, positive: Bools) -> str:
    return _POSITIVES.get(tuple(np.unique(slices.subtype[positive]).tolist()), "stroke")


def _title(source: str) -> str:
    """Short names are abbreviations."""
    return source.upper() if len(source) <= 4 else str(source)
