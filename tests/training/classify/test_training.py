"""Classifiers of slices train: every model of the zoo, the command, dense pre-training and fusion."""

from __future__ import annotations

import hashlib
import signal
from pathlib import Path
from typing import Any

import cv2
import numpy as np
import pytest
import torch

from strokenext.errors import DataError, OptionError
from strokenext.models.strokenext import StrokeNeXt
from strokenext.zoo import list_models
from tests.helpers.toy_feed import Broken, ToyFeed, learn, toy_recipe
from training.__main__ import main as stages
from training.cache.planes import SLICE_PLANES
from training.cache.store import build
from training.classify.pictures import PicturesFeed
from training.data.manifest import Manifest, Record
from training.drawing.phantom.head import head_phantom
from training.splits.split import Split, write_split
from training.systems import load_run, make_objective
from training.train.feed import Batch
from training.train.run import best_epoch, load_state, read_history, read_run


def weights(run: Path, file: str = "last.pt") -> dict[str, Any]:
    return load_state(run / file)["module"]


def test_the_best_epoch_is_what_is_loaded(tmp_path: Path) -> None:
    recipe = toy_recipe(epochs=3)
    learn(tmp_path, recipe, make_objective(recipe))
    model, again = load_run(tmp_path)
    assert again == recipe
    best = load_state(tmp_path / "best.pt")
    assert best["epoch"] == read_history(tmp_path)[best_epoch(read_history(tmp_path), "auroc")]["epoch"]
    assert not model.training
    assert all(torch.equal(v, best["module"][k]) for k, v in model.state_dict().items())


@pytest.fixture(scope="module")
def data(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, Path]:
    """Cache folder and split file of twelve patients with one slice each, half of them bleeding."""
    root, records = tmp_path_factory.mktemp("data"), []
    for kind in ("normal", "hemorrhage"):
        hu = head_phantom(kind, size=128, seed=1, noise=False).hu
        for i in range(6):
            name, bleeds = f"{kind}{i}", int(kind == "hemorrhage")
            noisy = hu + np.random.default_rng(len(records)).normal(0, 4, hu.shape)
            cv2.imwrite(str(root / f"{name}.png"), np.rint(np.clip(noisy / 80, 0, 1) * 255).astype(np.uint8))
            records.append(Record(f"{name}.png", "s", bleeds, bleeds or None, name, name, name, "0" * 16, (128, 128)))
    build(Manifest(root, tuple(records)), root / "cache", SLICE_PLANES)
    parts = {
        p: tuple(f"{k}{i}.png" for k in ("normal", "hemorrhage") for i in numbers)
        for p, numbers in (("train", range(3)), ("validation", (3, 4)), ("test", (5,)))
    }
    return root / "cache", write_split(Split("grouped", "presence", 0, True, parts), root / "split.json")


