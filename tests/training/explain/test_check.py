"""Explanation checks on a network whose right answer is known: it adds up brightness, so its heat is the blob."""

from __future__ import annotations

from pathlib import Path

import cv2
import numpy as np
import pytest
import torch
from torch import Tensor, nn

from strokenext.models import build
from strokenext.preprocess.contract import Prepared
from training.data.manifest import Manifest, Record
from training.explain import check as ec
from training.explain import heat as hm
from training.explain.summary import summarise
from training.splits.split import Split

SIZE = 56


class Brightness(nn.Module):
    """Logit 1 is the mean brightness of the picture, pooled to 7 x 7; `weight` is there to be shuffled."""

    encoders = ("A",)

    def __init__(self) -> None:
        super().__init__()
        self.scale = nn.Parameter(torch.tensor([1.0, 0.0, 0.0]))

    def features(self, x: Tensor) -> tuple[Tensor, ...]:
        return (nn.functional.avg_pool2d(x, 8),)

    def head(self, features: tuple[Tensor, ...]) -> Tensor:
        total = (features[0].mean(dim=(2, 3)) * self.scale).sum(dim=1)
        return torch.stack([torch.zeros_like(total), 50 * total], dim=1)

    def forward(self, x: Tensor) -> Tensor:
        return self.head(self.features(x))


def blob(row: int, column: int) -> tuple[Prepared, np.ndarray]:
    """A black picture with one bright 8 x 8 cell, and the mask of that cell; the head is the middle 40 x 40."""
    pixels = np.zeros((3, SIZE, SIZE), np.float32)
    pixels[0, row : row + 8, column : column + 8] = 1
    head = np.zeros((SIZE, SIZE), bool)
    head[8:48, 8:48] = True
    return Prepared(pixels, np.eye(2, 3), head, None), pixels[0] > 0


def case(row: int, column: int, unit: str = "p") -> hm.HeatScores:
    prepared, mask = blob(row, column)
    model = Brightness().eval()
    record = Record("a.png", "s", 1, 1, unit)
    view = hm.View(prepared, prepared.head, mask)
    return hm.examine(model, hm.randomised(model), view, 1, record, np.random.default_rng(0))


def test_heat_on_the_blob_hits_and_beats_the_centre() -> None:
    found = case(8, 40)  # upper right corner of the head
    assert found.hit == 1
    assert found.control_hit == 0
    assert found.energy is not None
    assert found.energy > 0.4  # one cell, spread over its neighbours by drawing up
    assert found.control_energy is not None
    assert found.control_energy < 0.1
    assert found.mask_share == pytest.approx(64 / 1600)
    assert found.flip == pytest.approx(1)


def test_deleting_the_blob_lowers_and_inserting_it_raises_the_probability() -> None:
    found = case(24, 24)
    assert found.deletion < found.random_deletion < found.insertion


def test_heat_outside_the_head_is_counted() -> None:
    prepared, mask = blob(0, 0)
    assert not prepared.head[mask].any()
    assert (case(0, 0).outside or 0) > 0.6
    assert (case(24, 24).outside or 0) < 0.05


def test_shuffling_changes_the_copy_and_not_the_model() -> None:
    model = nn.Linear(20, 20)
    before = model.weight.clone()
    other = hm.randomised(model)
    assert torch.equal(model.weight, before)
    assert not torch.equal(other.weight, before)
    assert torch.equal(other.weight.sort().values.flatten().sort().values, before.flatten().sort().values)


def test_summary_has_intervals_over_patients_and_the_difference_to_the_control() -> None:
    found = summarise([case(8, 8 * k, f"p{k}") for k in range(1, 6)])
    assert found["images"] == 5
    assert found["hit"]["value"] == 1
    assert found["hit"]["units"] == 5
    assert found["energy_minus_control"]["low"] > 0
    assert found["by_source"]["s"]["hit"]["value"] == 1
    assert found["ratio_above_one"]["value"] == 1


def test_centre_prior_peaks_in_the_middle_of_the_head() -> None:
    prepared, _ = blob(8, 8)
    prior = hm.centre_prior(prepared.head)
    assert np.unravel_index(prior.argmax(), prior.shape) in {(27, 27), (27, 28), (28, 27), (28, 28)}


def test_heat_ratio_is_a_mean_over_a_mean() -> None:
    heat = np.zeros((10, 10), np.float32)
    mask, brain = np.zeros((10, 10), bool), np.zeros((10, 10), bool)
    brain[2:8, 2:8], mask[2:4, 2:8] = True, True
    heat[mask], heat[brain & ~mask] = 3.0, 1.5
    heat[0, 0] = 99  # outside the brain: counts for nothing
    assert hm.ratio(heat, mask, brain) == 2.0
    heat[brain & ~mask] = 0
    assert hm.ratio(heat, mask, brain) == float("inf")
    assert hm.ratio(np.zeros_like(heat), mask, brain) is None


