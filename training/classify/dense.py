"""Dense pre-training network: one ConvNeXt encoder that outlines infarct and blood and names the class.

ConvNeXt hardly learns from a few thousand labelled slices when only a class is given. An outline gives
it thousands of answers per image, and simulated lesions give outlines for free. The encoder is what is
kept: both encoders of StrokeNeXt start from it, as the paper's start from ImageNet.
"""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import torch
from torch import Tensor, nn
from torch.nn.functional import binary_cross_entropy_with_logits, interpolate

from strokenext.errors import DataError, OptionError
from strokenext.models.strokenext import Encoder
from strokenext.zoo import row
from training.train.recipe import Recipe
from training.train.run import trained_weights
from training.train.starts import package_encoder

#: Width of the outline decoder; it is thrown away after pre-training.
DECODER_WIDTH = 48


class Decoder(nn.Module):
    """The four stages' maps, brought to one width and summed at stride 4: -> (N, 2, S/4, S/4) logits."""

    def __init__(self, widths: list[int]) -> None:
        super().__init__()
        self.lateral = nn.ModuleList(nn.Conv2d(w, DECODER_WIDTH, 1) for w in widths)
        self.mix = nn.Sequential(
            nn.BatchNorm2d(DECODER_WIDTH),
            nn.GELU(),
            nn.Conv2d(DECODER_WIDTH, DECODER_WIDTH, 3, padding=1),
            nn.BatchNorm2d(DECODER_WIDTH),
            nn.GELU(),
            nn.Conv2d(DECODER_WIDTH, 2, 1),
        )

    def forward(self, maps: list[Tensor]) -> Tensor:
        out = self.lateral[-1](maps[-1])
        for lateral, finer in zip(list(self.lateral)[-2::-1], maps[-2::-1], strict=True):
            out = interpolate(out, size=finer.shape[2:], mode="bilinear", align_corners=False) + lateral(finer)
        return self.mix(out)


class DenseEncoder(nn.Module):
    """(N, 3, S, S) -> class logits (N, 3) and outline logits (N, 2, S/4, S/4); with `maps` also the stages' maps."""

    def __init__(self, encoder: Encoder) -> None:
        super().__init__()
        self.encoder = encoder
        self.decoder = Decoder(encoder.widths[1:])
        self.classifier = nn.Sequential(nn.BatchNorm1d(encoder.width), nn.Dropout(0.2), nn.Linear(encoder.width, 3))

    def forward(self, x: Tensor, maps: bool = False) -> tuple[Tensor, ...]:
        classes, outlines, stages = self.seen(x)
        return (classes, outlines, stages) if maps else (classes, outlines)  # type: ignore[return-value]

    def seen(self, x: Tensor) -> tuple[Tensor, Tensor, list[Tensor]]:
        """Class logits, outline logits and the maps of the four stages."""
        maps = self.encoder.maps(x)
        return self.classifier(maps[-1].mean(dim=(2, 3))), self.decoder(maps), maps


def dense_loss(logits: Tensor, target: Tensor, known: Tensor) -> Tensor:
    """Cross-entropy plus soft Dice over known pixels; logits, target, known (N, 2, h, w)."""
    entropy = binary_cross_entropy_with_logits(logits, target, weight=known * (1 + 4 * target))
    p = torch.sigmoid(logits) * known
    t = target * known
    overlap = 2 * (p * t).sum(dim=(2, 3)) + 1
    dice = 1 - overlap / (p.sum(dim=(2, 3)) + t.sum(dim=(2, 3)) + 1)
    present = (t.sum(dim=(2, 3)) > 0.5).float()
    return entropy + (dice * present).sum() / present.sum().clamp(min=1)


def dense_encoder(recipe: Recipe, run: Path | None) -> DenseEncoder:
    """A fresh encoder with its decoder, or those that an `outline` run kept.

    Raises OptionError when the recipe's model is no StrokeNeXt, DataError when the run holds another network.
    """
    size = row(recipe.model).arguments.get("encoder")
    if size is None:
        raise OptionError(f"The objective '{recipe.objective}' trains a StrokeNeXt; {recipe.model} is none.")
    scale = recipe.layer_scale if recipe.layer_scale and not recipe.pretrained else 1e-6
    if recipe.pretrained == "package" and run is None:
        dense = DenseEncoder(package_encoder(str(size)))
    else:
        dense = DenseEncoder(Encoder(str(size), recipe.pretrained is True and run is None, scale))
    if run is not None:
        try:
            dense.load_state_dict(trained_weights(run))
        except RuntimeError as problem:
            raise DataError(
                f"The network in {run} is not a pre-trained encoder of {recipe.model}. "
                "Give --encoder-from a run of an `outline` recipe of the same model."
            ) from problem
    return dense


def dense_encoders(recipe: Recipe, runs: Sequence[Path]) -> list[DenseEncoder]:
    """One for each run, at most two, or a fresh one. Raises OptionError for more, and what `dense_encoder` raises."""
    if len(runs) > 2:
        raise OptionError("A StrokeNeXt has two encoders: give --encoder-from once or twice.")
    return [dense_encoder(recipe, run) for run in runs] or [dense_encoder(recipe, None)]
