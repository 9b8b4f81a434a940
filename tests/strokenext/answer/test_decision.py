"""From logits to a lawful decision."""

from __future__ import annotations

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from strokenext.answer import decision
from strokenext.errors import OptionError
from tests.helpers.toy import config, head, predictor


@pytest.mark.parametrize("threshold", [-0.1, 1.5, float("nan"), True, "0.5"])
def test_a_threshold_outside_its_range(threshold: object) -> None:
    with pytest.raises(OptionError, match="between 0 and 1"):
        predictor().predict(head(), threshold=threshold)  # type: ignore[arg-type]


@settings(deadline=None, max_examples=60)
@given(
    st.floats(-1e6, 1e6),
    st.floats(-1e6, 1e6),
    st.floats(0.01, 100),
    st.none() | st.floats(0, 1),
)
def test_any_logits_give_a_probability_and_a_lawful_decision(
    negative: float, positive: float, temperature: float, threshold: float | None
) -> None:
    probability = decision.calibrated((negative, positive), temperature)
    mirrored = decision.calibrated((positive, negative), temperature)
    assert 0 <= probability <= 1
    assert probability + mirrored == pytest.approx(1.0)
    rule = decision.rule(config(), threshold)
    assert 0 <= rule.band[0] <= rule.threshold <= rule.band[1] <= 1
    assert rule.decision(probability) in ("indeterminate", rule.label(probability))
    assert (rule.label(probability) == "stroke") == (probability >= rule.threshold)


def test_reliability_bins_reach_both_ends() -> None:
    record = config()
    assert decision.reliability(record, 0.05) is None  # nobody there
    for probability, low in ((0.1, 0.1), (0.55, 0.5), (1.0, 0.9)):
        found = decision.reliability(record, probability)
        assert found is not None
        assert found.low == low
