"""A run to a model folder: which rows a card has, who is in them, and words that stay true whatever was trained."""

from __future__ import annotations

import json
import re
from dataclasses import replace
from pathlib import Path

import cv2
import numpy as np
import pytest
import torch
from torch import nn

from strokenext.errors import DataError, OptionError
from strokenext.record.config import load_config
from strokenext.record.weights import load_model
from tests.helpers.model_folders import record
from training.cache.planes import SLICE_PLANES
from training.cache.store import Cache, build
from training.classify.card import Infarcts, Training, limits, write_card
from training.classify.card_rows import HeldOutScores, NamedSet, named_sets
from training.classify.finish import finish
from training.commands.finish import finish_again, finish_run
from training.data.images import Views
from training.data.manifest import Manifest, Record
from training.drawing.phantom.head import head_phantom
from training.environment import sha256
from training.measure.scored import Scored, measure
from training.splits.split import Split, read_split, write_split
from training.systems import make_objective
from training.train.card import result_row
from training.train.recipe import Recipe
from training.train.run import BEST, save_state, start_run
from training.train.trained import TrainedRun

#: margin, label, patient, source, subtype, external, away, low, affected
TABLE = [
    (3.0, 1, "a", "ct_ich", 1, False, False, False, True),
    (-1.0, 0, "a", "ct_ich", -1, False, False, False, True),  # a normal slice of a bleeding patient
    (-2.0, 0, "b", "ct_ich", -1, False, False, False, False),
    (2.5, 0, "b", "ct_ich", -1, False, False, True, False),  # the face of patient b: too little brain
    (2.0, 1, "c", "phe_sich", 1, False, False, False, True),
    (0.0, 0, "c", "phe_sich", -1, False, True, False, True),  # not labelled, far from the bleed
    (-1.5, 1, "x", "aisd", 0, True, False, False, True),
    (1.0, 1, "y", "mbh", 1, True, False, False, True),
]


def held_out_slices() -> HeldOutScores:
    columns = list(zip(*TABLE, strict=True))
    scored = Scored(np.array(columns[0]), np.array(columns[1]), np.array(columns[2]))
    flags = [np.array(c, dtype=bool) for c in columns[5:]]
    return HeldOutScores(scored, np.array(columns[3]), np.array(columns[4]), *flags)


def test_the_narrow_and_the_wide_choice_of_normals_stand_side_by_side() -> None:
    found = {s.name: s.scored for s in named_sets(held_out_slices(), "presence", "patients")}
    narrow = found["unseen source MBH: hemorrhage against held-back ct_ich patients without any"]
    wide = found["unseen source MBH: hemorrhage against all held-back ct_ich slices without it"]
    assert narrow.margins.tolist() == [-2.0, 1.0]
    assert wide.margins.tolist() == [-1.0, -2.0, 2.5, 1.0]
    assert measure(narrow, 1.0, 0.5)["auroc"]["value"] == 1.0
    assert measure(wide, 1.0, 0.5)["auroc"]["value"] == pytest.approx(2 / 3)
    aisd = found["unseen source AISD: ischemic against held-back ct_ich patients without any"]
    assert aisd.margins.tolist() == [-2.0, -1.5]
    sets = named_sets(held_out_slices(), "presence", "patients")
    assert sum(s.normals == "narrow" for s in sets) == 2


def test_a_source_without_labelled_normals_is_set_against_slices_away_from_its_bleeds() -> None:
    found = {s.name: s.scored for s in named_sets(held_out_slices(), "presence", "patients")}
    assert found["held-back patients, phe_sich: hemorrhage against slices away from it"].margins.tolist() == [2.0, 0.0]
    name = "held-back patients, ct_ich: hemorrhage against the other slices"
    assert found[name].margins.tolist() == [3.0, -1.0, -2.0]
    assert found[f"{name}, those with little brain too"].margins.tolist() == [3.0, -1.0, -2.0, 2.5]


def test_subtype_rows_set_unseen_ischemia_against_unseen_and_held_back_blood() -> None:
    table = held_out_slices()
    scored = replace(table.scored, labels=np.maximum(table.subtype, 0))
    keep = table.subtype >= 0
    columns = ("sources", "subtype", "external", "away", "low", "affected")
    only = HeldOutScores(scored.where(keep), *(getattr(table, n)[keep] for n in columns))
    found = {s.name: s.scored for s in named_sets(only, "subtype", "patients")}
    assert found["unseen sources: AISD ischemic against MBH hemorrhagic"].margins.tolist() == [-1.5, 1.0]
    assert found["AISD ischemic against held-back hemorrhagic patients"].margins.tolist() == [3.0, 2.0, -1.5]
    assert len(found) == 2  # the test part holds no real ischemia: no row of one class


def trained(tmp_path: Path, **changes: object) -> tuple[Path, Manifest, Path, Cache]:
    """A run of untrained weights on drawn heads: manifest, split, cache and run folder as `train` leaves them."""
    records = []
    for p in range(9):
        for i, level in enumerate((0.2, 0.35)):
            bleeds = p % 3 == 0
            grey = np.clip(head_phantom("hemorrhage" if bleeds else "normal", 96, p, level).hu / 80 * 255, 0, 255)
            cv2.imwrite(str(tmp_path / f"{p}_{i}.png"), grey.astype(np.uint8))
            records.append(
                Record(f"{p}_{i}.png", "s", int(bleeds), 1 if bleeds else None, f"s/{p}", f"s/{p}", size=(96, 96))
            )
    manifest = Manifest(tmp_path, tuple(records))
    parts = {
        name: tuple(f"{p}_{i}.png" for p in range(n, n + 3) for i in (0, 1))
        for n, name in ((0, "train"), (3, "validation"), (6, "test"))
    }
    split = write_split(Split("grouped", "presence", 0, True, parts), tmp_path / "split.json")
    recipe = Recipe.from_dict({"name": "toy", "model": "custom_cnn", "size": 48, "precision": "float32", **changes})
    torch.manual_seed(0)
    start_run(tmp_path / "run", recipe, {"split": sha256(split)}, "cpu")
    save_state(tmp_path / "run" / BEST, module=make_objective(recipe).module.state_dict(), epoch=1, validation={})
    return tmp_path / "run", manifest, split, build(manifest, tmp_path / "cache", SLICE_PLANES)


