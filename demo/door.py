"""The door of the page: what of Gradio a visitor may ask for, by method and path, and what a request may name."""

from __future__ import annotations

import json
import re
from functools import partial
from typing import TYPE_CHECKING

import anyio.to_thread
from starlette.datastructures import Headers
from starlette.requests import Request
from starlette.responses import JSONResponse, Response
from starlette.types import Message, Receive, Scope, Send

from demo.api.problems import problem, refusal
from demo.guard import bodies, cookies, replies
from demo.guard.visitors import Entry, Visitors
from demo.storage.receive import Incoming, take_in
from demo.storage.upload import GONE
from demo.storage.uploads import Uploads
from strokenext import StrokeNeXtError, errors

if TYPE_CHECKING:
    from gradio.routes import App

#: What the page asks for, and nothing else of Gradio: a route an update adds stays shut until it is named here.
OPEN: tuple[tuple[str, str], ...] = (
    ("GET|HEAD", r"/"),
    ("GET", r"/config/?"),
    ("GET", r"/(gradio_api/)?theme\.css"),
    ("GET", r"/(favicon\.ico|robots\.txt|manifest\.json)"),
    ("GET", r"/(static|assets)/.+"),
    ("POST", r"/login/?"),
    ("GET", r"/logout"),
    ("GET", r"/gradio_api/heartbeat/[^/]+"),
    ("POST", r"/gradio_api/(upload|run/predict|component_server/?)"),
)
_OPEN = tuple((frozenset(methods.split("|")), re.compile(path)) for methods, path in OPEN)
UPLOAD = "/gradio_api/upload"
HEARTBEAT = "/gradio_api/heartbeat/"
OTHER_PAGE = "This page belongs to another login or another browser. Reload it."
CROWDED = "Too many pages are open from this address. Close some, or try again in a few minutes."
RETRY = "180"
#: Bodies in which Gradio looks for files and addresses.
COMPONENT = "/gradio_api/component_server"
BODIES = frozenset({"/gradio_api/run/predict", COMPONENT})
#: What asks for a login, where there is one; the rest is looks, which the form needs too, or asks by itself.
CALLS = (HEARTBEAT, UPLOAD, *BODIES)
#: Headers of a body that is not handed on.
OF_BODY = frozenset({b"content-length", b"content-type"})
#: Bytes of such a body: a folder of thousands of names is far below.
BODY_BYTES = 4 * 2**20


def is_open(method: str, path: str) -> bool:
    """Whether the page needs this of Gradio."""
    return any(method in methods and pattern.fullmatch(path) for methods, pattern in _OPEN)


