"""A recipe: frozen settings of a training run, read from a TOML file that holds only what differs from the defaults."""

from __future__ import annotations

import tomllib
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, field, fields, replace
from pathlib import Path
from typing import Any

import numpy as np

from strokenext.errors import ModelError, OptionError
from strokenext.preprocess.contract import Preprocess
from strokenext.types import FloatArray
from training.drawing.batch_augment import Augment

#: What a key with a fixed vocabulary may say; objectives and feeds are those of `training.systems`.
CHOICES: Mapping[str, tuple[str, ...]] = {
    "task": ("presence", "subtype", "segmentation"),
    "optimiser": ("adamw", "adam", "sgd"),
    "schedule": ("cosine", "step", "plateau", "constant"),
    "precision": ("float32", "bf16", "fp16"),
    "select": ("auroc", "source_auroc", "accuracy", "loss", "dice", "last"),
    "random_labels": ("", "images", "patients"),
}


@dataclass(frozen=True)
class Mixture:
    """Shares of a batch by kind of example, and the simulated infarcts' darkening in HU."""

    normal: float = 0.32
    infarct: float = 0.28
    bleed: float = 0.20
    real_bleed: float = 0.20
    severity: tuple[float, float] = (3.0, 24.0)
    real_infarct: float = 0.0
    unlabelled: float = 0.0  # real slices of which nobody said what they show, for teachers to answer

    def shares(self) -> FloatArray:
        """In the order normal, infarct, simulated bleed, real bleed, real infarct, unlabelled; sums to 1."""
        order = (self.normal, self.infarct, self.bleed, self.real_bleed, self.real_infarct, self.unlabelled)
        parts = np.array(order, dtype=np.float32)
        return np.asarray(parts / parts.sum(), dtype=np.float32)


@dataclass(frozen=True)
class Recipe:
    """Settings of a run.

    A step is one batch; every `accumulate` steps make one update of the weights. `rate` is the peak learning rate;
    `warmup` and `head_steps` count updates; `epoch_images` is how many images an epoch shows (0: as many as there
    are); `average` is the decay of the averaged weights that are scored and kept (0: none); `layer_scale` is where a
    ConvNeXt without ImageNet weights starts its LayerScale (0: as built, 1e-6, from which it barely moves);
    `progressive` lists (share of the training from which on, side in pixels); `patience` stops after that many
    epochs without a better `select` (0: never); `freeze` names submodules of the network that do not learn.
    `pretrained` is true for timm's ImageNet weights from the Hub, "package" for those of an installed package
    (`training.train.starts`); `encoder_share` is the encoders' part of the learning rate and `hold_statistics` keeps
    their batch-norm statistics: little of what ImageNet taught is then lost.
    `random_labels` trains on permuted labels, a control. `sources` empty: all of the split.
    """

    name: str
    task: str = "presence"
    model: str = "strokenext_atto"
    arguments: Mapping[str, Any] = field(default_factory=dict)
    objective: str = "classify"
    pretrained: bool | str = False
    layer_scale: float = 0.5
    freeze: tuple[str, ...] = ()
    # pixels
    size: int = 224
    depth: int = 64  # planes of a volume
    window: tuple[float, float] = (80.0, 40.0)
    frame: str = "head"
    level: bool = True
    channels: str = "stroke"
    # data
    feed: str = "pictures"
    sources: tuple[str, ...] = ()
    balance: bool = True
    away_negatives: int = 0
    random_labels: str = ""
    augment: Augment = Augment()  # noqa: RUF009 (frozen value)
    mixture: Mixture = Mixture()
    mixup: float = 0.0
    cutmix: float = 0.0
    progressive: tuple[tuple[float, int], ...] = ()
    # optimisation
    epochs: int = 10
    epoch_images: int = 0
    batch: int = 32
    accumulate: int = 1
    optimiser: str = "adamw"
    rate: float = 1e-3
    encoder_share: float = 1.0
    hold_statistics: bool = False
    weight_decay: float = 0.05
    schedule: str = "cosine"
    warmup: int = 50
    label_smoothing: float = 0.05
    clip: float = 2.0
    average: float = 0.0
    precision: str = "bf16"
    compile: bool = False
    channels_last: bool = True
    seed: int = 1
    # StrokeNeXt from pre-trained encoders
    head_steps: int = 0
    head_rate: float = 2e-3
    outline_weight: float = 0.3
    cell_weight: float = 0.0  # asks the head about each cell too
    heat_weight: float = 0.0  # wants the Grad-CAM of the true class inside the lesion
    # from teachers
    label_weight: float = 0.5  # of what is labelled, beside what the teachers say
    places_weight: float = 4.0  # wants places of an image as like each other as the teachers see them
    # what is kept
    select: str = "auroc"
    patience: int = 0

    def __post_init__(self) -> None:
        for name, known in CHOICES.items():
            if getattr(self, name) not in known:
                choices = ", ".join(map(repr, known))
                raise OptionError(f"The recipe's {name} is {getattr(self, name)!r}; it must be one of {choices}.")
        if self.pretrained not in (True, False, "package"):
            raise OptionError(f"The recipe's pretrained is {self.pretrained!r}; it must be true, false or 'package'.")
        for name in ("epochs", "batch", "accumulate", "size"):
            if getattr(self, name) < 1:
                raise OptionError(f"The recipe's {name} is {getattr(self, name)}; it must be 1 or more.")
        if self.patience and self.select == "last":
            raise OptionError("Early stopping needs a figure to watch: choose a `select` other than 'last'.")
        try:
            self.preprocess()
        except ModelError as problem:
            raise OptionError(f"The recipe {self.name} asks for impossible pixels: {problem}") from problem

    def preprocess(self) -> Preprocess:
        """The pixel contract that is stored with the weights."""
        return Preprocess(self.size, self.window, self.frame, self.level, self.channels)  # type: ignore[arg-type]

    def epoch_steps(self, images: int) -> int:
        """Steps of an epoch over `images` training images: whole updates, at least one."""
        wanted = self.epoch_images or images
        if not wanted:
            raise OptionError(f"The feed '{self.feed}' draws without end: set the recipe's epoch_images.")
        return max(1, round(wanted / (self.batch * self.accumulate))) * self.accumulate

    def size_at(self, done: float) -> int:
        """Side in pixels once a share `done` (0..1) of the training is done."""
        reached = [size for share, size in self.progressive if done >= share]
        return reached[-1] if reached else self.size

    def to_dict(self) -> dict[str, Any]:
        """Plain JSON values."""
        return _plain(asdict(self))

    @classmethod
    def from_dict(cls, record: Mapping[str, Any], where: str = "recipe") -> Recipe:
        """Inverse of `to_dict`; also what a TOML file holds. Raises OptionError naming unknown keys."""
        values = dict(record)
        for name, kind in (("mixture", Mixture), ("augment", Augment)):
            part = values.get(name, {})
            _known(part, kind, f"{where}, table [{name}]")
            values[name] = kind(**{k: _tuple(v) for k, v in part.items()})
        _known(values, cls, where)
        frozen = {k: v if k in ("arguments", "mixture", "augment") else _tuple(v) for k, v in values.items()}
        return cls(**frozen)

    def override(self, **given: Any) -> Recipe:
        """The recipe with the values that are not None replaced."""
        return replace(self, **{k: v for k, v in given.items() if v is not None})


