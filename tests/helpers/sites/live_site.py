"""The whole app behind its real server on a thread, and requests as bytes: what no client library would send."""

from __future__ import annotations

import json
import socket
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any, NamedTuple

from starlette.routing import BaseRoute, Mount

from demo import server
from demo.settings import Settings


class Reply(NamedTuple):
    """What came back until the connection was closed; status 0 where nothing did."""

    status: int
    headers: dict[str, str]
    body: bytes

    @property
    def problem(self) -> dict[str, str]:
        """The problem it holds, after checking that it is one."""
        error: dict[str, str] = json.loads(self.body)["error"]
        assert set(error) == {"code", "message"}
        assert error["message"][0].isupper()
        assert error["message"].endswith(".")
        return error


class Live(NamedTuple):
    port: int
    app: Any

    def connect(self, timeout: float = 20) -> socket.socket:
        return socket.create_connection(("127.0.0.1", self.port), timeout=timeout)

    def send(self, request: bytes, timeout: float = 20) -> Reply:
        """Send bytes as they are; the connection is closed by the server or by `Connection: close` among them."""
        with self.connect(timeout) as connection:
            connection.sendall(request)
            return receive(connection)

    def ask(self, path: str, method: str = "GET", body: bytes = b"", **headers: str) -> Reply:
        """A plain request with exactly those headers (underscores are hyphens) beside Host, length and close."""
        given = {"host": f"127.0.0.1:{self.port}"} | {k.replace("_", "-"): v for k, v in headers.items()}
        lines = [f"{method} {path} HTTP/1.1", *(f"{k}: {v}" for k, v in given.items()), "connection: close"]
        if body or method == "POST":
            lines.append(f"content-length: {len(body)}")
        return self.send("\r\n".join([*lines, "", ""]).encode("latin-1") + body)


def receive(connection: socket.socket) -> Reply:
    """Read one reply until the server closes."""
    data = b""
    try:
        while chunk := connection.recv(65536):
            data += chunk
    except ConnectionResetError:
        pass
    head, _, body = data.partition(b"\r\n\r\n")
    first, *lines = head.decode("latin-1").split("\r\n")
    headers = {name.lower(): value.strip() for name, _, value in (line.partition(":") for line in lines)}
    if headers.get("transfer-encoding") == "chunked":
        body = _joined(body)
    return Reply(int(first.split()[1]) if first else 0, headers, body)


def _joined(body: bytes) -> bytes:
    whole = b""
    while body:
        size, _, body = body.partition(b"\r\n")
        whole, body = whole + body[: int(size, 16)], body[int(size, 16) + 2 :]
    return whole


def routes_of(given: list[BaseRoute]) -> Iterator[tuple[str, str]]:
    """(method, path) of all of these routes, of routers among them and of what is mounted behind a door."""
    for route in given:
        router = getattr(route, "original_router", None)
        if router is not None:
            yield from routes_of(router.routes)
        elif isinstance(route, Mount):
            yield from routes_of(route.app.app.routes)  # type: ignore[attr-defined]
        else:
            yield from ((method, route.path) for method in route.methods or ())  # type: ignore[attr-defined]


@contextmanager
def serving(settings: Settings) -> Iterator[Live]:
    """The app as `python app.py` serves it, on a free port of this machine."""
    import uvicorn

    from demo.guard import connections

    app, service = server.build(settings)
    listener = server.open_port("127.0.0.1", 0)
    process = uvicorn.Server(connections.config(app, settings))
    thread = threading.Thread(target=process.run, kwargs={"sockets": [listener]}, daemon=True)
    thread.start()
    try:
        yield Live(listener.getsockname()[1], app)
    finally:
        process.should_exit = True
        thread.join(30)
        service.stop()
        listener.close()
