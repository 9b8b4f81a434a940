"""`python -m training benchmark`: parameters, operations, latency, throughput and peak memory of zoo rows.

Each model is measured in a process of its own, so that its peak memory is its own. Weights are random: they change
no timing. Grad-CAM is timed three ways on the same input: through the head alone as the library does it, the same
result by a gradient through the whole network, and pytorch-grad-cam with its hooks.
"""

from __future__ import annotations

import argparse
import json
import multiprocessing
import sys
import time
from collections.abc import Callable, Sequence
from concurrent.futures import ProcessPoolExecutor
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from strokenext import zoo
from strokenext.errors import DataError, DeviceError

from .results import plain

if TYPE_CHECKING:
    from torch import Tensor, nn

FORMAT = "strokenext-benchmark/1"


@dataclass(frozen=True)
class Settings:
    """How to measure. `size` replaces the row's input side; `batch` is for throughput; `repeats` for the median."""

    device: str = "cpu"
    size: int | None = None
    batch: int = 8
    repeats: int = 5
    threads: int | None = None
    gradcam: bool = True
    isolated: bool = True  # a process per model; without it the peak memory is that of all so far


@dataclass(frozen=True)
class Measured:
    """One row: floating-point operations (2 per multiply-add) and times of an image, memory in MB, None unmeasured."""

    name: str
    parameters: int
    gflops: float
    input_shape: tuple[int, ...]
    latency_ms: float
    images_per_second: float
    peak_memory_mb: float
    gradcam_head_ms: float | None = None
    gradcam_full_ms: float | None = None
    gradcam_hooks_ms: float | None = None


