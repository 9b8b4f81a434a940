"""The door of the page: what a visitor may ask of Gradio, and whose files a request can read or delete."""

from __future__ import annotations

import socket
from collections.abc import Iterator
from pathlib import Path
from typing import Any, NamedTuple

import pytest
from starlette.routing import Mount
from starlette.testclient import TestClient

from demo.door import Door, is_open
from demo.server import build
from demo.settings import Settings
from demo.storage.upload import GONE
from strokenext import errors
from tests.helpers.page_desk import taken
from tests.helpers.sites.live_site import routes_of

#: Every route that the mounted Gradio has and the page does without. A route an update adds is in neither list:
#: look at what it does, then name it here, or in door.OPEN where the page needs it.
SHUT = {
    "/openapi.json", "/svelte/{path:path}", "/gradio_api/deep_link", "/pwa_icon", "/pwa_icon/{size}", "/monitoring",
    "/monitoring/summary", "/monitoring/{key}",
    *(f"/gradio_api/{rest}" for rest in (
        "user", "user/", "login_check", "login_check/", "token", "token/", "app_id", "app_id/", "dev/reload", "runs",
        "runs/", "info", "info/", "openapi.json", "custom_component/{id}/{environment}/{type}/{file_name}",
        "proxy={url_path:path}", "file={path_or_url:path}", "file/{path:path}", "stream/{event_id}",
        "stream/{event_id}/close", "stream/{session_hash}/{run}/{component_id}/playlist.m3u8",
        "stream/{session_hash}/{run}/{component_id}/{segment_id}.{ext}",
        "stream/{session_hash}/{run}/{component_id}/playlist-file", "reset", "reset/", "run/{api_name}/",
        "api/{api_name}", "api/{api_name}/", "call/{api_name}", "call/{api_name}/", "call/v2/{api_name}",
        "call/v2/{api_name}/", "call/v2/{api_name}/{event_id}", "call/{api_name}/{event_id}", "queue/join",
        "queue/data", "queue/status", "cancel", "upload_progress", "startup-events", "process_recording",
        "vibe-edit", "vibe-edit/", "undo-vibe-edit", "undo-vibe-edit/", "vibe-code", "vibe-code/",
        "vibe-starter-queries", "vibe-starter-queries/",
    )),
}  # fmt: skip
#: What an open pattern is asked with in place of a route's parameters.
FILLED = {"{path:path}": "a/b.js", "{session_hash}": "abc", "{api_name}": "predict"}


class Site(NamedTuple):
    client: TestClient
    door: Door
    root: Path


@pytest.fixture
def site(tmp_path, monkeypatch) -> Iterator[Site]:
    """The whole app as it is served, without models, and its folder of uploads."""
    monkeypatch.setenv("GRADIO_TEMP_DIR", str(tmp_path / "uploads"))
    monkeypatch.setattr("demo.service.Service.start", lambda _self: None)
    app, _ = build(Settings())
    door = next(route.app for route in app.routes if isinstance(route, Mount))
    assert isinstance(door, Door)
    with TestClient(app) as client:
        yield Site(client, door, tmp_path / "uploads")


def routes(door: Door) -> set[tuple[str, str]]:
    """(method, path) of all that Gradio would answer."""

    return set(routes_of(door.app.routes))


def file_data(path: object, **more: Any) -> dict[str, Any]:
    return {"path": path, "meta": {"_type": "gradio.FileData"}} | more


def upload(site: Site, content: bytes, name: str = "IM0001") -> str:
    reply = site.client.post("/gradio_api/upload", files={"files": (name, content)})
    assert reply.status_code == 200
    (path,) = reply.json()
    return path


def filled(path: str) -> str:
    for parameter, value in FILLED.items():
        path = path.replace(parameter, value)
    return path


def test_every_route_of_gradio_is_open_or_shut_by_name(site):
    found = routes(site.door)
    assert len(found) > 60
    unknown = {(m, p) for m, p in found if p not in SHUT and not is_open(m, filled(p))}
    assert unknown == set()
    assert {(m, p) for m, p in found if p in SHUT and is_open(m, filled(p))} - {("GET", "/openapi.json")} == set()
    for method, path in found:
        if path in SHUT and path != "/openapi.json":  # that is our own, in front
            reply = site.client.request(method, path.replace("{component_id}", "1").replace("{size}", "64"))
            assert reply.status_code == 404, (method, path)
            assert method == "HEAD" or reply.json()["error"]["code"] == "not_found", (method, path)


@pytest.mark.parametrize("path", ["/", "/config", "/theme.css", "/favicon.ico"])
def test_what_the_page_needs_is_answered(site, path):
    assert site.client.get(path).status_code == 200


