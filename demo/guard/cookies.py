"""Cookies of ours: which sites a browser sends them with, and by which one a visitor without a login is known again."""

from __future__ import annotations

import secrets

from starlette.datastructures import Headers, MutableHeaders
from starlette.requests import cookie_parser
from starlette.types import Message, Scope

#: A random value under a random name: two pages opened at once get one each, and neither overwrites the other's.
VISITOR = "strokenext-visitor-"


def setting(name: str, value: str, scope: Scope, embedded: bool) -> str:
    """The header that sets a cookie for as long as the browser runs, out of reach of scripts and of other sites.

    `embedded` says that the page stands in another site's frame (a Space), where a Lax cookie would never be sent.
    """
    secure = scope["scheme"] == "https"
    site = "SameSite=None; Secure; Partitioned" if embedded else "SameSite=Lax" + ("; Secure" if secure else "")
    return f"{name}={value}; HttpOnly; Path=/; {site}"


def visitor(scope: Scope) -> frozenset[str]:
    """What a browser was given to be known by; empty where it keeps no cookies."""
    cookies = cookie_parser("; ".join(Headers(scope=scope).getlist("cookie")))
    return frozenset(value for name, value in cookies.items() if name.startswith(VISITOR) and value)


def give(start: Message, scope: Scope, embedded: bool) -> None:
    """Add to the start of a page's response what its browser is to be known by, where it has nothing yet."""
    if start["status"] == 200 and not visitor(scope):
        headers = MutableHeaders(scope=start)
        name = VISITOR + secrets.token_hex(4)
        headers.append("set-cookie", setting(name, secrets.token_urlsafe(24), scope, embedded))
        headers.setdefault("cache-control", "private")  # nobody else may be given this answer
