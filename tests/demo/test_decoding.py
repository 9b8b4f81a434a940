"""Files of strangers are decoded in processes that end: in time, within their memory, when nobody waits, with us."""

from __future__ import annotations

import io
import os
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator
from dataclasses import replace

import numpy as np
import pytest
from PIL import Image

import strokenext
from demo.cancel import Cancel, CancelledError, StoppedError
from demo.decoding import wire
from demo.decoding.pool import DeadlineError, DecoderLostError, Decoders
from demo.settings import Settings, parse
from strokenext import Caution, Label, Slice, Volume, errors
from tests.helpers.places import EXAMPLES, ROOT
from tests.helpers.tiny_models import pair

SECOND = 1.0
PATIENCE = 60.0
linux = pytest.mark.skipif(sys.platform != "linux", reason="asks /proc, or a limit that only Linux has")


#: A server whose decoders are busy; it prints their ids.
SERVE = """
import pathlib, sys, threading, time
from demo.cancel import Cancel
from demo.decoding.pool import Decoders
from demo.settings import Settings

some, path = Decoders(Settings()), pathlib.Path(sys.argv[1])
for owner in "ab":
    threading.Thread(target=some.decode, args=(path, owner, Cancel()), daemon=True).start()
while len(some.processes) < 2:
    time.sleep(0.01)
time.sleep(2)
print(*some.processes, flush=True)
time.sleep(600)
"""


@pytest.fixture
def decoders() -> Iterator[Callable[..., Decoders]]:
    """Makes pools, and ends them."""
    made: list[Decoders] = []

    def make(**settings: object) -> Decoders:
        made.append(Decoders(replace(Settings(), **settings)))  # type: ignore[arg-type]
        return made[-1]

    yield make
    for one in made:
        one.stop()


def png(side: int = 16) -> bytes:
    buffer = io.BytesIO()
    Image.new("L", (side, side), 77).save(buffer, "PNG")
    return buffer.getvalue()


def heavy(pages: int = 1500, side: int = 300) -> bytes:
    """A TIFF whose pages, deflated, keep a decoder busy for many seconds."""
    buffer = io.BytesIO()
    page = Image.fromarray(np.random.default_rng(0).integers(0, 3, (side, side), np.uint8))
    page.save(buffer, "TIFF", save_all=True, append_images=[page] * (pages - 1), compression="tiff_adobe_deflate")
    return buffer.getvalue()


@pytest.fixture(scope="module")
def busy() -> bytes:
    return heavy()


def alive(pid: int) -> bool:
    try:
        with open(f"/proc/{pid}/stat", encoding="ascii") as stream:
            return stream.read().rpartition(")")[2].split()[0] != "Z"
    except OSError:
        return False


def until(condition: Callable[[], bool], seconds: float = PATIENCE) -> None:
    end = time.monotonic() + seconds
    while not condition():
        assert time.monotonic() < end, "it did not happen"
        time.sleep(0.01)


