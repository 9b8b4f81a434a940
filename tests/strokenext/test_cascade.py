"""Presence first, and subtype only where that leads to it."""

from __future__ import annotations

import json

import pytest

from strokenext.cascade import Triage, triage
from strokenext.types import Gate
from tests.helpers.toy import head, predictor, series

pytestmark = pytest.mark.usefixtures("gate")
REFUSE = Gate(False, "This is a photograph, not a head CT.", "photo")


@pytest.mark.parametrize(("log_odds", "asked"), [(-6.0, False), (-1.0, True), (4.0, True)])
def test_subtype_only_after_a_presence_that_is_positive_or_undecided(log_odds: float, asked: bool) -> None:
    both = {"presence": predictor(log_odds=log_odds), "subtype": predictor("subtype", 3.0)}
    found = triage(head(), **both)  # type: ignore[arg-type]
    assert isinstance(found, Triage)
    assert (found.subtype is not None) is asked
    record = json.loads(json.dumps(found.to_json(), allow_nan=False))
    assert record["presence"]["probabilities"].keys() == {"non-stroke", "stroke"}
    if asked:
        assert record["subtype"]["probabilities"].keys() == {"ischemic", "hemorrhagic"}
        assert record["subtype"]["provenance"]["experimental"] is True
    else:
        assert record["subtype"] is None


def test_the_threshold_of_a_triage_is_that_of_presence() -> None:
    models = {"presence": predictor(log_odds=2.0), "subtype": predictor("subtype", 3.0)}
    assert triage(head(), threshold=0.99, **models).subtype is None  # type: ignore[arg-type]
    found = triage(head(), threshold=0.5, **models)  # type: ignore[arg-type]
    assert found.subtype is not None
    assert found.subtype.threshold == 0.4


def test_triage_of_a_refused_image_and_of_a_series(gate: dict[str, Gate]) -> None:
    models = {"presence": predictor(), "subtype": predictor("subtype")}
    over = triage(series(3), **models)  # type: ignore[arg-type]
    assert over.subtype is not None
    assert len(over.presence.slices) == 3  # type: ignore[union-attr]
    gate[head().sha256] = REFUSE
    assert triage(head(), **models).subtype is None  # type: ignore[arg-type]
