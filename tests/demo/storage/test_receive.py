"""Uploads over a real connection: cut short, broken, too many, of a page that goes; and a server that is killed."""

from __future__ import annotations

import os
import re
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import NamedTuple

import httpx
import pytest
from starlette.routing import Mount

from tests.helpers.page_desk import taken
from tests.helpers.places import EXAMPLES, ROOT
from tests.helpers.tiny_models import pair

pytest.importorskip("gradio")

from demo import presence
from demo import service as services
from demo.door import Door
from demo.settings import MEBI, Settings
from demo.storage.receive import MOST_FILES
from demo.storage.uploads import Uploads
from tests.helpers.sites.live_site import serving

BIG = b"x" * (3 * MEBI)
PATIENCE = 120.0
START = services.Service.start


class Site(NamedTuple):
    url: str
    port: int
    uploads: Uploads
    root: Path

    def send(self, *contents: bytes, page: str = "") -> httpx.Response:
        headers = {"X-StrokeNeXt-Page": page} if page else {}
        files = [("files", (f"DOE^JANE {number}.dcm", content)) for number, content in enumerate(contents)]
        return httpx.post(f"{self.url}/gradio_api/upload", files=files, headers=headers, timeout=PATIENCE)


@contextmanager
def site(root: Path, settings: Settings) -> Iterator[Site]:
    with serving(settings) as live:
        door = next(route.app for route in live.app.routes if isinstance(route, Mount))
        assert isinstance(door, Door)
        yield Site(f"http://127.0.0.1:{live.port}", live.port, door.uploads, root)


@pytest.fixture(scope="module")
def quiet(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Site]:
    """A server without models, with little room."""
    root = tmp_path_factory.mktemp("uploads")
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("GRADIO_TEMP_DIR", str(root))
        patch.setattr("demo.service.Service.start", lambda _self: None)
        settings = Settings(
            device="cpu", max_upload=4 * MEBI, max_stored_each=4 * MEBI, max_stored=8 * MEBI, uploads_each=3
        )
        with site(root, settings) as found:
            yield found


@pytest.fixture
def empty(quiet: Site) -> Iterator[Site]:
    """Nothing waits before and after."""
    assert quiet.uploads.size == 0
    yield quiet
    quiet.uploads.leave("at 127.0.0.1")
    until(lambda: quiet.uploads.size == 0)
    assert list(quiet.root.rglob("*")) == []


def until(true: object, seconds: float = 10.0) -> None:
    end = time.monotonic() + seconds
    while not true() and time.monotonic() < end:  # type: ignore[operator]
        time.sleep(0.02)
    assert true()  # type: ignore[operator]


def begin(port: int, length: int, sent: bytes) -> socket.socket:
    """A connection on which an upload has been begun and not ended."""
    connection = socket.create_connection(("127.0.0.1", port), timeout=20)
    head = f"POST /gradio_api/upload HTTP/1.1\r\nHost: 127.0.0.1:{port}\r\nContent-Length: {length}\r\n"
    part = '--b\r\nContent-Disposition: form-data; name="files"; filename="DOE^JANE.dcm"\r\n\r\n'
    connection.sendall(f"{head}Content-Type: multipart/form-data; boundary=b\r\n\r\n{part}".encode() + sent)
    return connection


def test_an_upload_that_is_cut_short_is_gone_at_once(empty: Site) -> None:
    connection = begin(empty.port, 4 * MEBI, BIG)
    until(lambda: empty.uploads.size == len(BIG))
    assert list(empty.root.rglob("*")) == []  # no name even while it arrives
    connection.close()
    until(lambda: empty.uploads.size == 0, 2)
    assert len(empty.uploads) == 0


def test_what_is_sent_is_what_is_read(empty: Site) -> None:
    names = empty.send(b"one", BIG[:MEBI], b"").json()
    assert taken(empty.uploads, names) == [b"one", BIG[:MEBI], b""]


def test_no_name_of_a_file_is_kept(empty: Site) -> None:
    (name,) = empty.send(b"x").json()
    assert re.fullmatch(r"[\w-]{32}/0", name)


