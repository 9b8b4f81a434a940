"""Every measure of predictions by hand, a result file that survives the disk, and comparisons between two of them."""

from __future__ import annotations

import json
from dataclasses import replace
from itertools import pairwise
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from sklearn.metrics import roc_curve

from strokenext.errors import DataError
from tests.helpers.result_tree import made
from training.measure import metrics
from training.measure import result as results
from training.measure.compare import compare, table
from training.measure.measures import measure
from training.measure.result import Predictions, Result


def result(name: str, predictions: Predictions) -> Result:
    model = {"name": name, "task": "presence", "threshold": 0.5, "temperature": 1.0}
    return Result(model, {}, {}, measure(predictions, 0.5, draws=50), predictions)


def test_measures_agree_with_a_count_by_hand() -> None:
    p = made()
    found = measure(p, 0.5, draws=100)
    called = p.logits >= 0
    assert found["at_threshold"]["sensitivity"]["value"] == called[100:].mean()
    assert found["at_threshold"]["specificity"]["value"] == (~called[:100]).mean()
    assert found["units"] == 40
    assert found["by_class"]["normal"]["called_positive"]["value"] == called[:100].mean()
    assert found["by_source"]["a"]["n"] == 100
    assert found["by_type"]["epidural"]["auroc_against_negatives"] == found["ranking"]["auroc"]["value"]
    assert found["source_probe"]["auroc"] == 0.5
    assert found["patients"]["n"] == 40
    interval = found["ranking"]["auroc"]
    assert interval["low"] < interval["value"] < interval["high"]


def test_classes_points_and_patients_are_counts_by_hand() -> None:
    """Four patients of two slices: probabilities 0.9 0.2 | 0.8 0.3 | 0.6 0.1 | 0.4 0.2, the first two patients ill."""
    p = np.array([0.9, 0.2, 0.8, 0.3, 0.6, 0.1, 0.4, 0.2])
    labels = np.array([1, 0, 1, 0, 0, 0, 0, 0])
    names = tuple("abcdefgh")
    units = ("p1", "p1", "p2", "p2", "p3", "p3", "p4", "p4")
    kinds = tuple("stroke" if y else "normal" for y in labels)
    one = Predictions(names, ("s",) * 8, units, kinds, ("",) * 8, labels, np.log(p / (1 - p)))
    found = measure(one, 0.5, draws=50)
    ill, well = found["per_class"]["1"], found["per_class"]["0"]
    assert (ill["n"], ill["called"], ill["recall"]) == (2, 3, 1.0)
    assert ill["precision"] == pytest.approx(2 / 3)
    assert well["recall"] == pytest.approx(5 / 6)
    assert ill["f1"] == pytest.approx(2 * (2 / 3) / (2 / 3 + 1))
    assert found["at_threshold"]["intervals"]["f1_macro"]["value"] == pytest.approx((ill["f1"] + well["f1"]) / 2)
    assert found["at_threshold"]["intervals"]["mcc"]["value"] == pytest.approx(found["at_threshold"]["mcc"])
    assert found["at_threshold"]["confusion"] == [[5, 1], [0, 2]]
    ways = found["patients"]["ways"]
    assert {how: w["value"] for how, w in ways.items()} == {"top3": 1.0, "max": 1.0, "mean": 1.0}
    # Means of a patient's slices are 0.55, 0.55, 0.35, 0.3: both ill patients are called, no other.
    assert found["patients"]["called"]["confusion"] == [[2, 0], [0, 2]]
    points = found["ranking"]["operating_points"]
    assert points["sensitivity_at_specificity_0.95"]["value"] == 1.0
    assert points["specificity_at_sensitivity_0.9"]["value"] == 1.0
    assert found["calibration_intervals"]["before"]["brier"]["value"] == found["calibration"]["before"]["brier"]


