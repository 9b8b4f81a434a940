"""What a test starts in several processes: a short training, and a deliberate error."""

from __future__ import annotations

from pathlib import Path

from lightning_fabric import Fabric

from strokenext.errors import DataError
from tests.helpers.toy_feed import TinyCNN, ToyFeed, ToyObjective, toy_recipe
from training.train.loop import train
from training.train.run import start_run


def work(fabric: Fabric, run: Path) -> bool:
    """Batches of five images: one process gets three, the other two."""
    recipe = toy_recipe(batch=5, epochs=2, epoch_images=30, optimiser="sgd", rate=0.05, average=0.9)
    objective = ToyObjective(recipe, TinyCNN("layer"))
    start_run(run, recipe, {}, "cpu")
    return train(fabric, recipe, objective, ToyFeed(recipe.batch, recipe.size), run)


def refuse(fabric: Fabric) -> bool:
    """Raises DataError in every process."""
    raise DataError("There is no such thing.")
