"""Two tiny models with fixed random weights, so that the tests of API, CLI and page need no trained ones."""

from __future__ import annotations

import atexit
import shutil
import tempfile
from functools import cache
from pathlib import Path
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from demo.service import Service

NAMES = {"presence": "strokenext-atto-presence", "subtype": "strokenext-atto-subtype"}


@cache
def pair() -> Path:
    """A folder with the two models by the names of the bundled ones, made once for all tests of this run."""
    folder = Path(tempfile.mkdtemp(prefix="tiny-models-"))
    atexit.register(shutil.rmtree, folder, ignore_errors=True)
    return save_pair(folder)


def started(**settings: Any) -> Service:
    """The page's service with its models loaded."""
    from demo.service import Service
    from demo.settings import Settings

    service = Service(Settings(**settings))
    service.start()
    assert service.wait(120).status == "ready", service.state().message
    return service


def save_pair(assets: Path, size: int = 64) -> Path:
    """A presence and a subtype model in Hub layout under `assets`, by the names of the bundled ones."""
    import torch

    from strokenext.models import build
    from strokenext.preprocess.contract import Preprocess
    from strokenext.record.config import ModelConfig
    from strokenext.record.weights import save_model
    from strokenext.types import CLASSES

    for seed, (task, name) in enumerate(NAMES.items()):
        torch.manual_seed(seed)
        config = ModelConfig(
            name=name,
            architecture="strokenext_atto",
            arguments={},
            task=task,
            classes=CLASSES[task],
            preprocess=Preprocess(size=size),
            threshold=0.5,
            band=(0.499, 0.501),
            temperature=1.0,
            heat_scale=1.0,
            trained_on="Nothing: random weights for tests.",
            licence="Apache-2.0",
            experimental=task == "subtype",
        )
        save_model(assets / name, build("strokenext_atto").eval(), config, f"# {name}\n\nRandom weights for tests.\n")
    return assets


def volume_model(folder: Path, least: int = 8) -> Path:
    """A model of whole series with fixed random weights, for series with `least` slices of a head or more."""
    import torch

    from strokenext.models import build
    from strokenext.preprocess.contract import Preprocess
    from strokenext.preprocess.planes import Planes
    from strokenext.record.config import ModelConfig
    from strokenext.record.weights import save_model

    torch.manual_seed(2)
    config = ModelConfig(
        name=folder.name,
        architecture="cnn3d",
        arguments={},
        task="presence",
        classes=("non-stroke", "stroke"),
        preprocess=Preprocess(48, frame="head", level=True, channels="stroke"),
        planes=Planes(46, least),
        threshold=0.5,
        band=(0.4, 0.6),
        temperature=1.0,
        heat_scale=1.0,
        trained_on="Nothing: random weights for tests.",
        licence="Apache-2.0",
    )
    save_model(folder, build("cnn3d").eval(), config, f"# {folder.name}\n")
    return folder
