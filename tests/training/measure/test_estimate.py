"""How a figure and its interval read, in a table, a card and the terminal."""

from __future__ import annotations

from training.measure.estimate import DASH, Estimate, card_text, text

ROW = {"value": 0.5, "low": 0.25, "high": 0.75}


def test_a_value_stands_before_its_interval() -> None:
    assert text(ROW) == "0.500 (0.250 to 0.750)"
    assert text(ROW, 2, signed=True) == "+0.50 (+0.25 to +0.75)"
    assert text(ROW, 1, percent=True) == "50.0 % (25.0 to 75.0)"
    assert text(0.5, 2) == "0.50"


def test_what_is_undefined_is_a_dash_and_an_undefined_interval_is_omitted() -> None:
    nan = float("nan")
    assert text(None) == text(nan) == text({"value": None, "low": 0.1, "high": 0.2}) == DASH
    assert text(ROW | {"low": None, "high": None}) == "0.500"
    assert text(Estimate(0.5, nan, nan, 9, 3).to_dict()) == "0.500"


def test_a_card_says_that_patients_are_too_few() -> None:
    assert card_text(ROW, 5) == text(ROW)
    assert card_text(ROW, 4) == "0.500 (too few patients for an interval)"
    assert card_text(ROW | {"low": None}, 40) == "0.500 (too few patients for an interval)"
