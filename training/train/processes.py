"""Where training runs: one process on a CPU or GPU, or several that share every batch, through Lightning Fabric.

Each process takes its share of every batch, and gradients are averaged by how many examples a share holds. On GPUs
batch norm counts the whole batch (PyTorch's own synchronisation); on CPUs, where PyTorch has none and several processes
are for tests, each counts its share. The losses over known pixels and cells (`outline`, `fuse`, `segment`, `volume`)
are averaged share by share, which is near the whole batch's and not equal to it.
"""

from __future__ import annotations

import logging
import os
import signal
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any

import torch
import torch.distributed as dist
from lightning_fabric import Fabric
from lightning_fabric.strategies import DDPStrategy

from strokenext.answer.device import choose
from strokenext.errors import OptionError, StrokeNeXtError

#: Recipe's precision to Fabric's: weights stay float32, the forward pass runs in the smaller type.
PRECISION = {"float32": "32-true", "bf16": "bf16-mixed", "fp16": "16-mixed"}


def launch(
    function: Callable[..., Any],
    *arguments: Any,
    device: str = "auto",
    processes: int = 1,
    precision: str = "float32",
    unused: bool = False,
) -> Any:
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
    with _ignoring_interrupts():
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
def _ignoring_interrupts() -> Iterator[None]:
    """SIGINT is for the processes that train; this one waits for what they return."""
    before = signal.signal(signal.SIGINT, signal.SIG_IGN)
    try:
        yield
    finally:
        signal.signal(signal.SIGINT, before)
