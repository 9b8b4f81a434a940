"""A short training in one or two CPU processes: `python -m tests.two_processes RUN COUNT`. Used by a test."""

from __future__ import annotations

import sys
from pathlib import Path

import torch
from lightning_fabric import Fabric

from tests.toy_feed import TinyCNN, ToyFeed, toy_recipe
from training.launch import launch
from training.objectives import Classify
from training.runs import start_run
from training.train import train


def work(fabric: Fabric, run: Path) -> bool:
    """Batches of five images: one process gets three, the other two."""
    recipe = toy_recipe(batch=5, epochs=2, epoch_images=30, optimiser="sgd", rate=0.05, average=0.9)
    objective = Classify(recipe)
    torch.manual_seed(3)
    objective.model = objective.module = TinyCNN("batch")
    start_run(run, recipe, {}, "cpu")
    return train(fabric, recipe, objective, ToyFeed(recipe.batch, recipe.size), run)


if __name__ == "__main__":
    assert launch(work, Path(sys.argv[1]), device="cpu", processes=int(sys.argv[2])) is True
