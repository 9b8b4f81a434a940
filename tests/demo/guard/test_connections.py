"""Clients that dawdle, flood or speak no HTTP, over real connections: others are answered meanwhile."""

from __future__ import annotations

import os
import socket
import sys
import threading
import time
from collections.abc import Iterator
from contextlib import ExitStack

import pytest
import uvicorn

from demo.guard import connections, deadlines
from demo.settings import Settings, parse
from tests.helpers.sites.live_site import Live, receive, serving

HEADER, WINDOW, WHOLE, LINGER, STALLED = 1.5, 1.5, 6.0, 1.5, 1.5
EACH, TOTAL = 20, 50
LATE = 6  # seconds that a busy machine may be late
#: The pace that is asked for, in bytes for each WINDOW.
LEAST = 1000
#: Bytes of an answer that no system buffers whole.
SIZE = 24 * 2**20
PART = b"--x\r\nContent-Disposition: form-data; name=files; filename=b.png\r\n\r\n"
END = b"\r\n--x--\r\n"


@pytest.fixture(scope="module", autouse=True)
def short() -> Iterator[None]:
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr("demo.service.Service.start", lambda _self: None)
        patch.setattr(connections, "LINGER_SECONDS", LINGER)
        patch.setattr(connections, "STALLED_SECONDS", STALLED)
        patch.setattr(deadlines, "WINDOW", WINDOW)
        patch.setattr(deadlines, "LEAST", LEAST)
        yield


def settings(**more) -> Settings:
    bounds = {"connections": TOTAL, "connections_each": EACH, "header_seconds": HEADER, "request_seconds": WHOLE}
    return Settings(**{**bounds, **more})


@pytest.fixture(scope="module")
def live(short, tmp_path_factory) -> Iterator[Live]:
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("GRADIO_TEMP_DIR", str(tmp_path_factory.mktemp("uploads")))
        with serving(settings()) as site:
            yield site


def trickle(connection: socket.socket, data: bytes, every: float) -> float:
    """Send byte by byte until the server has said something or closed; the seconds until then."""
    began = time.monotonic()
    for byte in data:
        try:
            connection.sendall(bytes([byte]))
            connection.settimeout(every)
            connection.recv(1, socket.MSG_PEEK)
            break
        except TimeoutError:
            continue
        except OSError:
            break
    connection.settimeout(20)
    return time.monotonic() - began


def head(live: Live, path: str = "/predict", length: int = 100_000) -> bytes:
    return (
        f"POST {path} HTTP/1.1\r\nHost: 127.0.0.1:{live.port}\r\nContent-Length: {length}\r\n"
        "Content-Type: multipart/form-data; boundary=x\r\n\r\n"
    ).encode()


def get(live: Live, path: str = "/health") -> bytes:
    return f"GET {path} HTTP/1.1\r\nHost: 127.0.0.1:{live.port}\r\n\r\n".encode()


def is_open(connection: socket.socket, seconds: float = 0.2) -> bool:
    """Whether the server leaves the connection open for that long; what it says meanwhile is read."""
    end = time.monotonic() + seconds
    while (left := end - time.monotonic()) > 0:
        connection.settimeout(left)
        try:
            if not connection.recv(65536):
                return False
        except TimeoutError:
            break
        except OSError:
            return False
    connection.settimeout(20)
    return True


class TestHeaders:
    def test_a_header_that_trickles_in_is_answered_with_408(self, live):
        with live.connect() as connection:
            took = trickle(connection, b"GET /health HTTP/1.1\r\nX: " + b"a" * 500, 0.2)
            reply = receive(connection)
        assert HEADER * 0.8 < took < HEADER + LATE
        assert reply.status == 408
        assert reply.problem["code"] == "too_slow"

    def test_one_that_stops_is_too(self, live):
        assert live.send(b"GET /health HTTP/1.1\r\nX: a").status == 408

    def test_a_connection_that_says_nothing_is_closed(self, live):
        with live.connect() as connection:
            began = time.monotonic()
            assert connection.recv(10) == b""
        assert time.monotonic() - began < HEADER + LATE

    def test_the_next_request_of_a_connection_has_a_deadline_too(self, live):
        with live.connect() as connection:
            connection.sendall(get(live))
            time.sleep(0.5)
            connection.sendall(b"GET /health")
            reply = receive(connection)
        assert reply.status == 200
        assert b"HTTP/1.1 408" in reply.body


