"""Training: recipes, the loop's arithmetic, resuming, stopping, several processes, every model of the zoo."""

from __future__ import annotations

import hashlib
import json
import signal
from pathlib import Path
from typing import Any

import cv2
import numpy as np
import pytest
import torch
from lightning_fabric import Fabric

from strokenext.errors import DataError, OptionError
from strokenext.models.strokenext import StrokeNeXt
from strokenext.zoo import list_models, row
from tests.helpers import places
from tests.helpers.toy_feed import TinyCNN, ToyFeed, toy_recipe
from tests.helpers.two_processes import refuse, work
from training.__main__ import main as stages
from training.cache import store as cache
from training.classify.objective import Classify, Objective, load_run, make_objective
from training.classify.pictures import PicturesFeed
from training.data.manifest import Manifest, Record
from training.drawing.phantom.head import head_phantom
from training.splits.random_labels import random_labels
from training.splits.split import Split, write_split
from training.train.feed import Batch
from training.train.loop import train
from training.train.processes import launch
from training.train.recipe import Recipe, read_recipe
from training.train.run import best_epoch, load_state, read_history, read_run, start_run
from training.train.schedule import factor, learning_rate, plateaus, resized

RECIPES = sorted(places.RECIPES.glob("*.toml"))


def learn(run: Path, recipe: Recipe, objective: Objective | None = None, feed: ToyFeed | None = None) -> bool:
    """One process on the CPU, as `prepare` does it, on a toy feed."""
    torch.manual_seed(recipe.seed)
    chosen = objective or make_objective(recipe)
    start_run(run, recipe, {}, "cpu")
    fabric = Fabric(accelerator="cpu", devices=1)
    return train(fabric, recipe, chosen, feed or ToyFeed(recipe.batch, recipe.size), run)


def tiny(recipe: Recipe, norm: str = "batch") -> Classify:
    """The classification objective with the smallest network."""
    objective = Classify(recipe)
    torch.manual_seed(3)
    objective.model = objective.module = TinyCNN(norm)
    return objective


def weights(run: Path, file: str = "last.pt") -> dict[str, Any]:
    return load_state(run / file)["module"]


