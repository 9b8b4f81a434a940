"""The models behind the page and the API: loaded on a thread of their own, used by a bounded number at once."""

from __future__ import annotations

import logging
import re
import threading
import traceback
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field, replace
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any, BinaryIO, Literal, TypeAlias

import strokenext
from strokenext import (
    Gate,
    Prediction,
    Segmentation,
    SeriesPrediction,
    SeriesSegmentation,
    SeriesTriage,
    Slice,
    StrokeNeXtError,
    Triage,
    Volume,
    VolumePrediction,
    errors,
)

from . import zerogpu
from .cancel import Cancel
from .decoding.offer import Offer
from .decoding.pool import Decoders
from .settings import Settings
from .turns import Turn, Turns

if TYPE_CHECKING:
    from strokenext import Predictor

TASKS = ("presence", "subtype", "triage")
#: Seconds between two runs of what is done regularly.
KEEPER_SECONDS = 5.0
Source: TypeAlias = Slice | Volume | bytes | list[bytes] | Path | BinaryIO
Progress: TypeAlias = Callable[[int, int], None]  # (slices done, slices in all)
Answer: TypeAlias = Prediction | Triage | SeriesPrediction | SeriesTriage
#: Why a model cannot be used, in words that name no file.
_REASONS: dict[type[StrokeNeXtError], str] = {
    errors.ModelNotFoundError: "It was not found",
    errors.ModelMismatchError: "Its weights are damaged or not those of its record",
    errors.HubUnavailableError: "It could not be downloaded",
    StrokeNeXtError: "It cannot be used",
}
_PLAIN_NAME = re.compile(r"[A-Za-z0-9_.-]+")
log = logging.getLogger("strokenext.service")


class NotReadyError(errors.BusyError):
    """A prediction asked for while the models are still being loaded."""


@dataclass(frozen=True)
class ServiceState:
    """Which models answer; `absent` says of each that should and does not, why, without naming a place of the server.

    `error` is why loading failed, in the words for the server's own terminal.
    """

    status: Literal["loading", "ready", "failed"]
    presence: bool = False
    subtype: bool = False
    volume: bool = False
    segmentation: bool = False
    device: str = ""
    architectures: Mapping[str, str] = field(default_factory=dict)  # question to the title of what answers it
    absent: Mapping[str, str] = field(default_factory=dict)
    error: StrokeNeXtError | None = None

    @property
    def message(self) -> str:
        """The state in words, for a person."""
        if self.status == "loading":
            return "The models are loading. This takes a few seconds."
        if self.error is not None and not self.absent:
            return str(self.error)
        return " ".join(self.absent.values()) or "The models are ready."

    @property
    def health(self) -> Literal["loading", "ready", "degraded", "failed"]:
        """The state in a word: degraded where some questions are answered and others are not."""
        return "degraded" if self.status == "ready" and self.absent else self.status


@dataclass(frozen=True)
class Options:
    """How to predict; picklable, so that it can travel to a ZeroGPU process."""

    explain: bool = True
    method: str = "gradcam"
    threshold: float | None = None
    force: bool = False


@dataclass(frozen=True, eq=False)
class Result:
    """A decoded image or series and what the models say of it.

    `whole` is the volume model's answer about a series, `marks` the segmentation model's about one slice and `measured`
    its about all slices of a series.
    """

    image: Slice | Volume
    answer: Answer
    whole: VolumePrediction | None = None
    marks: Segmentation | None = None
    measured: SeriesSegmentation | None = None

    @property
    def first(self) -> Prediction | SeriesPrediction:
        """The answer to the first question: presence in a triage, else the only one."""
        return self.answer.presence if isinstance(self.answer, Triage | SeriesTriage) else self.answer

    @property
    def peak(self) -> int | None:
        """Index of a series' slice that a picture shows, None where it has none, and for a slice."""
        return self.first.peak if isinstance(self.first, SeriesPrediction) else None

    @property
    def shown(self) -> Prediction | None:
        """What a picture shows: the slice's prediction, or that of a series' peak slice, None where it has none."""
        first = self.first
        if isinstance(first, Prediction):
            return first
        return None if first.peak is None else first.slices[first.peak]