def test_the_ratio_of_even_heat_is_one_and_of_heat_on_the_blob_large() -> None:
    assert (case(8, 40).ratio or 0) > 5
    prepared, mask = blob(24, 24)
    even = np.ones((SIZE, SIZE), np.float32)
    assert hm.ratio(even, mask, prepared.head) == 1.0


def test_an_image_without_heat_is_a_miss_not_left_out() -> None:
    prepared, mask = blob(24, 24)
    view = hm.View(prepared, prepared.head, mask)
    model = Brightness().eval()
    found = hm.examine(model, model, view, 0, Record("a.png", "s", 1, 1, "p"), np.random.default_rng(0), removal=False)
    assert (found.hit, found.energy, found.outside, found.deletion) == (0.0, 0.0, None, None)
    assert summarise([found])["no_heat"] == 1


def test_shuffled_weights_with_remeasured_batch_norm_stay_finite() -> None:
    torch.manual_seed(0)
    model = nn.Sequential(
        nn.Conv2d(3, 8, 3), nn.BatchNorm2d(8), nn.ReLU(), nn.Conv2d(8, 8, 3), nn.BatchNorm2d(8)
    ).eval()
    model[1].running_var.fill_(1e-30)  # as if the learned weights had made next to nothing
    pictures = [np.random.default_rng(i).normal(size=(3, 16, 16)).astype(np.float32) for i in range(4)]
    other = hm.randomised(model, pictures)
    with torch.inference_mode():
        out = other(torch.from_numpy(np.stack(pictures)))
    assert abs(float(out.mean())) < 0.1  # normalised on these very pictures
    assert float(out.std()) == pytest.approx(1, abs=0.1)
    assert float(model[1].running_var[0]) == pytest.approx(1e-30)
    assert not any(m.training for m in other.modules())


def test_only_what_training_did_not_see_is_looked_at_sources_in_turn(tmp_path: Path) -> None:
    mask = np.zeros((16, 16), np.uint8)
    mask[4:8, 4:8] = 255
    cv2.imwrite(str(tmp_path / "m.png"), mask)
    rows = [
        Record(f"{s}{i}.png", s, 1, 1, f"{s}/{i}", size=(16, 16), extra={"mask": "m.png", "mask_of": "blood"})
        for s in "ab"
        for i in range(6)
    ]
    parts = {"train": ("a0.png", "a1.png"), "test": tuple(f"{s}{i}.png" for s in "ab" for i in range(2, 6))}
    split = Split("grouped", "presence", 0, True, parts)
    found = ec.selection(Manifest(tmp_path, tuple(rows)), split, "presence", 4, np.random.default_rng(0))
    assert sorted(r.source for r in found) == ["a", "a", "b", "b"]
    assert not {r.path for r in found} & set(parts["train"])
    assert not {"b0.png", "b1.png"} & {r.path for r in found}  # in no part: nobody knows


def test_the_hull_of_edema_holds_the_blood_between_its_pieces(tmp_path: Path) -> None:
    mask = np.zeros((40, 40), np.uint8)
    mask[10:30, 10], mask[10:30, 29] = 255, 255  # two rims, nothing between them marked
    cv2.imwrite(str(tmp_path / "m.png"), mask)
    record = Record("a.png", "s", 1, 1, size=(40, 40), extra={"mask": "m.png", "mask_of": "perihematomal edema"})
    lesion = ec.lesion_of(Manifest(tmp_path, ()), record)
    assert lesion is not None
    assert lesion.sum() == 20 * 20
    thin = np.zeros((40, 40), np.uint8)
    thin[10:30, 10] = 255
    cv2.imwrite(str(tmp_path / "m.png"), thin)
    assert ec.lesion_of(Manifest(tmp_path, ()), record) is None


@pytest.mark.parametrize("name", ["strokenext_atto", "mobilenetv2", "swin_tiny", "custom_cnn", "small_cnn"])
def test_every_kind_of_classifier_is_measured(name: str) -> None:
    torch.manual_seed(1)
    model = build(name, classes=2).eval()
    size = 256 if name == "small_cnn" else 64
    rng = np.random.default_rng(0)
    pictures = [rng.normal(size=(3, size, size)).astype(np.float32) for _ in range(3)]
    head = np.ones((size, size), bool)
    mask = np.zeros((size, size), bool)
    mask[: size // 2] = True
    view = hm.View(Prepared(pictures[0], np.eye(2, 3), head, None), head, mask)
    scrambled = hm.randomised(model, pictures)
    found = hm.examine(model, scrambled, view, 1, Record("a.png", "s", 1, 1), rng)
    assert 0 < (found.deletion or 0) < 1
    assert found.outside in (None, 0.0)
    assert found.mask_share == 0.5
    assert found.hit in (0.0, 1.0)


def test_a_map_points_to_the_middle_of_its_hottest_cell() -> None:
    grid = np.array([[4.0, 1.0], [0.0, 2.0]], np.float32)
    assert hm.peak(grid, 64) == (16, 16)
    assert hm.drawn_up(grid, 64).argmax() == 0  # drawn up, the first of the hottest pixels is the corner of the frame
    assert hm.peak(np.eye(7, dtype=np.float32)[::-1], 56) == (4, 52)
