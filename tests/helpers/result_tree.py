"""A small tree of result files for the tests of the report: random scores, real measures, two protocols."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np

from training.measure.measures import measure
from training.measure.result import Predictions, Result

HISTORY = [
    {"epoch": 1, "step": 10, "loss": 0.7, "validation": {"loss": 0.69, "auroc": 0.6}},
    {"epoch": 2, "step": 20, "loss": 0.5, "validation": {"loss": 0.61, "auroc": 0.8}},
]


def made(n: int = 200, signal: float = 2.0, seed: int = 0) -> Predictions:
    """Two sources, 40 patients of five slices; the first half of the slices normal."""
    rng = np.random.default_rng(seed)
    labels = (np.arange(n) >= n // 2).astype(np.int64)
    return Predictions(
        paths=tuple(f"{i}.png" for i in range(n)),
        sources=tuple("ab"[i % 2] for i in range(n)),
        units=tuple(f"p{i // 5}" for i in range(n)),
        kinds=tuple("hemorrhagic" if y else "normal" for y in labels),
        types=tuple("epidural subdural" if y else "" for y in labels),
        labels=labels,
        logits=rng.normal(0, 1, n) + signal * (labels - 0.5),
    )


def one(
    architecture: str, protocol: str, signal: float = 2.0, seed: int = 0, task: str = "presence", **data: Any
) -> Result:
    """A result of 100 slices of 20 patients in two sources."""
    p = made(100, signal, seed)
    about = {
        "protocol": protocol.partition("-")[0],
        "part": "test",
        "seconds_per_image": 0.0123,
        "training": {"seconds": 1800.0, "epochs": 2, "size": 96, "device": "a big GPU", "history": HISTORY},
    }
    model = {"name": architecture, "architecture": architecture, "task": task, "threshold": 0.5, "temperature": 1.2}
    environment = {"hardware": "a processor", "threads": 2}
    return Result(model, about | data, environment, measure(p, 0.5, 1.2, draws=40), p)


def explained(result: Result) -> Result:
    """The result with an explanation check."""
    row = {"value": 0.4, "low": 0.3, "high": 0.5, "n": 50, "units": 10}
    found = {"images": 50, "hit": row, "hit_minus_control": row | {"value": 0.15}, "outside": row}
    return replace(result, extra={"explanation": found})


def write_tree(folder: Path) -> Path:
    """StrokeNeXt atto and ResNet50 at image level, by patient, on an unseen source and on random labels."""
    for seed, name in enumerate(("strokenext_atto", "resnet50")):
        for protocol, signal in (("image", 4.0), ("grouped", 2.0), ("source-a", 0.5), ("image-random-labels", 1.0)):
            result = one(name, protocol, signal / (1 + seed), seed)
            if protocol == "grouped" and seed == 0:
                result = explained(result)
            result.write(folder / "presence" / protocol / f"{name}.json")
    (folder / "not_run.toml").write_text(
        '[[not_run]]\nwhat = "the full sizes"\nwhy = "no GPU"\ninstead = "atto"\ncommand = "python -m training x"\n'
    )
    (folder / "notes.json").write_text("[1, 2]")
    return folder


def hand_made(architecture: str, protocol: str, right: np.ndarray, units: list[str]) -> Result:
    """A result of slices s0, s1, ... whose calls at the threshold are right where `right` says so."""
    base = one(architecture, protocol)
    n = len(right)
    labels = np.arange(n) % 2
    logits = np.where(right == (labels == 1), 2.0, -2.0)
    p = replace(
        base.predictions.where(np.arange(100) < n),
        paths=tuple(f"s{i}" for i in range(n)),
        units=tuple(units),
        labels=labels,
        logits=logits,
    )
    return replace(base, predictions=p)