@pytest.mark.parametrize(
    "path", ["/gradio_api/queue/join", "/gradio_api/run/predict", "/gradio_api/call/x", "/gradio_api/api/x",
             "/gradio_api/component_server", "/gradio_api/component_server/"]
)  # fmt: skip
@pytest.mark.parametrize("stream", [True, False])
def test_a_forged_file_reads_and_deletes_nothing(site, tmp_path, path, stream):
    """The same answer for what exists, what does not and what never ends; nothing is moved, opened or deleted."""
    secret = tmp_path / "secret.dcm"
    secret.write_bytes(b"kept")
    before = set(tmp_path.rglob("*"))
    replies = []
    for name in (str(secret), str(tmp_path / "missing"), "/dev/zero", "http://127.0.0.1:9/x", None):
        data = [[file_data(name, is_stream=stream)]]
        body = {"data": data, "session_hash": "s", "fn_index": 0, "fn_name": "page_open", "component_id": 1}
        reply = site.client.post(path, json=body)
        replies.append((reply.status_code, reply.text))
    assert len(set(replies)) == 1
    assert replies[0][0] == 404
    assert secret.read_bytes() == b"kept"
    assert set(tmp_path.rglob("*")) == before


@pytest.mark.parametrize(
    "value", [{"url": "http://127.0.0.1:9/x"}, {"path": "http://127.0.0.1:9/x"}, {"is_stream": True},
              {"meta": {"_type": "gradio.FileData"}}, [[{"a": {"url": "x"}}]]]
)  # fmt: skip
def test_an_address_in_a_body_connects_to_nothing(site, monkeypatch, value):
    """No socket of this process connects, and no name is looked up."""
    asked: list[object] = []
    monkeypatch.setattr(socket.socket, "connect", lambda _self, address: asked.append(address))
    monkeypatch.setattr(socket, "getaddrinfo", lambda *address, **_: asked.append(address) or [])
    for path in ("run/predict", "component_server", "queue/join"):
        assert site.client.post(f"/gradio_api/{path}", json={"data": [value], "fn_index": 0}).status_code == 404
    for path in ("file=http://127.0.0.1:9/x", "proxy=http://127.0.0.1:9/x"):
        assert site.client.get(f"/gradio_api/{path}").status_code == 404
    assert asked == []


@pytest.mark.parametrize("content", [b"", b"{", b"--x\r\n", b"[" * 100_000])
def test_a_body_that_is_no_json_is_a_problem(site, content):
    reply = site.client.post(
        "/gradio_api/component_server", content=content, headers={"content-type": "multipart/form-data; boundary=x"}
    )
    assert reply.status_code == 400
    assert reply.json()["error"]["message"].endswith(".")


def test_gradio_checks_the_paths_it_is_given(site):
    """Its own lock, behind ours: it asks whether the page was launched, which a mounted one never is."""
    from gradio.context import LocalContext
    from gradio.exceptions import InvalidPathError
    from gradio.processing_utils import _check_allowed

    token = LocalContext.blocks.set(site.door.app.get_blocks())
    try:
        with pytest.raises(InvalidPathError):
            _check_allowed("/etc/passwd", True)
    finally:
        LocalContext.blocks.reset(token)


def test_two_uploads_of_the_same_bytes_share_nothing(site):
    first, second = upload(site, b"same"), upload(site, b"same")
    assert first.split("/")[0] != second.split("/")[0]
    assert len(first.split("/")[0]) >= 32
    assert taken(site.door.uploads, [first]) == [b"same"]
    assert taken(site.door.uploads, [second]) == [b"same"]


def test_an_upload_is_read_once(site):
    path = upload(site, b"x")
    assert taken(site.door.uploads, [path]) == [b"x"]
    with pytest.raises(errors.NotFoundError, match=GONE):
        taken(site.door.uploads, [path])


def test_what_was_not_handed_out_is_not_there_and_stays(site):
    """A file in the folder of uploads too, an own upload named twice, and one named beside what is not there."""
    own, foreign = upload(site, b"own"), site.root / "0a1b" / "0"
    foreign.parent.mkdir(parents=True)
    foreign.write_bytes(b"foreign")
    for names in ([str(foreign)], ["0a1b/0"], [own, str(foreign)], [own, own], [f"{own}/../0"], ["/dev/zero"]):
        with pytest.raises(errors.NotFoundError, match=GONE):
            taken(site.door.uploads, names)
    assert foreign.read_bytes() == b"foreign"
    assert taken(site.door.uploads, [own]) == [b"own"]


def test_gradio_is_never_handed_an_upload(site, monkeypatch):
    seen: list[str] = []
    app = site.door.app

    class Noted:
        """Gradio's app, and a note of what it is asked for."""

        def __getattr__(self, name: str) -> Any:
            return getattr(app, name)

        async def __call__(self, scope: Any, receive: Any, send: Any) -> None:
            seen.append(scope["path"])
            await app(scope, receive, send)

    monkeypatch.setattr(site.door, "app", Noted())
    upload(site, b"x")
    assert seen == []
