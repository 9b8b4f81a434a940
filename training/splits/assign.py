"""Whole groups and whole patients to the parts of a split."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable, Mapping, Sequence

import numpy as np

from training.data.manifest import Record

#: Shares of the parts, in this order: the paper's, and those the bundled models were trained with.
FRACTIONS = {"train": 0.8, "validation": 0.1, "test": 0.1}
PATIENT_FRACTIONS = {"train": 0.70, "validation": 0.12, "test": 0.18}
#: The seed that the bundled models' patients were assigned by.
PATIENT_SEED = 2026
Fractions = Mapping[str, float]


def assign_groups(records: Sequence[Record], task: str, fractions: Fractions, seed: int) -> dict[str, list[str]]:
    """Whole groups to parts: largest group first, each to the part that it brings nearest to its share of every
    (source, label) stratum. Greedy balancing keeps rare classes in every part where groups allow."""
    groups: dict[str, list[Record]] = defaultdict(list)
    for r in records:
        groups[r.group].append(r)
    strata = sorted({(r.source, r.label(task)) for r in records})
    column = {s: i for i, s in enumerate(strata)}
    sizes = {
        g: np.bincount([column[r.source, r.label(task)] for r in rows], minlength=len(strata))
        for g, rows in groups.items()
    }
    total = np.maximum(sum(sizes.values()), 1)
    order = sorted(groups)
    np.random.default_rng(seed).shuffle(order)
    order.sort(key=lambda g: -float((sizes[g] / total).sum()))
    names, share = list(fractions), np.array(list(fractions.values()))[:, None]
    filled = np.zeros((len(names), len(strata)))
    parts: dict[str, list[str]] = {n: [] for n in names}
    for g in order:
        want = share - filled / total  # what each part still lacks of each stratum, as a share of the stratum
        gain = ((sizes[g] / total) * want / share).sum(axis=1)
        best = int(np.argmax(gain))
        filled[best] += sizes[g]
        parts[names[best]] += [r.path for r in groups[g]]
    return parts


def assign_patients(
    units: Iterable[str], seed: int = PATIENT_SEED, fractions: Fractions = PATIENT_FRACTIONS
) -> dict[str, str]:
    """Unit to part, drawn once by a seeded permutation of the sorted units."""
    drawn = np.random.default_rng(seed).permutation(sorted(set(units)))
    edges = np.rint(np.cumsum(list(fractions.values()))[:-1] * len(drawn)).astype(int)
    return {str(unit): part for part, mine in zip(fractions, np.split(drawn, edges), strict=True) for unit in mine}