def test_a_run_on_simulated_lesions_is_calibrated_with_simulated_infarcts(tmp_path: Path) -> None:
    run, manifest, split, cache = trained(tmp_path, feed="lesions")
    config = finish_run(run, manifest, split, tmp_path / "model", cache=cache)
    seen = config.metrics["validation"]
    assert (seen["slices"], seen["positives"]) == (6 + 192, 2 + 192)  # six slices of three patients, 192 drawn infarcts
    assert config.calibration is not None
    assert sum(config.calibration.similar) == 198
    model, back = load_model(tmp_path / "model")
    assert back == load_config(tmp_path / "model") == config
    assert not model.training
    assert 0 <= config.band[0] <= config.threshold <= config.band[1] <= 1
    card = (tmp_path / "model" / "README.md").read_text()
    assert "No real ischemic stroke was available for training." in card
    assert "darker by 3 to 24 HU" in card
    for values in config.metrics.values():
        assert f"{values['auroc']['value']:.3f}" in card
    with pytest.raises(DataError, match="give --cache"):
        finish_run(run, manifest, split, tmp_path / "other")


def test_a_run_on_pictures_needs_no_cache_and_says_what_it_saw(tmp_path: Path) -> None:
    run, manifest, split, _ = trained(tmp_path, random_labels="")
    config = finish_run(run, manifest, split, tmp_path / "model")
    assert config.metrics["validation"]["slices"] == 6
    assert config.trained_on.startswith("6 labelled slices of 3 patients from one source.")
    assert list(config.metrics) == ["validation", "held-back patients, s: hemorrhage against the other slices"]


def test_finish_takes_classifiers_only(tmp_path: Path) -> None:
    run, manifest, split, _ = trained(tmp_path, objective="outline", model="strokenext_atto", feed="lesions")
    with pytest.raises(OptionError, match="objective 'outline'"):
        finish_run(run, manifest, split, tmp_path / "model")
    masks = Recipe("unet", task="segmentation", objective="segment", feed="masks", model="unet")
    with pytest.raises(OptionError, match="classifiers"):
        finish(TrainedRun("x", nn.Identity(), masks, manifest, read_split(split), Views(manifest)), print)


NOTHING = Training("Slices of nobody.", Infarcts.UNKNOWN, {"s": 1}, (), {})


def card(recipe: Recipe, training: Training, **metrics: object) -> str:
    return write_card(record(metrics=metrics, trained_on=training.sentence), recipe, training)


ROW = {
    "slices": 10,
    "positives": 4,
    "groups": 6,
    "auroc": {"value": 0.9, "low": 0.8, "high": 1.0},
    "sensitivity": 1.0,
    "specificity": 0.5,
    "sensitivity_at_specificity_0.85": 0.75,
}


def test_a_card_speaks_of_changed_rows_only_where_it_has_them() -> None:
    plain = card(Recipe(name="toy"), NOTHING, validation=ROW)
    assert "favours" not in plain
    scored = Scored(np.zeros(2), np.array([0, 1]), np.array(["a", "b"]))
    narrow = NamedSet("unseen source MBH: hemorrhage against held-back ct_ich patients without any", scored, "narrow")
    told = card(Recipe(name="toy"), replace(NOTHING, sets=(narrow,)), validation=ROW, **{narrow.name: ROW})
    assert "the narrower choice of normals, which favours a model" in told
    assert not re.search(r"0\.877|0\.795", told)  # figures of one old model have no place in the card of another
    assert result_row("a", ROW) == "| a | 10 (4) | 6 | 0.900 (0.800 to 1.000) | 1.00 | 0.50 | 0.75 |"


def test_a_control_says_first_that_it_answers_nothing() -> None:
    recipe = Recipe(name="toy", random_labels="patients")
    assert limits(record(), recipe, NOTHING)[0].startswith("**A control.**")


def test_a_finished_model_is_calibrated_anew_with_the_weights_it_has(tmp_path: Path) -> None:
    run, manifest, split, _ = trained(tmp_path)
    recipe = Recipe.from_dict({"name": "toy", "model": "custom_cnn", "size": 48, "precision": "float32"})
    first = finish_run(run, manifest, split, tmp_path / "model")
    again = finish_again(tmp_path / "model", recipe, manifest, split, tmp_path / "again")
    assert again.weights_sha256 == first.weights_sha256
    assert again.name == first.name
    assert again.calibration is not None
    record = tmp_path / "model" / "config.json"
    there = json.loads(record.read_text())
    there["metrics"]["validation"]["auroc"]["value"] -= 0.01
    record.write_text(json.dumps(there))
    with pytest.raises(DataError, match="another split"):
        finish_again(tmp_path / "model", recipe, manifest, split, tmp_path / "third")
    with pytest.raises(DataError, match="not trained by the recipe"):
        finish_again(tmp_path / "model", recipe.override(size=64), manifest, split, tmp_path / "third")