class Door:
    """ASGI app around Gradio's: refuses with a problem what the page does not need, before Gradio sees it."""

    def __init__(self, app: App, uploads: Uploads, embedded: bool = False) -> None:
        self.app, self.embedded = app, embedded
        self.uploads = uploads
        self.visitors = Visitors()
        self._gradio = replies.Sentences(app)

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] == "lifespan":
            await self.app(scope, receive, send)
        elif scope["type"] != "http":
            await send({"type": "websocket.close", "code": 1008})
        elif not is_open(scope["method"], scope["path"]):
            await problem(404, "not_found", "There is nothing at this address.")(scope, receive, send)
        elif scope["path"].startswith(CALLS) and not self._is_known(scope):
            await Incoming(scope, receive).drain()
            await problem(401, "http_401", replies.SENTENCES[401])(scope, receive, send)
        elif scope["path"] == UPLOAD:
            await self._upload(scope, receive, send)
        elif scope["path"].startswith(HEARTBEAT):
            session = scope["path"].removeprefix(HEARTBEAT)
            if await self._enters(session, scope, receive, send):
                await self._gradio(scope, receive, send)
        elif scope["path"].rstrip("/") in BODIES:
            await self._body(scope, receive, send)
        elif scope["path"] == "/" and self.app.auth is None:
            await self._page(scope, receive, send)
        else:
            await self._gradio(scope, receive, send)

    async def _page(self, scope: Scope, receive: Receive, send: Send) -> None:
        """The page itself, with a cookie by which its browser is known again where nobody logs in."""

        async def with_cookie(message: Message) -> None:
            if message["type"] == "http.response.start":
                cookies.give(message, scope, self.embedded)
            await send(message)

        await self._gradio(scope, receive, with_cookie)

    async def _upload(self, scope: Scope, receive: Receive, send: Send) -> None:
        """The names under which the files wait; Gradio, which would leave what is cut short, is not asked."""
        incoming = Incoming(scope, receive)
        try:
            if not bodies.FORM.fullmatch(Headers(scope=scope).get("content-type", "").strip()):
                raise errors.InputError(bodies.NO_FORM)
            reply: Response = JSONResponse(await take_in(scope, incoming, self.uploads))
        except StrokeNeXtError as error:
            await incoming.drain()
            reply = refusal(error)
            reply.headers["Connection"] = "close"
        await reply(scope, receive, send)

    async def _body(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Gradio is handed what has been looked at, written anew, so that both have read the same."""
        content = b""
        async for chunk in Request(scope, receive).stream():
            content += chunk
            if len(content) > BODY_BYTES:
                await problem(413, "too_large", "The request is too large.")(scope, receive, send)
                return
        component = scope["path"].startswith(COMPONENT)
        read = partial(bodies.call, content, self.app.get_blocks(), component=component)
        try:
            body = await anyio.to_thread.run_sync(read)
        except bodies.FileNamedError:
            await _gone(scope, receive, send)
        except bodies.BodyError as error:
            await problem(400, "invalid", str(error))(scope, receive, send)
        else:
            if await self._enters(body["session_hash"], scope, receive, send):
                await self._gradio(*_with_body(scope, receive, json.dumps(body).encode()), send)

    def _token(self, scope: Scope) -> str:
        """What proves the login of a request, "" without one."""
        sent = Request(scope).cookies
        names = (f"access-token-{self.app.cookie_id}", f"access-token-unsecure-{self.app.cookie_id}")
        token = next((sent[name] for name in names if sent.get(name)), "")  # as Gradio, which keeps them, does
        return token if token in self.app.tokens else ""

    def _owner(self, scope: Scope) -> frozenset[str]:
        """What proves whose a page is: the login, or where there is none what its browser was given."""
        return cookies.visitor(scope) if self.app.auth is None else frozenset({self._token(scope)})

    def _is_known(self, scope: Scope) -> bool:
        """Whether a request is of somebody who has logged in, where that is asked for."""
        return self.app.auth is None or self._token(scope) != ""

    async def _enters(self, session: str, scope: Scope, receive: Receive, send: Send) -> bool:
        """Whether the page of that name may be asked for by this request; if not, it has been answered."""
        host = str((scope.get("client") or ("",))[0])
        if not bodies.is_session(session):
            await problem(400, "invalid", bodies.NO_CALL)(scope, receive, send)
            return False
        entry = self.visitors.enter(session, self._owner(scope), host)
        if entry is Entry.FOREIGN:
            await problem(403, "other_page", OTHER_PAGE)(scope, receive, send)
        elif entry is Entry.CROWDED:
            await problem(429, "too_many_pages", CROWDED, {"Retry-After": RETRY})(scope, receive, send)
        return entry is Entry.WELCOME


def _without_body(scope: Scope) -> list[tuple[bytes, bytes]]:
    """The headers of a request but for those that describe its body."""
    return [(name, value) for name, value in Headers(scope=scope).raw if name not in OF_BODY]


def _with_body(scope: Scope, receive: Receive, content: bytes) -> tuple[Scope, Receive]:
    headers = [
        *_without_body(scope),
        (b"content-type", b"application/json"),
        (b"content-length", str(len(content)).encode()),
    ]
    given = False

    async def once() -> Message:
        nonlocal given
        if given:
            return await receive()
        given = True
        return {"type": "http.request", "body": content, "more_body": False}

    return {**scope, "headers": headers}, once


async def _gone(scope: Scope, receive: Receive, send: Send) -> None:
    """One answer for what does not exist, what exists, and what is someone else's."""
    await problem(404, "not_found", GONE)(scope, receive, send)
