"""A probability never leaves the interval that stands beside it, and never falls where the margin rises."""

from __future__ import annotations

import json
from dataclasses import replace

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from strokenext.answer import decision
from strokenext.errors import ModelError
from strokenext.record.calibration import Calibration
from strokenext.record.config import ModelConfig
from tests.helpers.toy import config, head, predictor
from training.measure import calibration as measured

KNOWN = Calibration((-2.0, 0.0, 1.5), (0.1, 0.4, 0.9), (0.05, 0.3, 0.7), (0.2, 0.55, 0.97), (40, 30, 50))
margins = st.floats(-1e6, 1e6) | st.floats(-5, 5)


def fitted(seed: int, slope: float, patients: int) -> Calibration:
    rng = np.random.default_rng(seed)
    z = rng.normal(0, 2, 10 * patients)
    y = (rng.random(len(z)) < 1 / (1 + np.exp(-slope * z))).astype(int)
    y[:2] = 0, 1
    return measured.fit_calibration(y, z, np.repeat(np.arange(patients), 10), seed=seed)


@pytest.fixture(scope="module", params=[(0, 1.0, 30), (1, -1.0, 30), (2, 9.0, 12), (3, 0.0, 2)])
def scale(request: pytest.FixtureRequest) -> Calibration:
    """What validation sets of every sort give: good, wrong way round, separated, two patients."""
    return fitted(*request.param)


@settings(deadline=None, max_examples=300)
@given(a=margins, b=margins)
def test_any_margin_lies_in_its_interval_and_a_higher_one_is_never_less_likely(
    scale: Calibration, a: float, b: float
) -> None:
    for one in (scale, KNOWN):
        lower, upper = one.at(min(a, b)), one.at(max(a, b))
        assert 0 <= lower.low <= lower.probability <= lower.high <= 1
        assert lower.probability <= upper.probability
        assert lower.low <= upper.low
        assert lower.high <= upper.high
        assert lower.similar > 0


def test_between_knots_it_is_linear_and_beyond_them_it_stays_within_the_last_interval() -> None:
    assert KNOWN.at(0.0) == (0.4, 0.3, 0.55, 30)
    assert KNOWN.at(-1.0) == pytest.approx((0.25, 0.175, 0.375, 30))
    assert KNOWN.at(1e9).probability == pytest.approx(0.935)
    assert KNOWN.at(2.0).probability > 0.9
    assert KNOWN.at(-1e9).probability == pytest.approx(0.075)


def test_the_interval_covers_the_truth_that_the_validation_patients_were_drawn_from() -> None:
    """Nominally 95 % of the points between the knots; here of 40 sets with 30 patients."""
    inside = []
    for seed in range(40):
        one = fitted(seed, 1.0, 30)
        for z in (-1.5, -0.5, 0.5, 1.5):
            inside.append(one.at(z).low <= 1 / (1 + np.exp(-z)) <= one.at(z).high)
    assert 0.85 <= np.mean(inside) <= 1


@pytest.mark.parametrize(
    "changes",
    [
        {"low": (0.05, 0.45, 0.7)},  # above its probability
        {"high": (0.2, 0.35, 0.97)},  # below it
        {"probability": (0.1, 0.1, 0.9)},
        {"margins": (0.0, 0.0, 1.5)},
        {"similar": (40, 0, 50)},
        {"similar": (40, 30)},
        {"high": (0.6, 0.55, 0.97)},
        {"low": (float("nan"), 0.3, 0.7)},
    ],
)
def test_a_record_whose_interval_leaves_its_probability_out_is_refused(changes: dict[str, tuple[float, ...]]) -> None:
    with pytest.raises(ValueError):
        replace(KNOWN, **changes)
    record = json.loads(config(calibration=KNOWN).to_json())
    assert ModelConfig.from_dict(record).calibration == KNOWN
    record["calibration"] |= {name: list(values) for name, values in changes.items()}
    with pytest.raises(ModelError, match="calibration"):
        ModelConfig.from_dict(record)


def test_a_record_of_a_temperature_alone_loads_and_says_no_interval_that_leaves_its_probability_out() -> None:
    record = json.loads(config().to_json())
    assert "calibration" not in record
    old = ModelConfig.from_dict(record)
    said = 0
    for z in np.linspace(-8, 8, 81):
        answer = decision.answered(old, decision.rule(old), (0.0, float(z)))
        assert answer["probability"] == pytest.approx(1 / (1 + np.exp(-z / 2)))
        if answer["interval"] is not None:
            said += 1
            assert answer["interval"][0] <= answer["probability"] <= answer["interval"][1]
            assert answer["similar"] > 0
    assert said > 40


def test_the_answer_carries_probability_and_interval_of_one_estimate() -> None:
    for z in (-3.0, -0.7, 0.2, 2.4):
        found = predictor(log_odds=z, calibration=KNOWN).predict(head(), explain=False)
        seen = KNOWN.at(found.logit or 0.0)
        assert found.probability == seen.probability
        assert found.interval == (seen.low, seen.high)
        assert found.similar == seen.similar


def test_the_threshold_goes_through_the_calibration_and_the_decisions_stay() -> None:
    rng = np.random.default_rng(5)
    z = rng.normal(0, 2, 400)
    y = (rng.random(400) < 1 / (1 + np.exp(-z))).astype(int)
    scale = measured.fit_calibration(y, z, np.repeat(np.arange(40), 10))
    by_temperature, by_scale = measured.operating_point(y, z, 0.9), measured.operating_point(y, z, 0.9, scale)
    p, q = measured.calibrated(z, by_temperature.temperature), measured.calibrated(z, scale)
    for before, after in zip(
        (by_temperature.threshold, *by_temperature.band), (by_scale.threshold, *by_scale.band), strict=True
    ):
        assert ((p >= before) == (q >= after)).all()
