"""The result file of one evaluation: predictions slice by slice, and every measure made from them.

Columns, not rows, and runs of one text as (text, count), so that a file of thousands of slices stays small; numbers
are rounded to six digits. No image and no patient data beyond the source's own study ids is in it, so result files
are committed.
"""

from __future__ import annotations

import json
import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, fields
from itertools import groupby
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from strokenext.errors import DataError
from strokenext.record.calibration import Calibration
from strokenext.record.config import ModelConfig
from strokenext.saving import write_file

from .calibration import Scale, calibrated
from .estimate import text

FORMAT = "strokenext-result/1"


@dataclass(frozen=True, eq=False)
class Predictions:
    """One entry per slice: `labels` 0 or 1, `logits` (N,) the margin positive minus negative, before temperature.

    `units` is the patient (else near-duplicate group) of each slice; `kinds` normal, ischemic, hemorrhagic or stroke;
    `types` the hemorrhage types as the source words them, empty where none.
    """

    paths: tuple[str, ...]
    sources: tuple[str, ...]
    units: tuple[str, ...]
    kinds: tuple[str, ...]
    types: tuple[str, ...]
    labels: NDArray[np.int64]
    logits: NDArray[np.float64]

    def __post_init__(self) -> None:
        if len({len(getattr(self, f.name)) for f in fields(self)}) != 1:
            raise DataError("The columns of a result differ in length.")

    def __len__(self) -> int:
        return len(self.paths)

    def where(self, keep: NDArray[np.bool_]) -> Predictions:
        """The slices for which `keep` (N,) is true."""
        chosen = np.flatnonzero(keep)
        columns: dict[str, Any] = {}
        for f in fields(self):
            column = getattr(self, f.name)
            columns[f.name] = column[chosen] if isinstance(column, np.ndarray) else tuple(column[i] for i in chosen)
        return Predictions(**columns)

    def probabilities(self, scale: Scale = 1.0) -> NDArray[np.float64]:
        """(N,) probability of the positive class."""
        return calibrated(self.logits, scale)


@dataclass(frozen=True, eq=False)
class Result:
    """What was evaluated on what, with which outcome. `model`, `data`, `environment` and `metrics` are plain JSON."""

    model: Mapping[str, Any]
    data: Mapping[str, Any]
    environment: Mapping[str, Any]
    metrics: Mapping[str, Any]
    predictions: Predictions
    extra: Mapping[str, Any] = field(default_factory=dict)

    @property
    def name(self) -> str:
        """The model's name."""
        return str(self.model["name"])

    @property
    def scale(self) -> Scale:
        """What turns the logits into the model's probabilities."""
        return scale_of(self.model)

    def write(self, file: Path) -> Path:
        """Write the result as JSON, whole or not at all; each column on a line of its own."""
        file.parent.mkdir(parents=True, exist_ok=True)
        columns = {f.name: packed(plain(getattr(self.predictions, f.name))) for f in fields(Predictions)}
        columns["logits"] = [round(v, 4) for v in self.predictions.logits.tolist()]
        head = {f.name: plain(getattr(self, f.name)) for f in fields(Result) if f.name != "predictions"}
        body = ",\n".join(f" {json.dumps(n)}: {json.dumps(v, ensure_ascii=False)}" for n, v in columns.items())
        start = json.dumps({"format": FORMAT, **head}, indent=1, ensure_ascii=False)[:-2]
        write_file(file, f'{start},\n "predictions": {{\n{body}\n }}\n}}\n')
        return file

    def summary(self) -> str:
        """The main figures, a line each; those of sources of one class that rank nothing at the end."""
        ranking, point = self.metrics["ranking"], self.metrics["at_threshold"]
        lines = [
            f"{self.name}, {self.model['task']}: {self.metrics['slices']} slices, {self.metrics['units']} units",
            f"  AUROC {text(ranking['auroc'])}  accuracy {text(point['accuracy'])}  F1 {point['f1_macro']:.3f}",
            f"  sensitivity {text(point['sensitivity'])}  specificity {text(point['specificity'])}",
        ]
        for source, row in self.metrics["by_source"].items():
            lines.append(f"  {source}: n {row['n']}, positives {row['positives']}, AUROC {text(row['auroc'])}")
        for source, row in self.extra.get("one_class_sources", {}).items():
            rate = row["called_positive"]
            called = f"{rate['value']:.3f} of {rate['n']} called positive"
            lines.append(f"  {source}, all of class {row['label']}: {called}")
        return "\n".join(lines)


def facts(config: ModelConfig) -> dict[str, Any]:
    """What a result says of the model."""
    names = ("name", "architecture", "task", "classes", "threshold", "band", "temperature", "weights_sha256")
    more = {"trained_on": config.trained_on, "preprocess": config.preprocess.to_dict()}
    if config.calibration is not None:
        more["calibration"] = config.calibration.to_dict()
    return {n: getattr(config, n) for n in names} | more


def scale_of(model: Mapping[str, Any]) -> Scale:
    """The calibration that a result's model records, or its temperature where it has none."""
    recorded = model.get("calibration")
    return float(model["temperature"]) if recorded is None else Calibration.from_dict(recorded)


def plain(value: Any) -> Any:
    """JSON values: tuples to lists, numpy to Python, six significant digits, undefined numbers to None."""
    if isinstance(value, Mapping):
        return {str(k): plain(v) for k, v in value.items()}
    if isinstance(value, np.ndarray | Sequence) and not isinstance(value, str):
        return [plain(v) for v in value]
    if isinstance(value, bool | np.bool_):
        return bool(value)
    if isinstance(value, int | np.integer):
        return int(value)
    if isinstance(value, float | np.floating):
        return float(f"{float(value):.6g}") if math.isfinite(value) else None
    return value


def packed(column: list[Any]) -> list[Any] | dict[str, list[list[Any]]]:
    """A column of texts as its runs, {"runs": [[text, count], ...]}, where that is shorter; any other as it is."""
    if not column or not isinstance(column[0], str):
        return column
    runs = [[text, len(list(same))] for text, same in groupby(column)]
    return {"runs": runs} if 2 * len(runs) < len(column) else column


def unpacked(column: Any) -> list[Any]:
    """The inverse of `packed`."""
    if not isinstance(column, Mapping):
        return list(column)
    return [text for text, count in column["runs"] for _ in range(count)]


def read_result(file: str | Path) -> Result:
    """Read what `Result.write` wrote. Raises DataError when it is absent or of another format."""
    source = Path(file)
    if not source.is_file():
        raise DataError(f"There is no result file at {source}. Write one with: python -m training evaluate.")
    try:
        values = json.loads(source.read_text(encoding="utf-8"))
        if values.pop("format") != FORMAT:
            raise KeyError("format")
        columns = values.pop("predictions")
        ready: dict[str, Any] = {name: tuple(unpacked(column)) for name, column in columns.items()}
        ready["labels"] = np.asarray(columns["labels"], np.int64)
        ready["logits"] = np.asarray(columns["logits"], np.float64)
        return Result(**values, predictions=Predictions(**ready))
    except (ValueError, KeyError, TypeError, AttributeError) as problem:
        raise DataError(f"{source} is not a {FORMAT} file. Evaluate again.") from problem
