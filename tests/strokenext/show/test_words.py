"""An answer in plain words: what is said, and what never is."""

from __future__ import annotations

import pytest

from strokenext.show import words
from strokenext.slice.prediction import Prediction
from tests.helpers.toy import head, predictor

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