def read_recipe(path: Path, changes: Sequence[str] = ()) -> Recipe:
    """A recipe from its TOML file, with `key=value` or `table.key=value` changes laid over it.

    Raises OptionError for a file that cannot be read, an unknown key or a value out of range.
    """
    try:
        record = tomllib.loads(path.read_text(encoding="utf-8"))
    except (OSError, tomllib.TOMLDecodeError) as error:
        raise OptionError(f"The recipe {path} cannot be read: {error}") from error
    for change in changes:
        key, given, text = change.partition("=")
        *tables, name = key.strip().split(".")
        if not given or not name or len(tables) > 1:
            raise OptionError(f"'{change}' changes nothing; write --set key=value or --set table.key=value.")
        inner = record.setdefault(tables[0], {}) if tables else record
        inner[name] = _value(text.strip())
    return Recipe.from_dict({"name": path.stem, **record}, f"recipe {path}")


def _value(text: str) -> Any:
    """A TOML value, or the text itself where it is none: model=resnet50 needs no quotes."""
    try:
        return tomllib.loads(f"value = {text}")["value"]
    except tomllib.TOMLDecodeError:
        return text


def _known(part: Mapping[str, Any], kind: type, where: str) -> None:
    unknown = set(part) - {f.name for f in fields(kind)}
    if unknown:
        raise OptionError(f"The {where} has unknown keys: {', '.join(sorted(unknown))}.")


def _tuple(value: Any) -> Any:
    """Lists of TOML and JSON to tuples, nested ones too."""
    return tuple(_tuple(v) for v in value) if isinstance(value, list | tuple) else value


def _plain(value: Any) -> Any:
    """Tuples to lists, so that a recipe equals itself after a way through JSON."""
    if isinstance(value, Mapping):
        return {k: _plain(v) for k, v in value.items()}
    return [_plain(v) for v in value] if isinstance(value, list | tuple) else value