@pytest.mark.parametrize(
    ("kind", "content"),
    [
        ("application/json", b"{}"),
        ("multipart/form-data", b"x"),
        ("multipart/form-data; boundary=b", b""),
        ("multipart/form-data; boundary=b", b"--b--\r\n"),
        ("multipart/form-data; boundary=b", b"no form"),
        ("multipart/form-data; boundary=b", b'--b\r\nContent-Disposition: form-data; filename="a"\r\n\r\ncut'),
        ("multipart/form-data; boundary=b", b'--b\r\nContent-Disposition: form-data; name="a"\r\n\r\nx\r\n--b--\r\n'),
    ],
)
def test_a_form_that_is_none_is_a_sentence(empty: Site, kind: str, content: bytes) -> None:
    began = time.monotonic()
    reply = httpx.post(
        f"{empty.url}/gradio_api/upload", content=content, headers={"content-type": kind}, timeout=PATIENCE
    )
    assert reply.status_code == 400
    assert reply.json()["error"]["message"].endswith(".")
    assert time.monotonic() - began < 5  # nothing is waited for that does not come
    assert len(empty.uploads) == 0


def test_too_many_files_are_a_sentence(empty: Site, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("demo.storage.receive.MOST_FILES", 3)
    assert empty.send(*[b""] * 3).status_code == 200
    reply = empty.send(*[b""] * 4)
    assert reply.status_code == 413
    assert "At most 3 files" in reply.json()["error"]["message"]
    assert MOST_FILES >= 10_000


def test_one_reader_s_room_is_bounded(empty: Site) -> None:
    """The client gets the sentence while it sends, and has room again once something is opened."""
    (first,) = empty.send(BIG).json()
    for reply in (
        empty.send(BIG),
        _undeclared(f"{empty.url}/gradio_api/upload", "files"),
        _declared(f"{empty.url}/predict", "file"),
        _undeclared(f"{empty.url}/predict", "file"),
    ):
        assert reply.status_code == 507
        assert "4 MiB that one reader may have here. Wait 3 minutes" in reply.json()["error"]["message"]
        assert empty.uploads.size == len(BIG)
    taken(empty.uploads, [first])
    assert [empty.send(b"x").status_code for _ in range(4)] == [200, 200, 200, 507]


def test_the_room_of_all_readers_is_bounded_for_page_and_api(empty: Site) -> None:
    with empty.uploads.elsewhere("", 6 * MEBI):
        for reply in (
            empty.send(BIG),
            httpx.post(f"{empty.url}/predict", files={"file": BIG}, timeout=PATIENCE),
            _undeclared(f"{empty.url}/predict", "file"),
        ):
            assert reply.status_code == 503
            assert int(reply.headers["retry-after"]) > 0
            assert reply.json()["error"]["message"].endswith("Try again in a minute.")
    assert empty.send(BIG).status_code == 200


def test_what_waits_for_a_page_goes_with_it(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Its connection closes before it has looked once or opened what it sent."""
    monkeypatch.setattr(presence, "GRACE_SECONDS", 0.5)
    monkeypatch.setattr(services, "KEEPER_SECONDS", 0.1)
    monkeypatch.setattr(services.Service, "start", START)
    monkeypatch.setenv("STROKENEXT_ASSETS", str(pair()))
    with site(tmp_path, Settings(device="cpu")) as found:
        with httpx.stream("GET", f"{found.url}/gradio_api/heartbeat/session", timeout=PATIENCE) as heart:
            beats = heart.iter_bytes()  # its end is that of the connection
            next(beats)
            page = _hello(found, "session")
            assert found.send(b"of this page", page=page).status_code == 200
            assert found.send(b"of another").status_code == 200
            time.sleep(1)
            assert len(found.uploads) == 2
        until(lambda: len(found.uploads) == 1, 30)
        assert found.uploads.size == len(b"of another")


def _hello(site: Site, session: str) -> str:
    """The key of a page, as its browser asks for it."""
    config = httpx.get(f"{site.url}/config", timeout=PATIENCE).json()
    for dependency in config["dependencies"]:
        if any(target[1] == "unload" for target in dependency["targets"]):
            continue
        body = {"data": [], "fn_index": dependency["id"], "session_hash": session}
        reply = httpx.post(f"{site.url}/gradio_api/run/predict", json=body, timeout=PATIENCE)
        found = re.search(r'"tab":\s*"([\w-]+)"', reply.text.replace("\\", ""))
        if found:
            return found.group(1)
    raise AssertionError("no page key")


@contextmanager
def process(data: Path, tmp: Path) -> Iterator[tuple[subprocess.Popen[str], str]]:
    """`python app.py`, and its address."""
    clean = {k: v for k, v in os.environ.items() if not k.startswith(("STROKENEXT_", "GRADIO_", "SPACE"))}
    running = subprocess.Popen(
        [sys.executable, "app.py", "--port", "0", "--device", "cpu", "--data-dir", str(data)],
        cwd=ROOT,
        env=clean | {"STROKENEXT_ASSETS": str(pair()), "TMPDIR": str(tmp)},
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    )
    try:
        assert running.stdout is not None
        found = re.search(r"http://[\d.]+:\d+", running.stdout.readline())
        assert found, running.communicate(timeout=PATIENCE)[1]
        while not httpx.get(f"{found.group()}/health", timeout=PATIENCE).json()["ready"]:
            time.sleep(0.2)
        yield running, found.group()
    finally:
        running.kill()
        running.communicate()


def _sizes(folder: Path) -> int:
    """Bytes of all files with a name; the lock and one of Gradio's are empty."""
    return sum(entry.stat().st_size for entry in folder.rglob("*") if entry.is_file())


@pytest.mark.skipif(not hasattr(signal, "SIGKILL"), reason="POSIX signals")
def test_after_a_kill_and_a_new_start_nothing_is_left(tmp_path: Path) -> None:
    """With an upload that waits, one that is being sent, and one to the API."""
    data, tmp = tmp_path / "data", tmp_path / "tmp"
    tmp.mkdir()
    with process(data, tmp) as (first, url):
        waiting = httpx.post(f"{url}/gradio_api/upload", files={"files": BIG}, timeout=PATIENCE)
        assert waiting.status_code == 200
        port = int(url.rsplit(":", 1)[1])
        with begin(port, 4 * MEBI, BIG), begin(port, 4 * MEBI, b"x"):
            (folder,) = (data / "uploads").iterdir()
            assert _sizes(folder) == 0
            first.kill()
            first.wait()
        assert folder.exists()
    with process(data, tmp) as (second, _):
        assert not folder.exists()
        (own,) = (data / "uploads").iterdir()
        assert _sizes(own) == 0
        second.send_signal(signal.SIGTERM)
        error = second.communicate(timeout=PATIENCE)[1]
        assert "Traceback" not in error
    assert list((data / "uploads").iterdir()) == []
    assert list(tmp.iterdir()) == []


def test_a_full_disk_is_a_sentence_for_page_and_api_and_all_else_goes_on(tmp_path: Path) -> None:
    disk, tmp = tmp_path / "disk", tmp_path / "tmp"
    disk.mkdir()
    tmp.mkdir()
    if subprocess.run(["mount", "-t", "tmpfs", "-o", "size=4m", "none", str(disk)], capture_output=True).returncode:
        pytest.skip("a small disk can be mounted by root alone")
    try:
        with process(disk, tmp) as (running, url):
            (disk / "other").write_bytes(b"x" * (2 * MEBI))
            for address, field in (("gradio_api/upload", "files"), ("predict", "file")):
                for send in (_declared, _undeclared):
                    reply = send(f"{url}/{address}", field)
                    assert reply.status_code == 507, reply.text
                    assert reply.json()["error"]["code"] == "storage"
                    assert reply.json()["error"]["message"].startswith("The disk of this server is full, so")
            small = (EXAMPLES / "hemorrhage.png").read_bytes()
            answer = httpx.post(f"{url}/predict", files={"file": small}, data={"force": "1"}, timeout=PATIENCE)
            assert answer.status_code == 200, answer.text
            running.send_signal(signal.SIGTERM)
            said = running.communicate(timeout=PATIENCE)[1]
        assert "Traceback" not in said
        assert "DOE" not in said
        assert len(re.findall(r"the disk takes no upload: ENOSPC", said)) == 4
        assert running.returncode == 0
    finally:
        subprocess.run(["umount", "-l", str(disk)], check=True)


def _declared(address: str, field: str) -> httpx.Response:
    return httpx.post(address, files={field: ("DOE^JANE", BIG)}, timeout=PATIENCE)


def _undeclared(address: str, field: str) -> httpx.Response:
    """In pieces, so that the disk is full while it is sent."""
    form = f'--b\r\nContent-Disposition: form-data; name="{field}"; filename="DOE^JANE"\r\n\r\n'.encode() + BIG
    form += b"\r\n--b--\r\n"
    pieces = (form[at : at + 65536] for at in range(0, len(form), 65536))
    headers = {"content-type": "multipart/form-data; boundary=b"}
    return httpx.post(address, content=pieces, headers=headers, timeout=PATIENCE)
