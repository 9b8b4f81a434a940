"""Scores of masks by hand, and a U-Net from run to model folder, result file and pictures, on phantoms."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest
import torch

from strokenext.errors import DataError
from strokenext.loader import load
from strokenext.regions import Masks
from strokenext.segment.segmenter import Segmenter
from tests.helpers.masked_phantoms import FRAMING, bright, split_of, write_slices
from tests.helpers.places import RECIPES
from tests.training.segment.test_feed import recipe
from training.__main__ import main
from training.cache.store import build as build_cache
from training.data.manifest import Manifest, write_manifest
from training.environment import sha256
from training.measure.bootstrap import bootstrap_rows
from training.results.tree import collect
from training.segment.evaluate import comparable_records
from training.segment.finish import choose, meanings, record_of, short, validation
from training.segment.planes import MASK_CLASSES, SEGMENTATION_PLANES
from training.segment.scores import Counts, agreement, count, free_scores, lesion_scores
from training.splits.split import Split, write_split
from training.systems import load_run
from training.train.card import licences
from training.train.run import BEST, save_state, start_run, write_history


def block(rows: slice, columns: slice, side: int = 20) -> np.ndarray:
    mask = np.zeros((side, side), dtype=bool)
    mask[rows, columns] = True
    return mask


EVERYWHERE = np.ones((20, 20), dtype=bool)


class TestCounts:
    def test_half_of_a_square(self) -> None:
        true, marked = block(slice(0, 4), slice(0, 4)), block(slice(0, 4), slice(2, 6))
        found = count(marked, true, EVERYWHERE)
        assert found == Counts(both=8, marked=16, true=16, lesions=1, found=1, false_parts=0)
        assert found.dice == pytest.approx(0.5)
        assert found.iou == pytest.approx(8 / 24)

    def test_lesions_one_by_one(self) -> None:
        """Two true squares of 16, one touched by 2 of its pixels (12 %), one missed; and a mark far from both."""
        true = block(slice(0, 4), slice(0, 4)) | block(slice(10, 14), slice(10, 14))
        marked = block(slice(0, 2), slice(3, 5)) | block(slice(16, 19), slice(0, 3))
        found = count(marked, true, EVERYWHERE)
        assert (found.lesions, found.found, found.false_parts) == (2, 1, 1)
        assert found.both == 2
        one = block(slice(0, 1), slice(3, 4))  # a sixteenth of the square is no find
        assert count(one, true, EVERYWHERE).found == 0
        splinter = block(slice(0, 2), slice(0, 4))  # eight pixels are no lesion to be found
        assert count(splinter, splinter, EVERYWHERE).lesions == 0

    def test_nothing_to_mark_and_nothing_marked_is_right(self) -> None:
        empty = np.zeros_like(EVERYWHERE)
        assert count(empty, empty, EVERYWHERE).dice == 1.0
        assert count(empty, empty, EVERYWHERE).iou == 1.0
        wrong = count(block(slice(0, 3), slice(0, 3)), empty, EVERYWHERE)
        assert (wrong.dice, wrong.iou, wrong.false_parts) == (0.0, 0.0, 1)

    def test_what_is_not_known_does_not_count(self) -> None:
        true, marked = block(slice(0, 4), slice(0, 4)), block(slice(0, 4), slice(0, 8))
        known = ~block(slice(0, 4), slice(4, 8))
        assert count(marked, true, known).dice == 1.0
        assert count(marked, true, EVERYWHERE).dice == pytest.approx(2 * 16 / 48)


class TestScores:
    def test_slices_patients_and_pixels(self) -> None:
        """Patient a: a large slice done well and a small one missed; patient b: one slice done half."""
        rows = [Counts(90, 100, 100, 1, 1, 0), Counts(0, 0, 10, 1, 0, 0), Counts(10, 20, 20, 1, 1, 2)]
        found = lesion_scores(rows, ["a", "a", "b"], draws=200)
        assert (found["slices"], found["patients"], found["lesions"]) == (3, 2, 3)
        assert found["dice"]["value"] == pytest.approx((0.9 + 0 + 0.5) / 3)
        assert found["iou"]["value"] == pytest.approx((90 / 110 + 0 + 10 / 30) / 3)
        assert found["dice_patients"]["value"] == pytest.approx((180 / 210 + 0.5) / 2)
        assert found["dice_pixels"]["value"] == pytest.approx(200 / 250)
        assert found["slices_missed"]["value"] == pytest.approx(1 / 3)
        assert found["lesions_found"]["value"] == pytest.approx(2 / 3)
        assert found["false_parts_per_slice"]["value"] == pytest.approx(2 / 3)
        assert found["dice"]["low"] == pytest.approx(0.45)  # patient a alone
        assert found["dice"]["high"] == pytest.approx(0.5)  # patient b alone
        assert found["dice"]["units"] == 2
        assert found["median_dice"] == pytest.approx(0.5)

    def test_areas_agree_by_hand(self) -> None:
        found = agreement([10, 20, 30], [12, 20, 34])
        assert found["mean_difference"] == pytest.approx(-2)
        assert found["limits_of_agreement"] == pytest.approx([-2 - 1.96 * 2, -2 + 1.96 * 2])
        assert found["correlation"] == pytest.approx(np.corrcoef([10, 20, 30], [12, 20, 34])[0, 1])
        assert found["marked_over_true"] == pytest.approx(60 / 66)
        assert np.isnan(agreement([5, 5, 5], [1, 2, 3])["correlation"])

    def test_false_alarms(self) -> None:
        found = free_scores([0, 0, 50, 0], [1000] * 4, ["a", "a", "b", "c"], draws=100)
        assert found["slices_marked"]["value"] == 0.25
        assert found["marked_share_of_head"]["value"] == pytest.approx(0.0125)
        assert found["largest_share_of_head"] == 0.05
        assert found["patients"] == 3

    def test_an_interval_comes_from_whole_patients(self) -> None:
        values = np.array([0.0] * 50 + [1.0] * 50)
        alike = bootstrap_rows(lambda i: float(values[i].mean()), ["a"] * 50 + ["b"] * 50, 100, draws=300)[0]
        apart = bootstrap_rows(lambda i: float(values[i].mean()), None, 100, draws=300)[0]
        assert (alike.low, alike.high) == (0.0, 1.0)
        assert 0.38 < apart.low < 0.45 < 0.55 < apart.high < 0.62


@pytest.fixture(scope="module")
def manifest(tmp_path_factory: pytest.TempPathFactory) -> Manifest:
    return write_slices(tmp_path_factory.mktemp("slices"))


@pytest.fixture(scope="module")
def split(manifest: Manifest) -> Split:
    return split_of(manifest)


@pytest.fixture(scope="module")
def work(manifest: Manifest, split: Split, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A manifest, a split and a run whose network marks by grey level: bright is hematoma, nothing is edema."""
    folder = tmp_path_factory.mktemp("work")
    write_manifest(manifest, folder / "manifest.jsonl")
    write_split(split, folder / "split.json")
    made = recipe(size=96, level=False, channels="plain")
    network = bright()
    start_run(folder / "run", made, {"split": sha256(folder / "split.json")}, "cpu")
    save_state(folder / "run" / BEST, module=network.state_dict(), epoch=1, validation={})
    write_history(
        folder / "run",
        [
            {
                "epoch": 1,
                "step": 5,
                "seconds": 2.0,
                "loss": 1.0,
                "images_per_second": 9.0,
                "validation": {"loss": 1.0, "dice": 0.5},
            }
        ],
    )
    return folder


