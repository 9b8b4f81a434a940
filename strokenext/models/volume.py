"""The 3-D CNN for whole volumes, in the well-known Keras layout (after Zunair et al., arXiv 2007.13224)."""

from __future__ import annotations

import torch
from torch import Tensor, nn

from strokenext.errors import OptionError

from .network import Network

#: Channels of the four Conv3D blocks, width of the dense layer and its dropout.
CHANNELS = (64, 64, 128, 256)
DENSE = 512
DROPOUT = 0.3
#: Four valid convolutions with three pools between them leave one cell of a side of 46, and none of a smaller one.
LEAST_SIDE = 46


class CNN3D(Network):
    """(N, 1, D, H, W) -> (N, classes) logits; counted at D = 64, H = W = 128, any side of 46 or more works.

    Each block is a valid 3 x 3 x 3 convolution, ReLU, max pool, batch norm, in Keras' order. `classes=1` gives
    the single logit of the original.
    """

    #: Of the last convolution's map: input voxels between two cells, and the voxel at the first cell's centre. A
    #: valid convolution has no cell at the border, so the map is not simply the input made small.
    stride = 8
    first = 18.5

    def __init__(self, classes: int = 2) -> None:
        super().__init__()
        blocks: list[nn.Module] = []
        for inputs, outputs in zip((1, *CHANNELS), CHANNELS, strict=False):
            blocks += [nn.Conv3d(inputs, outputs, 3), nn.ReLU(), nn.MaxPool3d(2), nn.BatchNorm3d(outputs)]
        # The last pool and norm belong to the head, so that the heat map has the grid of the last convolution.
        self.blocks = nn.Sequential(*blocks[:-2])
        self.last = nn.Sequential(*blocks[-2:])
        self.classifier = nn.Sequential(
            nn.Linear(CHANNELS[-1], DENSE), nn.ReLU(), nn.Dropout(DROPOUT), nn.Linear(DENSE, classes)
        )

    def features(self, x: Tensor) -> tuple[Tensor, ...]:
        """(N, 1, D, H, W) -> the last convolution's map, (N, 256, d, h, w), 4 x 12 x 12 at 64 x 128 x 128.

        Raises OptionError for a side below LEAST_SIDE.
        """
        if min(x.shape[2:]) < LEAST_SIDE:
            sides = " x ".join(map(str, x.shape[2:]))
            raise OptionError(f"The 3-D CNN takes volumes of {LEAST_SIDE} or more a side, not {sides}.")
        return (self.blocks(x),)

    def head(self, features: tuple[Tensor, ...]) -> Tensor:
        return self.classifier(torch.mean(self.last(features[0]), dim=(2, 3, 4)))


def cnn3d(classes: int = 2) -> CNN3D:
    """The 3-D CNN, 1,352,386 parameters with two outputs (1,351,873 with one, as in Keras)."""
    return CNN3D(classes)
