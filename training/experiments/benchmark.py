"""Parameters, operations, latency, throughput and peak memory of zoo rows.

Each model is measured in a process of its own, so that its peak memory is its own. Weights are random: they change
no timing. Grad-CAM is timed three ways on the same input: through the head alone as the library does it, the same
result by a gradient through the whole network, and pytorch-grad-cam with its hooks.
"""

from __future__ import annotations

import math
import multiprocessing
import sys
import time
from collections.abc import Callable, Sequence
from concurrent.futures import ProcessPoolExecutor
from concurrent.futures.process import BrokenProcessPool
from dataclasses import dataclass
from pathlib import Path
from statistics import median
from typing import TYPE_CHECKING, Any

from strokenext import zoo
from strokenext.errors import DeviceError
from strokenext.models import build

if TYPE_CHECKING:
    from torch import Tensor, nn

FORMAT = "strokenext-benchmark/1"
#: Passes that are timed however long they take.
LEAST = 3


@dataclass(frozen=True)
class Settings:
    """How to measure. `size` replaces the row's input side; `batch` is the largest for throughput.

    A time is taken up to `repeats` times but no longer than `seconds`, three times at least.
    """

    device: str = "cpu"
    size: int | None = None
    batch: int = 8
    repeats: int = 30
    seconds: float = 1.0
    threads: int | None = None
    gradcam: bool = True
    isolated: bool = True  # a process per model; without it the peak memory is that of all so far


@dataclass(frozen=True)
class Measured:
    """One row: floating-point operations (2 per multiply-add) and times of an image, memory in MB, None unmeasured.

    `latency_ms` is the median and `latency_p90_ms` the ninth tenth of `repeats` passes of one image.
    """

    name: str
    parameters: int
    gflops: float
    input_shape: tuple[int, ...]
    latency_ms: float
    latency_p90_ms: float
    repeats: int
    images_per_second: float
    batch: int
    peak_memory_mb: float
    gradcam_head_ms: float | None = None
    gradcam_full_ms: float | None = None
    gradcam_hooks_ms: float | None = None


def measure_row(name: str, settings: Settings) -> Measured:
    """Measure one model in this process. Raises DeviceError when the device is not there."""
    import torch

    device = torch.device(settings.device)
    if device.type == "cuda" and not torch.cuda.is_available():
        raise DeviceError("There is no CUDA device here. Choose --device cpu.")
    if settings.threads:
        torch.set_num_threads(settings.threads)
    row = zoo.row(name)
    shape = shape_of(name, settings)
    before = peak_memory(device)
    torch.manual_seed(0)
    model = build(name).to(device).eval().requires_grad_(True)  # hooks find no gradient in a frozen body
    one = torch.randn(1, *shape, device=device)
    with torch.inference_mode():
        times = times_ms(lambda: model(one), device, settings)
        latency = median(times)
        batch = max(1, min(settings.batch, int(1000 * settings.seconds / latency)))
        many = torch.randn(batch, *shape, device=device)
        together = median(times_ms(lambda: model(many), device, settings)) if batch > 1 else latency
    memory = peak_memory(device) - before
    cam = _gradcam(model, one, settings) if settings.gradcam and row.kind == "slice" else (None, None, None)
    return Measured(
        name,
        sum(p.numel() for p in model.parameters()),
        flops(name, shape) / 1e9,
        shape,
        latency,
        p90(times),
        len(times),
        1000 * batch / together,
        batch,
        memory,
        *cam,
    )


def shape_of(name: str, settings: Settings) -> tuple[int, ...]:
    """(C, H, W) or (C, D, H, W) of one input."""
    channels, *sides = zoo.row(name).input_shape
    return (channels, *sides[:-2], *((settings.size,) * 2 if settings.size else sides[-2:]))


def flops(name: str, shape: tuple[int, ...]) -> float:
    """Floating-point operations of one image by torch's own counter, on the meta device: no memory, no time."""
    import torch
    from torch.utils.flop_counter import FlopCounterMode

    with torch.device("meta"):
        model, x = build(name).eval(), torch.empty(1, *shape)
    with FlopCounterMode(display=False) as counter, torch.no_grad():
        model(x)
    return float(counter.get_total_flops())


def times_ms(work: Callable[[], object], device: Any, settings: Settings) -> list[float]:
    """Milliseconds of each call after one to warm up, the device waited for."""
    import torch

    times: list[float] = []
    for _ in range(settings.repeats + 1):
        start = time.perf_counter()
        work()
        if device.type == "cuda":
            torch.cuda.synchronize()
        times.append(1000 * (time.perf_counter() - start))
        if len(times) > LEAST and sum(times) > 1000 * settings.seconds:
            break
    return times[1:]


def p90(times: Sequence[float]) -> float:
    """The value that nine tenths of the times do not exceed."""
    return sorted(times)[math.ceil(0.9 * len(times)) - 1]


