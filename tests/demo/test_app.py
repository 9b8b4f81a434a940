"""`python app.py` as a stranger starts it: one real server, its page, its state while loading, and how it ends."""

from __future__ import annotations

import io
import os
import re
import signal
import socket
import subprocess
import sys
import threading
import time
from collections.abc import Iterator
from pathlib import Path
from typing import NamedTuple

import httpx
import numpy as np
import pytest
from PIL import Image

from tests.helpers.places import ROOT
from tests.helpers.tiny_models import pair

EXAMPLE = ROOT / "assets" / "examples" / "hemorrhage.dcm"
FIRST_PAGE_SECONDS = 20
PATIENCE = 300  # seconds; a wall clock tells little on a machine that does other work too


class Server(NamedTuple):
    """A running app.py and the seconds until it answered with its page."""

    process: subprocess.Popen[str]
    url: str
    first_page: float
    folder: Path


def start(*arguments: str, **variables: str) -> subprocess.Popen[str]:
    clean = {k: v for k, v in os.environ.items() if not k.startswith(("STROKENEXT_", "GRADIO_", "SPACE"))}
    return subprocess.Popen(
        [sys.executable, "app.py", *arguments],
        cwd=ROOT,
        env=clean | variables,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    )


@pytest.fixture(scope="module")
def server(tmp_path_factory) -> Iterator[Server]:
    folder = tmp_path_factory.mktemp("app")
    assets = pair()
    began = time.monotonic()
    process = start("--port", "0", "--device", "cpu", STROKENEXT_ASSETS=str(assets), TMPDIR=str(folder))
    assert process.stdout is not None
    line = process.stdout.readline()
    found = re.search(r"http://[\d.]+:\d+", line)
    assert found, process.communicate(timeout=PATIENCE)[1]
    url = found.group()
    assert httpx.get(url, timeout=PATIENCE).status_code == 200
    yield Server(process, url, time.monotonic() - began, folder)
    process.kill()
    process.communicate()


def test_first_page_comes_soon(server, record_property):
    record_property("first_page_seconds", round(server.first_page, 1))
    print(f"first page after {server.first_page:.1f} s")
    if os.getloadavg()[0] > 2 * (os.cpu_count() or 1):
        pytest.skip("the machine is busy with other work")
    assert server.first_page < FIRST_PAGE_SECONDS


def test_health_tells_when_the_models_are_there(server):
    end = time.monotonic() + PATIENCE
    state = httpx.get(f"{server.url}/health", timeout=PATIENCE).json()
    while state["status"] == "loading" and time.monotonic() < end:
        time.sleep(0.2)
        state = httpx.get(f"{server.url}/health", timeout=PATIENCE).json()
    assert state["ready"] is True, state
    answer = httpx.post(f"{server.url}/predict", files={"file": EXAMPLE.read_bytes()}, data={"force": "1"}, timeout=60)
    assert answer.status_code == 200
    assert answer.json()["class"] in {"stroke", "non-stroke"}


def test_page_and_api_share_the_headers_and_allow_no_other_site(server):
    for path in ("/", "/health", "/gradio_api/info", "/docs"):
        headers = httpx.get(
            server.url + path, headers={"origin": "https://elsewhere.example"}, timeout=PATIENCE
        ).headers
        assert headers["x-content-type-options"] == "nosniff"
        assert "access-control-allow-origin" not in headers


def test_what_gradio_turns_on_by_itself_is_off(server):
    config = httpx.get(f"{server.url}/config", timeout=PATIENCE).json()
    assert not config.get("analytics_enabled")
    assert not config.get("run_history")
    assert not config.get("show_error")
    assert config.get("footer_links") == []
    assert httpx.get(f"{server.url}/monitoring", timeout=PATIENCE).status_code in {401, 403, 404}
    assert httpx.get(f"{server.url}/gradio_api/file=/etc/passwd", timeout=PATIENCE).status_code in {403, 404}


def test_too_large_an_upload_to_the_page_is_refused(server):
    """By its declared length at once, before a byte of it has been sent."""
    host, port = server.url.removeprefix("http://").split(":")
    length = f"Content-Length: {10**15}\r\nExpect: 100-continue"
    request = f"POST /gradio_api/upload HTTP/1.1\r\nHost: {host}\r\n{length}\r\n\r\n"
    with socket.create_connection((host, int(port)), timeout=10) as connection:
        connection.sendall(request.encode())
        assert connection.recv(100).startswith(b"HTTP/1.1 413 ")


def test_the_port_in_use_is_a_sentence(server):
    port = server.url.rsplit(":", 1)[1]
    process = start("--port", port)
    output, error = process.communicate(timeout=PATIENCE)
    assert process.returncode == 9
    assert "another program" in error
    assert "Traceback" not in error
    assert output == ""