class TestValues:
    def test_what_comes_back_is_what_the_library_reads(self, decoders):
        path = EXAMPLES / "series_hemorrhage.zip"
        there, here = decoders().decode(path, "a", Cancel()), strokenext.read_any(path)
        assert isinstance(there, Volume)
        assert isinstance(here, Volume)
        for mine, theirs in zip(here, there, strict=True):
            assert np.array_equal(mine.pixels, theirs.pixels)
            assert not theirs.pixels.flags.writeable
            assert {n: v for n, v in vars(mine).items() if n not in ("pixels", "padding")} == {
                n: v for n, v in vars(theirs).items() if n not in ("pixels", "padding")
            }
        assert {n: v for n, v in vars(here).items() if n != "slices"} == {
            n: v for n, v in vars(there).items() if n != "slices"
        }

    def test_every_field_of_a_slice_travels(self):
        image = Slice(
            np.arange(12, dtype=np.float32).reshape(3, 4), "HU", (0.5, 0.4),
            padding=np.eye(3, 4, dtype=bool), notes=("one",), cautions=(Caution("clipped", "It was cut."),),
            label=Label("study", "series", "2020-01-02", 5.0), windows=strokenext.PRESETS[:2],
        )  # fmt: skip
        value, arrays = wire.pack(image)
        again = wire.build(Slice, value, arrays)
        assert np.array_equal(again.padding, image.padding)
        assert (again.label, again.cautions, again.windows) == (image.label, image.cautions, image.windows)
        assert again.spacing == (0.5, 0.4)

    @pytest.mark.parametrize("value", [{"pixels": 5, "unit": "HU"}, {"pixel": 0}, [], "x", {"pixels": 0, "unit": {}}])
    def test_a_decoder_that_was_taken_over_gets_nothing_but_an_error(self, value):
        with pytest.raises(wire.WireError):
            wire.build(Slice, value, [np.zeros((2, 2), np.float32)])

    def test_arrays_are_bounded_and_of_known_kinds(self):
        for stated in ([["object", [2]]], [["float32", [1 << 40]]], [["float32", [-1]]]):
            with pytest.raises(wire.WireError):
                wire.read_arrays(io.BytesIO(bytes(64)), stated, 1024)

    def test_an_error_keeps_its_class_and_sentence(self, decoders):
        with pytest.raises(errors.UnsupportedFormatError, match="PDF"):
            decoders().decode([b"%PDF-1.7 " + bytes(500)], "a", Cancel())
        with pytest.raises(errors.InputError, match="Open a picture first"):
            decoders().decode([], "a", Cancel())


class TestBounds:
    def test_a_file_that_takes_too_long_is_ended_and_the_next_one_is_read(self, decoders, busy):
        some = decoders(decode_seconds=1.0)
        some.decode([png()], "a", Cancel())
        began = time.monotonic()
        with pytest.raises(DeadlineError, match="longer than 1 seconds") as told:
            some.decode([busy], "a", Cancel())
        assert told.value.http_status == 504
        assert time.monotonic() - began < 5
        assert some.decode([png(20)], "a", Cancel()).shape == (20, 20)

    @linux
    def test_a_file_that_needs_too_much_memory_gets_a_sentence(self, decoders):
        some = decoders(decode_memory=420 * 2**20)
        big = io.BytesIO()
        Image.new("L", (7900, 7900)).save(big, "PNG")  # below the limit of pixels, 250 MB as float32
        with pytest.raises((errors.TooLargeError, DecoderLostError), match=r"memory|too large"):
            some.decode([big.getvalue()], "a", Cancel())
        assert some.decode([png()], "a", Cancel()).shape == (16, 16)

    def test_cancelled_work_ends_within_a_second_and_frees_its_place(self, decoders, busy):
        some, cancel, ended = decoders(decoders=1), Cancel(), list[float]()
        some.decode([png()], "a", Cancel())

        def work() -> None:
            with pytest.raises(CancelledError):
                some.decode([busy], "a", cancel)
            ended.append(time.monotonic())

        thread = threading.Thread(target=work)
        thread.start()
        time.sleep(0.5)
        began = time.monotonic()
        cancel.cancel()
        thread.join(PATIENCE)
        assert ended[0] - began < SECOND
        assert some.decode([png()], "b", Cancel()).shape == (16, 16)

    def test_a_small_picture_does_not_wait_for_heavy_files_of_another(self, decoders, busy):
        some, order, cancel = decoders(decoders=2), list[str](), Cancel()

        def work() -> None:
            with pytest.raises(CancelledError):
                some.decode([busy], "heavy", cancel)
            order.append("heavy")

        threads = [threading.Thread(target=work) for _ in range(3)]
        for thread in threads:
            thread.start()
        until(lambda: some.waiting == 2)
        some.decode([png()], "small", Cancel())
        order.append("small")
        cancel.cancel()
        for thread in threads:
            thread.join(PATIENCE)
        assert order[0] == "small"

    def test_a_decoder_that_dies_costs_one_file_and_is_replaced(self, decoders, busy):
        some, told = decoders(decoders=1), list[str]()
        some.decode([png()], "a", Cancel())

        def work() -> None:
            with pytest.raises(DecoderLostError) as lost:
                some.decode([busy], "a", Cancel())
            told.append(str(lost.value))

        thread = threading.Thread(target=work)
        thread.start()
        time.sleep(0.3)
        for pid in some.processes:
            os.kill(pid, signal.SIGSEGV)
        thread.join(PATIENCE)
        assert "made the program that reads it stop" in told[0]
        assert some.decode([png()], "a", Cancel()).shape == (16, 16)

    def test_stopping_ends_all_of_them_at_once(self, decoders, busy):
        some, told = decoders(), list[str]()

        def work() -> None:
            with pytest.raises(StoppedError) as stopped:
                some.decode([busy], "a", Cancel())
            told.append(str(stopped.value))

        some.decode([png()], "b", Cancel())
        thread = threading.Thread(target=work)
        thread.start()
        time.sleep(0.3)
        began = time.monotonic()
        some.stop()
        thread.join(PATIENCE)
        assert time.monotonic() - began < SECOND
        assert some.processes == []
        assert "stopping" in told[0]


