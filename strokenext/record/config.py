"""A model folder's files, and its `config.json`: all that turns a network's logits into an answer, read strictly.

A record with an unknown, missing or impossible entry is refused, because guessing would change an answer.
"""

from __future__ import annotations

import json
import math
import re
from collections.abc import Callable
from dataclasses import asdict, dataclass, field, fields, replace
from pathlib import Path
from typing import Any, Literal

from strokenext.errors import ModelError
from strokenext.preprocess.contract import Preprocess
from strokenext.preprocess.planes import Planes
from strokenext.regions import Masks, within
from strokenext.types import CLASSES
from strokenext.zoo import list_models

from .calibration import Calibration
from .experience import Experience

#: What a model answers about: a slice, a whole series at once, or the pixels of a slice.
Kind = Literal["slice", "series", "segmentation"]
#: The three files of a model folder, wherever it lies.
CONFIG, WEIGHTS, CARD = "config.json", "model.safetensors", "README.md"
#: Endings of files that can run code when opened.
PICKLES = (".bin", ".pt", ".pth", ".ckpt", ".pkl", ".pickle", ".joblib", ".h5", ".keras")
#: Version of the record; a newer one is refused instead of half understood.
FORMAT = 1
#: Largest config.json that is read, in bytes.
MAX_CONFIG_BYTES = 1_000_000
#: Entries that only some models have; absent from a record elsewhere.
OWN_RECORDS = ("planes", "masks", "calibration", "experience")
#: The tasks a checkpoint can answer; those of CLASSES have fixed class names.
TASKS = (*CLASSES, "segmentation")


@dataclass(frozen=True)
class ReliabilityBin:
    """Among the `n` validation slices with a calibrated probability in [low, high), `positives` were positive.

    `interval` is the 95 % interval of that observed fraction.
    """

    low: float
    high: float
    n: int
    positives: int
    interval: tuple[float, float]

    def __post_init__(self) -> None:
        lo, hi = self.interval
        if not (0 <= self.low < self.high <= 1.000001 and 0 <= lo <= hi <= 1 and 0 <= self.positives <= self.n):
            raise ValueError(f"a reliability bin is impossible: {asdict(self)}")


