"""An answer in plain words: what is said, and what never is."""

from __future__ import annotations

import re
from dataclasses import replace

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from strokenext.answer import decision
from strokenext.record.calibration import Calibration
from strokenext.show import words
from strokenext.slice.prediction import Prediction
from tests.helpers.toy import config, head, predictor

pytestmark = pytest.mark.usefixtures("gate")


def predicted(log_odds: float, **options: object) -> Prediction:
    return predictor(log_odds=log_odds).predict(head(), explain=False, **options)  # type: ignore[arg-type]


def test_sentences() -> None:
    found = predicted(2.0)
    assert words.decision(found) == "Above the threshold: the model marks this image as stroke."
    assert words.probability(found) == (
        "The calibrated probability of stroke is 73 %; the threshold is 40 %, and from 30 % to 50 % nothing is decided."
    )
    assert words.interval(found) == (
        "Of the 50 validation slices with a similar probability, 35 to 80 % showed a stroke (95 % interval)."
    )
    assert "does not decide" in words.decision(predicted(-1.0))
    assert "not known" in words.interval(predicted(-9.0))  # the empty bin
    assert words.percent(0.0001) == "< 1 %"
    assert words.percent(0.9999) == "> 99 %"


@pytest.mark.parametrize("log_odds", [-20.0, -3.0, -1.0, 0.0, 3.0, 20.0])
def test_no_sentence_speaks_about_a_person_or_of_confidence(log_odds: float) -> None:
    found = predictor(log_odds=log_odds).predict(head())
    assert found.heat is not None
    said = " ".join([words.summary(found), words.gate(found), words.trained(found), words.evidence(found.heat)]).lower()
    for word in ("you ", "patient", "confidence", "confident", "treat", "recommend", "healthy", "normal"):
        assert word not in said


@settings(deadline=None, max_examples=60, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(st.floats(-6, 6), st.sampled_from(["presence", "subtype"]))
def test_the_percentages_shown_agree_with_each_other(log_odds: float, task: str) -> None:
    """As printed: 99.2 % never stands beside "97 to 99 %"."""
    knots = ((-2.0, 0.0, 2.0), (0.004, 0.5, 0.9925), (0.001, 0.41, 0.97), (0.0096, 0.6, 0.994), (40, 30, 50))
    record = config(task, calibration=Calibration(*knots))
    answer = predictor(task).predict(head(), explain=False)
    fields = decision.answered(record, decision.rule(record), (0.0, log_odds))
    shown = words.interval(replace(answer, **fields))
    low, high = map(int, re.findall(r"(\d+) to (\d+) %", shown)[0])
    number = words.percent(fields["probability"])
    p = {"< 1 %": 0.5, "> 99 %": 99.5}.get(number) or int(number.split()[0])
    assert low <= p <= high


def test_a_score_that_validation_knows_nothing_of_is_called_a_score() -> None:
    answer = predictor(experience=None).predict(head(), explain=False)
    assert words.probability(answer).startswith("The model's score for stroke is ")
    assert "calibrated" not in words.summary(answer)
