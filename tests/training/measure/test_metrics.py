"""Measures against numbers worked out by hand, and against scikit-learn where it has the same measure."""

from __future__ import annotations

from itertools import pairwise

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from sklearn.metrics import roc_auc_score

from strokenext.errors import DataError
from training.measure import metrics as m
from training.measure.bootstrap import bootstrap, group_rows, holm, mcnemar, paired_bootstrap
from training.measure.calibration import (
    apply_temperature,
    brier,
    choose_threshold,
    ece,
    fit_temperature,
    indeterminate_band,
    intercept_slope,
    reliability_bins,
)

# Four negatives, four positives; one positive (0.35) lies below one negative (0.4) -> 15 of 16 pairs in order.
LABELS = np.array([0, 0, 0, 0, 1, 1, 1, 1])
SCORES = np.array([0.1, 0.2, 0.3, 0.4, 0.35, 0.6, 0.7, 0.9])


def test_auroc_counts_ordered_pairs() -> None:
    assert m.auroc(LABELS, SCORES) == 15 / 16
    assert m.auroc([0, 1], [0.5, 0.5]) == 0.5
    assert np.isnan(m.auroc([1, 1], [0.1, 0.2]))


@settings(max_examples=50, deadline=None)
@given(st.lists(st.tuples(st.integers(0, 1), st.integers(0, 5)), min_size=2, max_size=40))
def test_auroc_agrees_with_scikit_learn(rows: list[tuple[int, int]]) -> None:
    labels, scores = np.array([r[0] for r in rows]), np.array([r[1] for r in rows], float)
    if 0 < labels.sum() < len(labels):
        assert m.auroc(labels, scores) == pytest.approx(roc_auc_score(labels, scores))


def test_confusion_and_the_paper_measures_by_hand() -> None:
    found = m.classification(LABELS, SCORES, threshold=0.5)  # 4 TN, 0 FP, 1 FN (0.35), 3 TP
    assert found["confusion"] == [[4, 0], [1, 3]]
    assert found["accuracy"] == 7 / 8
    assert found["sensitivity"] == 3 / 4
    assert found["specificity"] == 1
    assert found["precision_macro"] == pytest.approx((4 / 5 + 1) / 2)
    assert found["f1_macro"] == pytest.approx((8 / 9 + 6 / 7) / 2)
    assert found["mcc"] == pytest.approx((3 * 4 - 0) / np.sqrt(3 * 4 * 4 * 5))
    assert found["npv"] == 4 / 5


def test_sensitivity_at_specificity_and_the_reverse() -> None:
    assert m.sensitivity_at_specificity(LABELS, SCORES, 0.95) == 3 / 4  # only above 0.4 are there no false alarms
    assert m.sensitivity_at_specificity(LABELS, SCORES, 0.75) == 1  # a cut at 0.35 costs the negative at 0.4
    assert m.specificity_at_sensitivity(LABELS, SCORES, 0.95) == 3 / 4


def test_predictive_values_by_bayes() -> None:
    row = m.predictive_values(0.9, 0.8, [0.1])[0]
    assert row["ppv"] == pytest.approx(0.09 / (0.09 + 0.18))
    assert row["npv"] == pytest.approx(0.72 / (0.72 + 0.01))


def test_net_benefit_by_hand() -> None:
    row = m.decision_curve(LABELS, SCORES, [0.25])[0]  # 4 true and 2 false positives of 8, odds 1/3
    assert row["model"] == pytest.approx(4 / 8 - 2 / 8 / 3)
    assert row["all"] == pytest.approx(0.5 - 0.5 / 3)


def test_temperature_is_recovered_and_improves_calibration() -> None:
    rng = np.random.default_rng(0)
    true = rng.normal(0, 2, 20_000)
    labels = (rng.random(20_000) < 1 / (1 + np.exp(-true))).astype(int)
    overconfident = 3 * true
    t = fit_temperature(labels, overconfident)
    assert t == pytest.approx(3, rel=0.05)
    before, after = apply_temperature(overconfident, 1), apply_temperature(overconfident, t)
    assert ece(labels, after) < 0.02 < ece(labels, before)
    intercept, slope = intercept_slope(labels, before)
    assert slope == pytest.approx(1 / 3, rel=0.05)
    assert intercept_slope(labels, after)[1] == pytest.approx(1, abs=0.05)
    assert abs(intercept) < 0.2
    pair = np.column_stack([-overconfident / 2, overconfident / 2])
    assert fit_temperature(labels, pair) == pytest.approx(t)


def test_calibration_slope_of_a_separated_set_is_not_a_number() -> None:
    assert np.isnan(intercept_slope([0, 0, 1, 1], [0.1, 0.2, 0.8, 0.9])[1])


def test_ece_and_brier_by_hand() -> None:
    assert brier([0, 1], [0.2, 0.6]) == pytest.approx((0.04 + 0.16) / 2)
    assert ece([0, 1, 1, 1], [0.75] * 4, bins=2) == pytest.approx(0)  # three quarters are positive
    assert ece([0, 0, 1, 1], [0.9] * 4, bins=10) == pytest.approx(0.4)


