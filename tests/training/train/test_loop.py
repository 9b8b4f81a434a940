"""The training loop: its arithmetic, resuming, stopping, several processes."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
import torch
from lightning_fabric import Fabric

from strokenext.errors import DataError, OptionError
from tests.helpers.toy_feed import Broken, TinyCNN, ToyObjective, learn, toy_recipe
from tests.helpers.two_processes import refuse, work
from training.train.processes import launch
from training.train.run import load_state, read_history, read_run, start_run


def weights(run: Path, file: str = "last.pt") -> dict[str, Any]:
    return load_state(run / file)["module"]


def test_a_small_network_learns_a_planted_blob(tmp_path: Path) -> None:
    recipe = toy_recipe(epochs=12, rate=1e-2, average=0.9)
    assert learn(tmp_path, recipe, ToyObjective(recipe, TinyCNN()), curves=True)
    history = read_history(tmp_path)
    assert [line["epoch"] for line in history] == list(range(1, 13))
    assert history[-1]["validation"]["auroc"] > 0.95
    assert set(history[-1]["validation"]["by_source"]) == {"source0", "source1"}
    assert history[-1]["loss"] < history[0]["loss"]
    assert (tmp_path / "curves.png").stat().st_size > 5000
    about = read_run(tmp_path)
    assert about["recipe"]["rate"] == 1e-2
    assert {"torch", "commit", "threads", "device"} <= set(about["environment"])


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
        learn(tmp_path / name, recipe, ToyObjective(recipe, TinyCNN("layer")))
    a, b = weights(tmp_path / "whole"), weights(tmp_path / "parts")
    assert all(torch.allclose(a[k], b[k], atol=1e-6) for k in a)
    assert len(read_history(tmp_path / "parts")) == 2


def test_early_stopping_stops(tmp_path: Path) -> None:
    recipe = toy_recipe(epochs=9, patience=2, rate=0.0, head_rate=0.0, optimiser="sgd")  # nothing ever gets better
    assert learn(tmp_path, recipe, ToyObjective(recipe, TinyCNN("layer")))
    assert len(read_history(tmp_path)) == 3
    assert load_state(tmp_path / "best.pt")["epoch"] == 1
    assert learn(tmp_path, recipe, ToyObjective(recipe, TinyCNN("layer")))  # asked again, it stays stopped
    assert len(read_history(tmp_path)) == 3


def test_a_figure_that_is_not_measured_selects_nothing(tmp_path: Path) -> None:
    with pytest.raises(OptionError, match="Nothing can be selected by dice; there are: loss, accuracy"):
        learn(tmp_path, toy_recipe(epochs=1, select="dice"))


def test_a_loss_that_is_no_number_is_said(tmp_path: Path) -> None:
    recipe = toy_recipe(epochs=2, optimiser="sgd", rate=1e25, warmup=0)
    with pytest.raises(OptionError, match="no longer a number"):
        learn(tmp_path, recipe, ToyObjective(recipe, TinyCNN("layer")))


def test_two_processes_train_as_one(tmp_path: Path) -> None:
    """Weights and figures of two gloo processes equal those of one; the network has layer norm and no dropout."""
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