def test_a_device_that_is_not_there_is_a_sentence():
    process = start("--port", "0", "--device", "cuda:31")
    error = process.communicate(timeout=PATIENCE)[1]
    assert process.returncode == 5
    assert "cuda:31" in error
    assert "Traceback" not in error


def test_the_password_is_asked_by_page_and_api(monkeypatch):
    from starlette.testclient import TestClient

    from demo.server import build
    from demo.settings import Settings

    monkeypatch.setattr("demo.service.Service.start", lambda _self: None)
    app, _ = build(Settings(auth=("reader", "secret")))
    with TestClient(app) as client:
        assert client.get("/health").status_code == 200
        for path in ("/config", "/models", "/docs"):
            assert client.get(path).status_code == 401, path
        assert client.post("/gradio_api/upload", files={"files": b"x"}).status_code == 401
        assert client.post("/login", data={"username": "reader", "password": "wrong"}).status_code == 400
        assert client.post("/login", data={"username": "reader", "password": "secret"}).status_code == 200
        assert client.get("/config").status_code == 200


def test_help_needs_no_gradio_and_no_torch():
    code = "import sys, demo.server as s\ntry: s.main(['--help'])\nexcept SystemExit: print(sorted(sys.modules))"
    output = subprocess.run([sys.executable, "-c", code], cwd=ROOT, capture_output=True, text=True, check=True).stdout
    assert "STROKENEXT_AUTH" in output
    assert "'gradio'" not in output
    assert "'torch'" not in output


@pytest.mark.skipif(os.name != "posix", reason="POSIX signals")
def test_a_supervisor_ends_it_cleanly_and_the_uploads_go(server):
    assert list(server.folder.glob("strokenext-*"))
    server.process.send_signal(signal.SIGTERM)
    error = server.process.communicate(timeout=PATIENCE)[1]
    assert server.process.returncode == 0
    assert "Traceback" not in error
    assert ".dcm" not in error
    assert not list(server.folder.glob("strokenext-*"))


def children(pid: int) -> dict[int, float]:
    """The processes that a process has started, with the seconds of work that each has done."""
    found = {}
    for stat in Path("/proc").glob("[0-9]*/stat"):
        try:
            number, fields = int(stat.parent.name), stat.read_text().rpartition(")")[2].split()
        except OSError:
            continue  # it has just ended
        if int(fields[1]) == pid and fields[0] != "Z":
            found[number] = (int(fields[11]) + int(fields[12])) / os.sysconf("SC_CLK_TCK")
    return found


@pytest.mark.skipif(not Path("/proc/self/stat").exists(), reason="looks at processes in /proc")
def test_a_busy_server_ends_at_once_and_takes_its_decoders_along(tmp_path):
    """A client waits for a file that takes a minute: it hears that the server stops, and nothing goes on."""
    page = Image.fromarray(np.random.default_rng(0).integers(0, 3, (300, 300), np.uint8))
    busy = io.BytesIO()
    page.save(busy, "TIFF", save_all=True, append_images=[page] * 1499, compression="tiff_adobe_deflate")
    variables = {"STROKENEXT_ASSETS": str(pair()), "TMPDIR": str(tmp_path)}
    process = start("--port", "0", "--device", "cpu", "--decode-seconds", "3600", **variables)
    assert process.stdout is not None
    found = re.search(r"http://[\d.]+:\d+", process.stdout.readline())
    assert found
    while not httpx.get(f"{found.group()}/health", timeout=PATIENCE).json()["ready"]:
        time.sleep(0.2)
    answers: list[httpx.Response] = []

    def post() -> None:
        answers.append(httpx.post(f"{found.group()}/predict", files={"file": busy.getvalue()}, timeout=PATIENCE))

    small = {"file": EXAMPLE.read_bytes()}
    assert httpx.post(f"{found.group()}/predict", files=small, timeout=PATIENCE).status_code == 200
    before = children(process.pid)  # its decoder is warm now: what it works from here on is the large file
    client = threading.Thread(target=post)
    client.start()
    while not any(done > max(before.values()) + 1 for done in children(process.pid).values()):
        assert client.is_alive()
        time.sleep(0.1)
    decoders = set(children(process.pid))
    process.send_signal(signal.SIGTERM)
    said = process.communicate(timeout=PATIENCE)
    client.join(PATIENCE)
    assert not any(Path(f"/proc/{decoder}").exists() for decoder in decoders)
    assert process.returncode == 0
    assert answers[0].status_code == 503
    assert "stopping" in answers[0].json()["error"]["message"]
    assert "Traceback" not in said[1]