class Service:
    """The models, their loading state, and a door that lets a bounded number of requests through.

    `start()` returns at once; the models load on a background thread, so that the page is up before them.
    """

    def __init__(self, settings: Settings) -> None:
        self.settings = settings
        self._models: dict[str, Any] = {}  # by question
        self._state = ServiceState("loading")
        self._loaded = threading.Event()
        self._thread: threading.Thread | None = None
        self._turns = Turns(settings.workers, settings.queue)
        self.decoders = Decoders(settings)
        self._stopping = Cancel()
        self._regular: list[Callable[[], None]] = []
        self._compute = zerogpu.gpu(self._predict)
        self._compute_whole = zerogpu.gpu(self._predict_whole)
        self._compute_marks = zerogpu.gpu(self._segment)
        self._compute_series_marks = zerogpu.gpu(self._segment_series)

    def start(self) -> None:
        """Begin to load the models and to do what `regularly` was given; does nothing the second time."""
        if self._thread is None:
            self.decoders.start()
            self._thread = threading.Thread(target=self._load, name="strokenext-loader", daemon=True)
            self._thread.start()
            threading.Thread(target=self._keep, name="strokenext-keeper", daemon=True).start()

    def stop(self) -> None:
        """End all work at its next step, and what is done regularly. A stopped service starts no work."""
        self._stopping.stop()
        self.decoders.stop()

    def regularly(self, action: Callable[[], None]) -> None:
        """Do this every KEEPER_SECONDS from `start` to `stop`, on one thread for all that is done so."""
        self._regular.append(action)

    def _keep(self) -> None:
        while not self._stopping.wait(KEEPER_SECONDS):
            for action in tuple(self._regular):
                try:
                    action()
                except Exception:
                    # One action that fails must not end the others, nor itself for ever.
                    log.exception("a regular action failed")

    def wait(self, seconds: float | None = None) -> ServiceState:
        """Block until loading has ended, well or badly, or the time is over."""
        self._loaded.wait(seconds)
        return self._state

    def state(self) -> ServiceState:
        """The state at this moment."""
        return self._state

    def predictor(self, task: str) -> Predictor:
        """The slice predictor of a task. Raises NotReadyError while it loads, ModelError when it failed to."""
        state = self._state
        if state.status == "loading":
            raise NotReadyError("The models are still loading. Try again in a few seconds.")
        if state.status == "failed" or task not in self._models:
            raise errors.ModelError(state.message)
        predictor: Predictor = self._models[task]
        return predictor

    def predict(
        self,
        source: Source,
        task: str = "triage",
        options: Options = Options(),
        progress: Progress | None = None,
        *,
        owner: str = "",
        cancel: Cancel | None = None,
    ) -> Result:
        """Decode (unless already a Slice or Volume) one image or series, and predict within a slot of the service.

        A slice gives a Prediction, or a Triage for task "triage"; a series gives a SeriesPrediction or a
        SeriesTriage. The threshold applies to presence in a triage. Between the batches of a series other owners
        have their turn. Raises BusyError when too many wait, NotReadyError while the models load, CancelledError,
        and what decoding and predicting raise. Without a subtype model a triage ends after presence; ask for
        `predictor("subtype")` first where that must be an error.
        """
        if task not in TASKS:
            raise errors.OptionError(f"There is no task '{task}'. Choose one of: {', '.join(TASKS)}.")
        self.predictor("presence" if task == "triage" else task)
        cancel = cancel or Cancel()
        image = self.decode(source, owner=owner, cancel=cancel)
        with self.slot(owner, cancel) as turn:

            def step(done: int, total: int) -> None:
                if progress is not None:
                    progress(done, total)
                turn.batch_done()

            turn.cancel.check()
            # A function cannot travel to another process, so ZeroGPU shows no progress within a series.
            answer = self._compute(image, task, options, None if zerogpu.active() else step)
            turn.cancel.check()
            return Result(image, answer)

    def decode(self, source: Source, *, owner: str = "", cancel: Cancel | None = None) -> Slice | Volume:
        """A Slice or Volume from a file or the files of one series, in a process of its own; a decoded one passes.

        Raises BusyError when too many wait, CancelledError, and what `Decoders.decode` raises.
        """
        if isinstance(source, Slice | Volume):
            return source
        if not isinstance(source, Path | bytes | list):
            source = source.read()
        cancel = cancel or Cancel()
        with self._stopping.calling(cancel.stop):
            return self.decoders.decode([source] if isinstance(source, bytes) else source, owner, cancel)

    def offer(
        self,
        source: Path | list[bytes],
        series: int | None = None,
        places: list[str] | None = None,
        *,
        owner: str = "",
        cancel: Cancel | None = None,
    ) -> Offer:
        """The series of an upload and the one of them that is to be judged, decoded; `series` says which.

        `places` has the folder and name of each file, which the order of pictures comes from.
        With what the files call themselves where the setting `case_names` asks for it. Raises as `decode`.
        """
        cancel = cancel or Cancel()
        with self._stopping.calling(cancel.stop):
            options = {"labels": True} if self.settings.case_names else {}
            return self.decoders.offer(source, series, owner, cancel, options, places)

    def predict_whole(
        self, result: Result, options: Options, *, owner: str = "", cancel: Cancel | None = None
    ) -> VolumePrediction | None:
        """What the volume model says of a series that `predict` has answered; None for a slice or without that model.

        What the gate found on each slice is taken from that answer. Raises BusyError, CancelledError.
        """
        volume, series = result.image, result.first
        if "volume" not in self._models or not (isinstance(volume, Volume) and isinstance(series, SeriesPrediction)):
            return None
        with self.slot(owner, cancel):
            return self._compute_whole(volume, [p.gate for p in series.slices], options)

    def segment(
        self, image: Slice, gate: Gate, force: bool = False, *, owner: str = "", cancel: Cancel | None = None
    ) -> Segmentation | None:
        """What the segmentation model marks on a slice that the gate has checked; None when no such model is loaded.

        Raises BusyError, CancelledError.
        """
        if "segmentation" not in self._models:
            return None
        with self.slot(owner, cancel):
            return self._compute_marks(image, gate, force)

    def segment_series(
        self, result: Result, force: bool = False, *, owner: str = "", cancel: Cancel | None = None
    ) -> SeriesSegmentation | None:
        """What the segmentation model marks in a series that `predict` has answered; None for a slice or without it.

        Between slices other owners have their turn. Raises BusyError, CancelledError.
        """
        volume, series = result.image, result.first
        if "segmentation" not in self._models or not (
            isinstance(volume, Volume) and isinstance(series, SeriesPrediction)
        ):
            return None
        with self.slot(owner, cancel) as turn:
            gates = [p.gate for p in series.slices]
            step = None if zerogpu.active() else lambda *_: turn.batch_done()
            return self._compute_series_marks(volume, gates, force, step)

    @property
    def waiting(self) -> int:
        """How many pieces of work wait for their turn."""
        return self._turns.waiting

    @contextmanager
    def slot(self, owner: str = "", cancel: Cancel | None = None) -> Iterator[Turn]:
        """Room for one piece of an owner's heavy work. Raises BusyError when `queue` others wait, CancelledError."""
        cancel = cancel or Cancel()
        with self._stopping.calling(cancel.stop), self._turns.turn(owner, cancel) as turn:
            yield turn

    def _predict(self, image: Slice | Volume, task: str, options: Options, progress: Progress | None) -> Answer:
        common: dict[str, Any] = vars(options)
        if isinstance(image, Volume):
            common = {**common, "progress": progress}
        predictor = self._models["presence" if task == "triage" else task]
        if task == "triage" and "subtype" in self._models:
            return strokenext.triage(image, presence=predictor, subtype=self._models["subtype"], **common)
        if isinstance(image, Volume):
            series: SeriesPrediction = predictor.predict_volume(image, **common)
            return SeriesTriage(series) if task == "triage" else series
        prediction: Prediction = predictor.predict(image, **common)
        return Triage(prediction, None) if task == "triage" else prediction

    def _predict_whole(self, volume: Volume, gates: list[Gate], options: Options) -> VolumePrediction:
        whole: VolumePrediction = self._models["volume"].predict(
            volume, explain=options.explain, force=options.force, gates=gates
        )
        return whole

    def _segment(self, image: Slice, gate: Gate, force: bool) -> Segmentation:
        marks: Segmentation = self._models["segmentation"].segment(image, force=force, gate=gate)
        return marks

    def _segment_series(
        self, volume: Volume, gates: list[Gate], force: bool, progress: Progress | None
    ) -> SeriesSegmentation:
        marks: SeriesSegmentation = self._models["segmentation"].segment_series(
            volume, force=force, gates=gates, progress=progress
        )
        return marks

    def _load(self) -> None:
        try:
            self._load_models()
        except StrokeNeXtError as error:
            self._state = replace(self._state, status="failed", error=error)
        except Exception as error:
            # The thread ends here whatever happened; the page must say so.
            log.error("loading the models failed: %s", _unforeseen(error))
            failure = errors.ModelError("The models could not be loaded. The server's log says why.")
            self._state = replace(self._state, status="failed", error=failure)
        finally:
            self._loaded.set()

    def _load_one(self, name: str, load: Callable[..., Any]) -> None:
        """Raises StrokeNeXtError, whatever a loader raised: a file of weights can be broken in any way."""
        try:
            self._models[name] = load(getattr(self.settings, name), device=self.settings.device)
        except StrokeNeXtError:
            raise
        except Exception as error:
            raise errors.ModelError(f"Its files cannot be read: {_unforeseen(error)}.") from None

    def _absent(self, name: str, error: StrokeNeXtError) -> str:
        """Log why a model cannot be used; the sentence for everybody else."""
        wanted = getattr(self.settings, name)
        log.error("the %s model (%s) cannot be used: %s", name, wanted or "the bundled one", error)
        return _absence(name, wanted, error)

    def _load_models(self) -> None:
        settings, absent = self.settings, dict[str, str]()
        try:
            self._load_one("presence", partial(strokenext.load, task="presence", kind="slice"))
        except StrokeNeXtError as error:
            if isinstance(error, errors.ModelError):
                self._state = replace(self._state, absent={"presence": self._absent("presence", error)})
            raise
        self._state = replace(self._state, presence=True, device=str(self._models["presence"].device))
        others: dict[str, Callable[..., Any]] = {
            "subtype": partial(strokenext.load, task="subtype", kind="slice"),
            "volume": partial(strokenext.load, kind="series"),
            "segmentation": partial(strokenext.load, kind="segmentation"),
        }
        for name, load in others.items():
            wanted = getattr(settings, name)
            try:
                self._load_one(name, load)
            except StrokeNeXtError as error:
                # A repository without a volume or segmentation model is as it should be; one asked for must be there.
                if name == "subtype" or wanted is not None or not isinstance(error, errors.ModelNotFoundError):
                    absent[name] = self._absent(name, error)
        titles = {row.name: row.title for row in strokenext.list_models()}
        built = {name: model.config.architecture for name, model in self._models.items()}
        named = {name: titles.get(architecture, architecture) for name, architecture in built.items()}
        loaded: dict[str, Any] = dict.fromkeys(self._models, True)
        self._state = replace(self._state, status="ready", architectures=named, absent=absent, **loaded)


def _absence(name: str, wanted: str | None, error: StrokeNeXtError) -> str:
    """That a model does not answer, and why, for those who may not know where the server keeps it."""
    reason = next(sentence for kind, sentence in _REASONS.items() if isinstance(error, kind))
    named = f" '{wanted}'" if wanted and _PLAIN_NAME.fullmatch(wanted) and not Path(wanted).exists() else ""
    return f"The {name} model{named} is not available. {reason}; the server's log says more."


def _unforeseen(error: Exception) -> str:
    """What an exception was and where it came up; its text may quote a file."""
    place = traceback.extract_tb(error.__traceback__)[-1:]
    return f"unforeseen {type(error).__name__}" + "".join(f" in {Path(p.filename).name}:{p.lineno}" for p in place)
