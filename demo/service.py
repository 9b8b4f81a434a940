"""The models behind the page and the API: loaded on a thread of their own, used by a bounded number at once."""

from __future__ import annotations

import logging
import threading
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any, BinaryIO, Literal, TypeAlias

from strokenext.errors import BusyError, ModelError, ModelNotFoundError, OptionError, StrokeNeXtError
from strokenext.slice.cascade import SeriesTriage
from strokenext.types import Slice, Volume

from . import zerogpu
from .settings import Settings

if TYPE_CHECKING:
    from strokenext import (
        Gate,
        Prediction,
        Predictor,
        Segmentation,
        Segmenter,
        SeriesPrediction,
        Triage,
        VolumePrediction,
        VolumePredictor,
    )

TASKS = ("presence", "subtype", "triage")
Answer: TypeAlias = "Prediction | Triage | SeriesPrediction | SeriesTriage"
Progress = Callable[[int, int], None]
log = logging.getLogger("strokenext.service")


class NotReadyError(BusyError):
    """A prediction asked for while the models are still being loaded."""


@dataclass(frozen=True)
class ServiceState:
    """What the page shows about the models; `message` is a sentence for a person."""

    status: Literal["loading", "ready", "failed"]
    message: str
    presence: bool = False
    subtype: bool = False
    device: str = ""
    volume: bool = False
    segmentation: bool = False
    architectures: Mapping[str, str] = field(default_factory=dict)  # question to the title of what answers it


@dataclass(frozen=True)
class Options:
    """How to predict; picklable, so that it can travel to a ZeroGPU process."""

    explain: bool = True
    method: str = "gradcam"
    threshold: float | None = None
    force: bool = False


