"""A tiny two-encoder network, its record and a drawn head, for tests that need an answer but no trained model."""

from __future__ import annotations

from typing import Any

import numpy as np
import torch
from torch import Tensor, nn

from strokenext.preprocess.appearance import NAMES
from strokenext.preprocess.contract import Preprocess
from strokenext.record.config import ModelConfig, ReliabilityBin
from strokenext.record.experience import Experience
from strokenext.slice.predictor import Predictor
from strokenext.types import CLASSES, Slice, Volume


class Pair(nn.Module):
    """Two small convolutional encoders, pooled, joined and classified: the shape of StrokeNeXt."""

    encoders = ("A", "B")

    def __init__(self, seed: int = 0, width: int = 6) -> None:
        super().__init__()
        torch.manual_seed(seed)
        self.a, self.b = (
            nn.Sequential(nn.Conv2d(3, width, 3, 4, 1), nn.GELU(), nn.Conv2d(width, width, 3, 2, 1)) for _ in "AB"
        )
        self.norm = nn.BatchNorm1d(2 * width)
        self.norm.running_mean.normal_()
        self.fc = nn.Sequential(nn.Linear(2 * width, 8), nn.ReLU(inplace=True), nn.Dropout(0.5), nn.Linear(8, 2))
        with torch.no_grad():  # logits and heat of the order of 1
            for weight in (*self.a.parameters(), *self.b.parameters(), *self.fc.parameters()):
                weight *= 3

    def features(self, x: Tensor) -> tuple[Tensor, ...]:
        return self.a(x), self.b(x)

    def head(self, features: tuple[Tensor, ...]) -> Tensor:
        return self.fc(self.norm(torch.cat([f.mean((2, 3)) for f in features], 1)))

    def forward(self, x: Tensor) -> Tensor:
        return self.head(self.features(x))


class Fixed(Pair):
    """As Pair, with the log-odds of the positive class moved to a chosen value for the drawn head."""

    def __init__(self, wanted: float) -> None:
        super().__init__()
        self.eval()
        x = torch.from_numpy(Preprocess(size=64).apply(head()).pixels)[None]
        with torch.no_grad():
            z = self(x)[0]
            self.fc[3].bias += torch.tensor([0.0, wanted - float(z[1] - z[0])])


#: Experience of every picture: no look is strange to it.
EVERYTHING = Experience(
    units=("HU", "grey"),
    names=NAMES,
    mean=(0.0,) * len(NAMES),
    spread=(1.0,) * len(NAMES),
    hidden=((0.0,) * (len(NAMES) + 1),),
    output=((0.0, 0.0),) * 3,
    strange_from=100.0,
    window_from=100.0,
)


def config(task: str = "presence", **changes: Any) -> ModelConfig:
    """A record with threshold 0.4, band 0.3 to 0.5 and temperature 2; bins of 0.1, the lowest one empty."""
    bins = tuple(
        ReliabilityBin(i / 10, (i + 1) / 10, 0 if i == 0 else 50, 0 if i == 0 else 5 * i, (i / 20, (i + 1) / 10))
        for i in range(10)
    )
    record: dict[str, Any] = {
        "name": f"toy-{task}",
        "architecture": "toy",
        "arguments": {},
        "task": task,
        "classes": CLASSES[task],
        "preprocess": Preprocess(size=64),
        "threshold": 0.4,
        "band": (0.3, 0.5),
        "temperature": 2.0,
        "heat_scale": 3.0,
        "reliability": bins,
        "experience": EVERYTHING,
        "trained_on": "nothing <at all> & a drawing",
        "experimental": task == "subtype",
        "licence": "Apache-2.0",
        "weights_sha256": "ab" * 32,
        "reference_logits": (0.0, 0.0),
    }
    return ModelConfig(**(record | changes))


def predictor(task: str = "presence", log_odds: float = 2.0, **changes: Any) -> Predictor:
    """A predictor on the CPU whose raw log-odds for `head()` are `log_odds`."""
    return Predictor(Fixed(log_odds), config(task, **changes), "cpu")


def head(seed: int = 0, side: int = 96) -> Slice:
    """A skull of 1000 HU around a brain of 35 HU with white matter of 29 HU on both sides and noise, in air."""
    rng = np.random.default_rng(seed)
    yy, xx = np.mgrid[0:side, 0:side]
    radius = np.hypot((yy - side / 2) / 0.46, (xx - side / 2) / 0.38) / side
    pixels = np.where(radius < 0.9, 35.0, np.where(radius < 1, 1000.0, -1000.0))
    for middle in (0.4, 0.6):  # a brain that is all one grey is a drawing to the gate
        pixels[np.hypot((yy / side - 0.5) / 0.2, (xx / side - middle) / 0.06) < 1] = 29.0
    pixels = pixels + rng.normal(0, 2, (side, side))
    return Slice(pixels.astype(np.float32), "HU", spacing=(2.0, 2.0), kind="array", sha256=f"{seed:064x}")


def series(count: int = 5) -> Volume:
    """`count` heads that differ in their noise."""
    return Volume(tuple(head(i) for i in range(count)), sha256="cd" * 32)
