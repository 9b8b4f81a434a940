"""Two small CNNs from scratch: the custom CNN with batch norm and the six-convolution CNN of 183,682 parameters."""

from __future__ import annotations

from itertools import pairwise

import torch
from torch import Tensor, nn

from .network import Network, double_convolution

#: Channels of the custom CNN's convolution blocks, its dropout after each block and its head.
CUSTOM_CHANNELS = (32, 64, 128, 256)
CUSTOM_BLOCK_DROPOUT = 0.1
CUSTOM_HEAD_WIDTH = 128
CUSTOM_HEAD_DROPOUT = 0.5

#: Channels of the small CNN's six 3 x 3 convolutions, the only input side it accepts, and its hidden layer.
SMALL_CHANNELS = (32, 64, 64, 64, 64, 64)
SMALL_SIDE = 256
SMALL_HIDDEN = 64


class CustomCNN(Network):
    """Four convolution blocks with max pool and dropout between them, then a fully connected head.

    (N, 3, H, W) -> (N, classes) logits for any side of 16 pixels or more.
    """

    def __init__(self, classes: int = 2) -> None:
        super().__init__()
        blocks: list[nn.Module] = [double_convolution(3, CUSTOM_CHANNELS[0])]
        for inputs, outputs in pairwise(CUSTOM_CHANNELS):
            blocks += [nn.MaxPool2d(2), nn.Dropout2d(CUSTOM_BLOCK_DROPOUT), double_convolution(inputs, outputs)]
        self.blocks = nn.Sequential(*blocks)
        self.classifier = nn.Sequential(
            nn.Linear(CUSTOM_CHANNELS[-1], CUSTOM_HEAD_WIDTH),
            nn.ReLU(),
            nn.Dropout(CUSTOM_HEAD_DROPOUT),
            nn.Linear(CUSTOM_HEAD_WIDTH, classes),
        )

    def features(self, x: Tensor) -> tuple[Tensor, ...]:
        """(N, 3, H, W) -> the last feature map, (N, 256, H/8, W/8)."""
        return (self.blocks(x),)

    def head(self, features: tuple[Tensor, ...]) -> Tensor:
        return self.classifier(torch.mean(features[0], dim=(2, 3)))


class SmallCNN(Network):
    """Six valid 3 x 3 convolutions, ReLU and max pool after each: (N, 3, 256, 256) in 0..1 -> (N, classes) logits.

    Sides after convolution/pool: 254/127, 125/62, 60/30, 28/14, 12/6, 4/2; flatten 256, dense 64, dense classes.
    """

    def __init__(self, classes: int = 2) -> None:
        super().__init__()
        layers: list[nn.Module] = []
        for inputs, outputs in zip((3, *SMALL_CHANNELS), SMALL_CHANNELS, strict=False):
            layers += [nn.Conv2d(inputs, outputs, 3), nn.ReLU(), nn.MaxPool2d(2)]
        self.convolutions = nn.Sequential(*layers[:-1])
        # The last pool belongs to the head, so that the heat map has the 4 x 4 grid of the last convolution.
        self.classifier = nn.Sequential(
            layers[-1],
            nn.Flatten(),
            nn.Linear(SMALL_CHANNELS[-1] * 2 * 2, SMALL_HIDDEN),
            nn.ReLU(),
            nn.Linear(SMALL_HIDDEN, classes),
        )

    def features(self, x: Tensor) -> tuple[Tensor, ...]:
        """(N, 3, 256, 256) -> the last convolution's map, (N, 64, 4, 4). Raises ValueError for another side."""
        if x.shape[-2:] != (SMALL_SIDE, SMALL_SIDE):
            raise ValueError(f"small_cnn reads images of {SMALL_SIDE} x {SMALL_SIDE} pixels, not {tuple(x.shape[-2:])}")
        return (self.convolutions(x),)

    def head(self, features: tuple[Tensor, ...]) -> Tensor:
        return self.classifier(features[0])


def custom_cnn(classes: int = 2) -> CustomCNN:
    """The custom CNN with batch norm and dropout."""
    return CustomCNN(classes)


def small_cnn(classes: int = 2) -> SmallCNN:
    """The small CNN, exactly 183,682 parameters with two classes."""
    return SmallCNN(classes)
