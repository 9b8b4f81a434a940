"""U-Nets for lesion masks (Ronneberger et al., arXiv 1505.04597) with batch norm and padded convolutions.

The second takes its way down from an image classifier, whose ImageNet weights it can start from (as TernausNet,
Iglovikov and Shvets, arXiv 1801.05746).
"""

from __future__ import annotations

from itertools import pairwise

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from .network import Network, double_convolution
from .strokenext import Encoder

#: Number of halvings between the input and the bottom.
DEPTH = 4


class UNet(Network):
    """(N, 3, H, W) -> (N, classes, H, W) logits, one map per lesion class; any H and W of 16 or more."""

    def __init__(self, classes: int = 1, width: int = 32) -> None:
        super().__init__()
        widths = [width * 2**level for level in range(DEPTH + 1)]
        self.down = nn.ModuleList(double_convolution(i, o) for i, o in zip((3, *widths), widths, strict=False))
        # A step up sees the map from below, resized, next to the map of its own level.
        self.up = nn.ModuleList(double_convolution(below + here, here) for here, below in pairwise(widths))
        self.classifier = nn.Conv2d(width, classes, 1)

    def features(self, x: Tensor) -> tuple[Tensor, ...]:
        """(N, 3, H, W) -> the last decoder map, (N, width, H, W)."""
        levels: list[Tensor] = []
        for index, block in enumerate(self.down):
            x = block(x if index == 0 else F.max_pool2d(x, 2))
            levels.append(x)
        for block, skip in zip(reversed(self.up), reversed(levels[:-1]), strict=True):
            x = F.interpolate(x, size=skip.shape[-2:], mode="bilinear", align_corners=False)
            x = block(torch.cat((skip, x), dim=1))
        return (x,)

    def head(self, features: tuple[Tensor, ...]) -> Tensor:
        """The decoder map -> (N, classes, H, W) logits."""
        return self.classifier(features[0])


#: Channels of the decoder's maps of the U-Net over an encoder, from stride 16 up to stride 1.
DECODER_WIDTHS = (128, 64, 48, 32, 16)


class EncoderUNet(Network):
    """(N, 3, H, W) -> (N, classes, H, W) logits, down through an EfficientNet-Lite; H and W of 32 or more."""

    def __init__(self, encoder: Encoder, classes: int = 1) -> None:
        super().__init__()
        self.encoder = encoder
        levels = encoder.widths
        below = [levels[-1], *DECODER_WIDTHS]
        beside = [*levels[-2::-1], 0]
        self.up = nn.ModuleList(
            double_convolution(b + s, o) for b, s, o in zip(below, beside, DECODER_WIDTHS, strict=False)
        )
        self.classifier = nn.Conv2d(DECODER_WIDTHS[-1], classes, 1)

    def features(self, x: Tensor) -> tuple[Tensor, ...]:
        """(N, 3, H, W) -> the last decoder map, (N, 16, H, W)."""
        whole = x.shape[-2:]
        levels = [self.encoder.stem(x)]
        for stage in self.encoder.stages:
            levels.append(stage(levels[-1]))
        out = levels.pop()
        for block, skip in zip(self.up, [*reversed(levels), None], strict=True):
            size = whole if skip is None else skip.shape[-2:]
            out = F.interpolate(out, size=size, mode="bilinear", align_corners=False)
            out = block(out if skip is None else torch.cat((skip, out), dim=1))
        return (out,)

    def head(self, features: tuple[Tensor, ...]) -> Tensor:
        """The decoder map -> (N, classes, H, W) logits."""
        return self.classifier(features[0])


def unet(classes: int = 1, width: int = 32) -> UNet:
    """U-Net of four halvings; `width` is the channel count of the first level."""
    return UNet(classes, width)


def encoder_unet(encoder: str = "lite0", classes: int = 1, pretrained: bool = False) -> EncoderUNet:
    """U-Net over an EfficientNet-Lite; `pretrained` starts it from timm's ImageNet weights (downloads)."""
    return EncoderUNet(Encoder(encoder, pretrained), classes)