def test_thresholds_sit_between_scores() -> None:
    assert choose_threshold(LABELS, SCORES, specificity=1.0) == pytest.approx(0.5)
    assert choose_threshold(LABELS, SCORES, specificity=0.75) == pytest.approx(0.325)
    assert choose_threshold(LABELS, SCORES, sensitivity=1.0) == pytest.approx(0.325)
    assert choose_threshold([0, 0, 1, 1], [0.1, 0.2, 0.6, 0.7]) == pytest.approx(0.4)
    with pytest.raises(DataError, match="both classes"):
        choose_threshold([1, 1], [0.2, 0.3])


def test_band_contains_the_threshold_and_closes_on_a_perfect_model() -> None:
    low, high = indeterminate_band(LABELS, SCORES, 0.4)
    assert (low, high) == (pytest.approx(0.325), pytest.approx(0.5))
    assert indeterminate_band([0, 0, 1, 1], [0.1, 0.2, 0.6, 0.7], 0.4) == (pytest.approx(0.4), pytest.approx(0.4))


def test_reliability_bins_cover_and_count_patients() -> None:
    rng = np.random.default_rng(1)
    p = rng.random(500)
    y = (rng.random(500) < p).astype(int)
    bins = reliability_bins(y, p, bins=5)
    assert bins[0].low == 0
    assert bins[-1].high == 1
    assert all(a.high == b.low for a, b in pairwise(bins))
    assert sum(b.n for b in bins) == 500
    assert sum(b.positives for b in bins) == y.sum()
    assert all(b.interval[0] <= b.positives / b.n <= b.interval[1] for b in bins)
    # forty all-negative slices of three patients: Wilson on 0 of 3 is (0, 0.56), on 0 of 40 it would be (0, 0.09)
    lone = reliability_bins([0] * 40, [0.05] * 40, ["a", "b", "c", "c"] * 10)[0]
    assert lone.interval == pytest.approx((0, 0.5615), abs=1e-3)


def test_bootstrap_draws_patients_not_slices() -> None:
    labels, scores = np.tile(LABELS, 50), np.tile(SCORES, 50)
    groups = np.tile(np.arange(8), 50)  # 400 slices of eight patients
    by_patient = bootstrap(m.auroc, labels, scores, groups, draws=300)
    by_slice = bootstrap(m.auroc, labels, scores, draws=300)
    assert by_patient.units == 8
    assert by_patient.value == by_slice.value == 15 / 16
    assert by_patient.high - by_patient.low > 3 * (by_slice.high - by_slice.low)
    assert by_patient == bootstrap(m.auroc, labels, scores, groups, draws=300)  # seeded


def test_group_rows_partition() -> None:
    assert [r.tolist() for r in group_rows(["b", "a", "b"], 3)] == [[1], [0, 2]]
    with pytest.raises(DataError):
        group_rows(["a"], 3)


def test_paired_bootstrap_sees_a_difference_and_none() -> None:
    rng = np.random.default_rng(2)
    labels = rng.integers(0, 2, 400)
    good, bad = labels + rng.normal(0, 0.5, 400), rng.normal(0, 1, 400)
    difference, p = paired_bootstrap(m.auroc, labels, good, bad, draws=300)
    assert difference.low > 0.2
    assert p < 0.01
    assert paired_bootstrap(m.auroc, labels, good, good, draws=100)[1] == 1


def test_mcnemar_and_holm_by_hand() -> None:
    first = np.array([1] * 8 + [0] * 1 + [1] * 5, bool)
    second = np.array([0] * 8 + [1] * 1 + [1] * 5, bool)
    assert mcnemar(first, second) == (8, 1, pytest.approx(2 * (1 + 9) / 2**9))
    assert mcnemar(first, first)[2] == 1
    assert holm([0.01, 0.04, 0.03]) == pytest.approx([0.03, 0.06, 0.06])
    assert holm([0.01, float("nan")])[0] == pytest.approx(0.01)


def test_aggregation_to_patients() -> None:
    found = m.aggregate([0, 1, 0, 0], [0.1, 0.8, 0.2, 0.4], ["a", "a", "b", "b"], how="max")
    assert found.groups.tolist() == ["a", "b"]
    assert found.labels.tolist() == [1, 0]
    assert found.scores.tolist() == [0.8, 0.4]
    assert m.aggregate([0] * 4, [0.1, 0.2, 0.3, 0.4], ["a"] * 4).scores[0] == pytest.approx(0.3)


def test_source_probe() -> None:
    separate = m.source_probe([0, 0, 1, 1], ["x", "x", "y", "y"])
    assert (separate["auroc"], separate["cramers_v"]) == (1.0, pytest.approx(1))
    assert m.source_probe([0, 1, 0, 1], ["x", "x", "y", "y"])["auroc"] == 0.5