class TestBodies:
    @pytest.mark.parametrize("path", ["/predict", "/gradio_api/upload", "/gradio_api/run/predict", "/login"])
    def test_a_body_that_trickles_in_is_answered_with_408(self, live, path):
        with live.connect() as connection:
            connection.sendall(head(live, path) + PART)
            took = trickle(connection, b"x" * 500, 0.2)
            reply = receive(connection)
        assert WINDOW * 0.8 < took < WINDOW + LATE
        assert reply.status == 408
        assert reply.problem["code"] == "too_slow"

    def test_a_slow_line_that_moves_is_taken_in_whole(self, live):
        content = b"x" * 30_000
        with live.connect() as connection:
            connection.sendall(head(live, "/gradio_api/upload", len(PART + content + END)) + PART)
            began = time.monotonic()
            for start in range(0, len(content), 2000):
                connection.sendall(content[start : start + 2000])
                time.sleep(0.2)
            connection.sendall(END)
            assert time.monotonic() - began > 1.5 * WINDOW
            assert connection.recv(20).startswith(b"HTTP/1.1 200 ")

    def test_one_without_an_end_is_not(self, live):
        with live.connect() as connection:
            connection.sendall(head(live, length=10**7) + PART)
            began = time.monotonic()
            while is_open(connection) and time.monotonic() - began < WHOLE + LATE:
                try:
                    connection.sendall(b"x" * 2000)
                except OSError:
                    break
            took = time.monotonic() - began
        assert WHOLE * 0.8 < took < WHOLE + LATE

    def test_who_goes_on_sending_after_the_answer_is_cut_off(self, live):
        with live.connect() as connection:
            connection.sendall(head(live, "/nothing"))
            began = time.monotonic()
            while is_open(connection, 0.1) and time.monotonic() - began < 20:
                try:
                    connection.sendall(b"x")
                except OSError:
                    break
        assert time.monotonic() - began < LINGER + LATE

    def test_who_comes_to_an_end_after_the_answer_may_ask_again(self, live):
        with live.connect() as connection:
            connection.sendall(head(live, "/nothing", 10))
            assert connection.recv(20).startswith(b"HTTP/1.1 404 ")
            connection.sendall(b"x" * 10)
            for _ in range(3):  # longer than LINGER in all
                assert is_open(connection, LINGER / 2)
                connection.sendall(get(live))
            assert connection.recv(20).startswith(b"HTTP/1.1 200 ")


