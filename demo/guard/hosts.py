"""By which names this service may be asked, and from which pages: DNS rebinding and forged requests end here.

A page on another site can make a browser send requests to this one. Where the site's own name is made to point here
(DNS rebinding), the request names a host that is not ours; in all other cases it carries the site's origin.
"""

from __future__ import annotations

from starlette.datastructures import Headers
from starlette.types import ASGIApp, Receive, Scope, Send

from demo.api.problems import problem

from .names import Hosts, authority

#: What reads without changing anything, to HTTP; Gradio changes things under these addresses all the same.
SAFE_METHODS = frozenset({"GET", "HEAD", "OPTIONS"})
CHANGING = ("/gradio_api/", "/logout")
PORTS = {"http": 80, "https": 443}
UNNAMED = "The request does not say which host it is for."
MISDIRECTED = (
    "This service does not answer under that name. Use the address it printed at its start, or start it with "
    "--allow-host and the name."
)
FOREIGN = "This request comes from a page of another site, which this service does not answer."


class TrustedHosts:
    """ASGI middleware: a request that names another host than ours is answered with 421, one without a host with 400.

    A proxy's X-Forwarded-Host counts as well, since Gradio builds the page's addresses from it.
    """

    def __init__(self, app: ASGIApp, hosts: Hosts) -> None:
        self.app, self.hosts = app, hosts

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] != "http":
            await self.app(scope, receive, send)
            return
        named = [authority(text) for text in _named(Headers(scope=scope))]
        arrived = str((scope.get("server") or ("",))[0])
        if not named or None in named:
            await problem(400, "invalid", UNNAMED)(scope, receive, send)
        elif all(host and self.hosts.holds(host, arrived) for host in named):
            await self.app(scope, receive, send)
        else:
            await problem(421, "misdirected", MISDIRECTED)(scope, receive, send)


class OwnPages:
    """ASGI middleware: what changes something is refused with 403 where a page of another site asks for it.

    Browsers say who asks, in Sec-Fetch-Site or Origin; clients that are no browser say neither and are answered.
    """

    def __init__(self, app: ASGIApp, hosts: Hosts) -> None:
        self.app, self.hosts = app, hosts

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        changing = scope["type"] == "http" and (
            scope["method"] not in SAFE_METHODS or scope["path"].startswith(CHANGING)
        )
        if changing and not self._own(Headers(scope=scope)):
            await problem(403, "other_site", FOREIGN)(scope, receive, send)
        else:
            await self.app(scope, receive, send)

    def _own(self, headers: Headers) -> bool:
        # "same-site" is a neighbour: another port of this machine, another page on the same domain.
        sites = {value.strip().lower() for value in headers.getlist("sec-fetch-site")}
        return sites <= {"same-origin", "none"} and all(
            self._ours(origin, headers) for origin in headers.getlist("origin")
        )

    def _ours(self, origin: str, headers: Headers) -> bool:
        scheme, _, rest = origin.strip().lower().partition("://")
        found = authority(rest)
        if found is None or scheme not in PORTS:
            return False
        standard = PORTS[scheme]
        asked = (found.host, found.port or standard)
        named = (authority(text) for text in _named(headers))
        if asked in {(host.host, host.port or standard) for host in named if host}:
            return True
        # A proxy may have put another Host in place of the name that the browser knows.
        return asked == (found.host, standard) and found.host in self.hosts.public


def _named(headers: Headers) -> list[str]:
    forwarded = (part for value in headers.getlist("x-forwarded-host") for part in value.split(","))
    return [*headers.getlist("host"), *forwarded]
