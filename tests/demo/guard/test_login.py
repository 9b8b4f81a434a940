"""The password: who waits, what the log says, which cookies are set, and that every route asks."""

from __future__ import annotations

import base64
from concurrent.futures import ThreadPoolExecutor

import pytest
from starlette.routing import Mount
from starlette.testclient import TestClient

from demo.guard.visitors import MOST_OF_ADDRESS, THERE, Entry, Visitors
from demo.login import FREE, LONGEST, MOST, WINDOW, Password, Throttle
from demo.server import build
from demo.settings import Settings
from tests.helpers.sites.live_site import routes_of

#: What a visitor without the password may see: that the service is there, and what the form is made of.
OPEN = {"/", "/health", "/login", "/login/", "/logout", "/theme.css", "/gradio_api/theme.css", "/favicon.ico",
        "/robots.txt", "/manifest.json", "/static/{path:path}", "/assets/{path:path}"}  # fmt: skip


class Clock:
    def __init__(self) -> None:
        self.now = 1000.0

    def __call__(self) -> float:
        return self.now


@pytest.fixture
def app(tmp_path, monkeypatch):
    monkeypatch.setenv("GRADIO_TEMP_DIR", str(tmp_path / "uploads"))
    monkeypatch.setattr("demo.service.Service.start", lambda _self: None)
    return build(Settings(auth=("reader", "pass:wörd")))[0]


def basic(text: str) -> dict[str, str]:
    return {"authorization": "Basic " + base64.b64encode(text.encode()).decode()}


def login(client: TestClient, password: str = "pass:wörd", **headers: str):
    return client.post("/login", data={"username": "reader", "password": password}, headers=headers)


def test_every_route_but_the_form_asks(app):
    with TestClient(app) as client:
        for method, path in {*routes_of(app.routes)}:
            if path not in OPEN:
                reply = client.request(method, path.replace("{session_hash}", "abc"), follow_redirects=False)
                # 404: shut for everybody, 405: the route does not know the method
                assert reply.status_code in (401, 404, 405), (method, path)
        assert "auth_required" in client.get("/").text
        for path in ("/predict", "/gradio_api/upload", "/gradio_api/run/predict", "/gradio_api/component_server"):
            assert client.post(path).status_code == 401, path
        for path in ("/models", "/docs", "/openapi.json", "/config", "/gradio_api/heartbeat/abc"):
            assert client.get(path).status_code == 401, path


def test_the_form_and_the_routes_share_one_throttle(app, caplog):
    with TestClient(app) as client:
        for number in range(FREE + 1):
            wrong = login(client, "wrong") if number % 2 else client.get("/models", headers=basic("reader:guess"))
            assert wrong.status_code in (400, 401)
        for reply in (login(client), client.get("/models", headers=basic("reader:pass:wörd"))):
            assert reply.status_code == 429  # the right one too: who guesses must not learn which it was
            assert int(reply.headers["retry-after"]) >= 1
            assert reply.json()["error"]["message"].endswith(".")
    lines = [record.getMessage() for record in caplog.records if record.name == "strokenext.login"]
    assert len(lines) == FREE + 1
    assert lines[-1].startswith("a wrong password, 5 ")
    for secret in ("guess", "reader", "testclient", "pass:w"):
        assert secret not in caplog.text


def test_the_right_password_is_never_slowed_down(app):
    with TestClient(app) as client:
        for _ in range(FREE * 3):
            assert client.get("/models", headers=basic("reader:pass:wörd")).status_code == 200
            assert login(client).status_code == 200


@pytest.mark.parametrize(("scheme", "more"), [("http", set()), ("https", {"secure"})])
def test_one_cookie_that_stays_on_this_site(app, scheme, more):
    with TestClient(app, base_url=f"{scheme}://localhost") as client:
        cookies = login(client).headers.get_list("set-cookie")
        assert len(cookies) == 1
        assert {part.strip().lower() for part in cookies[0].split(";")[1:]} == {
            "httponly",
            "path=/",
            "samesite=lax",
        } | more
        assert client.get("/config").status_code == 200
        assert client.get("/logout", follow_redirects=False).status_code == 302
        assert client.get("/config").status_code == 401


