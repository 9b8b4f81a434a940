"""The results tree: places, gaps, pairs and sentences, against numbers worked out by hand."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from strokenext.errors import DataError
from tests.helpers.result_tree import hand_made, one, write_tree
from training.__main__ import main
from training.measure.measures import measure
from training.measure.result import Result, read_result
from training.results import gap, pairs
from training.results.sentences import sentences
from training.results.tree import Entry, Material, collect, entry_of


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return write_tree(tmp_path_factory.mktemp("results"))


@pytest.fixture(scope="module")
def material(folder: Path) -> Material:
    return collect(folder)


def entry(result: Result, protocol: str) -> Entry:
    return Entry(result, "presence", protocol)


def test_a_place_in_the_tree_says_task_protocol_detail_and_control() -> None:
    places = {
        ("presence", "image"): ("image", "", False),
        ("presence", "source-ct_ich"): ("source", "ct_ich", False),
        ("presence", "grouped-random-labels"): ("grouped", "", True),
        ("presence", "simulated"): ("simulated", "", False),
    }
    for folders, expected in places.items():
        found = entry_of(one("resnet50", "image"), folders)
        assert (found.protocol, found.detail, found.random) == expected
    alone = entry_of(one("resnet50", "kfold", control="random labels"), ())
    assert (alone.protocol, alone.random) == ("kfold", True)


def test_the_gap_of_a_hand_made_example() -> None:
    """8 of 8 right at image level, 6 of 8 by patient; four patients of two slices, each in both test parts."""
    units = [f"p{i // 2}" for i in range(8)]
    image = entry(hand_made("resnet50", "image", np.ones(8, bool), units), "image")
    wrong = np.array([1, 1, 1, 1, 1, 1, 0, 0], bool)  # both slices of one patient
    grouped = entry(hand_made("resnet50", "grouped", wrong, units), "grouped")
    found = gap.accuracy_gap(image, grouped)
    assert (found.image, found.grouped) == (1.0, 0.75)
    assert found.difference.value == 0.25
    assert found.difference.units == 4
    # Paired: a draw that misses the fourth patient has a gap of 0, one that draws it k times of 4 has k / 4.
    assert found.difference.low == 0.0
    assert found.difference.high == 0.75
    assert found.shared is None  # too few slices in both


def test_the_gap_on_shared_slices_is_of_the_same_pictures() -> None:
    image, grouped = (entry(one("resnet50", p, s), p) for p, s in (("image", 5.0), ("grouped", 0.0)))
    found = gap.auroc_gap(image, grouped)
    assert found.shared is not None
    assert found.shared.n == 100
    assert found.shared.value == pytest.approx(found.difference.value)  # all slices are shared here
    assert found.difference.low > 0.2


def test_each_strokenext_is_set_against_the_models_of_the_same_slices(material: Material) -> None:
    found = pairs.comparisons(material.of("presence", "grouped"), draws=50)
    ours, others = found[0]
    assert ours.architecture == "strokenext_atto"
    assert [e.architecture for e, _ in others] == ["resnet50"]
    tiny = entry(one("strokenext_tiny", "grouped"), "grouped")
    matches = pairs.matched([*material.of("presence", "grouped"), tiny])
    assert [len(x) for _, x in matches] == [1, 2]  # tiny against atto and ResNet50
    other = replace(tiny.result.predictions, paths=tuple(f"x{i}" for i in range(100)))
    assert len(pairs.matched([entry(replace(tiny.result, predictions=other), "grouped")])) == 0


def test_the_summary_says_the_gap_the_control_and_the_place_of_strokenext(material: Material) -> None:
    said = " ".join(sentences(material))
    protocols = [
        (material.one("presence", "image", a), material.one("presence", "grouped", a))
        for a in ("strokenext_atto", "resnet50")
    ]
    gaps = [a.point("accuracy") - b.point("accuracy") for a, b in protocols]  # type: ignore[union-attr,operator]
    assert f"by {np.mean(gaps):+.3f} in the median ({min(gaps):+.3f} to {max(gaps):+.3f})" in said
    assert "Trained on meaningless labels, an image-level split gives an AUROC of" in said
    assert "On a, when it was never trained on" in said
    assert "1 of 1 explanation checks" in said


def test_several_types_of_one_slice_are_counted_apart() -> None:
    p = one("resnet50", "grouped").predictions
    p = replace(p, types=tuple("epidural|subdural" if y else "" for y in p.labels))
    found = measure(p, 0.5, draws=20)["by_type"]
    assert sorted(found) == ["epidural", "subdural"]
    assert found["epidural"]["called_positive"]["n"] == 50


def test_remeasured_files_keep_their_predictions_and_come_to_the_same_numbers(tmp_path: Path) -> None:
    before = one("resnet50", "grouped")
    file = replace(before, metrics={"old": 1}).write(tmp_path / "a" / "r.json")
    assert main(["remeasure", str(tmp_path)]) == 0
    after = read_result(file)
    assert after.predictions.paths == before.predictions.paths
    mine = measure(after.predictions, 0.5, 1.2, draws=1000)
    assert after.metrics["ranking"]["auroc"]["low"] == pytest.approx(mine["ranking"]["auroc"]["low"], abs=1e-5)
    assert main(["remeasure", str(tmp_path / "none")]) == DataError.exit_code
