"""The labels of a control are the true ones, permuted."""

from __future__ import annotations

import numpy as np
import pytest

from strokenext.errors import DataError
from training.splits.random_labels import random_labels


def test_random_labels_are_a_permutation() -> None:
    paths = [f"{i:03d}.png" for i in range(200)]
    labels = [int(i < 60) for i in range(200)]
    drawn = random_labels(paths, labels, seed=1)
    assert drawn.sum() == 60
    assert 0.1 < float(np.mean(drawn[:60])) < 0.5  # 0.3 if nothing is left of the truth
    assert np.array_equal(random_labels(paths[::-1], labels[::-1], seed=1), drawn[::-1])
    assert not np.array_equal(random_labels(paths, labels, seed=2), drawn)


def test_random_labels_of_patients_are_one_each() -> None:
    paths = [f"{i:03d}.png" for i in range(400)]
    units = [f"p{i // 8}" for i in range(400)]
    drawn = random_labels(paths, [int(i % 4 == 0) for i in range(400)], seed=5, units=units)
    by_unit = drawn.reshape(50, 8)
    assert (by_unit == by_unit[:, :1]).all()
    assert abs(float(drawn.mean()) - 0.25) <= 0.02  # as nearly as whole patients allow
    with pytest.raises(DataError, match="every image once"):
        random_labels(["a", "a"], [0, 1], seed=1)
