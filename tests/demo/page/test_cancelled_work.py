"""What a reader no longer wants ends on the server, wherever it is: reading a heavy upload, or judging a long series.

Nothing here asks for a second on a clock, which a busy machine may not keep: the place must be free, the process that
worked must be gone and its thread ended, while what it did would have gone on for long.
"""

from __future__ import annotations

import sys
import threading
import time
import zipfile
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest

pytest.importorskip("gradio")
pytest.importorskip("pydicom")

import strokenext
from demo.cancel import Cancel
from demo.decoding.offer import Offer
from demo.page import examples
from demo.page.handlers import on_thread
from demo.page.state import Phase
from demo.service import Service
from strokenext import Volume
from tests.helpers import dicom_files
from tests.helpers.page_desk import Desk
from tests.helpers.places import EXAMPLES
from tests.helpers.tiny_models import started

PATIENCE = 60.0
FILES, FRAMES = 60, 250
linux = pytest.mark.skipif(sys.platform != "linux", reason="asks /proc")


@pytest.fixture(scope="module")
def service(tiny_assets: None) -> Iterator[Service]:
    """One place to judge in, two processes to read in, so that one page may use one."""
    service = started(device="cpu", workers=1, decoders=2, queue=2)
    yield service
    service.stop()


@pytest.fixture(scope="module")
def heavy(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A small zip of files of many frames, to look at and decode for minutes."""
    frames = np.stack([dicom_files.head()] * FRAMES)
    path = tmp_path_factory.mktemp("heavy") / "heavy.zip"
    with zipfile.ZipFile(path, "w", zipfile.ZIP_DEFLATED, compresslevel=1) as archive:
        for number in range(FILES):
            frames[:, 0, 0] = number
            ds = dicom_files.ct(frames, NumberOfFrames=FRAMES, ImagePositionPatient=[0, 0, 3 * number])
            ds.SOPInstanceUID, ds.InstanceNumber = f"1.2.3.{number + 1}", number
            archive.writestr(f"IM{number:03}", dicom_files.to_bytes(ds))
    return path


@pytest.fixture
def desk(service: Service, heavy: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Desk]:
    """A page whose work goes on while it is asked for other things; "heavy" is one of its examples."""
    own = Desk(service)
    own.handlers._run = on_thread
    bundled = examples.bundled()
    monkeypatch.setattr(examples, "bundled", lambda: (*bundled, examples.Example(heavy, "heavy")))
    yield own
    own.close()
    until(lambda: not page_threads(), "the end of all work")


def ask(desk: Desk, action: str, **more: Any) -> None:
    token = desk.tab.state.token
    names = {"tab": desk.tab.key, "generation": token.generation + (action != "stop"), "sequence": token.sequence + 1}
    reply = getattr(desk.handlers, action)(names | more)
    assert "error" not in reply, reply


def until(condition: Callable[[], Any], what: str) -> float:
    """Wait for it; how long it took, in seconds."""
    began = time.monotonic()
    while not condition():
        assert time.monotonic() - began < PATIENCE, f"{what} did not happen"
        time.sleep(0.01)
    return time.monotonic() - began


def cpu(pid: int) -> float | None:
    """Ticks of computing of a process; None where there is none."""
    try:
        fields = Path(f"/proc/{pid}/stat").read_text(encoding="ascii").rpartition(")")[2].split()
    except OSError:
        return None
    return None if fields[0] == "Z" else float(fields[11]) + float(fields[12])


def page_threads() -> list[threading.Thread]:
    return [one for one in threading.enumerate() if one.name == "strokenext-page"]


@linux
@pytest.mark.parametrize("leave", ["close", "open"])
def test_reading_ends_with_the_process_that_read(desk: Desk, service: Service, leave: str) -> None:
    """Closing it, or opening another, while a heavy upload is read: the place is free and nothing reads it any more."""
    service.decoders.start()
    until(lambda: service.decoders.processes, "a process")
    began = time.monotonic()
    ask(desk, "open", example="heavy-zip")
    until(lambda: service.decoders.working == 1, "reading")
    before = {pid: cpu(pid) or 0.0 for pid in service.decoders.processes}
    busy = lambda: [pid for pid in before if (cpu(pid) or 0.0) > before[pid] + 50]  # noqa: E731
    until(busy, "half a second of computing")
    (worker,) = busy()
    ask(desk, leave, **({"example": "normal-dcm"} if leave == "open" else {}))
    assert desk.tab.state.phase in (Phase.EMPTY, Phase.OPENING)
    took = until(lambda: cpu(worker) is None, "the end of the process")
    if leave == "close":
        took = until(lambda: not service.decoders.working and not page_threads(), "a free place")
    else:
        until(lambda: desk.tab.state.phase in (Phase.SHOWN, Phase.REFUSED), "the answer about the other picture")
        assert len(desk.case.images) == 1
    print(f"{leave}: the reading had gone on for {time.monotonic() - began:.1f} s; free {took:.2f} s after the word")
    assert worker not in service.decoders.processes
    assert service.decoders.waiting == service.waiting == 0


def test_judging_ends_and_the_next_reader_has_the_place(
    desk: Desk, service: Service, monkeypatch: pytest.MonkeyPatch
) -> None:
    few = strokenext.read_series(EXAMPLES / "series_hemorrhage.zip")
    volume = Volume(few.slices * 100, None)
    done: list[int] = []
    predict = service.predict

    def counted(source: Any, task: str, options: Any, progress: Any = None, **more: Any) -> Any:
        def step(slices: int, total: int) -> None:
            done.append(slices)
            progress(slices, total)

        return predict(source, task, options, progress and step, **more)

    monkeypatch.setattr(service, "predict", counted)
    monkeypatch.setattr(service, "offer", lambda _source, **_: Offer(volume=volume))
    ask(desk, "open", example="heavy-zip")
    until(lambda: done, "the first batch")
    ask(desk, "stop")
    took = until(lambda: not page_threads(), "the end of the judging")
    after = desk.tab.state
    assert (after.phase, after.progress) == (Phase.FAILED, None)
    assert after.case is not None  # the picture stays
    assert done[-1] < len(volume) / 2, "it went on to its end"
    with service.slot("another reader", Cancel()) as turn:
        assert turn.held
    print(f"stopped at {done[-1]} of {len(volume)}; free {took:.2f} s after the word")


def test_a_wait_for_a_place_ends_with_the_word(desk: Desk, service: Service) -> None:
    """A page that waits behind another one leaves the queue at once."""
    with service.slot("another reader", Cancel()):
        ask(desk, "open", example="normal-dcm")
        until(lambda: service.waiting == 1, "waiting")
        ask(desk, "close")
        until(lambda: service.waiting == 0 and not page_threads(), "leaving the queue")
    assert desk.tab.state.phase is Phase.EMPTY
    assert len(desk.store) == 0
