"""Each StrokeNeXt beside the models that were tested on the very same slices, and what comparing them says."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from training.measure.compare import compare

from .tree import Entry

#: A StrokeNeXt with each model it was set against and what came out.
Comparison = tuple[Entry, list[tuple[Entry, Mapping[str, Any]]]]


def matched(entries: Sequence[Entry]) -> list[tuple[Entry, list[Entry]]]:
    """Each StrokeNeXt with every other model that was tested on the very same slices under the same protocol.

    Where several StrokeNeXts were, each later one is set against the earlier ones too. Test parts of one class
    are left out: nothing can be ranked there.
    """
    groups: dict[tuple[object, ...], list[Entry]] = {}
    for e in entries:
        p = e.result.predictions
        if len(set(p.labels.tolist())) == 2:
            groups.setdefault((e.task, e.where, tuple(sorted(p.paths))), []).append(e)
    matches = []
    for rows in groups.values():
        ours = [e for e in rows if e.ours]
        for n, e in enumerate(ours):
            others = [*ours[:n], *(x for x in rows if not x.ours)]
            if others:
                matches.append((e, others))
    return matches


def comparisons(entries: Sequence[Entry], *, draws: int = 1000) -> list[Comparison]:
    """What `compare` says of each StrokeNeXt in `matched`; Holm's correction is over the models it is set against."""
    compared = []
    for ours, others in matched(entries):
        rows = compare([ours.result, *(e.result for e in others)], draws=draws)["against"]
        compared.append((ours, list(zip(others, rows, strict=True))))
    return compared