class TestFinish:
    def test_the_hand_made_network_marks_what_is_bright(self) -> None:
        pixels = torch.full((1, 3, 32, 32), 0.4)
        pixels[:, :, 8:16, 8:16] = 0.8
        marked = bright()(pixels)[0].sigmoid() > 0.5
        assert marked[0].sum() == 64
        assert not marked[1].any()

    def test_finish_and_evaluate_from_the_command_line(
        self, work: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
    ) -> None:
        given = ["--manifest", str(work / "manifest.jsonl"), "--split", str(work / "split.json")]
        folder, out = tmp_path / "unet-toy", tmp_path / "results" / "segmentation" / "patients" / "unet.json"
        assert main(["finish", str(work / "run"), *given, "--into", str(folder)]) == 0
        config = load(folder, device="cpu", kind="segmentation").config
        assert (config.task, config.classes, config.name) == ("segmentation", MASK_CLASSES, "unet-toy")
        assert config.masks is not None
        assert config.masks.says == meanings(["rims"], True, ["rims (as prepared)"])
        assert config.experimental
        assert "4 slices of 4 patients with a hemorrhage" in config.trained_on
        card = (folder / "README.md").read_text()
        assert "perihematomal edema, not blood" in card
        assert "Drawn on lesion-free slices: bleeds 20% and infarcts 28% of the examples." in config.trained_on
        assert "as a simulator draws them only" in card
        assert "non-commercial" in licences(["phe_sich"])
        assert "| rims, hematoma (derived beside the outlined edema) | 1 | 1 |" in card
        pictures = ["--figures", str(tmp_path / "pictures"), "--run", str(work / "run")]
        assert main(["evaluate", "--model", str(folder), *given, "--out", str(out), *pictures]) == 0
        result = json.loads(out.read_text())
        assert result["format"] == "strokenext-segmentation/1"
        assert (result["data"]["protocol"], result["data"]["training"]["epochs"]) == ("patients", 1)
        sets = result["metrics"]
        assert sets["unseen source clinic, hematoma"]["dice"]["value"] > 0.7
        assert sets["rims, perihematomal edema"]["dice"]["value"] == 0
        assert sets["normal slices, heads"]["slices"] == 1
        assert result["cases"]["path"] == ["rims/5.png", "heads/5.png", "clinic/0.png"]
        assert result["cases"]["perihematomal edema true"][2] is None  # nobody looked for edema there
        assert len(list((tmp_path / "pictures").glob("*.png"))) == 3
        assert "Dice" in capsys.readouterr().out
        assert list(collect(tmp_path / "results").segmentation) == ["patients/unet"]
        assert config.metrics == {k: short(v) for k, v in sets.items()}

    def test_thresholds_are_those_that_fit_validation_best(self, work: Path, manifest: Manifest, split: Split) -> None:
        model, made = load_run(work / "run")
        with torch.no_grad():
            model.classifier.bias[0] += 60 * 0.12  # every probability too high: the best cut lies above one half
        start = Masks((0.5,) * 3, (0.0,) * 3, ("blood", "rim", "infarct"))
        first = record_of("x", made, start, "nothing")
        records = validation(manifest, split)
        assert [r.path for r in records] == ["rims/4.png", "heads/4.png"]
        masks = choose(Segmenter(model, first, "cpu"), start, manifest, records)
        assert masks.thresholds[0] > 0.5

    def test_what_cannot_be_finished_is_a_sentence(self, work: Path, manifest: Manifest, tmp_path: Path) -> None:
        other = tmp_path / "other.json"
        other.write_text((work / "split.json").read_text() + " ")
        given = ["--manifest", str(work / "manifest.jsonl"), "--into", str(tmp_path / "m")]
        assert main(["finish", str(work / "run"), *given, "--split", str(other)]) == DataError("").exit_code
        plain = Manifest(manifest.root, tuple(r for r in manifest if "mask" not in r.extra))
        with pytest.raises(DataError, match="mask to compare with"):
            comparable_records(plain, None, "test")


