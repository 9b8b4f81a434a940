"""The paper's single-encoder baselines from timm, each split into `features` and `head`.

Ramos and Sappa (arXiv 2602.15087) compare StrokeNeXt with these six networks, one encoder and two outputs each.
"""

from __future__ import annotations

from typing import Any

import timm
import torch
from torch import Tensor, nn

from .network import Network

#: Hidden width and dropout of the new head on the frozen ResNet-50.
NEW_HEAD_WIDTH = 256
NEW_HEAD_DROPOUT = 0.5


class Single(Network):
    """A timm classifier with one encoder: (N, 3, H, W) -> (N, classes) logits."""

    def __init__(self, body: nn.Module) -> None:
        super().__init__()
        self.body: Any = body

    def features(self, x: Tensor) -> tuple[Tensor, ...]:
        return (self.body.forward_features(x),)

    def head(self, features: tuple[Tensor, ...]) -> Tensor:
        return self.body.forward_head(features[0])


class SingleVGG(Single):
    """VGG split at its last convolution (14 x 14 at 224 px), before the final max pool, which belongs to the head."""

    def features(self, x: Tensor) -> tuple[Tensor, ...]:
        return (self.body.features[:-1](x),)

    def head(self, features: tuple[Tensor, ...]) -> Tensor:
        pooled = self.body.features[-1](features[0])
        return self.body.forward_head(pooled)


class SingleSwin(Single):
    """Swin keeps channels last inside; outside its map is (N, d, h, w) like every other."""

    def features(self, x: Tensor) -> tuple[Tensor, ...]:
        return (self.body.forward_features(x).permute(0, 3, 1, 2),)

    def head(self, features: tuple[Tensor, ...]) -> Tensor:
        return self.body.forward_head(features[0].permute(0, 2, 3, 1))


class FrozenBody(Network):
    """A frozen encoder and a new trainable head: (N, 3, H, W) -> (N, classes) logits.

    The body's batch norm keeps its stored statistics even in training mode.
    """

    def __init__(self, body: nn.Module, width: int, classes: int) -> None:
        super().__init__()
        self.body = body.requires_grad_(False)
        self.classifier = nn.Sequential(
            nn.Linear(width, NEW_HEAD_WIDTH),
            nn.ReLU(),
            nn.Dropout(NEW_HEAD_DROPOUT),
            nn.Linear(NEW_HEAD_WIDTH, classes),
        )
        self.train(self.training)

    def train(self, mode: bool = True) -> FrozenBody:
        super().train(mode)
        self.body.eval()
        return self

    def features(self, x: Tensor) -> tuple[Tensor, ...]:
        return (self.body(x),)

    def head(self, features: tuple[Tensor, ...]) -> Tensor:
        return self.classifier(torch.mean(features[0], dim=(2, 3)))


def _timm(name: str, classes: int, pretrained: bool, **arguments: Any) -> nn.Module:
    return timm.create_model(name, pretrained=pretrained, num_classes=classes, **arguments)


def mobilenetv2(classes: int = 2, pretrained: bool = False) -> Single:
    """MobileNetV2 1.0, 2,226,434 parameters with two classes."""
    return Single(_timm("mobilenetv2_100", classes, pretrained))


def vgg16(classes: int = 2, pretrained: bool = False) -> SingleVGG:
    """VGG16 with its two 4096-wide layers, 134,268,738 parameters with two classes."""
    return SingleVGG(_timm("vgg16", classes, pretrained))


def resnet50(classes: int = 2, pretrained: bool = False) -> Single:
    """ResNet-50, 23,512,130 parameters with two classes."""
    return Single(_timm("resnet50", classes, pretrained))


def resnet152(classes: int = 2, pretrained: bool = False) -> Single:
    """ResNet-152, 58,147,906 parameters with two classes."""
    return Single(_timm("resnet152", classes, pretrained))


def swin_tiny(classes: int = 2, pretrained: bool = False) -> SingleSwin:
    """Swin tiny with 7 x 7 windows, 27,520,892 parameters with two classes; other sizes than 224 px are padded."""
    return SingleSwin(_timm("swin_tiny_patch4_window7_224", classes, pretrained, strict_img_size=False))


def convnext_base(classes: int = 2, pretrained: bool = False) -> Single:
    """ConvNeXt base with its head LayerNorm, 87,568,514 parameters with two classes."""
    return Single(_timm("convnext_base", classes, pretrained))


def resnet10t(classes: int = 2, pretrained: bool = False) -> Single:
    """timm's ten-layer ResNet, quick to train from scratch: the teacher for distillation."""
    return Single(_timm("resnet10t", classes, pretrained))


def resnet50_frozen(classes: int = 2, pretrained: bool = False) -> FrozenBody:
    """ResNet-50 whose layers stay fixed under a new two-layer head; train it with `pretrained=True`."""
    body: Any = _timm("resnet50", 0, pretrained, global_pool="")
    return FrozenBody(body, int(body.num_features), classes)
