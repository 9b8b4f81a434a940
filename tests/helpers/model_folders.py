"""Small model folders for the tests of weights and Hub: the small CNN, 183,682 parameters, random numbers."""

from __future__ import annotations

import functools
import shutil
import tempfile
from pathlib import Path
from typing import Any

from strokenext.preprocess.contract import Preprocess
from strokenext.record.config import ModelConfig, ReliabilityBin
from strokenext.record.weights import save_model
from strokenext.types import CLASSES

CARD = "---\nlicense: apache-2.0\n---\n# A model for tests\n"


def record(task: str = "presence", **changes: Any) -> ModelConfig:
    """A complete record of a small CNN."""
    usual: dict[str, Any] = {
        "name": f"small-{task}",
        "architecture": "small_cnn",
        "arguments": {},
        "task": task,
        "classes": CLASSES.get(task, ("edema",)),
        "preprocess": Preprocess(size=256),
        "threshold": 0.4,
        "band": (0.3, 0.5),
        "temperature": 1.5,
        "heat_scale": 2.0,
        "trained_on": "nothing; random numbers",
        "licence": "Apache-2.0",
        "reliability": (ReliabilityBin(0.0, 0.5, 40, 4, (0.03, 0.24)), ReliabilityBin(0.5, 1.0, 10, 8, (0.44, 0.97))),
        "metrics": {"auroc": 0.5},
    }
    return ModelConfig(**usual | changes)


@functools.cache
def _made(task: str) -> Path:
    import torch

    from strokenext.models import build

    torch.manual_seed(5)
    folder = Path(tempfile.mkdtemp(prefix="strokenext-test-")) / f"small-{task}"
    save_model(folder, build("small_cnn"), record(task), CARD)
    return folder


def model_folder(parent: Path, task: str = "presence") -> Path:
    """A fresh copy of a valid model folder, `parent/small-<task>`."""
    return Path(shutil.copytree(_made(task), parent / f"small-{task}"))