def peak_memory(device: Any) -> float:
    """Peak memory so far in MB: of the device, or of this process."""
    import resource

    import torch

    if device.type == "cuda":
        return torch.cuda.max_memory_allocated() / 1e6
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    return peak / (1e6 if sys.platform == "darwin" else 1e3)  # bytes on macOS, kilobytes on Linux


def _gradcam(model: nn.Module, x: Tensor, settings: Settings) -> tuple[float, float, float | None]:
    """Milliseconds of one explained prediction: head only, whole graph, pytorch-grad-cam."""
    from strokenext.explain import gradcam as explain

    layers = _last_layers(model, x)
    ways: list[Callable[[], object]] = [lambda: explain.heat(model, x, 1), lambda: full_graph(model, x)]
    ways += [lambda: _library(model, x, layers)] if layers else []
    head, full, *hooks = (median(times_ms(way, x.device, settings)) for way in ways)
    return head, full, hooks[0] if hooks else None


def full_graph(model: nn.Module, x: Tensor) -> list[Tensor]:
    """Grad-CAM maps with the gradient taken through a graph that holds the encoders too."""
    import torch

    features = tuple(model.features(x.clone().requires_grad_(True)))  # type: ignore[operator]
    gradients = torch.autograd.grad(model.head(features)[0, 1], features)  # type: ignore[operator]
    return [torch.relu((g.mean((2, 3), keepdim=True) * f).sum(1)) for g, f in zip(gradients, features, strict=True)]


def _last_layers(model: nn.Module, x: Tensor) -> list[nn.Module]:
    """The modules whose outputs are the features: what the hook-based library must be pointed at."""
    import torch

    by_address: dict[int, nn.Module] = {}
    outputs: list[Tensor] = []

    def note(module: nn.Module, _: object, output: object) -> None:
        if isinstance(output, torch.Tensor):
            by_address[output.data_ptr()] = module
            outputs.append(output)  # kept alive, so that no address is used twice

    hooks = [m.register_forward_hook(note) for m in model.modules()]
    with torch.no_grad():
        features = model.features(x)  # type: ignore[operator]
    for hook in hooks:
        hook.remove()
    layers = [by_address[f.data_ptr()] for f in features if f.data_ptr() in by_address]
    return layers if len(layers) == len(features) else []


def _library(model: nn.Module, x: Tensor, layers: list[nn.Module]) -> object:
    from pytorch_grad_cam import GradCAM
    from pytorch_grad_cam.utils.model_targets import ClassifierOutputTarget

    with GradCAM(model=model, target_layers=layers) as cam:
        return cam(input_tensor=x, targets=[ClassifierOutputTarget(1)])


def benchmark(
    names: Sequence[str],
    settings: Settings,
    report: Callable[[str, Measured | str], None] | None = None,
    minutes: float | None = None,
) -> tuple[list[Measured], list[dict[str, str]]]:
    """Measure rows, the smallest first, each in a fresh process; then what was left out and why.

    A row is left out when its weights and passes would not fit the free memory, when it is killed, or when `minutes`
    have gone by before its turn. Raises ModelNotFoundError before starting any.
    """
    order = sorted(names, key=lambda n: zoo.row(n).params)
    measured: dict[str, Measured] = {}
    left: list[dict[str, str]] = []
    start = time.monotonic()
    for name in order:
        why = _too_large(name, settings)
        if minutes is not None and time.monotonic() - start > 60 * minutes:
            why = f"{minutes:g} minutes had gone by"
        if not why:
            try:
                measured[name] = _isolated(name, settings) if settings.isolated else measure_row(name, settings)
            except BrokenProcessPool:
                why = "its process was killed, most likely for want of memory"
            except RuntimeError as problem:
                if "out of memory" not in str(problem):
                    raise
                why = "the device has too little memory"
        if why:
            left.append({"name": name, "why": why})
        if report is not None:
            report(name, why or measured[name])
    return [measured[n] for n in names if n in measured], left


def _isolated(name: str, settings: Settings) -> Measured:
    """Measured in a process of its own; a fork server that has torch imported already saves seconds for each."""
    method = "forkserver" if "forkserver" in multiprocessing.get_all_start_methods() else "spawn"
    context = multiprocessing.get_context(method)
    if method == "forkserver" and settings.device == "cpu":
        context.set_forkserver_preload(["torch", "timm", __name__])
    with ProcessPoolExecutor(max_workers=1, mp_context=context) as pool:
        return pool.submit(measure_row, name, settings).result()


def _too_large(name: str, settings: Settings) -> str:
    """Why a row cannot be measured in the memory that is free: four times its weights, and the passes; else empty."""
    info = Path("/proc/meminfo")
    if settings.device != "cpu" or not info.is_file():
        return ""
    free = next(int(x.split()[1]) for x in info.read_text().splitlines() if x.startswith("MemAvailable")) / 1e6
    need = 4 * 4 * zoo.row(name).params / 1e9 + 1
    return f"it may need {need:.0f} GB and {free:.0f} GB are free" if need > free else ""
