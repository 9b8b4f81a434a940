"""One contract, met by every row of the zoo. Large networks are counted and differentiated on the meta device."""

from __future__ import annotations

import subprocess
import sys
from functools import cache

import pytest
import torch
from torch import nn

from strokenext.errors import ModelNotFoundError
from strokenext.models import build
from strokenext.zoo import ModelRow, list_models, row

ROWS = list_models()
#: Rows small enough to run with real numbers, at a side that keeps the whole file to seconds.
LIGHT = [r for r in ROWS if r.params < 30_000_000 and r.name not in {"strokenext_femto", "strokenext_pico"}]
SMALL_SHAPES = {"small_cnn": (3, 256, 256), "cnn3d": (1, 46, 46, 46), "swin_tiny": (3, 64, 64), "unet": (3, 40, 56)}


def name(r: ModelRow) -> str:
    return r.name


@cache
def on_meta(model: str) -> nn.Module:
    with torch.device("meta"):
        return build(model)


@cache
def with_numbers(model: str) -> nn.Module:
    """One network per row in evaluation mode; its batch-norm statistics are not the trivial 0 and 1."""
    torch.manual_seed(7)
    network = build(model)
    network.train()
    with torch.no_grad():
        network(batch(row(model), 2))
    return network.eval()


def batch(r: ModelRow, images: int) -> torch.Tensor:
    shape = SMALL_SHAPES.get(r.name, (r.channels, 64, 64))
    return torch.randn(images, *shape, generator=torch.Generator().manual_seed(3))


def close(a: torch.Tensor, b: torch.Tensor) -> bool:
    return torch.allclose(a, b, rtol=1e-4, atol=1e-4)


@pytest.mark.parametrize("r", ROWS, ids=name)
def test_parameter_count_is_exactly_the_one_stated(r: ModelRow) -> None:
    assert sum(p.numel() for p in on_meta(r.name).parameters()) == r.params


@pytest.mark.parametrize("r", ROWS, ids=name)
def test_shapes_of_features_and_logits(r: ModelRow) -> None:
    network = on_meta(r.name)
    maps = network.features(torch.empty(2, *r.input_shape, device="meta"))
    assert len(maps) == len(network.encoders) == len(r.encoders)
    assert network.encoders == r.encoders
    assert all(len(m.shape) == len(r.input_shape) + 1 for m in maps)
    expected = (2, r.classes, *r.input_shape[1:]) if r.kind == "segmentation" else (2, r.classes)
    assert network.head(maps).shape == expected


@pytest.mark.parametrize("r", ROWS, ids=name)
def test_every_trainable_parameter_receives_a_gradient(r: ModelRow) -> None:
    network = on_meta(r.name).train()
    network.zero_grad(set_to_none=True)
    network(torch.empty(2, *r.input_shape, device="meta")).sum().backward()
    named = dict(network.named_parameters())
    assert [n for n, p in named.items() if p.requires_grad and p.grad is None] == []
    assert any(p.requires_grad for p in named.values())


@pytest.mark.parametrize("r", ROWS, ids=name)
def test_the_number_of_classes_is_an_option(r: ModelRow) -> None:
    with torch.device("meta"):
        network = build(r.name, classes=3)
    assert network(torch.empty(2, *r.input_shape, device="meta")).shape[1] == 3


@pytest.mark.parametrize("r", LIGHT, ids=name)
def test_forward_is_the_head_of_the_features_and_repeats_itself(r: ModelRow) -> None:
    network, x = with_numbers(r.name), batch(r, 2)
    with torch.no_grad():
        first, second, split = network(x), network(x), network.head(network.features(x))
    assert torch.equal(first, second)
    assert close(first, split)
    assert torch.isfinite(first).all()


@pytest.mark.parametrize("r", LIGHT, ids=name)
def test_an_image_is_judged_alone_whatever_shares_its_batch(r: ModelRow) -> None:
    network, x = with_numbers(r.name), batch(r, 3)
    with torch.no_grad():
        assert close(network(x)[1:2], network(x[1:2]))


@pytest.mark.parametrize("r", LIGHT, ids=name)
def test_a_state_dict_moves_strictly_into_a_fresh_network(r: ModelRow) -> None:
    network, x = with_numbers(r.name), batch(r, 1)
    fresh = build(r.name).eval()
    fresh.load_state_dict(network.state_dict(), strict=True)
    with torch.no_grad():
        assert torch.equal(fresh(x), network(x))


def test_the_papers_four_sizes_have_the_published_counts() -> None:
    published = {"tiny": 57_607_618, "small": 100_876_738, "base": 178_542_082, "large": 399_933_058}
    assert {size: row(f"strokenext_{size}").params for size in published} == published


def test_the_paper_compares_ten_models_and_states_both_accuracies() -> None:
    paper = [r for r in ROWS if r.paper]
    assert len(paper) == 10
    assert all(r.accuracy_presence and r.accuracy_subtype for r in paper)
    assert row("strokenext_large").accuracy_presence == 0.987
    assert row("resnet152").accuracy_subtype == 0.791


def test_names_are_unique_and_kinds_can_be_listed() -> None:
    assert len({r.name for r in ROWS}) == len(ROWS)
    assert [r.name for r in list_models("volume")] == ["cnn3d"]
    assert [r.name for r in list_models("segmentation")] == ["unet", "unet_lite"]


@pytest.mark.parametrize(("wrong", "meant"), [("strokenext-tini", "strokenext_tiny"), ("VGG-16", "vgg16")])
def test_an_unknown_name_is_answered_with_the_close_ones(wrong: str, meant: str) -> None:
    with pytest.raises(ModelNotFoundError, match=f"Did you mean .*{meant}"):
        row(wrong)


def test_listing_the_zoo_imports_no_torch() -> None:
    code = "import sys; from strokenext.zoo import list_models; list_models(); print('torch' in sys.modules)"
    answer = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert answer.stdout.strip() == "False"
