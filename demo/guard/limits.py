"""The most that a request may send, by what it declares and by what it sends."""

from __future__ import annotations

from contextlib import suppress

from starlette.datastructures import Headers
from starlette.requests import ClientDisconnect
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from demo.api.problems import problem
from demo.storage.receive import Incoming, declared
from demo.storage.uploads import FORM_BYTES


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
        incoming = Incoming(scope, receive)
        if declared(Headers(scope=scope)) > self.limit:
            await incoming.drain(self.limit)
            await self._refuse(scope, receive, send)
            return
        await self._count(scope, incoming, send)

    async def _count(self, scope: Scope, incoming: Incoming, send: Send) -> None:
        seen, started, refused = 0, False, False

        async def counted() -> Message:
            nonlocal seen, refused
            message = await incoming()
            seen += len(message.get("body", b""))
            if seen <= self.limit or refused:
                return message
            refused = True
            if not started:
                await incoming.drain(self.limit)
                await self._refuse(scope, incoming, send)
            return {"type": "http.disconnect"}

        async def watched(message: Message) -> None:
            nonlocal started
            if not refused:
                started = True
                await send(message)

        with suppress(ClientDisconnect):  # refused, or gone by itself: nobody is left to answer
            await self.app(scope, counted, watched)

    async def _refuse(self, scope: Scope, receive: Receive, send: Send) -> None:
        await problem(413, "too_large", self.sentence, {"Connection": "close"})(scope, receive, send)
