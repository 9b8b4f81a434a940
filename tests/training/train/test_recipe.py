"""Recipes and the schedule they ask for."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from strokenext.errors import OptionError
from strokenext.zoo import row
from tests.helpers import places
from tests.helpers.toy_feed import ToyFeed, toy_recipe
from training.train.recipe import Recipe, read_recipe
from training.train.run import best_epoch
from training.train.schedule import factor, learning_rate, plateaus, resized

RECIPES = sorted(places.RECIPES.glob("*.toml"))


def test_the_schedule() -> None:
    recipe = toy_recipe(rate=1.0, head_rate=2.0, warmup=10)
    assert factor(recipe, 0, 110) == pytest.approx(0.1)
    assert factor(recipe, 10, 110) == 1.0
    assert factor(recipe, 60, 110) == pytest.approx(0.505)
    assert factor(recipe, 110, 110) == pytest.approx(0.01)
    stepped = recipe.override(schedule="step")
    assert [factor(stepped, u, 110) for u in (59, 60, 85)] == pytest.approx([1, 0.1, 0.01])
    two = recipe.override(head_steps=50)
    assert learning_rate(two, 10, 150) == 2.0
    assert learning_rate(two, 60, 150) == 1.0
    history = [{"validation": {"loss": x}} for x in (3.0, 2.0, 2.1, 2.2, 2.3, 1.0)]
    assert plateaus(history) == 1
    assert factor(recipe.override(schedule="plateau"), 99, 110, history) == 0.5


def test_the_epoch_that_is_kept() -> None:
    history = [{"validation": {"auroc": a, "loss": x}} for a, x in ((None, 1.0), (0.7, 0.9), (0.8, 0.5), (0.8, 0.6))]
    assert [best_epoch(history, s) for s in ("auroc", "loss", "last")] == [2, 2, 3]
    assert best_epoch(history[:1], "auroc") == 0
    assert best_epoch(history, "dice") == 3  # never measured: the last


def test_sizes_grow() -> None:
    recipe = toy_recipe(progressive=[[0.0, 16], [0.5, 24], [0.9, 32]])
    assert [recipe.size_at(d) for d in (0.0, 0.49, 0.5, 0.95)] == [16, 16, 24, 32]
    batch = next(ToyFeed(4, 32, dense=True).batches(0, 1))
    small = resized(batch, 16)
    assert small.pixels.shape == (4, 3, 16, 16)
    assert small.dense is not None
    assert batch.dense is not None
    assert small.dense.shape == (4, 2, 4, 4)
    assert float(small.dense.mean()) == pytest.approx(float(batch.dense.mean()), rel=0.3)
    assert resized(batch, 32) is batch


def test_epochs_are_whole_updates() -> None:
    assert toy_recipe(epoch_images=0, batch=16).epoch_steps(100) == 6
    assert toy_recipe(epoch_images=0, batch=16, accumulate=4).epoch_steps(100) == 8
    assert toy_recipe(epoch_images=10, batch=16).epoch_steps(100) == 1
    with pytest.raises(OptionError, match="draws without end: set the recipe's epoch_images"):
        toy_recipe(epoch_images=0).epoch_steps(0)


@pytest.mark.parametrize("path", RECIPES, ids=lambda p: p.stem)
def test_every_recipe_reads(path: Path) -> None:
    recipe = read_recipe(path)
    assert recipe.name == path.stem
    assert Recipe.from_dict(json.loads(json.dumps(recipe.to_dict()))) == recipe
    assert row(recipe.model)


def test_a_recipe_is_a_difference_and_can_be_changed(tmp_path: Path) -> None:
    file = tmp_path / "small.toml"
    file.write_text('size = 96\nsources = ["a"]\n[mixture]\nnormal = 0.5\n')
    recipe = read_recipe(file, ["model=resnet50", "mixture.infarct=0.1", "rate=2e-4", "augment.flip=0.0"])
    assert (recipe.name, recipe.size, recipe.model, recipe.rate) == ("small", 96, "resnet50", 2e-4)
    assert (recipe.mixture.normal, recipe.mixture.infarct, recipe.augment.flip) == (0.5, 0.1, 0.0)
    assert recipe.batch == Recipe("x").batch
    assert recipe.preprocess().size == 96


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("sise = 96", "unknown keys: sise"),
        ("[mixture]\nnormals = 1", r"table \[mixture\] has unknown keys: normals"),
        ('optimiser = "lion"', "optimiser is 'lion'; it must be one of 'adamw', 'adam', 'sgd'"),
        ("batch = 0", "batch is 0; it must be 1 or more"),
        ("size = 8", "input size 8"),
        ("size = ", "cannot be read"),
        ('patience = 3\nselect = "last"', "Early stopping needs a figure"),
    ],
)
def test_a_wrong_recipe_is_refused(text: str, said: str, tmp_path: Path) -> None:
    (tmp_path / "r.toml").write_text(text)
    with pytest.raises(OptionError, match=said):
        read_recipe(tmp_path / "r.toml")