def test_the_command(data: tuple[Path, Path], tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A run by the command line: stopped with exit code 130, resumed, finished, asked again, refused."""
    recipe = tmp_path / "short.toml"
    recipe.write_text('model = "custom_cnn"\nsize = 32\nbatch = 2\nwarmup = 1\n')
    common = ["train", str(recipe), "--cache", str(data[0]), "--split", str(data[1]), "--device", "cpu"]
    command = [*common, "--run", str(tmp_path / "run"), "--epochs", "2"]
    drawn = PicturesFeed.batches

    def interrupted(feed: PicturesFeed, first: int, last: int, **shares: int) -> Any:
        for batch in drawn(feed, first, last, **shares):
            yield batch
            signal.raise_signal(signal.SIGINT)

    monkeypatch.setattr(PicturesFeed, "batches", interrupted)
    assert stages([*command]) == 130
    monkeypatch.undo()
    assert load_state(tmp_path / "run" / "last.pt")["step"] == 2
    assert read_history(tmp_path / "run") == []
    assert stages(command) == 0
    assert [line["step"] for line in read_history(tmp_path / "run")] == [3, 6]
    assert stages(command) == 0
    assert len(read_history(tmp_path / "run")) == 2
    about = read_run(tmp_path / "run")
    assert about["data"]["split"] == hashlib.sha256(data[1].read_bytes()).hexdigest()
    assert stages([*command, "--random-labels"]) == 2
    control = [*common, "--run", str(tmp_path / "control"), "--epochs", "1", "--random-labels", "patients"]
    assert stages(control) == 0
    assert read_run(tmp_path / "control")["recipe"]["random_labels"] == "patients"


#: Networks too large for a step here; whether every parameter learns is seen from shapes alone.
LARGE = {
    "strokenext_large",
    "strokenext_base",
    "strokenext_small",
    "strokenext_tiny",
    "strokenext_nano",
    "strokenext_pico",
    "vgg16",
    "convnext_base",
    "resnet152",
}


@pytest.mark.parametrize("name", [r.name for r in list_models("slice") if r.name not in LARGE])
def test_every_classifier_takes_a_step(name: str, tmp_path: Path) -> None:
    size = 256 if name == "small_cnn" else 64
    recipe = toy_recipe(model=name, size=size, batch=2, epochs=1, epoch_images=2, optimiser="sgd", clip=0.0)
    objective = make_objective(recipe)
    before = {k: v.clone() for k, v in objective.model.named_parameters()}
    feed = ToyFeed(2, size)
    loss, _ = objective.loss(objective.module.train(), next(feed.batches(0, 1)), 0)
    loss.backward()
    for key, parameter in objective.model.named_parameters():
        assert (parameter.grad is not None) == parameter.requires_grad, key
    frozen = [k for k, p in objective.model.named_parameters() if not p.requires_grad]
    assert bool(frozen) == (name == "resnet50_frozen")
    objective.model.zero_grad(set_to_none=True)
    learn(tmp_path, recipe, objective, feed)
    after = dict(objective.model.named_parameters())
    assert any(not torch.equal(before[k], after[k]) for k in before)
    assert all(torch.equal(before[k], after[k]) for k in frozen)


@pytest.mark.parametrize("name", sorted(LARGE))
def test_every_parameter_of_a_large_classifier_learns(name: str) -> None:
    with torch.device("meta"):
        objective = make_objective(toy_recipe(model=name, size=64, batch=2))
        pixels, labels = torch.empty(2, 3, 64, 64), torch.empty(2, dtype=torch.long)
    loss, _ = objective.loss(objective.module.train(), Batch(pixels, labels), 0)
    loss.backward()
    assert all(p.grad is not None for p in objective.model.parameters())


def test_a_frozen_part_stays(tmp_path: Path) -> None:
    recipe = toy_recipe(epochs=1, freeze=["blocks.0"])
    objective = make_objective(recipe)
    before = {k: v.clone() for k, v in objective.model.named_parameters()}
    learn(tmp_path, recipe, objective)
    for key, parameter in objective.model.named_parameters():
        assert torch.equal(parameter, before[key]) == key.startswith("blocks.0.")
    with pytest.raises(OptionError, match=r"no part 'nose' to freeze\. Its parts are: blocks, classifier"):
        make_objective(toy_recipe(freeze=["nose"]))


def test_outline_then_fuse(tmp_path: Path) -> None:
    """Dense pre-training, then a fusion head on frozen encoders, then everything."""
    shared: dict[str, Any] = {"model": "strokenext_atto", "size": 64, "batch": 4, "feed": "lesions", "select": "last"}
    first = toy_recipe(objective="outline", epochs=1, epoch_images=8, **shared)
    feed = ToyFeed(4, 64, dense=True)
    learn(tmp_path / "pre", first, make_objective(first), feed)
    start = weights(tmp_path / "pre", "best.pt")

    second = toy_recipe(objective="fuse", epochs=2, epoch_images=4, head_steps=1, **shared)
    fuse = make_objective(second, [tmp_path / "pre"])
    assert isinstance(fuse.model, StrokeNeXt)
    for encoder in (fuse.model.encoder_a, fuse.model.encoder_b):
        assert all(torch.equal(v, start["encoder." + k]) for k, v in encoder.state_dict().items())
    learn(tmp_path / "fuse", second, fuse, Broken(4, 0, 64, dense=True))
    halfway = weights(tmp_path / "fuse")
    assert all(
        torch.equal(v, halfway[k.replace("encoder.", "model.encoder_a.")])
        for k, v in start.items()
        if k.startswith("encoder.")
    )
    assert not torch.equal(
        halfway["model.fusion.0.0.weight"], make_objective(second).module.state_dict()["model.fusion.0.0.weight"]
    )
    assert learn(tmp_path / "fuse", second, make_objective(second, [tmp_path / "pre"]), feed)
    after = weights(tmp_path / "fuse")
    assert not torch.equal(after["model.encoder_a.stem.0.weight"], start["encoder.stem.0.weight"])
    model, _ = load_run(tmp_path / "fuse")
    assert model(torch.zeros(1, 3, 64, 64)).shape == (1, 2)


def test_encoders_of_another_model_are_refused(tmp_path: Path) -> None:
    recipe = toy_recipe(epochs=1)
    learn(tmp_path, recipe, make_objective(recipe))
    with pytest.raises(DataError, match="not a pre-trained encoder of strokenext_atto"):
        make_objective(toy_recipe(model="strokenext_atto", objective="fuse"), [tmp_path])
    with pytest.raises(OptionError, match="resnet50 has none"):
        make_objective(toy_recipe(model="resnet50"), tmp_path)
    with pytest.raises(OptionError, match="custom_cnn is none"):
        make_objective(toy_recipe(objective="fuse"))


def test_layer_scale_starts_where_the_recipe_says() -> None:
    scales = [
        p
        for k, p in make_objective(toy_recipe(model="strokenext_atto")).model.named_parameters()
        if k.endswith("gamma")
    ]
    assert scales
    assert all(float(p.detach().min()) == float(p.detach().max()) == 0.5 for p in scales)