def measure_row(name: str, settings: Settings) -> Measured:
    """Measure one model in this process. Raises DeviceError when the device is not there."""
    import torch

    from strokenext.models import build

    device = torch.device(settings.device)
    if device.type == "cuda" and not torch.cuda.is_available():
        raise DeviceError("There is no CUDA device here. Choose --device cpu.")
    if settings.threads:
        torch.set_num_threads(settings.threads)
    row = zoo.row(name)
    channels, *sides = row.input_shape
    shape = (channels, *sides[:-2], *((settings.size,) * 2 if settings.size else sides[-2:]))
    before = _memory(device)
    torch.manual_seed(0)
    model = build(name).to(device).eval()
    one = torch.randn(1, *shape, device=device)
    many = torch.randn(settings.batch, *shape, device=device)
    with torch.inference_mode():
        latency = median_ms(lambda: model(one), device, settings.repeats)
        together = median_ms(lambda: model(many), device, max(settings.repeats // 2, 2))
    memory = _memory(device) - before
    cam = _gradcam(model, one, settings.repeats) if settings.gradcam and row.kind == "slice" else (None, None, None)
    return Measured(
        name, sum(p.numel() for p in model.parameters()), flops(name, shape) / 1e9, shape, latency,
        1000 * settings.batch / together, memory, *cam,
    )  # fmt: skip


def flops(name: str, shape: tuple[int, ...]) -> float:
    """Floating-point operations of one image by torch's own counter, on the meta device: no memory, no time."""
    import torch
    from torch.utils.flop_counter import FlopCounterMode

    from strokenext.models import build

    with torch.device("meta"):
        model, x = build(name).eval(), torch.empty(1, *shape)
    with FlopCounterMode(display=False) as counter, torch.no_grad():
        model(x)
    return float(counter.get_total_flops())


def median_ms(work: Callable[[], object], device: Any, repeats: int) -> float:
    """Median milliseconds of a call after one to warm up, the device waited for."""
    import torch

    times = []
    for _ in range(repeats + 1):
        start = time.perf_counter()
        work()
        if device.type == "cuda":
            torch.cuda.synchronize()
        times.append(1000 * (time.perf_counter() - start))
    kept = sorted(times[1:])
    return kept[len(kept) // 2]


def _memory(device: Any) -> float:
    """Peak memory so far in MB: of the device, or of this process."""
    import resource

    import torch

    if device.type == "cuda":
        return torch.cuda.max_memory_allocated() / 1e6
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    return peak / (1e6 if sys.platform == "darwin" else 1e3)  # bytes on macOS, kilobytes on Linux


def _gradcam(model: nn.Module, x: Tensor, repeats: int) -> tuple[float, float, float | None]:
    """Milliseconds of one explained prediction: head only, whole graph, pytorch-grad-cam."""
    from strokenext import explain

    head = median_ms(lambda: explain.heat(model, x, 1), x.device, repeats)
    full = median_ms(lambda: full_graph(model, x), x.device, repeats)
    layers = _last_layers(model, x)
    return head, full, median_ms(lambda: _library(model, x, layers), x.device, repeats) if layers else None


def full_graph(model: nn.Module, x: Tensor) -> list[Tensor]:
    """Grad-CAM maps with the gradient taken through a graph that holds the encoders too."""
    import torch

    features = tuple(model.features(x.clone().requires_grad_(True)))  # type: ignore[operator]
    gradients = torch.autograd.grad(model.head(features)[0, 1], features)  # type: ignore[operator]
    return [torch.relu((g.mean((2, 3), keepdim=True) * f).sum(1)) for g, f in zip(gradients, features, strict=True)]


def _last_layers(model: nn.Module, x: Tensor) -> list[nn.Module]:
    """The modules whose outputs are the features: what the hook-based library must be pointed at."""
    import torch

    seen: dict[int, nn.Module] = {}
    outputs: list[Tensor] = []

    def note(module: nn.Module, _: object, output: object) -> None:
        if isinstance(output, torch.Tensor):
            seen[output.data_ptr()] = module
            outputs.append(output)  # kept alive, so that no address is used twice

    hooks = [m.register_forward_hook(note) for m in model.modules()]
    with torch.no_grad():
        features = model.features(x)  # type: ignore[operator]
    for hook in hooks:
        hook.remove()
    layers = [seen[f.data_ptr()] for f in features if f.data_ptr() in seen]
    return layers if len(layers) == len(features) else []


def _library(model: nn.Module, x: Tensor, layers: list[nn.Module]) -> object:
    from pytorch_grad_cam import GradCAM
    from pytorch_grad_cam.utils.model_targets import ClassifierOutputTarget

    with GradCAM(model=model, target_layers=layers) as cam:
        return cam(input_tensor=x, targets=[ClassifierOutputTarget(1)])


def benchmark(
    names: Sequence[str], settings: Settings, told: Callable[[Measured], None] | None = None
) -> list[Measured]:
    """Measure rows one after another, each in a fresh process. Raises ModelNotFoundError before starting any."""
    for name in names:
        zoo.row(name)
    found = []
    for name in names:
        if settings.isolated:
            with ProcessPoolExecutor(max_workers=1, mp_context=multiprocessing.get_context("spawn")) as pool:
                found.append(pool.submit(measure_row, name, settings).result())
        else:
            found.append(measure_row(name, settings))
        if told is not None:
            told(found[-1])
    return found


def table(rows: Sequence[Measured], reference: str | None = None) -> str:
    """Markdown table; with a reference, how many times slower (or faster) each image is than with that row."""
    if reference is not None and reference not in {r.name for r in rows}:
        raise DataError(f"The reference '{reference}' is not among the measured models.")
    base = next((r.latency_ms for r in rows if r.name == reference), None)
    heads = [
        "model",
        "parameters",
        "GFLOPs",
        "ms per image",
        "images/s",
        "peak MB",
        "Grad-CAM head only / full / hooks, ms",
    ]
    lines = ["| " + " | ".join(heads + ([f"time vs {reference}"] if base else [])) + " |"]
    lines.append("|---" * (lines[0].count("|") - 1) + "|")
    for r in rows:
        cams = (r.gradcam_head_ms, r.gradcam_full_ms, r.gradcam_hooks_ms)
        cells = [
            r.name, f"{r.parameters:,}", f"{r.gflops:.2f}", f"{r.latency_ms:.1f}", f"{r.images_per_second:.1f}",
            f"{r.peak_memory_mb:.0f}", " / ".join("–" if c is None else f"{c:.0f}" for c in cams),
        ]  # fmt: skip
        lines.append("| " + " | ".join(cells + ([f"{r.latency_ms / base:.2f}×"] if base else [])) + " |")
    return "\n".join(lines)


def parser() -> argparse.ArgumentParser:
    """The command's flags."""
    p = argparse.ArgumentParser(prog="python -m training benchmark", description=__doc__.splitlines()[0])
    p.add_argument("--models", nargs="+", metavar="NAME", help="zoo rows (default: all)")
    p.add_argument("--device", default="cpu")
    p.add_argument("--size", type=int, help="input side in pixels instead of each row's own")
    p.add_argument("--batch", type=int, default=8, help="for throughput")
    p.add_argument("--repeats", type=int, default=5)
    p.add_argument("--threads", type=int, help="CPU threads (default: torch's)")
    p.add_argument("--reference", metavar="NAME", help="print each latency as a multiple of this row's")
    p.add_argument("--no-gradcam", action="store_true")
    p.add_argument("--same-process", action="store_true", help="no process per model: faster, memory less exact")
    p.add_argument("--out", type=Path, help="JSON file")
    return p


def main(argv: Sequence[str]) -> int:
    """Run the command. Returns 0."""
    from .evaluate import environment

    o = parser().parse_args(argv)
    settings = Settings(o.device, o.size, o.batch, o.repeats, o.threads, not o.no_gradcam, not o.same_process)
    names = o.models or [r.name for r in zoo.list_models()]
    if o.reference and o.reference not in names:
        names = [o.reference, *names]
    rows = benchmark(names, settings, lambda r: print(f"{r.name}: {r.latency_ms:.1f} ms", file=sys.stderr))
    where = environment(o.device) | {"threads": o.threads or environment(o.device)["threads"]}
    print(f"{where['hardware']}, {where['threads']} threads, torch {where['torch']}, float32, {o.device}\n")
    print(table(rows, o.reference))
    if o.out:
        values = {
            "format": FORMAT,
            "environment": where,
            "settings": asdict(settings),
            "rows": [asdict(r) for r in rows],
        }
        o.out.parent.mkdir(parents=True, exist_ok=True)
        o.out.write_text(json.dumps(plain(values), indent=1) + "\n", encoding="utf-8")
    return 0
