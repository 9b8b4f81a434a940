"""Where training runs: one process on a CPU or GPU, or several that share every batch, through Lightning Fabric.

Several processes give the numbers of one where the loss is a mean over images (`classify`): each takes its share of
every batch, gradients are averaged by how many examples a share holds, and batch norm sees the whole batch. The losses
over known pixels and cells (`outline`, `fuse`, `segment`, `volume`) are averaged the same way, share by share, which is
near the whole batch's and not equal to it.
"""

from __future__ import annotations

import logging
import os
import signal
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, contextmanager, nullcontext
from typing import Any

import torch
import torch.distributed as dist
from lightning_fabric import Fabric
from lightning_fabric.strategies import DDPStrategy
from timm.layers import convert_sync_batchnorm
from torch import Tensor, nn
from torch.overrides import TorchFunctionMode

from strokenext.answer.device import choose
from strokenext.errors import OptionError, StrokeNeXtError

#: Recipe's precision to Fabric's: weights stay float32, the forward pass runs in the smaller type.
PRECISION = {"float32": "32-true", "bf16": "bf16-mixed", "fp16": "16-mixed"}


def launch(
    function: Callable[..., Any], *arguments: Any, device: str = "auto", processes: int = 1,
    precision: str = "float32", unused: bool = False,
) -> Any:  # fmt: skip
    """`function(fabric, *arguments)` in one process, in `processes` on this machine, or in those torchrun started.

    Returns what the first process returned. `function` and `arguments` are pickled where processes are started;
    `unused` says that some parameters get no gradient in some updates. Raises OptionError for a precision the
    device has not, DeviceError for a device that is not there.
    """
    chosen = choose(device)
    if precision == "fp16" and chosen.type != "cuda":
        raise OptionError("Precision fp16 needs a CUDA device; choose bf16 or float32.")
    outside = dist.is_torchelastic_launched()
    count = int(os.environ["LOCAL_WORLD_SIZE"]) if outside else processes
    if count < 1 or (chosen.type == "cuda" and count > torch.cuda.device_count()):
        raise OptionError(f"{count} processes were asked for; this machine has {torch.cuda.device_count()} GPUs.")
    several = outside or count > 1
    logging.getLogger("lightning_fabric").setLevel(logging.WARNING)
    strategy: Any = "auto"
    if several:
        strategy = DDPStrategy(start_method="popen" if outside else "spawn", find_unused_parameters=unused)
    place: Any = [chosen.index] if chosen.index is not None else count
    fabric = Fabric(accelerator=chosen.type, strategy=strategy, devices=place, precision=PRECISION[precision])  # type: ignore[arg-type]
    if not several:
        return function(fabric, *arguments)
    if outside:
        fabric.launch()
        return function(fabric, *arguments)
    with _deaf():
        answer = fabric.launch(_guarded, function, *arguments)  # type: ignore[arg-type]
    if isinstance(answer, StrokeNeXtError):
        raise answer
    return answer


def _guarded(fabric: Fabric, function: Callable[..., Any], *arguments: Any) -> Any:
    """A deliberate error crosses the process border as a value; it is the same one in every process."""
    try:
        return function(fabric, *arguments)
    except StrokeNeXtError as problem:
        return problem


@contextmanager
def _deaf() -> Iterator[None]:
    """SIGINT is for the processes that train; this one waits for what they return."""
    before = signal.signal(signal.SIGINT, signal.SIG_IGN)
    try:
        yield
    finally:
        signal.signal(signal.SIGINT, before)


def share_batch_norm(module: nn.Module, fabric: Fabric) -> nn.Module:
    """The module with batch norm that counts every process's share: PyTorch's own on GPUs (same weight names).

    On CPUs, for which PyTorch has none, `whole_batch` does it around the forward pass.
    """
    return convert_sync_batchnorm(module) if fabric.world_size > 1 and fabric.device.type == "cuda" else module


def whole_batch(fabric: Fabric) -> AbstractContextManager[object]:
    """While active, `batch_norm` in training takes mean and variance over the shares of all CPU processes."""
    return _WholeBatch() if fabric.world_size > 1 and fabric.device.type == "cpu" else nullcontext()


class _WholeBatch(TorchFunctionMode):
    """Catches `batch_norm` wherever it is called, so that every class of batch norm is met and no weight renamed."""

    def __torch_function__(self, function: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        options = kwargs or {}
        if function is nn.functional.batch_norm:
            return _batch_norm(*args, **options)
        return function(*args, **options)


class _Sum(torch.autograd.Function):
    """Sum over processes; its gradient is the sum of theirs (PyTorch's own differentiable one is deprecated)."""

    @staticmethod
    def forward(_: Any, x: Tensor) -> Tensor:
        total = x.clone()
        dist.all_reduce(total)
        return total

    @staticmethod
    def backward(_: Any, gradient: Tensor) -> Tensor:
        return _Sum.forward(_, gradient)


def _over_processes(x: Tensor) -> Tensor:
    total: Tensor = _Sum.apply(x)
    return total


def _batch_norm(
    x: Tensor, running_mean: Tensor | None, running_var: Tensor | None, weight: Tensor | None = None,
    bias: Tensor | None = None, training: bool = False, momentum: float = 0.1, eps: float = 1e-5,
) -> Tensor:  # fmt: skip
    """`nn.functional.batch_norm` of x (N, C, ...) whose other rows are in other processes; gradients flow to them."""
    if not training:
        return torch.batch_norm(x, weight, bias, running_mean, running_var, False, momentum, eps, False)
    wide = x.float()
    over = [d for d in range(x.ndim) if d != 1]
    shape = [1, -1] + [1] * (x.ndim - 2)
    count = _over_processes(wide.new_tensor([float(x.numel() // x.shape[1])]))
    mean = _over_processes(wide.sum(over)) / count
    centred = wide - mean.view(shape)
    variance = _over_processes((centred**2).sum(over)) / count
    if running_mean is not None and running_var is not None:
        with torch.no_grad():
            running_mean.lerp_(mean, momentum)
            running_var.lerp_(variance * count / (count - 1), momentum)
    out = centred * torch.rsqrt(variance + eps).view(shape)
    if weight is not None and bias is not None:
        out = out * weight.view(shape) + bias.view(shape)
    return out.to(x.dtype)
