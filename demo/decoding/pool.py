"""Decoder processes, some kept warm: a file gets one for itself, which is ended when it takes too long or is not
wanted any more."""

from __future__ import annotations

import logging
import os
import subprocess
import sys
import threading
from collections.abc import Callable, Iterator
from concurrent.futures import Future
from contextlib import contextmanager
from pathlib import Path
from queue import SimpleQueue
from typing import Any, BinaryIO, cast

import strokenext
from demo.cancel import Cancel, StoppedError
from demo.settings import Settings
from demo.turns import Turns
from strokenext import Slice, StrokeNeXtError, Volume, errors

from . import wire
from .offer import Offer

Decoded = Slice | Volume | Offer
ROOT = Path(__file__).resolve().parents[2]
#: Of the environment a decoder gets only this: no password, no token.
PASSED = ("PATH", "LANG", "LC_ALL", "TMPDIR", "TEMP", "TMP", "SYSTEMROOT", "VIRTUAL_ENV", "LD_LIBRARY_PATH", "HOME")
#: A process that reads files of strangers is replaced after so many.
MOST_FILES = 200
START_SECONDS = 120.0
log = logging.getLogger("strokenext.decoding")


class DeadlineError(errors.TooLargeError):
    """A file that is not decoded in time."""

    http_status = 504


class DecoderLostError(errors.DamagedFileError):
    """A file whose decoder process ended without an answer."""

    http_status = 422


class DecodingFailedError(StrokeNeXtError):
    """Something unforeseen in a decoder process; the log has its place."""

    http_status = 500


class Decoder:
    """One decoder process; used by one thread at a time, ended by any."""

    def __init__(self, memory: int) -> None:
        environment = {name: os.environ[name] for name in PASSED if name in os.environ}
        environment |= {"PYTHONPATH": str(ROOT), "OMP_NUM_THREADS": "1", "OPENBLAS_NUM_THREADS": "1"}
        environment |= {"MALLOC_ARENA_MAX": "2"}
        self.process = subprocess.Popen(
            [sys.executable, "-m", "demo.decoding.worker", str(memory)],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=subprocess.DEVNULL,  # a codec's words may quote the file
            env=environment,
        )
        self.files = 0
        self.ready = False
        self.ended = False  # told to end, which takes a moment to be seen

    def wait_ready(self) -> None:
        """Wait until its decoders are loaded. Raises WireError, OSError when the process ends."""
        if not self.ready:
            self.ready = bool(wire.receive(self.output).get("ready"))

    def ask(self, head: dict[str, Any], parts: list[bytes]) -> dict[str, Any]:
        """Send one upload and wait for the header of the answer. Raises WireError, OSError when the process ends."""
        self.files += 1
        wire.send(cast(BinaryIO, self.process.stdin), head, [*parts])
        return wire.receive(self.output)

    @property
    def output(self) -> BinaryIO:
        """What the process writes."""
        return cast(BinaryIO, self.process.stdout)

    def end(self) -> None:
        """End the process at once."""
        self.ended = True
        self.process.kill()

    def close(self) -> None:
        """After its end: close the pipes and collect it."""
        self.end()
        self.process.wait()
        for pipe in (self.process.stdin, self.process.stdout):
            try:
                cast(BinaryIO, pipe).close()
            except OSError:
                continue  # bytes that it will never read


