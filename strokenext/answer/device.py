"""Where the model runs: CUDA with mixed precision and channels-last, Apple's MPS, or the CPU in float32."""

from __future__ import annotations

from contextlib import AbstractContextManager, nullcontext

import torch
from torch import Tensor, nn

from strokenext.errors import DeviceError

#: What `device=` takes, besides "cuda:N".
NAMES: tuple[str, ...] = ("auto", "cuda", "mps", "cpu")


def choose(name: str = "auto") -> torch.device:
    """The device of that name; "auto" takes CUDA, then MPS, then the CPU.

    Raises DeviceError, saying what there is, for a device that is not there.
    """
    there = available()
    wanted = str(name).strip().lower()
    if wanted == "auto":
        return torch.device(there[0])
    kind, _, number = wanted.partition(":")
    if kind not in NAMES or (number and not number.isdigit()):
        raise DeviceError(f"There is no device '{name}'. Choose one of: {', '.join(NAMES)}, or cuda:N.")
    count = torch.cuda.device_count() if kind == "cuda" else 1
    if kind not in there or int(number or 0) >= count:
        raise DeviceError(f"The device '{name}' is not there. This computer has: {', '.join(there)}.")
    return torch.device(wanted)


def available() -> tuple[str, ...]:
    """The kinds of device of this computer, the fastest first."""
    kinds = []
    if torch.cuda.is_available():
        kinds.append("cuda")
    if torch.backends.mps.is_available():
        kinds.append("mps")
    return (*kinds, "cpu")


def place(model: nn.Module, device: torch.device, flat: bool = True) -> nn.Module:
    """The model on the device, in the memory layout that is fastest there; `flat` where its inputs are pictures."""
    model = model.to(device)
    return model.to(memory_format=torch.channels_last) if flat and device.type == "cuda" else model


def send(pixels: Tensor, device: torch.device) -> Tensor:
    """A batch (N, C, S, S) on the device, in the layout of `place`."""
    layout = torch.channels_last if device.type == "cuda" else torch.contiguous_format
    return pixels.to(device).contiguous(memory_format=layout)


def mixed(device: torch.device) -> AbstractContextManager[object]:
    """Half precision for the encoders on CUDA; float32 elsewhere.

    float16 and not bfloat16: its three more bits of mantissa keep probabilities closer to the CPU's.
    """
    return torch.autocast("cuda", dtype=torch.float16) if device.type == "cuda" else nullcontext()


def precision(device: torch.device) -> str:
    """The encoders' arithmetic, for the record."""
    return "float16 mixed" if device.type == "cuda" else "float32"