def look(app, session: str) -> dict[str, object]:
    """What a page asks every few seconds."""
    blocks = next(route.app for route in app.routes if isinstance(route, Mount)).app.get_blocks()
    number = next(number for number, block in blocks.blocks.items() if hasattr(block, "page_look"))
    return {"data": {}, "component_id": number, "fn_name": "page_look", "session_hash": session}


def test_a_page_belongs_to_the_login_that_used_it_first(app):
    call = look(app, "0a1b2c")
    with TestClient(app) as first, TestClient(app) as second:
        assert login(first).status_code == login(second).status_code == 200
        assert first.post("/gradio_api/component_server", json=call).status_code == 200
        foreign = second.post("/gradio_api/component_server", json=call)
        assert foreign.status_code == 403
        assert "another login" in foreign.json()["error"]["message"]
        assert second.get("/gradio_api/heartbeat/0a1b2c").status_code == 403
        assert second.post("/gradio_api/component_server", json=call | {"session_hash": "other"}).status_code == 200
        assert first.post("/gradio_api/component_server", json=call).status_code == 200


class TestWithoutALogin:
    @pytest.fixture
    def open_app(self, tmp_path, monkeypatch):
        monkeypatch.setenv("GRADIO_TEMP_DIR", str(tmp_path / "uploads"))
        monkeypatch.setattr("demo.service.Service.start", lambda _self: None)
        return build(Settings())[0]

    def test_a_page_belongs_to_the_browser_that_used_it_first(self, open_app):
        call = look(open_app, "0a1b2c")
        with TestClient(open_app) as first, TestClient(open_app) as second, TestClient(open_app) as bare:
            cookie = first.get("/").headers["set-cookie"]
            assert {part.strip() for part in cookie.split(";")[1:]} == {"HttpOnly", "Path=/", "SameSite=Lax"}
            assert "set-cookie" not in first.get("/").headers  # one for all its pages
            second.get("/")
            assert first.post("/gradio_api/component_server", json=call).status_code == 200
            for other in (second, bare):
                foreign = other.post("/gradio_api/component_server", json=call)
                assert foreign.status_code == 403
                assert foreign.json()["error"]["code"] == "other_page"
                assert other.get("/gradio_api/heartbeat/0a1b2c").status_code == 403
            assert first.post("/gradio_api/component_server", json=call).status_code == 200

    def test_two_pages_opened_at_once_both_stay(self, open_app):
        with TestClient(open_app) as early, TestClient(open_app) as late, TestClient(open_app) as browser:
            browser.cookies.update(early.get("/").cookies)
            assert browser.post("/gradio_api/component_server", json=look(open_app, "one")).status_code == 200
            browser.cookies.update(late.get("/").cookies)  # asked for before the first cookie was there
            for page in ("one", "two", "one"):
                assert browser.post("/gradio_api/component_server", json=look(open_app, page)).status_code == 200

    def test_a_frame_that_drops_cookies_works(self, open_app):
        with TestClient(open_app) as frame:
            for _ in range(2):
                frame.get("/")
                frame.cookies.clear()
                assert frame.post("/gradio_api/component_server", json=look(open_app, "0a1b2c")).status_code == 200

    def test_in_the_frame_of_a_space_it_is_sent_there_alone(self, tmp_path, monkeypatch):
        monkeypatch.setenv("GRADIO_TEMP_DIR", str(tmp_path / "uploads"))
        monkeypatch.setattr("demo.service.Service.start", lambda _self: None)
        monkeypatch.setenv("SPACE_ID", "me/strokenext")
        with TestClient(build(Settings())[0], base_url="http://me-strokenext.hf.space") as client:
            cookie = client.get("/").headers["set-cookie"]
        assert cookie.endswith("; HttpOnly; Path=/; SameSite=None; Secure; Partitioned")

    def test_with_a_login_none_is_given(self, app):
        with TestClient(app) as client:
            assert "set-cookie" not in client.get("/").headers


