"""Where numbers were made: versions, machine and commit; and the checksums of the files they were made from."""

from __future__ import annotations

import hashlib
import importlib.metadata
import os
import platform
import subprocess
from pathlib import Path
from typing import Any

from strokenext.version import __version__


def environment(device: str) -> dict[str, Any]:
    """What a result file says of its machine: `device` as torch names it, `hardware` as its maker does."""
    return {
        "strokenext": __version__,
        **_versions("torch", "timm", "numpy"),
        "device": device,
        "hardware": _hardware(device),
        "threads": _threads(),
    }


def run_environment(device: str) -> dict[str, Any]:
    """What run.json says: all that a reader needs to repeat the run; its `device` is the hardware's name."""
    return {
        **_versions("torch", "timm", "numpy", "lightning-fabric", "opencv-python-headless"),
        "system": platform.platform(),
        "device": _hardware(device),
        "cores": os.cpu_count(),
        "threads": _threads(),
        "commit": _commit(),
    }


def sha256(path: Path) -> str:
    """Checksum of a file, read in pieces."""
    with path.open("rb") as handle:
        return hashlib.file_digest(handle, "sha256").hexdigest()


def _versions(*packages: str) -> dict[str, str]:
    return {"python": platform.python_version(), **{name: importlib.metadata.version(name) for name in packages}}


def _threads() -> int:
    import torch

    return torch.get_num_threads()


def _hardware(device: str) -> str:
    """The name of the GPU, or of the processor where the system tells it."""
    import torch

    if device.startswith("cuda"):
        return torch.cuda.get_device_name()
    listing = Path("/proc/cpuinfo")
    lines = listing.read_text(encoding="utf-8", errors="replace").splitlines() if listing.exists() else []
    named = (line.partition(":")[2].strip() for line in lines if line.startswith("model name"))
    return next(named, "") or platform.processor() or platform.machine()


def _commit() -> str:
    """The commit of this source tree, with "+" where files differ from it; empty without git."""
    here = Path(__file__).resolve().parent

    def git(*words: str) -> str:
        return subprocess.run(["git", *words], cwd=here, capture_output=True, text=True, check=True).stdout.strip()

    try:
        return git("rev-parse", "HEAD") + ("+" if git("status", "--porcelain", "--untracked-files=no") else "")
    except (OSError, subprocess.CalledProcessError):
        return ""