@linux
class TestProcesses:
    def test_none_survives_the_server_and_none_loads_torch(self, busy, tmp_path):
        (tmp_path / "busy.tif").write_bytes(busy)
        (tmp_path / "serve.py").write_text(SERVE)
        server = subprocess.Popen(
            [sys.executable, str(tmp_path / "serve.py"), str(tmp_path / "busy.tif")],
            env=os.environ | {"PYTHONPATH": str(ROOT)},
            stdout=subprocess.PIPE,
            text=True,
        )
        assert server.stdout is not None
        pids = [int(pid) for pid in server.stdout.readline().split()]
        assert len(pids) >= 2
        for pid in pids:
            assert alive(pid)
            with open(f"/proc/{pid}/maps", encoding="utf-8") as maps:
                assert "libtorch" not in maps.read()
        server.kill()
        server.wait()
        server.stdout.close()
        until(lambda: not any(alive(pid) for pid in pids), 5)

    def test_a_decoder_gets_no_password_of_the_server(self, decoders, monkeypatch):
        monkeypatch.setenv("STROKENEXT_AUTH", "reader:secret-of-the-server")
        some = decoders()
        some.decode([png()], "a", Cancel())
        for pid in some.processes:
            with open(f"/proc/{pid}/environ", "rb") as stream:
                assert b"secret-of-the-server" not in stream.read()


def test_a_client_that_goes_frees_its_place_for_the_next_one(monkeypatch, busy):
    import httpx
    import uvicorn

    from demo import server

    monkeypatch.setenv("STROKENEXT_ASSETS", str(pair()))
    app, service = server.build_api(Settings(device="cpu", decoders=1, workers=1))
    listener = server.open_port("127.0.0.1", 0)
    running = uvicorn.Server(uvicorn.Config(app, log_level="critical"))
    thread = threading.Thread(target=running.run, kwargs={"sockets": [listener]}, daemon=True)
    thread.start()
    address = f"http://127.0.0.1:{listener.getsockname()[1]}"
    try:
        assert service.wait(120).status == "ready"
        until(lambda: httpx.get(f"{address}/health").status_code == 200)
        for _ in range(3):
            with pytest.raises(httpx.ReadTimeout):
                httpx.post(f"{address}/predict", files={"file": busy}, timeout=httpx.Timeout(30, read=0.5))
        began = time.monotonic()
        until(lambda: not service.decoders.working, SECOND)
        reply = httpx.post(f"{address}/predict", files={"file": png(64)}, data={"task": "presence"}, timeout=60)
        assert reply.status_code == 200
        assert reply.json()["decision"] == "refused"  # a grey square
        assert time.monotonic() - began < 15  # the three would have taken longer than a minute
    finally:
        running.should_exit = True
        thread.join(20)
        listener.close()
    assert service.decoders.processes == []


def test_bounds_are_settings(capsys):
    settings = parse(["--decoders", "2", "--decode-seconds", "5", "--decode-memory", "1024"], {})
    assert (settings.decoders, settings.decode_seconds, settings.decode_memory) == (2, 5.0, 2**30)
    with pytest.raises(SystemExit):
        parse(["--decode-memory", "10"], {})
    assert "number from 512" in capsys.readouterr().err