@pytest.mark.parametrize("secure", ["", "right", "wrong"])
@pytest.mark.parametrize("plain", ["", "right", "wrong"])
def test_the_door_knows_whom_gradio_knows(app, secure, plain):
    door = next(route.app for route in app.routes if isinstance(route, Mount))
    door.app.tokens["right"] = "reader"
    names = {"access-token": secure, "access-token-unsecure": plain}
    cookies = {f"{name}-{door.app.cookie_id}": value for name, value in names.items() if value}
    of_gradio = TestClient(door.app, cookies=cookies).get("/gradio_api/login_check").status_code
    with TestClient(app, cookies=cookies) as client:
        assert of_gradio == (200 if (secure or plain) == "right" else 401)
        assert client.post("/gradio_api/upload", files={"files": b"x"}).status_code == of_gradio
        # 400: known, and the call is none of the page's
        assert client.post("/gradio_api/component_server", json={}).status_code == {200: 400, 401: 401}[of_gradio]


class TestThrottle:
    def test_each_further_wrong_one_doubles_the_wait(self):
        clock = Clock()
        throttle, waits = Throttle(clock), []
        for _ in range(FREE + 12):
            assert throttle.begin("192.0.2.1") == 0
            if (wait := throttle.begin("192.0.2.1")) > 0:
                waits.append(wait)
                clock.now += wait
        assert waits[:6] == [1, 2, 4, 8, 16, 32]
        assert waits[-1] == LONGEST
        assert throttle.begin("192.0.2.2") == 0

    def test_many_at_once_gain_nothing(self):
        throttle = Throttle(Clock())
        with ThreadPoolExecutor(16) as pool:
            waits = list(pool.map(throttle.begin, ["192.0.2.1"] * 200))
        assert sum(wait == 0 for wait in waits) == FREE + 1

    def test_many_addresses_are_bounded_together_and_a_reader_still_gets_in(self):
        clock = Clock()
        throttle = Throttle(clock)
        throttle.begin("198.51.100.1")
        throttle.passed("198.51.100.1")
        tried = sum(throttle.begin(f"10.0.{n // 250}.{n % 250}") == 0 for n in range(500))
        assert tried == MOST
        assert throttle.begin("198.51.100.1") == 0
        throttle.passed("198.51.100.1")
        clock.now += WINDOW + 1
        assert throttle.begin("10.9.9.9") == 0

    def test_one_network_of_ipv6_is_one_address(self):
        throttle = Throttle(Clock())
        assert sum(throttle.begin(f"2001:db8::{n:x}") == 0 for n in range(1, 100)) == FREE + 1

    @pytest.mark.parametrize("wrong", ["reader:x", "x:pass", "reader", ":", "", "reader:pass:"])
    def test_user_and_password_are_both_compared(self, wrong):
        password = Password("reader", "pass")
        assert password.matches_basic(basic("reader:pass")["authorization"])
        assert not password.matches_basic(basic(wrong)["authorization"])
        for header in ("Bearer x", "Basic \xff", "Basic ====", "basic"):
            assert not password.matches_basic(header)
        assert not password.matches("\ud800", "\ud800")


class TestVisitors:
    def test_invented_names_are_bounded_and_end(self):
        clock = Clock()
        visitors = Visitors(clock)
        entries = [visitors.enter(f"made{n}", frozenset(), "192.0.2.1") for n in range(MOST_OF_ADDRESS + 50)]
        assert entries.count(Entry.WELCOME) == MOST_OF_ADDRESS
        assert entries.count(Entry.CROWDED) == 50
        assert visitors.enter("real", frozenset(), "192.0.2.2") is Entry.WELCOME
        assert visitors.enter("made0", frozenset(), "192.0.2.1") is Entry.WELCOME
        clock.now += THERE + 1
        assert visitors.enter("new", frozenset(), "192.0.2.1") is Entry.WELCOME
        assert len(visitors) == 1

    def test_one_of_the_cookies_it_began_with_is_enough(self):
        visitors = Visitors(Clock())
        assert visitors.enter("a", frozenset({"1", "2"}), "192.0.2.1") is Entry.WELCOME
        assert visitors.enter("a", frozenset({"2", "3"}), "192.0.2.1") is Entry.WELCOME
        for other in (frozenset({"3"}), frozenset()):
            assert visitors.enter("a", other, "192.0.2.1") is Entry.FOREIGN

    def test_a_page_without_cookies_is_bound_to_nobody(self):
        visitors = Visitors(Clock())
        for owner in (frozenset(), frozenset({"1"}), frozenset()):
            assert visitors.enter("a", owner, "192.0.2.1") is Entry.WELCOME
