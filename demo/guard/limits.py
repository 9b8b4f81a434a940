"""The most that a request may send, by what it declares and by what it sends."""

from __future__ import annotations

from contextlib import suppress

import anyio
from starlette.datastructures import Headers
from starlette.requests import ClientDisconnect
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from demo.api.problems import problem

#: Bytes of form fields and part headers allowed on top of the files.
FORM_BYTES = 64 * 1024
DRAIN_SECONDS = 10.0


class BodyLimit:
    """ASGI middleware: a body above `limit` bytes is answered with 413, by its declared and by its real length."""

    def __init__(self, app: ASGIApp, limit: int) -> None:
        self.app = app
        self.limit = limit + FORM_BYTES
        self.sentence = f"The file is too large: this service takes at most {limit / 2**20:g} MiB at a time."

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] != "http":
            await self.app(scope, receive, send)
            return
        headers = Headers(scope=scope)
        declared = headers.get("content-length", "")
        if declared.isdecimal() and int(declared) > self.limit:
            if "expect" not in headers:  # a client that asks first has sent nothing to read away
                await self._drain(receive)
            await self._refuse(scope, receive, send)
            return
        await self._count(scope, receive, send)

    async def _count(self, scope: Scope, receive: Receive, send: Send) -> None:
        seen, started, refused = 0, False, False

        async def counted() -> Message:
            nonlocal seen, refused
            message = await receive()
            seen += len(message.get("body", b""))
            if seen <= self.limit or refused:
                return message
            refused = True
            if not started:
                if message.get("more_body"):
                    await self._drain(receive)
                await self._refuse(scope, receive, send)
            return {"type": "http.disconnect"}

        async def watched(message: Message) -> None:
            nonlocal started
            if not refused:
                started = True
                await send(message)

        with suppress(ClientDisconnect):  # refused, or gone by itself: nobody is left to answer
            await self.app(scope, counted, watched)

    async def _drain(self, receive: Receive) -> None:
        """Read a bounded amount away: a client still sending would see a broken connection, not the answer."""
        left = self.limit
        with anyio.move_on_after(DRAIN_SECONDS):
            while left > 0:
                message = await receive()
                left -= len(message.get("body", b""))
                if message["type"] == "http.disconnect" or not message.get("more_body"):
                    return

    async def _refuse(self, scope: Scope, receive: Receive, send: Send) -> None:
        await problem(413, "too_large", self.sentence, {"Connection": "close"})(scope, receive, send)