def test_a_tiny_run_from_recipe_to_checkpoint(
    manifest: Manifest, work: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """The train command on the recipe of the repository, cut down: history with Dice, curves, best checkpoint."""
    cache = tmp_path / "cache"
    build_cache(manifest, cache, SEGMENTATION_PLANES, FRAMING)
    less = {
        "size": 64,
        "batch": 4,
        "epochs": 2,
        "epoch_images": 8,
        "warmup": 2,
        "precision": "float32",
        "arguments": "{ width = 4 }",
        "progressive": "[[0.0, 32], [0.5, 64]]",
    }
    changes = [w for k, v in less.items() for w in ("--set", f"{k}={v}")]
    toml = RECIPES / "unet.toml"
    given = ["--cache", str(cache), "--split", str(work / "split.json"), "--run", str(tmp_path / "run")]
    assert main(["train", str(toml), *given, "--device", "cpu", *changes]) == 0
    lines = [json.loads(line) for line in (tmp_path / "run" / "history.jsonl").read_text().splitlines()]
    assert len(lines) == 2
    assert {"dice", "iou", "loss", "dice hematoma", "false_alarms"} <= set(lines[1]["validation"])
    assert 0 <= lines[1]["dice"] <= 1
    assert (tmp_path / "run" / "best.pt").exists()
    assert (tmp_path / "run" / "curves.png").exists()
    assert load_run(tmp_path / "run")[1].objective == "segment"