@dataclass(frozen=True)
class ModelConfig:
    """What a checkpoint states about itself.

    `architecture` is a zoo name and `arguments` its builder's options; `classes` in the order of the logits,
    index 1 the positive one; `threshold` and `band` act on the calibrated probability: that of `calibration` or, in a
    record without one, softmax(logits / temperature)[1], with the intervals of `reliability`; `heat_scale` is the
    logit evidence drawn at the top of the colour bar; `reference_logits` are the outputs for
    `weights.reference_input`; `planes` is how a volume model's slices are stacked and `masks` how a segmentation
    model's maps become regions, None for any other; `experience` tells which pictures the figures speak of. A
    segmentation model has
    a threshold for each class there. Raises ValueError on impossible values.
    """

    name: str
    architecture: str
    arguments: dict[str, Any]
    task: str
    classes: tuple[str, ...]
    preprocess: Preprocess
    threshold: float
    band: tuple[float, float]
    temperature: float
    heat_scale: float
    trained_on: str
    licence: str
    reliability: tuple[ReliabilityBin, ...] = ()
    metrics: dict[str, Any] = field(default_factory=dict)
    experimental: bool = False
    weights_sha256: str = ""
    reference_logits: tuple[float, ...] = ()
    planes: Planes | None = None
    masks: Masks | None = None
    calibration: Calibration | None = None
    experience: Experience | None = None

    def __post_init__(self) -> None:
        for problem, applies in _PROBLEMS:
            if applies(self):
                raise ValueError(problem)

    @property
    def kind(self) -> Kind:
        """What the model answers about."""
        if self.masks is not None:
            return "segmentation"
        return "slice" if self.planes is None else "series"

    def with_weights(self, sha256: str, reference_logits: tuple[float, ...]) -> ModelConfig:
        """The record once its tensor file is written."""
        return replace(self, weights_sha256=sha256, reference_logits=reference_logits)

    def to_dict(self) -> dict[str, Any]:
        """Plain JSON values, `format` first."""
        record = {f.name: getattr(self, f.name) for f in fields(self)}
        record["preprocess"] = self.preprocess.to_dict()
        record["reliability"] = [asdict(b) | {"interval": list(b.interval)} for b in self.reliability]
        for name in ("classes", "band", "reference_logits"):
            record[name] = list(record[name])
        for name in OWN_RECORDS:
            value = record.pop(name)
            record |= {} if value is None else {name: value.to_dict()}
        return {"format": FORMAT, **record}

    def to_json(self) -> str:
        """The text of config.json; raises ValueError for a number JSON cannot carry."""
        return json.dumps(self.to_dict(), indent=2, ensure_ascii=False, allow_nan=False) + "\n"

    @classmethod
    def from_dict(cls, record: object) -> ModelConfig:
        """Inverse of `to_dict`. Raises ModelError naming the entry that is unknown, missing or impossible."""
        if not isinstance(record, dict):
            raise ModelError("The model's config.json is not a record of named entries.")
        if record.get("format") != FORMAT:
            raise ModelError(
                f"The model's config.json has format {record.get('format')!r}; this version reads format {FORMAT}. "
                "Update StrokeNeXt, or take a checkpoint written for it."
            )
        names = {f.name for f in fields(cls)} | {"format"}
        missing = names - set(record) - set(OWN_RECORDS)  # only some models have those, see _PROBLEMS
        for kind, wrong in (("unknown", set(record) - names), ("missing", missing)):
            if wrong:
                raise ModelError(f"The model's config.json has {kind} entries: {', '.join(map(str, sorted(wrong)))}.")
        try:
            return cls(**_typed(record))
        except (TypeError, ValueError, KeyError, OverflowError) as error:
            raise ModelError(f"The model's config.json cannot be used: {error}.") from error

    @classmethod
    def from_json(cls, data: bytes) -> ModelConfig:
        """Inverse of `to_json`. Raises ModelError when too large, not JSON, or not such a record."""
        if len(data) > MAX_CONFIG_BYTES:
            raise ModelError(f"The model's config.json is larger than {MAX_CONFIG_BYTES // 1000} kB; it is refused.")
        try:
            record = json.loads(data.decode("utf-8"), parse_constant=_no_constant, parse_float=_finite)
        except (ValueError, RecursionError) as error:
            raise ModelError(f"The model's config.json is not valid JSON ({type(error).__name__}).") from error
        return cls.from_dict(record)


def load_config(folder: str | Path) -> ModelConfig:
    """The record of a model folder. Raises ModelError with a sentence when it is missing or wrong."""
    folder = Path(folder)
    path = folder / CONFIG
    if not path.is_file():
        without = f"The folder {folder} has no {CONFIG}; a model folder holds {CONFIG}, {WEIGHTS} and {CARD}."
        raise ModelError(refused_pickle(folder) or without)
    try:
        with open(path, "rb") as file:
            data = file.read(MAX_CONFIG_BYTES + 1)
    except OSError as error:
        raise ModelError(f"The file {path} cannot be read ({error.strerror}).") from error
    return ModelConfig.from_json(data)


def refused_pickle(path: Path) -> str | None:
    """The refusal when the path is a pickle or a folder with one, else None."""
    files = [path] if path.is_file() else sorted(path.iterdir()) if path.is_dir() else []
    pickles = [f.name for f in files if f.suffix.lower() in PICKLES]
    return pickle_refusal(pickles[0]) if pickles else None


def pickle_refusal(name: str) -> str:
    """The sentence about a file that can run code, with the way to convert it."""
    return (
        f"'{name}' is not accepted: such files can run code when they are opened. Only safetensors are. If you "
        "trust it, load it yourself with torch.load(..., weights_only=True) into the network from "
        "strokenext.models.build and write it with strokenext.record.weights.save_model."
    )


def _no_constant(name: str) -> float:
    raise ValueError(f"{name} is not a number")


