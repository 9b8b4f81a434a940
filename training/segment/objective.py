"""What the U-Net learns: each class's mask, by cross-entropy and Dice over the pixels whose truth is known."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any, cast

import torch
from torch import Tensor, nn
from torch.nn.functional import binary_cross_entropy_with_logits

from strokenext.errors import DataError, OptionError
from strokenext.models import build
from strokenext.models.unet import EncoderUNet, UNet
from strokenext.zoo import row
from training.train.feed import Batch, Feed, HeldOut
from training.train.recipe import Recipe
from training.train.run import trained_weights
from training.train.starts import package_encoder

from .planes import MASK_CLASSES

#: Logit of every pixel before training: lesions are rare, and so is the first answer.
FIRST_LOGIT = -4.0
#: Pixels added above and below in the Dice loss; a class without a pixel in the batch then costs nothing.
SMOOTH = 10.0


class Segment:
    """A segmentation network of the zoo on masks; its encoder from an `outline` run or from a package's weights."""

    takes_encoder = True

    def __init__(self, recipe: Recipe, encoder_from: Sequence[Path] = ()) -> None:
        if row(recipe.model).kind != "segmentation":
            raise OptionError(f"The objective 'segment' trains a network of masks; {recipe.model} is none.")
        self.recipe, self.held_out = recipe, cast("HeldOut | None", None)
        self.model = self.module = cast(UNet, build(recipe.model, classes=len(MASK_CLASSES), **recipe.arguments))
        if recipe.pretrained == "package" or encoder_from:
            _start(self.model, recipe, encoder_from)
        nn.init.constant_(cast(Tensor, self.model.classifier.bias), FIRST_LOGIT)

    def loss(self, module: nn.Module, batch: Batch, step: int) -> tuple[Tensor, dict[str, Any]]:
        """Cross-entropy plus Dice, each a mean over the classes; and the batch's Dice for the epoch's line."""
        masks, known = _truth(batch)
        logits = module(batch.pixels).float()
        loss = mask_loss(logits, masks, known)
        found = counts(logits.detach(), masks, known)
        return loss, {"dice": _mean_of_shown(pooled_dice(*found), found[2]) * len(batch.pixels)}

    @torch.no_grad()
    def score(self, module: nn.Module, feed: Feed) -> dict[str, Any]:
        """Loss, and Dice and IoU of all validation pixels together, of each class and the mean of those it shows.

        All pixels together, so that what is marked on lesion-free slices counts against the network.
        """
        self.held_out = self.held_out or feed.held_out("validation")
        if not len(self.held_out):
            raise DataError("The split's validation part holds no slice with masks.")
        sums, total, marked = torch.zeros(3, len(MASK_CLASSES), dtype=torch.float64), 0.0, 0
        for batch in self.held_out.batches(16):
            masks, known = _truth(batch)
            logits = module(batch.pixels).float()
            total += float(mask_loss(logits, masks, known)) * len(logits)
            sums += torch.stack(counts(logits, masks, known)).double().cpu()
            marked += int(((logits[:, 0] > 0).flatten(1).any(1) & (batch.labels == 0)).sum())
        dice, iou = pooled_dice(*sums), pooled_iou(*sums)
        free = int((self.held_out.labels == 0).sum())
        return {
            "loss": round(total / len(self.held_out), 6),
            "dice": round(float(_mean_of_shown(dice, sums[2])), 6),
            "iou": round(float(_mean_of_shown(iou, sums[2])), 6),
            **{f"dice {name}": round(float(value), 6) for name, value in zip(MASK_CLASSES, dice, strict=True)},
            "false_alarms": round(marked / free, 6) if free else None,
            "images": len(self.held_out),
        }


def _start(network: nn.Module, recipe: Recipe, encoder_from: Sequence[Path]) -> None:
    """The encoder of an `outline` run, or ImageNet's of a package. Raises OptionError for a network without one."""
    if not isinstance(network, EncoderUNet) or len(encoder_from) > 1:
        raise OptionError(f"{recipe.model} has {'one encoder' if encoder_from[1:] else 'no encoder to start'}.")
    if not encoder_from:
        size = str(recipe.arguments.get("encoder", row(recipe.model).arguments["encoder"]))
        network.encoder.load_state_dict(package_encoder(size).state_dict())
        return
    kept = {k.removeprefix("encoder."): v for k, v in trained_weights(encoder_from[0]).items()}
    wanted = network.encoder.state_dict()
    if not wanted.keys() <= kept.keys():
        raise DataError(f"The run {encoder_from[0]} holds no pre-trained encoder of {recipe.model}.")
    network.encoder.load_state_dict({k: kept[k] for k in wanted})


def mask_loss(logits: Tensor, masks: Tensor, known: Tensor) -> Tensor:
    """Cross-entropy per known pixel plus 1 - Dice of the batch, mean over classes; all arguments (N, K, S, S)."""
    entropy = binary_cross_entropy_with_logits(logits, masks, weight=known, reduction="sum") / known.sum().clamp(1)
    p = logits.sigmoid() * known
    shared, size = (p * masks).sum((0, 2, 3)), (p + masks * known).sum((0, 2, 3))
    dice = (2 * shared + SMOOTH) / (size + SMOOTH)
    return entropy + (1 - dice).mean()


def counts(logits: Tensor, masks: Tensor, known: Tensor) -> tuple[Tensor, Tensor, Tensor]:
    """(K,) known pixels that are marked and true, marked, and true, at probability one half."""
    marked, true = (logits > 0) & (known > 0.5), (masks > 0.5) & (known > 0.5)
    both = marked & true
    return both.sum((0, 2, 3)).float(), marked.sum((0, 2, 3)).float(), true.sum((0, 2, 3)).float()


def pooled_dice(both: Tensor, marked: Tensor, true: Tensor) -> Tensor:
    """Dice of counted pixels; 1 where there is neither a mark nor a truth."""
    whole = marked + true
    return torch.where(whole > 0, 2 * both / whole.clamp(1), torch.ones_like(whole))


def pooled_iou(both: Tensor, marked: Tensor, true: Tensor) -> Tensor:
    """Intersection over union of counted pixels; 1 where there is neither."""
    union = marked + true - both
    return torch.where(union > 0, both / union.clamp(1), torch.ones_like(union))


def _mean_of_shown(values: Tensor, true: Tensor) -> Tensor:
    """The mean over classes with a true pixel; 0 where there is none at all."""
    shown = true > 0
    return (values * shown).sum() / shown.sum().clamp(1)


def _truth(batch: Batch) -> tuple[Tensor, Tensor]:
    if batch.dense is None or batch.known is None or batch.dense.shape[1] != len(MASK_CLASSES):
        raise OptionError("The objective 'segment' learns from the feed 'masks'; this recipe's feed has no masks.")
    return batch.dense, batch.known