@pytest.fixture(autouse=True)
def few_curves(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> None:
    """Drawing takes a fifth of a second per epoch: only the tests that look at the picture draw it."""
    if not request.node.name.startswith(("test_a_small_network", "test_the_command")):
        monkeypatch.setattr("training.train.loop.draw_curves", lambda *_: None)


class Broken(ToyFeed):
    """Presses Ctrl-C before a step."""

    def __init__(self, batch: int, at: int, size: int = 32) -> None:
        super().__init__(batch, size)
        self.at = at

    def batches(self, first_step: int, last_step: int, **shares: int) -> Any:
        for step, batch in enumerate(super().batches(first_step, last_step, **shares), start=first_step):
            if step == self.at:
                signal.raise_signal(signal.SIGINT)
            yield batch


def test_a_small_network_learns_a_planted_blob(tmp_path: Path) -> None:
    recipe = toy_recipe(epochs=12, rate=1e-2, average=0.9)
    assert learn(tmp_path, recipe, tiny(recipe))
    history = read_history(tmp_path)
    assert [line["epoch"] for line in history] == list(range(1, 13))
    assert history[-1]["validation"]["auroc"] > 0.95
    assert set(history[-1]["validation"]["by_source"]) == {"source0", "source1"}
    assert history[-1]["loss"] < history[0]["loss"]
    assert (tmp_path / "curves.png").stat().st_size > 5000
    about = read_run(tmp_path)
    assert about["recipe"]["rate"] == 1e-2
    assert {"torch", "commit", "threads", "device"} <= set(about["environment"])


def test_the_best_epoch_is_what_is_loaded(tmp_path: Path) -> None:
    recipe = toy_recipe(epochs=3)
    learn(tmp_path, recipe)
    model, again = load_run(tmp_path)
    assert again == recipe
    best = load_state(tmp_path / "best.pt")
    assert best["epoch"] == read_history(tmp_path)[best_epoch(read_history(tmp_path), "auroc")]["epoch"]
    assert not model.training
    assert all(torch.equal(v, best["module"][k]) for k, v in model.state_dict().items())


@pytest.mark.parametrize(
    ("at", "changes"), [(2, {}), (4, {"average": 0.9}), (5, {"accumulate": 2, "precision": "bf16"})]
)
def test_an_interrupted_run_comes_to_the_same_numbers(tmp_path: Path, at: int, changes: dict[str, Any]) -> None:
    recipe = toy_recipe(epochs=2, **changes)  # custom_cnn: its dropout must repeat, too
    assert learn(tmp_path / "straight", recipe)
    assert not learn(tmp_path / "broken", recipe, feed=Broken(recipe.batch, at))
    stopped = load_state(tmp_path / "broken" / "last.pt")["step"]
    assert at < stopped <= at + recipe.accumulate
    assert learn(tmp_path / "broken", recipe)
    a, b = (load_state(tmp_path / run / "last.pt") for run in ("straight", "broken"))
    for part in ("module", "average"):
        assert (a[part] is None) == (b[part] is None)
        assert all(torch.equal(v, b[part][k]) for k, v in (a[part] or {}).items())
    lines = [read_history(tmp_path / run) for run in ("straight", "broken")]
    for line in (*lines[0], *lines[1]):
        del line["seconds"], line["images_per_second"]
    assert lines[0] == lines[1]


def test_a_folder_of_another_recipe_is_refused(tmp_path: Path) -> None:
    learn(tmp_path, toy_recipe(epochs=1))
    with pytest.raises(OptionError, match=r"another recipe: epochs, rate differ"):
        start_run(tmp_path, toy_recipe(epochs=2, rate=0.5), {}, "cpu")
    with pytest.raises(OptionError, match="another data: split differ"):
        start_run(tmp_path, toy_recipe(epochs=1), {"split": "x"}, "cpu")


def test_two_small_batches_make_one_large_step(tmp_path: Path) -> None:
    """Without batch norm the gradient of 32 images is the mean of two gradients of 16."""
    changes: dict[str, Any] = {"epochs": 2, "epoch_images": 64, "optimiser": "sgd", "rate": 0.1}
    for name, batch, accumulate in (("whole", 32, 1), ("parts", 16, 2)):
        recipe = toy_recipe(batch=batch, accumulate=accumulate, **changes)
        learn(tmp_path / name, recipe, tiny(recipe, norm="layer"))
    a, b = weights(tmp_path / "whole"), weights(tmp_path / "parts")
    assert all(torch.allclose(a[k], b[k], atol=1e-6) for k in a)
    assert len(read_history(tmp_path / "parts")) == 2


def test_early_stopping_stops(tmp_path: Path) -> None:
    recipe = toy_recipe(epochs=9, patience=2, rate=0.0, head_rate=0.0, optimiser="sgd")  # nothing ever gets better
    assert learn(tmp_path, recipe, tiny(recipe, "layer"))
    assert len(read_history(tmp_path)) == 3
    assert load_state(tmp_path / "best.pt")["epoch"] == 1
    assert learn(tmp_path, recipe, tiny(recipe, "layer"))  # asked again, it stays stopped
    assert len(read_history(tmp_path)) == 3


def test_a_figure_that_is_not_measured_selects_nothing(tmp_path: Path) -> None:
    with pytest.raises(OptionError, match="Nothing can be selected by dice; there are: loss, accuracy"):
        learn(tmp_path, toy_recipe(epochs=1, select="dice"))


def test_a_loss_that_is_no_number_is_said(tmp_path: Path) -> None:
    recipe = toy_recipe(epochs=2, optimiser="sgd", rate=1e25, warmup=0)
    with pytest.raises(OptionError, match="no longer a number"):
        learn(tmp_path, recipe, tiny(recipe, "layer"))


def test_two_processes_train_as_one(tmp_path: Path) -> None:
    """Weights and figures of two gloo processes equal those of one; the network has batch norm and no dropout."""
    for count in (1, 2):
        assert launch(work, tmp_path / str(count), device="cpu", processes=count) is True
    a, b = (weights(tmp_path / str(count)) for count in (1, 2))
    assert all(torch.allclose(a[k].float(), b[k].float(), rtol=1e-4, atol=1e-5) for k in a)
    one, two = (read_history(tmp_path / str(count)) for count in (1, 2))
    assert len(one) == len(two) == 2
    for x, y in zip(one, two, strict=True):
        assert x["loss"] == pytest.approx(y["loss"], abs=1e-4)
        assert x["accuracy"] == y["accuracy"]
        assert x["validation"]["loss"] == pytest.approx(y["validation"]["loss"], abs=1e-4)


def test_an_error_in_a_process_is_a_sentence_here(monkeypatch: pytest.MonkeyPatch) -> None:
    """What a process raises on purpose comes back as a value and is raised again; nothing is started here."""
    monkeypatch.setattr(Fabric, "launch", lambda fabric, function, *arguments: function(fabric, *arguments))
    with pytest.raises(DataError, match="no such thing"):
        launch(refuse, device="cpu", processes=2)
    with pytest.raises(OptionError, match="fp16 needs a CUDA device"):
        launch(refuse, device="cpu", precision="fp16")


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
    cache.build(Manifest(root, tuple(records)), root / "cache")
    parts = {p: tuple(f"{k}{i}.png" for k in ("normal", "hemorrhage") for i in numbers)
             for p, numbers in (("train", range(3)), ("validation", (3, 4)), ("test", (5,)))}  # fmt: skip
    return root / "cache", write_split(Split("grouped", "presence", 0, True, parts), root / "split.json")


def test_the_command(data: tuple[Path, Path], tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A run by the command line: stopped with exit code 130, gone on with, finished, asked again, refused."""
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
LARGE = {"strokenext_large", "strokenext_base", "strokenext_small", "strokenext_tiny", "strokenext_nano",
         "strokenext_pico", "vgg16", "convnext_base", "resnet152"}  # fmt: skip


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
    learn(tmp_path / "pre", first, feed=feed)
    start = weights(tmp_path / "pre", "best.pt")

    second = toy_recipe(objective="fuse", epochs=2, epoch_images=4, head_steps=1, **shared)
    fuse = make_objective(second, tmp_path / "pre")
    assert isinstance(fuse.model, StrokeNeXt)
    for encoder in (fuse.model.encoder_a, fuse.model.encoder_b):
        assert all(torch.equal(v, start["encoder." + k]) for k, v in encoder.state_dict().items())
    learn(tmp_path / "fuse", second, fuse, feed=Broken4(1))
    halfway = weights(tmp_path / "fuse")
    assert all(torch.equal(v, halfway[k.replace("encoder.", "model.encoder_a.")]) for k, v in start.items()
               if k.startswith("encoder."))  # fmt: skip
    assert not torch.equal(halfway["model.fusion.0.0.weight"], make_objective(second).module.state_dict()
                           ["model.fusion.0.0.weight"])  # fmt: skip
    assert learn(tmp_path / "fuse", second, make_objective(second, tmp_path / "pre"), feed=feed)
    after = weights(tmp_path / "fuse")
    assert not torch.equal(after["model.encoder_a.stem.0.weight"], start["encoder.stem.0.weight"])
    model, _ = load_run(tmp_path / "fuse")
    assert model(torch.zeros(1, 3, 64, 64)).shape == (1, 2)


class Broken4(Broken):
    """Presses Ctrl-C before step `at`, with outlines in its batches."""

    def __init__(self, at: int) -> None:
        super().__init__(4, at - 1, 64)
        self.dense = True


def test_encoders_of_another_model_are_refused(tmp_path: Path) -> None:
    learn(tmp_path, toy_recipe(epochs=1))
    with pytest.raises(DataError, match="not a pre-trained encoder of strokenext_atto"):
        make_objective(toy_recipe(model="strokenext_atto", objective="fuse"), tmp_path)
    with pytest.raises(OptionError, match="resnet50 has none"):
        make_objective(toy_recipe(model="resnet50"), tmp_path)
    with pytest.raises(OptionError, match="custom_cnn is none"):
        make_objective(toy_recipe(objective="fuse"))


def test_layer_scale_starts_where_the_recipe_says() -> None:
    scales = [p for k, p in make_objective(toy_recipe(model="strokenext_atto")).model.named_parameters()
              if k.endswith("gamma")]  # fmt: skip
    assert scales
    assert all(float(p.detach().min()) == float(p.detach().max()) == 0.5 for p in scales)


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
        ("sise = 96", "entries nobody reads: sise"),
        ("[mixture]\nnormals = 1", r"table \[mixture\] has entries nobody reads: normals"),
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
