"""Explanation checks on a network whose right answer is known: it adds up brightness, so its heat is the blob."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from torch import Tensor, nn

from strokenext.preprocess import Prepared
from training import explain_check as ec
from training.records import Record

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


def case(row: int, column: int, unit: str = "p") -> ec.Case:
    prepared, mask = blob(row, column)
    model = Brightness().eval()
    record = Record("a.png", "s", 1, 1, unit)
    return ec.examine(model, ec.randomised(model), prepared, mask, 1, record, np.random.default_rng(0))


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
    other = ec.randomised(model)
    assert torch.equal(model.weight, before)
    assert not torch.equal(other.weight, before)
    assert torch.equal(other.weight.sort().values.flatten().sort().values, before.flatten().sort().values)


def test_summary_has_intervals_over_patients_and_the_difference_to_the_control() -> None:
    found = ec.summarise([case(8, 8 * k, f"p{k}") for k in range(1, 6)])
    assert found["images"] == 5
    assert found["hit"]["value"] == 1
    assert found["hit"]["units"] == 5
    assert found["energy_minus_control"]["low"] > 0
    assert found["by_source"]["s"]["hit"] == 1


def test_centre_prior_peaks_in_the_middle_of_the_head() -> None:
    prepared, _ = blob(8, 8)
    prior = ec.centre_prior(prepared.head)
    assert np.unravel_index(prior.argmax(), prior.shape) in {(27, 27), (27, 28), (28, 27), (28, 28)}
