"""Learning from teachers: what an ensemble says, what is compared, what an unlabelled slice takes part in."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

from strokenext.errors import DataError, OptionError
from tests.helpers.toy_feed import ToyFeed, learn, toy_recipe
from training.cache.planes import planes_of
from training.cache.store import Cache, Row
from training.classify.distil import STAGES, Distil, Teachers, likeness, places_loss
from training.classify.examples import UNLABELLED, Pools, make_example
from training.classify.fuse import outline_loss
from training.drawing.phantom.head import head_phantom
from training.systems import make_objective
from training.train.feed import Batch
from training.train.recipe import Mixture
from training.train.run import read_history, read_run

SHARED: dict[str, Any] = {"model": "strokenext_atto", "size": 64, "batch": 4, "feed": "lesions", "select": "last"}


@pytest.fixture(scope="module")
def teachers(tmp_path_factory: pytest.TempPathFactory) -> list[Path]:
    """Two short runs of `outline` from other seeds, one at another size."""
    runs = []
    for seed, size in ((1, 64), (2, 96)):
        run = tmp_path_factory.mktemp("teacher")
        torch.manual_seed(seed)
        recipe = toy_recipe(objective="outline", epochs=3, epoch_images=64, seed=seed, **{**SHARED, "size": size})
        learn(run, recipe, make_objective(recipe), ToyFeed(4, size, dense=True))
        runs.append(run)
    return runs


def test_an_ensemble_says_the_mean_of_what_its_teachers_say(teachers: list[Path]) -> None:
    recipe, pixels = toy_recipe(objective="distil", **SHARED), ToyFeed(4, 64, dense=True).together([0, 1, 2]).pixels
    apart = [Teachers(recipe, [run])(pixels) for run in teachers]
    both = Teachers(recipe, teachers)(pixels)
    assert torch.allclose(both.classes, (apart[0].classes + apart[1].classes) / 2)
    assert torch.allclose(both.outlines, (apart[0].outlines + apart[1].outlines) / 2)
    assert not torch.allclose(apart[0].classes, apart[1].classes, atol=1e-3)
    assert torch.allclose(both.classes.sum(1), torch.ones(3))
    assert both.outlines.shape == (3, 2, 16, 16)
    assert [len(places) for places in both.places] == [len(STAGES)] * 2


def test_places_are_compared_whatever_the_width_and_the_scale_of_the_features() -> None:
    torch.manual_seed(0)
    maps = torch.randn(2, 5, 3, 3)
    mixed = torch.einsum("oc,nchw->nohw", 7 * torch.linalg.qr(torch.randn(8, 5)).Q, maps)
    assert torch.allclose(likeness(maps), likeness(mixed), atol=1e-5)
    assert torch.allclose(torch.diagonal(likeness(maps), dim1=1, dim2=2), torch.ones(2, 9))
    other = torch.randn(2, 5, 3, 3)
    assert places_loss([maps, maps], [[likeness(mixed), likeness(mixed)]]) < 1e-8
    assert places_loss([maps, maps], [[likeness(other), likeness(mixed)]]) > 0.05


def test_a_pupil_comes_nearer_to_its_teachers_without_any_label(teachers: list[Path], tmp_path: Path) -> None:
    recipe = toy_recipe(objective="distil", epochs=3, epoch_images=64, rate=1e-3, label_weight=0, seed=5, **SHARED)
    torch.manual_seed(3)
    objective = make_objective(recipe, (), teachers)
    assert isinstance(objective, Distil)
    feed = ToyFeed(4, 64, dense=True)
    batch = feed.together(list(range(100, 116)))
    wanted = objective.teachers(batch.pixels).classes

    def apart() -> float:
        with torch.no_grad():
            said = objective.module.eval()(batch.pixels)[0].log_softmax(1)
        return float(torch.nn.functional.kl_div(said, wanted, reduction="batchmean"))

    before = apart()
    learn(tmp_path, recipe, objective, feed)
    assert apart() < 0.75 * before
    assert read_history(tmp_path)[-1]["validation"]["auroc"] > 0.9  # of classes that nobody but the teachers named


def test_a_run_of_distil_starts_encoders_like_one_of_outline(teachers: list[Path], tmp_path: Path) -> None:
    recipe = toy_recipe(objective="distil", epochs=1, epoch_images=4, **SHARED)
    learn(tmp_path, recipe, make_objective(recipe, (), teachers), ToyFeed(4, 64, dense=True))
    assert read_run(tmp_path)["recipe"]["objective"] == "distil"
    fused = make_objective(toy_recipe(objective="fuse", **SHARED), [tmp_path])
    again = make_objective(recipe, [tmp_path], teachers)
    for name, weight in again.module.encoder.state_dict().items():  # type: ignore[union-attr, operator]
        assert torch.equal(weight, fused.model.encoder_a.state_dict()[name])  # type: ignore[union-attr, operator]


def test_teachers_that_mean_nothing_are_refused(teachers: list[Path]) -> None:
    batch = ToyFeed(4, 64, dense=True).together([0, 1])
    alone = make_objective(toy_recipe(objective="distil", **SHARED))
    with pytest.raises(OptionError, match="give --teacher RUN"):
        alone.loss(alone.module, batch, 0)
    with pytest.raises(OptionError, match="--teacher means nothing to the objective 'outline'"):
        make_objective(toy_recipe(objective="outline", **SHARED), (), teachers)
    with pytest.raises(DataError, match="reads other pixels"):
        make_objective(toy_recipe(objective="distil", level=False, **SHARED), (), teachers)


def test_an_unlabelled_slice_takes_no_part_in_the_loss_of_labels() -> None:
    recipe = toy_recipe(objective="distil", **SHARED)
    batch = ToyFeed(4, 64, dense=True).together([0, 1, 2])
    assert batch.known is not None
    known = batch.known.clone()
    known[2] = 0
    labels = torch.tensor([0, 2, UNLABELLED])
    one = Batch(batch.pixels, labels, dense=batch.dense, known=known)
    torch.manual_seed(0)
    classes, outlines = torch.randn(3, 3), torch.randn(3, 2, 16, 16)
    before = outline_loss(classes, outlines, one, recipe)
    classes[2], outlines[2] = 5.0, -5.0
    assert outline_loss(classes, outlines, one, recipe) == before
    classes[1] += torch.tensor([3.0, 0, 0])
    assert outline_loss(classes, outlines, one, recipe) > before
    none = Batch(batch.pixels, torch.full((3,), UNLABELLED), dense=batch.dense, known=torch.zeros_like(known))
    assert torch.isfinite(outline_loss(classes, outlines, none, recipe))


def test_unlabelled_slices_are_those_of_which_nobody_said_anything() -> None:
    rows, planes = [], []
    for number, (presence, away) in enumerate([(0, 0), (1, 0), (None, 1), (None, 5)]):
        image = head_phantom("hemorrhage" if presence else "normal", size=192, seed=number).as_slice()
        planes.append(planes_of(image, None, np.ones(image.shape, bool) if presence else None))
        who = f"p{number}"
        rows.append(Row(who, "s", who, who, presence, presence or None, 0.3, away=away))
    pools = Pools(Cache(tuple(rows), np.stack(planes)), range(4), away=3)
    assert pools.unlabelled == [[2]]  # the last lies far enough from any lesion to serve as free of one
    only = Mixture(normal=0, infarct=0, bleed=0, real_bleed=0, unlabelled=1)
    pools.check(only)
    example = make_example(np.random.default_rng(3), pools, 64, only)
    assert example.label == UNLABELLED
    assert example.known.max() == 0
    with pytest.raises(DataError, match="unlabelled slice"):
        Pools(Cache(tuple(rows[:2]), np.stack(planes[:2])), range(2)).check(Mixture(unlabelled=0.2))
