"""pytorch-grad-cam's methods as plain functions of activations and gradients: one unscaled map per encoder.

What is used of the library is each method's own arithmetic (`get_cam_image`). What is kept away from the
caller: its hooks and `eval()` and layer replacement act on `Private`, a throw-away module; its `backward`,
its min-max scaling and its averaging over layers are never called; its progress bars are silenced in private
copies of two functions, so neither the library nor the process's output is patched. Nothing is shared
between calls, so no lock is needed.
"""

from __future__ import annotations

import importlib
from collections.abc import Callable
from types import FunctionType, SimpleNamespace
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn

from strokenext.errors import OptionError
from strokenext.types import FloatArray

Features = tuple[Tensor, ...]

#: Our name -> pytorch-grad-cam's module and class.
_CLASSES = {
    "hirescam": ("hirescam", "HiResCAM"),
    "layercam": ("layer_cam", "LayerCAM"),
    "xgradcam": ("xgrad_cam", "XGradCAM"),
    "gradcam++": ("grad_cam_plusplus", "GradCAMPlusPlus"),
    "eigencam": ("eigen_cam", "EigenCAM"),
    "eigengradcam": ("eigen_grad_cam", "EigenGradCAM"),
    "ablationcam": ("ablation_cam", "AblationCAM"),
    "scorecam": ("score_cam", "ScoreCAM"),
}
_ABLATED_AT_ONCE = 64  # channels per call of the head


class Private(nn.Module):
    """The only module pytorch-grad-cam sees: one tap per encoder, then the caller's head.

    The caller's model sits inside `head` and `logits_of`, plain functions that torch does not register.
    `logits_of`, where given, answers for images other than the explained one; else the stored activations,
    E tensors (1, d, h, w), stand for every image.
    """

    def __init__(
        self,
        head: Callable[[Features], Tensor],
        activations: Features,
        logits_of: Callable[[Tensor], Tensor] | None = None,
    ) -> None:
        super().__init__()
        self.taps = nn.ModuleList(nn.Identity() for _ in activations)
        device = activations[0].device
        self.anchor = nn.Parameter(torch.zeros(1, device=device), requires_grad=False)  # says which device
        self.activations = activations
        self._head, self._logits_of = head, logits_of

    def forward(self, x: Tensor) -> Tensor:
        """(N, C, S, S) to logits (N, K)."""
        if self._logits_of is not None:
            return self._logits_of(x)
        grown = (a.expand(len(x), *a.shape[1:]).clone() for a in self.activations)
        return self._head(tuple(tap(a) for tap, a in zip(self.taps, grown, strict=True)))


def maps(name: str, private: Private, x: Tensor, gradients: Features, class_index: int) -> FloatArray:
    """(E, h, w) float32 >= 0 for one image x (1, C, S, S). Raises OptionError when the library is missing."""
    made = _build(name, private)
    try:
        with torch.no_grad():
            cams = [_one(made, name, private, x, i, gradients, class_index) for i in range(len(private.taps))]
    finally:
        made.activations_and_grads.release()
    return np.stack(cams)


def _one(
    made: Any, name: str, private: Private, x: Tensor, encoder: int, gradients: Features, class_index: int
) -> FloatArray:
    """The map (h, w) of one encoder."""
    activation = private.activations[encoder].cpu().numpy().copy()
    gradient = gradients[encoder].cpu().numpy().copy()
    image = made.get_cam_image(x, private.taps[encoder], [lambda row: row[class_index]], activation, gradient, False)[0]
    if name in ("eigencam", "eigengradcam") and -image.min() > image.max():
        image = -image  # the sign of a principal component is arbitrary: let its strongest end be positive
    return np.maximum(image, 0).astype(np.float32)


def _build(name: str, private: Private) -> Any:
    """The method's object, bound to the private module; of a subclass where the library's manner must not show."""
    module_name, class_name = _CLASSES[name]
    try:
        module = importlib.import_module(f"pytorch_grad_cam.{module_name}")
    except ImportError as problem:
        raise OptionError(
            f"The method '{name}' needs the package grad-cam ({problem}). Install it with: pip install grad-cam"
        ) from problem
    kind, options = getattr(module, class_name), {}
    if name in ("scorecam", "ablationcam"):
        weights: Callable[..., Any] = _without_progress_bar(kind.get_cam_weights)
        if name == "ablationcam":
            weights = _signed(weights)
            # a new layer each time: the library's default argument is one object shared by all threads
            options = {"ablation_layer": _zeroing_layer(), "batch_size": _ABLATED_AT_ONCE}
        kind = type(class_name, (kind,), {"get_cam_weights": weights})
    return kind(private, list(private.taps), **options)


def _without_progress_bar(function: FunctionType) -> FunctionType:
    """The same code with a `tqdm` that only iterates, leaving the library's own module as it is."""
    quiet = {**function.__globals__, "tqdm": SimpleNamespace(tqdm=iter)}
    return FunctionType(function.__code__, quiet, function.__name__, function.__defaults__, function.__closure__)


def _signed(weights: Callable[..., Any]) -> Callable[..., NDArray[np.float32]]:
    """Ablation weights in logits, y - y_k, where the library divides by y and so turns over for a negative logit."""

    def get_cam_weights(self: Any, x: Tensor, layer: nn.Module, targets: Any, *rest: Any) -> NDArray[np.float32]:
        target = targets[0]
        logit = float(target(self.model(x)[0]))
        if logit == 0.0:  # nothing to divide by: shift both terms of the difference
            targets, logit = [lambda row: target(row) + 1.0], 1.0
        return np.asarray(weights(self, x, layer, targets, *rest) * logit, dtype=np.float32)

    return get_cam_weights


def _zeroing_layer() -> Any:
    """An ablation layer that sets a channel to zero, as in the paper.

    The library writes -1e7 instead where activations can be negative, which drives a head with batch
    normalisation far outside anything it was trained on.
    """
    from pytorch_grad_cam.ablation_layer import AblationLayer

    class Zeroing(AblationLayer):
        def __call__(self, x: Tensor) -> Tensor:
            rows = torch.arange(len(self.activations))
            self.activations[rows, torch.as_tensor(self.indices[: len(rows)], dtype=torch.long)] = 0
            return self.activations

    return Zeroing()
