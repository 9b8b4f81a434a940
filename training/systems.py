"""The systems that can be trained, one row each: what is drawn, learned, finished, written on the card and evaluated.

`cache`, `train`, `finish`, `evaluate` and `experiments` ask this table; nothing else knows which system a recipe or a
model belongs to. A system's files lie in the folder that its row imports from.
"""

from __future__ import annotations

from argparse import Action, _ArgumentGroup
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, cast

import torch
from torch import nn

from strokenext.errors import OptionError
from strokenext.record.config import Kind, ModelConfig
from training.cache.planes import SLICE_PLANES
from training.cache.store import Cache, PlaneSet
from training.classify import card as classify_card
from training.classify import evaluate as classify_evaluate
from training.classify import finish as classify_finish
from training.classify.distil import Distil
from training.classify.fuse import Fuse, Outline
from training.classify.lesions import LesionsFeed
from training.classify.objective import Classify
from training.classify.pictures import PicturesFeed
from training.segment import card as segment_card
from training.segment import evaluate as segment_evaluate
from training.segment import finish as segment_finish
from training.segment.feed import MasksFeed
from training.segment.objective import Segment
from training.segment.planes import SEGMENTATION_PLANES
from training.splits.split import Split
from training.train.evaluation import Evaluated, Evaluation
from training.train.feed import Feed
from training.train.objective import Objective
from training.train.recipe import Recipe
from training.train.run import read_recipe_of, trained_weights
from training.train.trained import Report, TrainedRun
from training.volumes import card as volumes_card
from training.volumes import evaluate as volumes_evaluate
from training.volumes import finish as volumes_finish
from training.volumes.feed import VolumesFeed
from training.volumes.objective import VolumeObjective


@dataclass(frozen=True)
class System:
    """One way from slices to a model.

    `kind` is that of its models. `feeds` and `objectives` by the names that a recipe uses; an objective
    with `takes_encoder` is also given the run its encoder starts from, one with `takes_teachers` the runs it learns
    from. `finish` calibrates and tests a trained run and returns the model's record with what `card` needs besides;
    `evaluate` measures a loaded network; `flags` adds what only this system's evaluation can be asked.
    """

    name: str
    kind: Kind
    planes: PlaneSet
    feeds: Mapping[str, Callable[[Recipe, Cache, Split, torch.device], Feed]]
    objectives: Mapping[str, type]
    finish: Callable[[TrainedRun, Report], tuple[ModelConfig, Any]]
    card: Callable[[ModelConfig, Recipe, Any], str]
    evaluate: Callable[[nn.Module, ModelConfig, Evaluation], Sequence[Evaluated]]
    flags: Callable[[_ArgumentGroup], list[Action]]


SYSTEMS: tuple[System, ...] = (
    System(
        "classifier of slices", "slice", SLICE_PLANES,
        {"pictures": PicturesFeed, "lesions": LesionsFeed},
        {"classify": Classify, "outline": Outline, "distil": Distil, "fuse": Fuse},
        classify_finish.finish, classify_card.write_card, classify_evaluate.evaluate, classify_evaluate.flags,
    ),
    System(
        "segmentation", "segmentation", SEGMENTATION_PLANES,
        {"masks": MasksFeed},
        {"segment": Segment},
        segment_finish.finish, segment_card.write_card, segment_evaluate.evaluate, segment_evaluate.flags,
    ),
    System(
        "network of volumes", "series", SLICE_PLANES,
        {"volumes": VolumesFeed},
        {"volume": VolumeObjective},
        volumes_finish.finish, volumes_card.write_card, volumes_evaluate.evaluate, volumes_evaluate.flags,
    ),
)  # fmt: skip


def system_of(recipe: Recipe) -> System:
    """The system that learns a recipe's objective. Raises OptionError for an unknown objective or feed."""
    for system in SYSTEMS:
        if recipe.objective in system.objectives:
            if recipe.feed not in system.feeds:
                known = " or ".join(system.feeds)
                learns = f"The objective '{recipe.objective}' learns from the feed {known}"
                raise OptionError(f"{learns}, not from '{recipe.feed}'.")
            return system
    known = ", ".join(name for system in SYSTEMS for name in system.objectives)
    raise OptionError(f"The recipe's objective is '{recipe.objective}'; it must be one of {known}.")


def system_for(config: ModelConfig) -> System:
    """The system that a model belongs to. Raises OptionError where it cannot be evaluated here."""
    for system in SYSTEMS:
        if system.kind == config.kind:
            return system
    raise OptionError(f"{config.name} is a {config.kind} model; there is no system here that evaluates it.")


def make_feed(recipe: Recipe, cache: Cache, split: Split, device: torch.device | str) -> Feed:
    """The recipe's feed. Raises DataError where cache or split do not fit the recipe."""
    return system_of(recipe).feeds[recipe.feed](recipe, cache, split, torch.device(device))


def make_objective(recipe: Recipe, encoder_from: Sequence[Path] = (), teachers: Sequence[Path] = ()) -> Objective:
    """The recipe's objective with a network of its own. Raises OptionError where a given run means nothing to it."""
    kind = system_of(recipe).objectives[recipe.objective]
    given: dict[str, Sequence[Path]] = {}
    for flag, wanted, name, runs in (
        ("--encoder-from", "takes_encoder", "encoder_from", encoder_from),
        ("--teacher", "takes_teachers", "teachers", teachers),
    ):
        if getattr(kind, wanted, False):
            given[name] = runs
        elif runs:
            raise OptionError(f"{flag} means nothing to the objective '{recipe.objective}'; omit it.")
    return cast(Objective, kind(recipe, **given))


def load_run(run: Path) -> tuple[nn.Module, Recipe]:
    """The best network of a run, in evaluation mode, and the recipe it was trained with."""
    recipe = read_recipe_of(run)
    objective = make_objective(recipe.override(pretrained=False))
    objective.module.load_state_dict(trained_weights(run))
    return objective.model.eval(), recipe
