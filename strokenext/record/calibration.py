"""From a network's margin to a probability and the interval of that same probability, as validation found them.

`Calibration` holds knots: blocks of validation slices with neighbouring margins, the fraction of positives that a
monotone fit finds in each (centred isotonic regression, Oron and Flournoy 2017), and its 95 % interval over patients.
Between the knots all three are linear; beyond the last one the probability goes on toward the end of its interval and
reaches halfway at most, so that a higher margin never has an equal or lower probability and none leaves its interval.
"""

from __future__ import annotations

import math
from bisect import bisect_left
from dataclasses import dataclass, fields
from itertools import pairwise
from typing import Any, NamedTuple

#: Most of the way from an outer knot's probability to the end of its interval.
REACH = 0.5


class Observed(NamedTuple):
    """A probability, its 95 % interval, and the validation slices of the nearest knot."""

    probability: float
    low: float
    high: float
    similar: int


@dataclass(frozen=True)
class Calibration:
    """One entry per knot: `margins` (positive minus negative logit, before the temperature) in ascending order, the
    `probability` of the positive class, its interval `low` to `high`, and `similar`, the validation slices behind it.

    Raises ValueError unless low <= probability <= high at every knot and none of the three ever falls.
    """

    margins: tuple[float, ...]
    probability: tuple[float, ...]
    low: tuple[float, ...]
    high: tuple[float, ...]
    similar: tuple[int, ...]

    def __post_init__(self) -> None:
        columns = [getattr(self, f.name) for f in fields(self)]
        if not self.margins or len({len(column) for column in columns}) != 1:
            raise ValueError("a calibration needs as many probabilities, intervals and counts as margins")
        if not all(math.isfinite(value) for column in columns for value in column):
            raise ValueError("a calibration holds finite numbers only")
        if any(not 0 <= lo <= p <= hi <= 1 for lo, p, hi in zip(self.low, self.probability, self.high, strict=True)):
            raise ValueError("a calibration's probability lies outside its own interval")
        if any(a >= b for a, b in pairwise(self.margins)) or any(a >= b for a, b in pairwise(self.probability)):
            raise ValueError("a calibration's margins and probabilities must rise from knot to knot")
        if any(a > b for column in (self.low, self.high) for a, b in pairwise(column)):
            raise ValueError("a calibration's interval may not fall where its probability rises")
        if any(not isinstance(n, int) or n < 1 for n in self.similar):
            raise ValueError("a calibration's knots stand for at least one slice each")

    def at(self, margin: float) -> Observed:
        """What validation says of a margin."""
        after = bisect_left(self.margins, margin)
        if after == 0 or after == len(self.margins):
            return self._beyond(min(after, len(self.margins) - 1), margin)
        before = after - 1
        share = (margin - self.margins[before]) / (self.margins[after] - self.margins[before])
        p, low, high = (
            column[before] + share * (column[after] - column[before])
            for column in (self.probability, self.low, self.high)
        )
        return Observed(min(max(p, low), high), low, high, self.similar[before if share < 0.5 else after])

    def _beyond(self, knot: int, margin: float) -> Observed:
        """At and beyond an outer knot."""
        p, low, high = self.probability[knot], self.low[knot], self.high[knot]
        distance = margin - self.margins[knot]
        end = high if distance > 0 else low
        p += REACH * (end - p) * -math.expm1(-abs(distance))
        return Observed(min(max(p, low), high), low, high, self.similar[knot])

    def to_dict(self) -> dict[str, Any]:
        """Plain JSON values."""
        return {f.name: list(getattr(self, f.name)) for f in fields(self)}

    @classmethod
    def from_dict(cls, record: dict[str, Any]) -> Calibration:
        """Inverse of `to_dict`. Raises ValueError or TypeError for anything else."""
        names = [f.name for f in fields(cls)]
        if set(record) != set(names):
            raise ValueError(f"a calibration has exactly the entries {', '.join(names)}")
        return cls(**{name: tuple(record[name]) for name in names})