class Decoders:
    """The decoder processes of a server; `decode` may be called by any thread, `start` warms up, `stop` ends all."""

    def __init__(self, settings: Settings) -> None:
        self.settings = settings
        share = max(1, settings.decoders // 2)  # one reader's heavy files leave processes to the others
        self._turns = Turns(settings.decoders, settings.queue + settings.workers, share)
        self._idle: list[Decoder] = []
        self._all: set[Decoder] = set()
        self._lock = threading.Lock()
        self._orders: SimpleQueue[Future[Decoder] | None] = SimpleQueue()
        self._starter: threading.Thread | None = None
        self._stopped = False

    def start(self) -> None:
        """Have one process warm before the first file comes."""
        self._warm()

    def stop(self) -> None:
        """End every process at once; files that are being decoded get a sentence."""
        with self._lock:
            self._stopped = True
            decoders, idle, self._idle = list(self._all), self._idle, []
        self._orders.put(None)
        for decoder in decoders:
            decoder.end()
        for decoder in decoders:
            decoder.process.wait()
        for decoder in idle:
            decoder.close()

    @property
    def processes(self) -> list[int]:
        """The ids of the processes that live."""
        with self._lock:
            return [decoder.process.pid for decoder in self._all if decoder.process.poll() is None]

    @property
    def waiting(self) -> int:
        """How many files wait for a process."""
        return self._turns.waiting

    @property
    def working(self) -> int:
        """How many files are being decoded."""
        return self._turns.held

    def decode(
        self, source: Path | list[bytes], owner: str, cancel: Cancel, options: dict[str, Any] | None = None
    ) -> Slice | Volume:
        """What is in a file, or in the files of one series.

        Raises BusyError, CancelledError, DeadlineError, DecoderLostError, and what reading raises.
        """
        return cast(Slice | Volume, self._ask({"options": options or {}}, source, owner, cancel))

    def offer(
        self,
        source: Path | list[bytes],
        series: int | None,
        owner: str,
        cancel: Cancel,
        options: dict[str, Any] | None = None,
        places: list[str] | None = None,
    ) -> Offer:
        """The series of an upload and the one of them that is to be judged, decoded; `series` says which.

        `places` has the folder and name of each file. Raises as `decode`.
        """
        head = {"options": options or {}, "offer": series, "places": places or []}
        return cast(Offer, self._ask(head, source, owner, cancel))

    def _ask(self, head: dict[str, Any], source: Path | list[bytes], owner: str, cancel: Cancel) -> Decoded:
        parts = [] if isinstance(source, Path) else source
        head |= {"path": str(source) if isinstance(source, Path) else None}
        head |= {"parts": [len(part) for part in parts], "seconds": self.settings.decode_seconds}
        with self._turns.turn(owner, cancel):
            decoder = self._take()
            try:
                return self._run(decoder, head, parts, cancel)
            finally:
                self._give_back(decoder)

    def _run(self, decoder: Decoder, head: dict[str, Any], parts: list[bytes], cancel: Cancel) -> Decoded:
        late = threading.Event()
        try:
            with cancel.calling(decoder.end):
                with _deadline(START_SECONDS, decoder, late):
                    decoder.wait_ready()
                with _deadline(self.settings.decode_seconds, decoder, late):
                    return self._value(decoder, decoder.ask(head, parts))
        except (wire.WireError, OSError, ValueError):
            decoder.end()
            cancel.check()
            raise self._why(late.is_set()) from None

    def _value(self, decoder: Decoder, answer: dict[str, Any]) -> Decoded:
        if "error" in answer:
            raise _error(str(answer["error"]))(str(answer["sentence"]))
        if "surprise" in answer:
            log.error("unforeseen %s while decoding\n%s", answer["surprise"], answer["places"])
            raise DecodingFailedError("The service failed on this file. The server's log says where.")
        kind = {"Slice": Slice, "Volume": Volume, "Offer": Offer}.get(str(answer.get("kind")))
        if kind is None:
            raise wire.WireError("no kind")
        arrays = wire.read_arrays(decoder.output, answer.get("arrays"), self.settings.decode_memory)
        value: Decoded = wire.build(kind, answer.get("value"), arrays)
        return value

    def _why(self, late: bool) -> StrokeNeXtError:
        if self._stopped:
            return StoppedError()
        if late:
            seconds = self.settings.decode_seconds
            return DeadlineError(f"Reading this took longer than {seconds:g} seconds. Give the head series alone.")
        return DecoderLostError(
            "This file made the program that reads it stop, so it is damaged or too large. Export or copy it again."
        )

    def _take(self) -> Decoder:
        with self._lock:
            while self._idle:
                decoder = self._idle.pop()
                if decoder.process.poll() is None:
                    return decoder
                self._all.discard(decoder)
        return self._order().result()

    def _give_back(self, decoder: Decoder) -> None:
        healthy = not decoder.ended and decoder.process.poll() is None and decoder.files < MOST_FILES
        with self._lock:
            if healthy and not self._stopped:
                self._idle.append(decoder)
                return
            self._all.discard(decoder)
        decoder.close()
        if not self._stopped:
            self._warm()

    def _warm(self) -> None:
        """Start a process where none is idle; nobody waits for it."""
        with self._lock:
            if self._idle:
                return
        self._order().add_done_callback(self._keep)

    def _keep(self, order: Future[Decoder]) -> None:
        if order.exception() is None:
            self._give_back(order.result())

    def _order(self) -> Future[Decoder]:
        """A process, started on a thread that lives as long as the pool: on Linux a process ends with its thread."""
        order: Future[Decoder] = Future()
        with self._lock:
            if self._stopped:
                order.set_exception(StoppedError())
                return order
            if self._starter is None:
                self._starter = threading.Thread(target=self._start_ordered, name="strokenext-decoders", daemon=True)
                self._starter.start()
        self._orders.put(order)
        return order

    def _start_ordered(self) -> None:
        while (order := self._orders.get()) is not None:
            try:
                decoder = Decoder(self.settings.decode_memory)
            except OSError as error:
                log.error("a decoder process cannot be started: %s", type(error).__name__)
                order.set_exception(
                    DecodingFailedError("The server cannot start its reader of files. Try again later.")
                )
                continue
            with self._lock:
                self._all.add(decoder)
                stopped = self._stopped
            if stopped:
                decoder.end()
            order.set_result(decoder)


@contextmanager
def _deadline(seconds: float, decoder: Decoder, late: threading.Event) -> Iterator[None]:
    """End the process after so long, and say so in `late`."""

    def overdue() -> None:
        late.set()
        decoder.end()

    timer = threading.Timer(seconds, overdue)
    timer.daemon = True
    timer.start()
    try:
        yield
    finally:
        timer.cancel()


def _error(name: str) -> Callable[[str], StrokeNeXtError]:
    """The class of an error that a decoder process names; InputError for what is no error of the library."""
    kind = getattr(strokenext.errors, name, None)
    return kind if isinstance(kind, type) and issubclass(kind, StrokeNeXtError) else errors.InputError
