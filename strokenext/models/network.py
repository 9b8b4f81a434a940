"""What the networks share: encoders to their last maps, a head from those to logits, a block of convolutions."""

from __future__ import annotations

from torch import Tensor, nn


class Network(nn.Module):
    """Images (N, C, *sides) -> logits, in two steps; `encoders` names the maps between them."""

    encoders: tuple[str, ...] = ("A",)

    def features(self, x: Tensor) -> tuple[Tensor, ...]:
        """(N, C, *sides) -> the last feature map of each encoder, (N, d, *cells)."""
        raise NotImplementedError

    def head(self, features: tuple[Tensor, ...]) -> Tensor:
        """The feature maps -> logits, (N, classes)."""
        raise NotImplementedError

    def forward(self, x: Tensor) -> Tensor:
        return self.head(self.features(x))


def double_convolution(inputs: int, outputs: int) -> nn.Sequential:
    """(N, inputs, h, w) -> (N, outputs, h, w): two 3 x 3 convolutions, each with batch norm and ReLU."""
    layers: list[nn.Module] = []
    for channels in (inputs, outputs):
        layers += [nn.Conv2d(channels, outputs, 3, padding=1, bias=False), nn.BatchNorm2d(outputs), nn.ReLU()]
    return nn.Sequential(*layers)
