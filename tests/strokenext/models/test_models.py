"""What the networks are made of, beyond the contract of `test_zoo.py`: layer sizes, frozen layers, refusals."""

from __future__ import annotations

import logging

import pytest
import torch
from torch import nn

from strokenext.errors import HubUnavailableError, ModelNotFoundError, OptionError
from strokenext.models import build
from strokenext.models.strokenext import ENCODERS, Encoder
from strokenext.zoo import ModelRow, row


def sides(network: nn.Module, kinds: tuple[type, ...], x: torch.Tensor) -> list[int]:
    """Width of the output of every layer of the kinds, in the order they run."""
    seen: list[int] = []
    for layer in network.modules():
        if isinstance(layer, kinds):
            layer.register_forward_hook(lambda _l, _i, out: seen.append(out.shape[-1]))
    network(x)
    return seen


def test_the_small_cnn_has_the_listed_layer_sizes() -> None:
    with torch.device("meta"):
        network = build("small_cnn")
        found = sides(network, (nn.Conv2d, nn.MaxPool2d), torch.empty(1, 3, 256, 256))
    assert found == [254, 127, 125, 62, 60, 30, 28, 14, 12, 6, 4, 2]


def test_the_small_cnn_says_which_side_it_reads() -> None:
    with pytest.raises(ValueError, match="256 x 256"):
        build("small_cnn")(torch.zeros(1, 3, 224, 224))


def test_the_volume_network_has_the_keras_sizes_and_one_output_on_request() -> None:
    with torch.device("meta"):
        network = build("cnn3d", classes=1)
        found = sides(network, (nn.Conv3d, nn.MaxPool3d), torch.empty(2, 1, 64, 128, 128))
    assert found == [126, 63, 61, 30, 28, 14, 12, 6]
    assert sum(p.numel() for p in network.parameters()) == 1_351_873


def test_only_the_new_head_of_the_frozen_network_learns() -> None:
    network = build("resnet50_frozen").train()
    trainable = {n.split(".")[0] for n, p in network.named_parameters() if p.requires_grad}
    assert trainable == {"classifier"}
    before = network.body.bn1.running_mean.clone()
    network(torch.randn(2, 3, 64, 64))
    assert torch.equal(network.body.bn1.running_mean, before)


def test_the_heads_layer_norm_of_convnext_is_not_in_strokenext() -> None:
    with torch.device("meta"):
        names = [n for n, _ in build("strokenext_atto").named_parameters()]
    assert not [n for n in names if "head" in n or "norm_pre" in n]


def test_both_encoders_have_weights_of_their_own() -> None:
    network = build("strokenext_atto").eval()
    with torch.no_grad():
        a, b = network.features(torch.randn(1, 3, 64, 64))
    assert a.shape == b.shape == (1, 320, 2, 2)
    assert not torch.allclose(a, b)


def test_a_narrower_decoder_expands_back() -> None:
    network = build("strokenext_atto", hidden=64).eval()
    assert network(torch.zeros(1, 3, 64, 64)).shape == (1, 2)


def test_a_row_of_ones_own_is_built_like_a_listed_one() -> None:
    mine = ModelRow("mine", "Mine", "strokenext.models.unet:unet", 0, "-", "-", {"width": 8}, "segmentation", classes=2)
    assert build(mine)(torch.zeros(1, 3, 33, 47)).shape == (1, 2, 33, 47)


def test_grids_at_224_pixels() -> None:
    with torch.device("meta"):
        found = {
            n: tuple(build(n).features(torch.empty(1, *row(n).input_shape))[0].shape[-2:])
            for n in ("strokenext_tiny", "swin_tiny", "vgg16", "small_cnn")
        }
    assert found == {"strokenext_tiny": (7, 7), "swin_tiny": (7, 7), "vgg16": (14, 14), "small_cnn": (4, 4)}


@pytest.mark.parametrize(
    ("model", "options", "sentence"),
    [
        ("small_cnn", {"width": 3}, "no option 'width'"),
        ("vgg16", {"classes": 0}, "1 to 1000 classes"),
        ("strokenext_atto", {"encoder": "huge"}, "cannot be built .* no encoder is called 'huge'"),
    ],
)
def test_options_out_of_range_are_refused_in_a_sentence(model: str, options: dict[str, object], sentence: str) -> None:
    with pytest.raises(OptionError, match=sentence):
        build(model, **options)  # type: ignore[arg-type]


def test_an_unknown_architecture_is_not_found() -> None:
    with pytest.raises(ModelNotFoundError, match="strokenext_atto"):
        build("strokenext_atoo")


def test_pretrained_without_a_network_is_a_sentence(
    monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    def unreachable(*_: object, **__: object) -> None:
        logging.getLogger("huggingface_hub.utils._http").warning("Retrying in 1s")
        raise ConnectionError("Cannot reach https://huggingface.co")

    monkeypatch.setattr("timm.create_model", unreachable)
    with pytest.raises(HubUnavailableError, match=r"ImageNet weights .* pretrained=False .*--set pretrained=false"):
        build("resnet50", pretrained=True)
    assert not caplog.records  # said once, by the error


@pytest.mark.parametrize("size", ENCODERS)
def test_an_encoder_states_the_channels_of_its_maps(size: str) -> None:
    with torch.device("meta"):
        encoder, x = Encoder(size).eval(), torch.empty(1, 3, 64, 64)
        given = [encoder.stem(x).shape[1], *(m.shape[1] for m in encoder.maps(x))]
    assert encoder.widths == given
    assert encoder.width == given[-1]
