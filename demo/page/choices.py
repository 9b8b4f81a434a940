"""The list of what an upload holds: its series, which of them is open, why, and the files that are in none."""

from __future__ import annotations

from collections import Counter
from typing import Any

from demo.decoding.offer import Offer

from . import text


def listed(offer: Offer) -> dict[str, Any] | None:
    """The list for the browser, plain JSON values; None where there is nothing to choose and nothing was left out."""
    if len(offer.series) < 2 and not offer.left_out:
        return None
    rows = [
        {
            "number": one.number,
            "study": one.study,
            "name": one.description or text.series_name(one.number),
            "words": one.words,
            "why": one.why,
            "usable": one.usable,
            "open": one.number == offer.chosen,
        }
        for one in offer.series
    ]
    reasons = Counter(left.reason for left in offer.left_out)
    return {
        "lead": question(offer) if offer.chosen is None else text.OTHER_SERIES if offer.several else "",
        "rows": rows,
        "studies": _studies(offer),
        "left": [text.left_out(count, reason) for reason, count in reasons.most_common()],
    }


def question(offer: Offer) -> str:
    """What the reader is asked where it is not clear which series is meant."""
    studies = _studies(offer)
    return text.which_study(studies) if studies > 1 else text.WHICH_SERIES


def _studies(offer: Offer) -> int:
    return len({one.study for one in offer.series if one.study and one.usable})