class TestAnswers:
    def test_the_stream_of_an_open_page_is_not_cut(self, live):
        with live.connect() as connection:
            connection.sendall(get(live, "/gradio_api/heartbeat/anopenpage"))
            assert connection.recv(20).startswith(b"HTTP/1.1 200 ")
            assert is_open(connection, HEADER + WINDOW + LINGER + STALLED)

    @pytest.fixture
    def large(self) -> Iterator[Live]:
        """A server whose every answer is one piece of 24 MB."""

        async def app(scope, receive, send):
            length = (b"content-length", b"%d" % SIZE)
            await send({"type": "http.response.start", "status": 200, "headers": [length]})
            await send({"type": "http.response.body", "body": bytes(SIZE)})

        server = uvicorn.Server(connections.config(app, settings()))
        server.config.lifespan = "off"
        listener = socket.create_server(("127.0.0.1", 0))
        thread = threading.Thread(target=server.run, kwargs={"sockets": [listener]}, daemon=True)
        thread.start()
        yield Live(listener.getsockname()[1], app)
        server.should_exit = True
        thread.join(30)
        listener.close()

    def test_who_reads_no_answer_is_cut_off(self, large):
        with large.connect() as connection:
            connection.sendall(get(large))
            connection.recv(1)
            time.sleep(STALLED + 2)
            assert len(receive(connection).body) < SIZE

    def test_who_reads_slowly_gets_all_of_it(self, large):
        with large.connect() as connection:
            connection.sendall(get(large))
            began, came = time.monotonic(), 0
            while chunk := connection.recv(SIZE // 16):
                came += len(chunk)
                if time.monotonic() - began < 3 * STALLED:
                    time.sleep(STALLED / 5)
                if came >= SIZE + 100:
                    break
        assert came > SIZE
        assert time.monotonic() - began > 2 * STALLED


class TestNumbers:
    def test_many_idle_connections_make_room_for_a_request(self, live):
        with ExitStack() as stack:
            waiting = [stack.enter_context(live.connect()) for _ in range(EACH * 2)]
            for connection in waiting[-EACH:]:
                connection.sendall(b"GET / HTTP/1.1\r\n")
            began = time.monotonic()
            assert live.ask("/health").status == 200
            assert time.monotonic() - began < HEADER  # it did not wait for their deadline

    @pytest.mark.skipif(sys.platform != "linux", reason="one address of this machine")
    def test_too_many_busy_ones_of_an_address_are_refused_and_others_are_not(self, live):
        with ExitStack() as stack:
            busy = [stack.enter_context(live.connect()) for _ in range(EACH)]
            for connection in busy:
                connection.sendall(head(live) + PART)
            time.sleep(0.3)
            reply = live.send(get(live) + b"x" * 100)  # it has sent something, and still hears why
            assert reply.status == 503
            assert int(reply.headers["retry-after"]) > 0
            assert reply.problem["code"] == "busy"
            with socket.create_connection(("127.0.0.1", live.port), 20, ("127.0.0.2", 0)) as other:
                other.sendall(get(live))
                assert other.recv(20).startswith(b"HTTP/1.1 200 ")
        end = time.monotonic() + LATE
        while (status := live.ask("/health").status) == 503 and time.monotonic() < end:
            time.sleep(0.1)
        assert status == 200

    @pytest.mark.skipif(sys.platform != "linux", reason="one address of this machine")
    def test_all_addresses_together_are_bounded_and_the_crowd_makes_room(self, live):
        with ExitStack() as stack:
            for last in range(2, 6):
                for _ in range(EACH - 2):
                    other = socket.create_connection(("127.0.0.1", live.port), 20, (f"127.0.0.{last}", 0))
                    stack.enter_context(other).sendall(b"GET")
            with live.connect() as connection:
                connection.sendall(get(live))
                assert connection.recv(20).startswith(b"HTTP/1.1 200 ")

    def test_those_of_a_trusted_proxy_are_not_one_address(self, monkeypatch, tmp_path):
        monkeypatch.setenv("GRADIO_TEMP_DIR", str(tmp_path))
        with serving(settings(connections_each=3, trusted_proxies=("127.0.0.0/8",))) as site, ExitStack() as stack:
            busy = [stack.enter_context(site.connect()) for _ in range(9)]
            for connection in busy:
                connection.sendall(head(site) + PART)
            assert site.ask("/health").status == 200

    @pytest.mark.skipif(os.name != "posix", reason="limits of POSIX")
    def test_there_are_no_more_than_the_system_gives_files(self, monkeypatch):
        import resource

        given: list[tuple[int, int]] = []
        monkeypatch.setattr(resource, "getrlimit", lambda _kind: (256, 900))
        monkeypatch.setattr(resource, "setrlimit", lambda _kind, pair: given.append(pair))
        assert connections.Bounds.of(Settings()).total == 900 - connections.OTHER_FILES
        assert given == [(900, 900)]
        monkeypatch.setattr(resource, "getrlimit", lambda _kind: (256, 256))
        few = connections.Bounds.of(Settings())
        assert (few.total, few.each) == (64, 32)  # one address never takes all
        monkeypatch.setattr(resource, "getrlimit", lambda _kind: (1024, 10**6))
        assert connections.Bounds.of(Settings(connections=5000)).total == 5000

    def test_the_settings(self):
        found = parse(["--connections=50", "--connections-each", "7", "--header-seconds=3"], {})
        assert (found.connections, found.connections_each, found.header_seconds) == (50, 7, 3)
        assert parse([], {"STROKENEXT_REQUEST_SECONDS": "7200"}).request_seconds == 7200
        for wrong in ("--connections=0", "--connections-each=x", "--header-seconds=0", "--request-seconds=nan"):
            with pytest.raises(SystemExit):
                parse([wrong], {})


CHUNKED = b"POST /predict HTTP/1.1\r\nHost: 127.0.0.1\r\nTransfer-Encoding: chunked\r\n\r\n"
HOST = b"\r\nHost: 127.0.0.1\r\nConnection: close\r\n\r\n"
NO_REQUEST = [
    b"\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03" + bytes(200),
    b"\r\n\r\n\r\nGARBAGE\r\n\r\n",
    b"GET / health HTTP/1.1" + HOST,
    b"G\x00T / HTTP/1.1" + HOST,
    b"GET /health HTTP/1.1\r\nHost: 127.0.0.1\r\nBad Header: x\r\n\r\n",
    b"GET /health HTTP/1.1\r\nHost: 127.0.0.1\r\nX: a\x00b\r\n\r\n",
    b"GET /health HTTP/1.1\r\nHost: 127.0.0.1\r\nX" + b"a" * 100_000 + b"\r\n\r\n",
    b"POST /predict HTTP/1.1\r\nHost: 127.0.0.1\r\nContent-Length: -5\r\n\r\n",
    b"POST /predict HTTP/1.1\r\nHost: 127.0.0.1\r\nContent-Length: 5\r\nContent-Length: 6\r\n\r\nabcdef",
    CHUNKED + b"zz\r\nabc\r\n",
    CHUNKED + b"5\r\nabc\r\n0\r\n\r\n",
    CHUNKED + b"ffffffffffffffffffff\r\n",
]
ODD = [
    b"CONNECT evil.example:443 HTTP/1.1" + HOST,
    b"OPTIONS * HTTP/1.1" + HOST,
    b"GET http://127.0.0.1/health HTTP/1.1" + HOST,
    b"GET //health HTTP/1.1" + HOST,
    b"GET /%ff%00%0a HTTP/1.1" + HOST,
    b"GET /%2e%2e/%2e%2e/etc/passwd HTTP/1.1" + HOST,
    b"GET / HTTP/1.1\r\nHost: 127.0.0.1\r\nUpgrade: websocket\r\nConnection: upgrade, close\r\n"
    b"Sec-WebSocket-Key: x\r\nSec-WebSocket-Version: 13\r\n\r\n",
    b"FOO /health HTTP/1.1" + HOST,
    b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n",
]


def quiet_about(caplog, capfd) -> bool:
    said = caplog.text + "".join(capfd.readouterr())
    return "Traceback" not in said and "evil" not in said


@pytest.mark.parametrize("given", NO_REQUEST)
def test_what_is_no_request_gets_a_short_problem_and_no_traceback(live, given, caplog, capfd):
    reply = live.send(given)
    assert reply.status == 400
    assert len(reply.body) < 500
    assert reply.problem
    assert quiet_about(caplog, capfd)
    assert live.ask("/health").status == 200


@pytest.mark.parametrize("given", ODD)
def test_odd_requests_are_answered_without_a_traceback(live, given, caplog, capfd):
    reply = live.send(given)
    assert reply.status in (200, 400, 403, 404, 405, 421)
    assert quiet_about(caplog, capfd)
    assert live.ask("/health").status == 200