@settings(max_examples=60, deadline=None)
@given(
    st.lists(st.tuples(st.booleans(), st.integers(-5, 5)), min_size=2, max_size=30), st.sampled_from([0.5, 0.9, 1.0])
)
def test_the_operating_points_are_those_of_the_curve(rows: list[tuple[bool, int]], share: float) -> None:
    y, s = np.array([int(a) for a, _ in rows]), np.array([float(b) for _, b in rows])
    if len(set(y.tolist())) < 2:
        assert np.isnan(metrics.sensitivity_at_specificity(y, s, share))
        return
    fpr, tpr, _ = roc_curve(y, s, drop_intermediate=False)
    assert metrics.sensitivity_at_specificity(y, s, share) == pytest.approx(tpr[1 - fpr >= share - 1e-12].max())
    assert metrics.specificity_at_sensitivity(y, s, share) == pytest.approx(1 - fpr[tpr >= share - 1e-12].min())


def test_one_class_only_gives_what_is_defined_and_nothing_invented() -> None:
    p = made()
    found = measure(p.where(p.labels == 1), 0.5, draws=50)
    assert np.isnan(found["at_threshold"]["mcc"])
    assert found["ranking"]["auroc"]["value"] is None
    assert found["at_threshold"]["specificity"]["value"] is None
    assert "calibration" not in found


def test_result_file_round_trip_is_strict_json(tmp_path: Path) -> None:
    one = result("m", made().where(np.arange(200) >= 100))
    file = one.write(tmp_path / "r.json")
    json.loads(file.read_text(), parse_constant=lambda name: pytest.fail(f"{name} in JSON"))
    back = results.read_result(file)
    assert back.predictions.paths == one.predictions.paths
    assert np.allclose(back.predictions.logits, one.predictions.logits, atol=1e-4)
    assert back.name == "m"
    (tmp_path / "x.json").write_text("{}")
    with pytest.raises(DataError, match="not a strokenext-result/1 file"):
        results.read_result(tmp_path / "x.json")


@settings(max_examples=50, deadline=None)
@given(st.lists(st.sampled_from(["", "a", "b,c", "é"]), max_size=40))
def test_a_column_of_texts_survives_its_runs(column: list[str]) -> None:
    packed = results.packed(column)
    assert results.unpacked(json.loads(json.dumps(packed))) == column
    if isinstance(packed, dict):  # a run is [text, count], so runs pay when they are fewer than half of the column
        assert 2 * len(packed["runs"]) < len(column)
        assert all(one[0] != other[0] for one, other in pairwise(packed["runs"]))


def test_a_patient_of_a_thousand_slices_takes_one_run() -> None:
    assert results.packed(["p"] * 1000 + ["q"]) == {"runs": [["p", 1000], ["q", 1]]}
    assert results.packed(["p", "q"]) == ["p", "q"]


@settings(max_examples=30, deadline=None)
@given(st.floats(allow_nan=True, allow_infinity=True))
def test_plain_numbers_are_json(value: float) -> None:
    text = json.dumps(results.plain({"a": (value, np.float32(1.5), np.int64(2), True)}), allow_nan=False)
    assert json.loads(text)["a"][1:] == [1.5, 2, True]


def test_comparison_finds_the_better_model_whatever_the_order_of_rows() -> None:
    good, bad = made(signal=4), made(signal=0.2, seed=1)
    columns = {k: tuple(reversed(getattr(bad, k))) for k in ("paths", "sources", "units", "kinds", "types")}
    shuffled = replace(bad, **columns, labels=bad.labels[::-1].copy(), logits=bad.logits[::-1].copy())
    found = compare([result("good", good), result("bad", shuffled), result("same", good)], draws=200)
    worse, same = found["against"]
    assert worse["auroc_difference"]["low"] > 0.2
    assert worse["auroc_p_holm"] < 0.05
    assert worse["auroc_p_holm"] == pytest.approx(2 * worse["auroc_p"])
    assert same["auroc_difference"]["value"] == 0
    assert same["mcnemar_p"] == 1
    assert "| +" in table(found)
    with pytest.raises(DataError, match="same slices"):
        compare([result("a", good), result("b", good.where(np.arange(200) < 150))])
    control = replace(good, labels=good.labels[::-1].copy())
    with pytest.raises(DataError, match="judged by different labels"):
        compare([result("a", good), result("control", control)])