class Service:
    """Two predictors, their loading state, and a door that lets a bounded number of requests through.

    `start()` returns at once; the models load on a background thread, so that the page is up before them.
    """

    def __init__(self, settings: Settings) -> None:
        self.settings = settings
        self._predictors: dict[str, Predictor] = {}
        self._volume: VolumePredictor | None = None
        self._segmenter: Segmenter | None = None
        self._error: StrokeNeXtError | None = None
        self._state = ServiceState("loading", "The models are loading. This takes a few seconds.")
        self._loaded = threading.Event()
        self._thread: threading.Thread | None = None
        self._slots = threading.BoundedSemaphore(settings.workers)
        self._door = threading.Lock()
        self._inside = 0
        self._compute = zerogpu.gpu(self._answer)
        self._compute_whole = zerogpu.gpu(self._answer_whole)
        self._compute_marks = zerogpu.gpu(self._mark)

    def start(self) -> None:
        """Begin to load the models; does nothing the second time."""
        if self._thread is None:
            self._thread = threading.Thread(target=self._load, name="strokenext-loader", daemon=True)
            self._thread.start()

    def wait(self, seconds: float | None = None) -> ServiceState:
        """Block until loading has ended, well or badly, or the time is over."""
        self._loaded.wait(seconds)
        return self._state

    def state(self) -> ServiceState:
        """The state at this moment."""
        return self._state

    def ready(self) -> bool:
        """Whether the presence model answers."""
        return self._state.status == "ready"

    @property
    def error(self) -> StrokeNeXtError | None:
        """Why loading failed, when it did."""
        return self._error

    @property
    def presence(self) -> Predictor:
        """The presence predictor. Raises NotReadyError while it loads, ModelError when it failed to."""
        return self._predictor("presence")

    @property
    def subtype(self) -> Predictor:
        """The subtype predictor. Raises NotReadyError while it loads, ModelError when it failed to."""
        return self._predictor("subtype")

    def predict(
        self,
        source: Slice | Volume | bytes | Path | BinaryIO,
        task: str = "triage",
        *,
        explain: bool = True,
        method: str = "gradcam",
        threshold: float | None = None,
        force: bool = False,
        progress: Progress | None = None,
    ) -> Answer:
        """Decode (unless already a Slice or Volume) and judge one image or series within a slot of the service.

        A slice gives a Prediction, or a Triage for task "triage"; a series gives a SeriesPrediction or a
        SeriesTriage. `threshold` applies to presence in a triage. Raises BusyError when too many wait,
        NotReadyError while the models load, and what decoding and predicting raise. Without a subtype model a
        triage ends after presence; ask for `service.subtype` first where that must be an error.
        """
        _image, answer = self.judge(source, task, Options(explain, method, threshold, force), progress)
        return answer

    def judge(
        self,
        source: Slice | Volume | bytes | Path | BinaryIO,
        task: str,
        options: Options,
        progress: Progress | None = None,
    ) -> tuple[Slice | Volume, Answer]:
        """As `predict`, and also the decoded image, for those who draw on it."""
        if task not in TASKS:
            raise OptionError(f"There is no task '{task}'. Choose one of: {', '.join(TASKS)}.")
        self._predictor("presence" if task == "triage" else task)
        with self.slot():
            image = decode(source)
            # A function cannot travel to another process, so ZeroGPU shows no progress within a series.
            return image, self._compute(image, task, options, None if zerogpu.active() else progress)

    def whole(self, volume: Volume, answer: Answer, options: Options) -> VolumePrediction | None:
        """What the volume model says of a series that `judge` has answered; None when no volume model is loaded.

        The slices' own gate verdicts are taken from that answer. Raises BusyError as `judge` does.
        """
        if self._volume is None:
            return None
        series: Any = answer.presence if isinstance(answer, SeriesTriage) else answer
        with self.slot():
            return self._compute_whole(volume, [p.gate for p in series.slices], options)

    def mark(self, image: Slice, gate: Gate, force: bool = False) -> Segmentation | None:
        """What the segmentation model marks on a slice whose gate verdict is known; None when no such model is loaded.

        Raises BusyError as `judge` does.
        """
        if self._segmenter is None:
            return None
        with self.slot():
            return self._compute_marks(image, gate, force)

    @contextmanager
    def slot(self) -> Iterator[None]:
        """Room for one piece of heavy work. Raises BusyError when `queue` others already wait for one."""
        with self._door:
            if self._inside >= self.settings.workers + self.settings.queue:
                raise BusyError("The service is busy with other images. Try again in a few seconds.")
            self._inside += 1
        try:
            with self._slots:
                yield
        finally:
            with self._door:
                self._inside -= 1

    def _predictor(self, task: str) -> Predictor:
        state = self._state
        if task in self._predictors and state.status == "ready":
            return self._predictors[task]
        if state.status == "loading":
            raise NotReadyError("The models are still loading. Try again in a few seconds.")
        raise ModelError(state.message or f"The {task} model could not be loaded.")

    def _answer(self, image: Slice | Volume, task: str, options: Options, progress: Progress | None) -> Answer:
        import strokenext

        common: dict[str, Any] = vars(options)
        if isinstance(image, Volume):
            common = {**common, "progress": progress}
        if task == "triage" and "subtype" in self._predictors:
            return strokenext.triage(
                image, presence=self._predictors["presence"], subtype=self._predictors["subtype"], **common
            )
        predictor = self._predictors["presence" if task == "triage" else task]
        if isinstance(image, Volume):
            series = predictor.predict_volume(image, **common)
            return SeriesTriage(series) if task == "triage" else series
        found = predictor.predict(image, **common)
        return strokenext.Triage(found, None) if task == "triage" else found

    def _answer_whole(self, volume: Volume, gates: list[Gate], options: Options) -> VolumePrediction:
        assert self._volume is not None
        return self._volume.predict(volume, explain=options.explain, force=options.force, gates=gates)

    def _mark(self, image: Slice, gate: Gate, force: bool) -> Segmentation:
        assert self._segmenter is not None
        return self._segmenter.segment(image, force=force, gate=gate)

    def _load(self) -> None:
        try:
            self._load_models()
        except StrokeNeXtError as error:
            self._fail(error)
        except Exception:
            # The thread ends here whatever happened; the page must say so, and the log keep the details.
            log.exception("loading the models failed")
            self._fail(ModelError("The models could not be loaded. The server's log says why."))
        finally:
            self._loaded.set()

    def _load_models(self) -> None:
        import strokenext

        settings = self.settings
        presence = strokenext.load(settings.presence, task="presence", device=settings.device)
        self._predictors["presence"] = presence
        device = str(presence.device)
        self._state = replace(self._state, presence=True, device=device)
        missing: list[str] = []
        try:
            self._predictors["subtype"] = strokenext.load(settings.subtype, task="subtype", device=settings.device)
        except StrokeNeXtError as error:
            missing += _absence("subtype", error)
        # A repository without a volume or segmentation model is as it should be; one that was asked for must be there.
        try:
            self._volume = strokenext.load_volume(settings.volume, device=settings.device)
        except StrokeNeXtError as error:
            missing += _absence("volume", error, wanted=settings.volume is not None)
        try:
            self._segmenter = strokenext.load_segmenter(settings.segmentation, device=settings.device)
        except StrokeNeXtError as error:
            missing += _absence("segmentation", error, wanted=settings.segmentation is not None)
        said = " ".join(missing) or "The models are ready."
        loaded = {"subtype": "subtype" in self._predictors, "volume": self._volume is not None}
        loaded["segmentation"] = self._segmenter is not None
        titles = {row.name: row.title for row in strokenext.list_models()}
        built = {task: p.config.architecture for task, p in self._predictors.items()}
        if self._volume is not None:
            built["volume"] = self._volume.config.architecture
        if self._segmenter is not None:
            built["segmentation"] = self._segmenter.config.architecture
        named = {task: titles.get(name, name) for task, name in built.items()}
        self._state = ServiceState("ready", said, presence=True, device=device, architectures=named, **loaded)

    def _fail(self, error: StrokeNeXtError) -> None:
        self._error = error
        self._state = replace(self._state, status="failed", message=str(error))


def _absence(task: str, error: StrokeNeXtError, wanted: bool = True) -> list[str]:
    """The sentence about a model that did not load, logged too; nothing where none is there and none was `wanted`."""
    if not wanted and isinstance(error, ModelNotFoundError):
        return []
    log.warning("the %s model is not available: %s", task, error)
    return [f"The {task} model is not available. {error}"]


def decode(source: Slice | Volume | bytes | Path | BinaryIO) -> Slice | Volume:
    """A Slice or Volume from whatever was given; one already decoded is passed through."""
    if isinstance(source, (Slice, Volume)):
        return source
    import strokenext

    return strokenext.read_any(source if isinstance(source, (bytes, Path)) else source.read())
