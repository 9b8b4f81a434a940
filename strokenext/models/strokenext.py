"""StrokeNeXt: two ConvNeXt encoders with separate weights and a convolutional fusion decoder.

Ramos and Sappa, "StrokeNeXt" (arXiv 2602.15087). Both encoders see the same image; each ends at its
last feature map. `head` pools both maps, stacks the two vectors as a sequence of length two, fuses them
with 1-D convolutions and classifies. The final LayerNorm of ConvNeXt's own head is not part of the model.
"""

from __future__ import annotations

from typing import cast

import timm
import torch
from torch import Tensor, nn

from .network import Network

#: Encoder sizes by name, smallest first; the paper trains the last four.
ENCODERS: dict[str, str] = {
    size: f"convnext_{size}" for size in ("atto", "femto", "pico", "nano", "tiny", "small", "base", "large")
}
#: Width of the classifier's hidden layer and its dropout, and the decoder's, as published.
CLASSIFIER_WIDTH = 256
DROPOUT = 0.5


class Encoder(nn.Module):
    """ConvNeXt up to its last feature map: (N, 3, H, W) -> (N, width, H/32, W/32)."""

    def __init__(self, size: str, pretrained: bool = False, layer_scale: float = 1e-6) -> None:
        super().__init__()
        if size not in ENCODERS:
            raise ValueError(f"no ConvNeXt encoder is called {size!r}; choose one of {', '.join(ENCODERS)}")
        whole = timm.create_model(ENCODERS[size], pretrained=pretrained, num_classes=0, ls_init_value=layer_scale)
        self.stem: nn.Module = whole.get_submodule("stem")
        self.stages = cast(nn.Sequential, whole.get_submodule("stages"))
        self.width: int = int(whole.num_features)  # type: ignore[arg-type]

    def forward(self, x: Tensor) -> Tensor:
        return self.stages(self.stem(x))

    def maps(self, x: Tensor) -> list[Tensor]:
        """The output of each of the four stages, strides 4 to 32; the last is what `forward` gives."""
        x, out = self.stem(x), []
        for stage in self.stages:
            x = stage(x)
            out.append(x)
        return out


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
