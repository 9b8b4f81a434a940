"""A statistic with its 95 % interval, and the text a reader sees of it."""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

#: Stands for what is undefined or was not measured.
DASH = "–"
#: With fewer patients an interval says more than they can tell.
LEAST_PATIENTS = 5


@dataclass(frozen=True)
class Estimate:
    """A statistic with its 95 % interval, of `n` rows; `units` is how many groups of them were drawn from."""

    value: float
    low: float
    high: float
    n: int
    units: int

    def to_dict(self) -> dict[str, float | int | None]:
        """JSON-able; an undefined number is None."""
        return {k: (None if isinstance(v, float) and not math.isfinite(v) else v) for k, v in vars(self).items()}


def text(row: Mapping[str, Any] | float | None, digits: int = 3, signed: bool = False, *, percent: bool = False) -> str:
    """A number, or {"value", "low", "high"} as "value (low to high)", the value alone where no interval could be drawn.

    What is undefined (None, nan) is a dash. With `percent` shares are written as percentages.
    """
    values = [row.get(k) for k in ("value", "low", "high")] if isinstance(row, Mapping) else [row, None, None]
    sign, scale, unit = "+" if signed else "", 100 if percent else 1, " %" if percent else ""
    value, low, high = (DASH if v is None or v != v else f"{scale * v:{sign}.{digits}f}" for v in values)
    if value == DASH:
        return DASH
    return value + unit + ("" if DASH in (low, high) else f" ({low} to {high})")


def card_text(row: Mapping[str, Any], patients: int) -> str:
    """As `text`, for a model card: says so where there are too few patients for an interval."""
    if row["low"] is None or patients < LEAST_PATIENTS:
        return f"{text(row['value'])} (too few patients for an interval)"
    return text(row)
