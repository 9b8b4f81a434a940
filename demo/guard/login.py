"""Tries of the password, wherever they are made: the page's form and the routes' HTTP Basic share one throttle."""

from __future__ import annotations

import logging
import math

from starlette.datastructures import Headers, MutableHeaders
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from demo.api.problems import problem
from demo.login import Password, Throttle

from . import cookies

WAIT = "The password was wrong too often. Try again in {seconds} s."
log = logging.getLogger("strokenext.login")


class LoginGuard:
    """ASGI middleware where there is a password: tries are throttled, failures counted, cookies kept to this site.

    `embedded` says that the page stands in another site's frame (a Space), where a Lax cookie would never be sent.
    """

    def __init__(self, app: ASGIApp, password: Password, embedded: bool = False) -> None:
        self.app, self.password, self.embedded = app, password, embedded
        self.throttle = Throttle()

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] != "http":
            await self.app(scope, receive, send)
            return
        given = Headers(scope=scope).get("authorization")
        form = scope["method"] == "POST" and scope["path"].rstrip("/") == "/login"
        host = str((scope.get("client") or ("",))[0])
        if given is None and not form:
            await self.app(scope, receive, send)
            return
        if (wait := self.throttle.begin(host)) > 0:
            seconds = math.ceil(wait)
            answer = problem(429, "too_many_tries", WAIT.format(seconds=seconds), {"Retry-After": str(seconds)})
            await answer(scope, receive, send)
            return
        if not form:
            self._done(host, self.password.matches_basic(given or ""))
            await self.app(scope, receive, send)
            return

        async def watched(message: Message) -> None:
            if message["type"] == "http.response.start":
                self._done(host, message["status"] == 200)
                _own_cookies(message, scope, self.embedded)
            await send(message)

        await self.app(scope, receive, watched)

    def _done(self, host: str, right: bool) -> None:
        if right:
            self.throttle.passed(host)
        else:
            # Neither a name nor an address: what was typed may be a password in the wrong field.
            log.warning("a wrong password, %d since the start", self.throttle.failures)


def _own_cookies(start: Message, scope: Scope, embedded: bool) -> None:
    """Of Gradio's two cookies of one login the one that fits the connection, and sent to this site alone."""
    secure = scope["scheme"] == "https" or embedded
    headers = MutableHeaders(scope=start)
    given = headers.getlist("set-cookie")
    del headers["set-cookie"]
    for cookie in given:
        name, _, rest = cookie.partition("=")
        if name.startswith("access-token-") and name.startswith("access-token-unsecure-") == secure:
            continue
        headers.append("set-cookie", cookies.setting(name, rest.split(";", 1)[0], scope, embedded))
