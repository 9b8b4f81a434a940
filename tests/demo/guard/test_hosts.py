"""Names and pages, of ours and of others, at every route: asked with bytes, over a real connection."""

from __future__ import annotations

import socket
from collections.abc import Iterator

import pytest

from demo.guard.hosts import SAFE_METHODS
from demo.guard.names import authority, hosts
from demo.server import UnprotectedError, main, require_password
from demo.settings import Settings, parse
from tests.helpers.sites.live_site import Live, routes_of, serving

FOREIGN = "evil.example"


@pytest.fixture(scope="module")
def live(tmp_path_factory) -> Iterator[Live]:
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("GRADIO_TEMP_DIR", str(tmp_path_factory.mktemp("uploads")))
        patch.setattr("demo.service.Service.start", lambda _self: None)
        with serving(Settings(allow_host=("stroke.example.org",))) as site:
            yield site


def routes(app) -> set[tuple[str, str]]:
    """(method, path) of every route of the app and of what is mounted in it, and one that is not there."""

    return {*routes_of(app.routes), ("GET", "/nothing"), ("POST", "/nothing")}


def test_every_route_asks_for_a_name_of_ours_and_a_page_of_ours(live):
    """Also those that are not there or shut: who has no business here learns nothing."""
    found = routes(live.app)
    assert {path for _, path in found} >= {"/predict", "/health", "/models", "/docs", "/login", "/gradio_api/upload"}
    for method, path in sorted(found):
        reply = live.ask(path, method, host=FOREIGN)
        assert (method, path, reply.status) == (method, path, 421)
        if method in SAFE_METHODS and not path.startswith(("/gradio_api/", "/logout")):
            continue
        for headers in (
            {"origin": f"http://{FOREIGN}"},
            {"sec_fetch_site": "cross-site"},
            {"sec_fetch_site": "same-site"},
            {"origin": "null"},
        ):
            reply = live.ask(path, method, **headers)
            assert (method, path, headers, reply.status) == (method, path, headers, 403)
            assert method == "HEAD" or reply.problem["code"] == "other_site"


@pytest.mark.parametrize(
    "host", ["localhost", "LOCALHOST:7860", "127.0.0.1", "127.0.0.2:1", "[::1]:7860", "localhost.",
             "stroke.example.org"]
)  # fmt: skip
def test_the_machine_itself_and_names_that_were_allowed_are_answered(live, host):
    assert live.ask("/health", host=host).status == 200


@pytest.mark.parametrize(
    ("host", "status"),
    [(FOREIGN, 421), ("localhost.evil.example", 421), ("evil.example.", 421), ("stroke.example.org.evil.example", 421),
     ("192.168.1.5", 421), ("8.8.8.8:80", 421), ("0.0.0.0", 421), ("[fe80::1]", 421), ("127.0.0.1.nip.io", 421),
     ("", 400), ("localhost@evil.example", 400), ("a b", 400), ("[::1", 400), ("localhost:x", 400),
     ("\xfc.example", 400)],
)  # fmt: skip
def test_any_other_name_is_refused_with_a_sentence(live, host, status):
    reply = live.ask("/health", host=host)
    assert reply.status == status
    assert host not in reply.problem["message"] or host == ""
    if status == 421:
        assert "--allow-host" in reply.problem["message"]


def test_a_proxys_name_counts_as_well(live):
    assert live.ask("/config", x_forwarded_host=FOREIGN).status == 421
    assert live.ask("/config", x_forwarded_host="stroke.example.org").status == 200


def test_two_hosts_or_none_are_refused(live):
    line = b"Host: 127.0.0.1\r\n"
    assert live.send(b"GET /health HTTP/1.1\r\n" + line + b"Host: evil.example\r\n\r\n").status == 400
    assert live.send(b"GET /health HTTP/1.1\r\nConnection: close\r\n\r\n").status == 400
    assert live.send(b"GET /health HTTP/1.0\r\n\r\n").status == 400


def test_our_own_page_and_clients_that_are_no_browser_are_answered(live):
    own = f"http://127.0.0.1:{live.port}"
    for headers in (
        {},
        {"origin": own},
        {"origin": own, "sec_fetch_site": "same-origin"},
        {"sec_fetch_site": "none"},
        {"host": "stroke.example.org", "origin": "https://stroke.example.org"},
        {"origin": "https://stroke.example.org", "x_forwarded_host": "stroke.example.org"},
        {"origin": "https://stroke.example.org"},  # a proxy that puts its own Host
    ):
        reply = live.ask("/predict", "POST", **headers)
        assert (headers, reply.problem["code"]) == (headers, "input")


