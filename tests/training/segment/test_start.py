"""Where the encoder of a U-Net starts: a package's ImageNet weights, an `outline` run, or nowhere."""

from __future__ import annotations

from pathlib import Path

import pytest
import torch

from strokenext.errors import DataError, OptionError
from training.classify.dense import DenseEncoder
from training.segment.objective import Segment
from training.train.recipe import Recipe
from training.train.run import BEST, save_state, start_run
from training.train.schedule import encoders_of, parameter_groups
from training.train.starts import STARTS, package_encoder

RECIPE = Recipe("r", task="segmentation", model="unet_lite", objective="segment", feed="masks", size=64)


def run_of(folder: Path, module: torch.nn.Module) -> Path:
    start_run(folder, RECIPE, {}, "cpu")
    save_state(folder / BEST, module=module.state_dict(), epoch=1, validation={})
    return folder


def test_it_starts_from_a_package() -> None:
    made = Segment(RECIPE.override(pretrained="package"))
    stem = made.model.get_submodule("encoder.stem.0")
    assert torch.equal(stem.weight, STARTS["lite0"].weights()["_conv_stem.weight"])  # type: ignore[arg-type]


def test_it_starts_from_a_run_that_learned_outlines(tmp_path: Path) -> None:
    dense = DenseEncoder(package_encoder("lite0"))
    with torch.no_grad():
        dense.encoder.stem[0].weight.add_(1.0)  # type: ignore[index]
    made = Segment(RECIPE.override(pretrained="package"), [run_of(tmp_path / "outline", dense)])
    stem = made.model.get_submodule("encoder.stem.0")
    assert torch.equal(stem.weight, dense.encoder.stem[0].weight)  # type: ignore[index, arg-type]
    assert not torch.equal(stem.weight, STARTS["lite0"].weights()["_conv_stem.weight"])  # type: ignore[arg-type]


def test_a_run_of_another_kind_and_a_network_without_an_encoder_are_refused(tmp_path: Path) -> None:
    run = run_of(tmp_path / "other", torch.nn.Linear(2, 2))
    with pytest.raises(DataError, match="holds no pre-trained encoder of unet_lite"):
        Segment(RECIPE, [run])
    with pytest.raises(OptionError, match="unet has no encoder to start"):
        Segment(RECIPE.override(model="unet"), [run])
    with pytest.raises(OptionError, match="unet_lite has one encoder"):
        Segment(RECIPE, [run, run])


def test_its_encoder_learns_at_its_share_of_the_rate() -> None:
    made = Segment(RECIPE)
    shares = {id(p): g["share"] for g in parameter_groups(made.model, 0.01, encoder_share=0.3) for p in g["params"]}
    assert [id(e) for e in encoders_of(made.model)] == [id(made.model.get_submodule("encoder"))]
    assert {shares[id(p)] for p in encoders_of(made.model)[0].parameters()} == {0.3}
    assert {shares[id(p)] for p in made.model.get_submodule("up").parameters()} == {1.0}