def _finite(text: str) -> float:
    value = float(text)
    if not math.isfinite(value):
        raise ValueError(f"{text[:20]} is too large")
    return value


def _typed(record: dict[str, Any]) -> dict[str, Any]:
    """JSON lists and records to the tuples and values of `ModelConfig`; raises TypeError or ValueError."""
    return {
        **{name: value for name, value in record.items() if name != "format"},
        "classes": tuple(record["classes"]),
        "band": tuple(record["band"]),
        "reference_logits": tuple(float(v) for v in record["reference_logits"]),
        "preprocess": Preprocess.from_dict(record["preprocess"]),
        "reliability": tuple(ReliabilityBin(**b | {"interval": tuple(b["interval"])}) for b in record["reliability"]),
        "planes": Planes.from_dict(record["planes"]) if "planes" in record else None,
        "masks": Masks.from_dict(record["masks"]) if "masks" in record else None,
        "calibration": Calibration.from_dict(record["calibration"]) if "calibration" in record else None,
        "experience": Experience.from_dict(record["experience"]) if "experience" in record else None,
    }


def _misstacked(config: ModelConfig) -> bool:
    """Whether a volume model lacks its record of planes, or another model has one."""
    kind = {row.name: row.kind for row in list_models()}.get(config.architecture)
    return kind is not None and (kind == "volume") != (config.planes is not None)


def _mismasked(config: ModelConfig) -> bool:
    """Whether a segmentation lacks its record of masks, or has one for other classes, or another model has one."""
    if config.masks is None:
        return config.task == "segmentation"
    return config.task != "segmentation" or len(config.masks.thresholds) != len(config.classes)


def _text(value: object) -> bool:
    return isinstance(value, str) and bool(value.strip())


#: A sentence and the test that finds it true, in the order they are asked.
_PROBLEMS: tuple[tuple[str, Callable[[ModelConfig], bool]], ...] = (
    (
        "name, architecture, licence and trained_on must be texts",
        lambda c: not all(map(_text, (c.name, c.architecture, c.licence, c.trained_on))),
    ),
    (
        "the name may only hold letters, digits, dots, dashes and underscores",
        lambda c: not re.fullmatch(r"\w[\w.-]{0,99}", c.name, re.ASCII),
    ),
    (
        "arguments and metrics must be records",
        lambda c: not (isinstance(c.arguments, dict) and isinstance(c.metrics, dict)),
    ),
    (
        "arguments may not ask for a download or for a number of classes",
        lambda c: bool({"pretrained", "classes"} & set(c.arguments)),
    ),
    (f"the task must be one of {', '.join(TASKS)}", lambda c: c.task not in TASKS),
    (
        "classes must be different texts",
        lambda c: not c.classes or not all(map(_text, c.classes)) or len(set(c.classes)) != len(c.classes),
    ),
    ("the classes are not those of the task", lambda c: c.task in CLASSES and c.classes != CLASSES[c.task]),
    ("the threshold must lie between 0 and 1", lambda c: not within(c.threshold, 0, 1)),
    (
        "the band must be two probabilities in ascending order",
        lambda c: len(c.band) != 2 or not all(within(b, 0, 1) for b in c.band) or c.band[0] > c.band[1],
    ),
    ("the temperature must lie between 0.01 and 100", lambda c: not within(c.temperature, 0.01, 100)),
    ("a volume model, and no other, has a record of planes", _misstacked),
    ("a segmentation model, and no other, has a record of masks with an entry for every class", _mismasked),
    ("the heat scale must be a positive number", lambda c: not within(c.heat_scale, 1e-9, 1e9)),
    ("experimental must be true or false", lambda c: not isinstance(c.experimental, bool)),
    (
        "the reference output must be finite numbers",
        lambda c: not all(within(v, -1e6, 1e6) for v in c.reference_logits),
    ),
    (
        "the checksum must be 64 hexadecimal digits",
        lambda c: not (c.weights_sha256 == "" or re.fullmatch(r"[0-9a-f]{64}", str(c.weights_sha256))),
    ),
)
