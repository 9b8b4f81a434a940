"""The door of the page: what of Gradio a visitor may ask for, by method and path, and what a request may name."""

from __future__ import annotations

import json
import re
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING

import anyio.to_thread
from starlette.datastructures import Headers, MutableHeaders
from starlette.requests import Request
from starlette.types import Message, Receive, Scope, Send

from demo.api.problems import problem
from demo.guard import bodies, replies
from demo.storage.uploads import GONE, Uploads
from strokenext import errors

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
#: Bodies in which Gradio looks for files and addresses.
COMPONENT = "/gradio_api/component_server"
BODIES = frozenset({"/gradio_api/run/predict", COMPONENT})
#: Bytes of such a body: a folder of thousands of names is far below.
BODY_BYTES = 4 * 2**20


def is_open(method: str, path: str) -> bool:
    """Whether the page needs this of Gradio."""
    return any(method in methods and pattern.fullmatch(path) for methods, pattern in _OPEN)


class Door:
    """ASGI app around Gradio's: refuses with a problem what the page does not need, before Gradio sees it."""

    def __init__(self, app: App, uploads: Uploads) -> None:
        self.app = app
        self.uploads = uploads
        self._gradio = replies.Sentences(app)

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] == "lifespan":
            await self.app(scope, receive, send)
        elif scope["type"] != "http":
            await send({"type": "websocket.close", "code": 1008})
        elif not is_open(scope["method"], scope["path"]):
            await problem(404, "not_found", "There is nothing at this address.")(scope, receive, send)
        elif scope["path"] == UPLOAD:
            await self._upload(scope, receive, send)
        elif scope["path"].rstrip("/") in BODIES:
            await self._body(scope, receive, send)
        else:
            await self._gradio(scope, receive, send)

    async def _upload(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Gradio's answer, with the paths that the files have been moved to."""
        if not bodies.FORM.fullmatch(Headers(scope=scope).get("content-type", "").strip()):
            await problem(400, "invalid", bodies.NO_FORM)(scope, receive, send)
            return
        start: Message | None = None
        body = b""

        async def moved(message: Message) -> None:
            nonlocal start, body
            if message["type"] == "http.response.start" and message["status"] == 200:
                start = message
            elif start is None:
                await send(message)
            else:
                body += message.get("body", b"")
                if not message.get("more_body"):
                    await self._adopt(start, body, scope, receive, send)

        await self._gradio(scope, receive, moved)

    async def _adopt(self, start: Message, body: bytes, scope: Scope, receive: Receive, send: Send) -> None:
        try:
            # Not on a thread: nothing may come between Gradio's own move and this one.
            content = json.dumps([str(self.uploads.adopt(Path(path))) for path in json.loads(body)]).encode()
        except errors.NotFoundError:
            await _gone(scope, receive, send)
            return
        MutableHeaders(scope=start)["content-length"] = str(len(content))
        await send(start)
        await send({"type": "http.response.body", "body": content})

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
            await self._gradio(*_with_body(scope, receive, json.dumps(body).encode()), send)


def _with_body(scope: Scope, receive: Receive, content: bytes) -> tuple[Scope, Receive]:
    kept = [(k, v) for k, v in Headers(scope=scope).raw if k not in {b"content-length", b"content-type"}]
    headers = [*kept, (b"content-type", b"application/json"), (b"content-length", str(len(content)).encode())]
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
