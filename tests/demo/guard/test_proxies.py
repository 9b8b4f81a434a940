"""Whom a request is counted for: what anybody can write into a header changes nothing, a trusted proxy's word does."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager

import pytest

from demo.addresses import address, as_seen, holds, networks, party
from demo.login import FREE
from demo.settings import Settings, parse
from tests.demo.guard.test_login import basic
from tests.helpers.sites.live_site import Live, serving


@contextmanager
def site(monkeypatch, folder, *proxies: str) -> Iterator[Live]:
    monkeypatch.setenv("GRADIO_TEMP_DIR", str(folder))
    monkeypatch.setattr("demo.service.Service.start", lambda _self: None)
    monkeypatch.setenv("FORWARDED_ALLOW_IPS", "*")  # a variable of uvicorn's is none of ours
    with serving(Settings(auth=("reader", "pass"), trusted_proxies=proxies)) as live:
        yield live


def tries(live: Live, *forwarded: str, scheme: str = "https") -> list[int]:
    """The status of a wrong password for each X-Forwarded-For."""
    given = basic("reader:guess") | {"x-forwarded-proto": scheme}
    return [live.ask("/models", **given, **{"x-forwarded-for": text}).status for text in forwarded]


def cookie(live: Live) -> str:
    form = b"username=reader&password=pass"
    headers = {"content-type": "application/x-www-form-urlencoded", "x-forwarded-proto": "https"}
    reply = live.ask("/login", "POST", form, **headers, **{"x-forwarded-for": "198.51.100.200"})
    assert reply.status == 200
    return reply.headers["set-cookie"]


def test_a_header_of_a_direct_client_changes_nothing(monkeypatch, tmp_path):
    with site(monkeypatch, tmp_path) as live:
        assert "Secure" not in cookie(live)
        made_up = [f"198.51.100.{n}" for n in range(1, FREE + 4)]
        assert tries(live, *made_up).count(429) >= 2  # all are one address


def test_only_the_proxy_named_is_believed(monkeypatch, tmp_path):
    with site(monkeypatch, tmp_path, "192.0.2.7/32", "10.0.0.0/8") as live:  # this client is neither
        assert "Secure" not in cookie(live)
        assert tries(live, *(f"198.51.100.{n}" for n in range(1, FREE + 4))).count(429) >= 2


def test_of_a_trusted_proxy_the_last_foreign_address_counts(monkeypatch, tmp_path):
    with site(monkeypatch, tmp_path, "127.0.0.0/8", "10.0.0.0/8") as live:
        assert "Secure" in cookie(live)
        others = [f"198.51.100.{n}" for n in range(1, 20)]
        assert set(tries(live, *others)) == {401}  # each is somebody else
        # What the client wrote comes first; the proxies add whom they saw.
        forged = [f"203.0.113.{n}, 192.0.2.1, 10.0.0.5" for n in range(1, FREE + 4)]
        assert tries(live, *forged).count(429) >= 2


def test_the_setting():
    assert parse([], {}).trusted_proxies == ()
    assert parse(["--trusted-proxies", "10.0.0.5, 10.1.0.0/16"], {}).trusted_proxies == ("10.0.0.5/32", "10.1.0.0/16")
    assert parse([], {"STROKENEXT_TRUSTED_PROXIES": "::1"}).trusted_proxies == ("::1/128",)
    space = parse([], {"SPACE_ID": "me/strokenext"}).trusted_proxies
    assert holds(space, "10.16.4.2")
    assert not holds(space, "203.0.113.1")  # a forged header in front of a real address is not believed
    for wrong in ("*", "proxy.example", "10.0.0.0/99", "10.0.0"):
        with pytest.raises(SystemExit):
            parse(["--trusted-proxies", wrong], {})


def test_addresses_are_read_in_one_way():
    assert address("::ffff:10.0.0.1") == address("10.0.0.1")
    assert address("proxy") is None
    assert party("2001:db8::1") == party("2001:db8::2") != party("2001:db8:0:1::1")
    assert party("::ffff:192.0.2.1") == party("192.0.2.1") != party("192.0.2.2")
    assert party("testclient") == "testclient"
    assert "::ffff:10.0.0.0/104" in as_seen(networks("10.0.0.0/8"))
    assert holds(networks("private"), "::ffff:10.1.2.3")