@pytest.mark.parametrize(
    "origin", ["http://127.0.0.1", "http://127.0.0.1:1", "http://localhost", "file://", "http://", "garbage",
               "https://stroke.example.org:8443", "http://127.0.0.1.evil.example"]
)  # fmt: skip
def test_a_neighbour_is_another_site(live, origin):
    """Another port of this machine, or another server under an allowed name."""
    assert live.ask("/predict", "POST", origin=origin).status == 403


def test_a_page_of_another_site_may_show_links_to_ours(live):
    assert live.ask("/", sec_fetch_site="cross-site", sec_fetch_mode="navigate").status == 200


class TestNames:
    def test_a_space_answers_under_its_own_name_and_to_its_iframe(self):
        ours = hosts(Settings(host="0.0.0.0"), {"SPACE_ID": "me/strokenext", "SPACE_HOST": "me-strokenext.hf.space"})
        assert ours.holds(authority("me-strokenext.hf.space"), "10.0.0.7")
        assert ours.holds(authority("10.0.0.7:7860"), "10.0.0.7")  # probes of its own
        assert not ours.holds(authority(FOREIGN), "10.0.0.7")
        assert not ours.holds(authority("hf.space.evil.example"), "10.0.0.7")

    def test_where_other_machines_connect_the_machines_names_and_addresses_are_ours(self):
        ours = hosts(Settings(host="0.0.0.0"), {})
        for name in ("192.168.1.5:7860", "[fd00::5]:7860", "localhost", socket.gethostname()):
            assert ours.holds(authority(name), "192.168.1.5"), name
        for name in (FOREIGN, "0.0.0.0", "a.hf.space"):
            assert not ours.holds(authority(name), "192.168.1.5"), name

    def test_names_are_flags_or_a_variable(self):
        assert parse(["--allow-host", "A.example", "--allow-host=b.example"], {}).allow_host == (
            "a.example",
            "b.example",
        )
        assert parse([], {"STROKENEXT_ALLOW_HOST": "a.example, b.example"}).allow_host == ("a.example", "b.example")
        with pytest.raises(SystemExit):
            parse(["--allow-host", "http://a.example/"], {})


class TestPassword:
    @pytest.mark.parametrize("host", ["0.0.0.0", "::", "192.0.2.7", "::ffff:192.0.2.7", "0"])
    def test_other_machines_need_one(self, host):
        with pytest.raises(UnprotectedError, match="without a password"):
            require_password(Settings(host=host), {})
        require_password(Settings(host=host, auth=("reader", "secret")), {})
        require_password(Settings(host=host, without_password=True), {})
        require_password(Settings(host=host), {"SPACE_ID": "me/strokenext"})

    @pytest.mark.parametrize("host", ["127.0.0.1", "127.9.9.9", "localhost", "::1"])
    def test_this_machine_alone_does_not(self, host):
        require_password(Settings(host=host), {})

    @pytest.mark.parametrize("flags", [["--host", "0.0.0.0"], ["--host=::"]])
    def test_the_start_is_refused_with_one_sentence_and_nothing_listens(self, flags, monkeypatch, capsys):
        for name in ("SPACE_ID", "STROKENEXT_AUTH", "STROKENEXT_WITHOUT_PASSWORD", "GRADIO_SERVER_NAME"):
            monkeypatch.delenv(name, raising=False)
        monkeypatch.setattr("demo.server.prepare_process", lambda *_: pytest.fail("the process was prepared"))
        monkeypatch.setattr("demo.server.open_port", lambda *_: pytest.fail("a port was opened"))
        assert main([*flags, "--port", "0"]) == 2
        said = capsys.readouterr()
        assert said.out == ""
        assert said.err.count("\n") == 1
        assert "STROKENEXT_AUTH" in said.err
        assert "--without-password" in said.err

    def test_the_variable_is_a_yes_or_nothing(self):
        assert parse([], {"STROKENEXT_WITHOUT_PASSWORD": "1"}).without_password
        assert not parse([], {"STROKENEXT_WITHOUT_PASSWORD": "0"}).without_password
