"""Where the evidence for a class lies: one image (1, C, S, S) to logits (K,) and maps (E, h, w) >= 0.

Grad-CAM here differentiates the head alone (Selvaraju 2017, eq. 1 and 2). Both encoders run once without
gradient, their last maps are cloned, and only `head(features)` is differentiated: what the class logit
depends on between encoder and logit is the head, so the result equals full-graph Grad-CAM. There are no
hooks and nothing of the model is written to, so calls from several threads cannot mix.

For a head that pools before it is linear, a cell of the map is the part of the class logit that this cell
contributes; the maps stay in those units and are never stretched to 0..1.

The other methods are pytorch-grad-cam's, reached through `library`: they get the same maps and gradients
and return one plain map per encoder, without the library's min-max scaling, hooks or average over layers.
"""

from __future__ import annotations

import copy
from dataclasses import dataclass

import numpy as np
import torch
from torch import Tensor, nn

from strokenext.errors import ModelError, OptionError
from strokenext.types import FloatArray

from . import library
from .methods import method_named

Features = tuple[Tensor, ...]


@dataclass(frozen=True, eq=False)
class Encoded:
    """What one pass of the model gives for N images: features, E tensors (N, d, h, w), and logits (N, K)."""

    features: Features
    logits: Tensor

    def one(self, index: int) -> Encoded:
        """The same for image `index` alone, N = 1."""
        return Encoded(tuple(f[index : index + 1] for f in self.features), self.logits[index : index + 1])


def encode(model: nn.Module, x: Tensor) -> Encoded:
    """(N, C, S, S) to features and float32 logits, without gradient; the head runs in float32.

    The encoders run in whatever precision the caller's autocast asks for. The model must be in
    evaluation mode (`heat` takes care of that). Raises ModelError when the logits are not finite.
    """
    with torch.inference_mode(False), torch.no_grad():
        x = x.clone() if x.is_inference() else x
        features = tuple(f.detach().float() for f in _features(model, x))
        with torch.autocast(x.device.type, enabled=False):
            logits = _logits(model, features)
    if not bool(torch.isfinite(logits).all()):
        raise ModelError("The model answered with numbers that are not finite; its weights or precision are unfit.")
    return Encoded(features, logits)


def maps(model: nn.Module, x: Tensor, encoded: Encoded, class_index: int, method: str = "gradcam") -> FloatArray:
    """One map per encoder for one image, (E, h, w) float32 >= 0, from a pass already made by `encode`.

    Absolute logit units where `METHODS[method].absolute`. Raises OptionError for a class index or a
    method that does not exist, and for more than one image.
    """
    row = method_named(method)
    _check(encoded.logits, class_index)
    with torch.inference_mode(False), torch.autocast(x.device.type, enabled=False):
        activations = tuple(f.clone() for f in encoded.features)
        gradients = _head_gradients(model, activations, class_index)
        if row.name == "gradcam":
            cams = _gradcam(activations, gradients)
        else:
            cams = _borrowed(row.name, model, x.float(), activations, gradients, class_index)
    if not np.isfinite(cams).all():
        raise ModelError(f"{row.title} gave numbers that are not finite for this image; choose another method.")
    return cams


def heat(model: nn.Module, x: Tensor, class_index: int, method: str = "gradcam") -> tuple[FloatArray, FloatArray]:
    """One image (1, C, S, S) to logits (K,) and maps (E, h, w) >= 0, both float32.

    The model is left as found: a model in training mode is explained on a private copy in evaluation mode.
    Raises OptionError for an unknown method or class, ModelError for numbers that are not finite.
    """
    method_named(method)
    steady = _steady(model)
    encoded = encode(steady, x)
    cams = maps(steady, x, encoded, class_index, method)
    return np.asarray(encoded.logits[0].cpu().numpy(), dtype=np.float32), cams


def _head_gradients(model: nn.Module, activations: Features, class_index: int) -> Features:
    """d logit[class] / d activation through the head alone, E tensors (1, d, h, w); no parameter's .grad is touched."""
    leaves = tuple(a.detach().clone().requires_grad_(True) for a in activations)
    with torch.enable_grad():
        # cloned once more so that a head working in place does not write on a leaf
        logit = _logits(model, tuple(leaf.clone() for leaf in leaves))[0, class_index]
    if not logit.requires_grad:  # the head ignores its input
        return tuple(torch.zeros_like(leaf) for leaf in leaves)
    return torch.autograd.grad(logit, leaves, materialize_grads=True)


def _gradcam(activations: Features, gradients: Features) -> FloatArray:
    """relu(sum_k alpha_k A_k) per encoder, alpha_k the spatial mean of the gradient of channel k."""
    cams = []
    for activation, gradient in zip(activations, gradients, strict=True):
        alpha = gradient.mean(dim=tuple(range(2, gradient.ndim)), keepdim=True)
        cams.append(torch.relu((alpha * activation).sum(dim=1))[0])
    return np.asarray(torch.stack(cams).cpu().numpy(), dtype=np.float32)


def _borrowed(
    name: str, model: nn.Module, x: Tensor, activations: Features, gradients: Features, class_index: int
) -> FloatArray:
    """One of pytorch-grad-cam's methods; only Score-CAM asks the encoders about images other than x."""

    def logits_of(other: Tensor) -> Tensor:
        return _logits(model, tuple(f.float() for f in _features(model, other)))

    private = library.Private(lambda f: _logits(model, f), activations, logits_of if name == "scorecam" else None)
    return library.maps(name, private, x, gradients, class_index)


def _features(model: nn.Module, x: Tensor) -> Features:
    given = model.features(x)  # type: ignore[operator]
    return (given,) if isinstance(given, Tensor) else tuple(given)


def _logits(model: nn.Module, features: Features) -> Tensor:
    logits: Tensor = model.head(features)  # type: ignore[operator]
    return logits


def _check(logits: Tensor, class_index: int) -> None:
    count, classes = logits.shape
    if count != 1:
        raise OptionError(f"An explanation is of one image at a time, not of {count}.")
    if isinstance(class_index, bool) or not isinstance(class_index, int) or not 0 <= class_index < classes:
        raise OptionError(f"There is no class {class_index!r}. Choose one of: {', '.join(map(str, range(classes)))}.")


def _steady(model: nn.Module) -> nn.Module:
    """The model itself when it can be used as it stands, else a private copy in evaluation mode."""
    if any(m.training for m in model.modules()) or any(p.is_inference() for p in model.parameters()):
        with torch.inference_mode(False), torch.no_grad():
            return copy.deepcopy(model).eval()
    return model
