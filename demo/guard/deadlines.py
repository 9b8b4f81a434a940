"""How long a request may take to arrive: some of its body within every window, all of it before an end."""

from __future__ import annotations

import time
from contextlib import suppress

import anyio
from starlette.requests import ClientDisconnect
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from demo.api.problems import problem

#: Seconds of waiting in which at least LEAST bytes must come: a modem's pace.
WINDOW, LEAST = 30.0, 16 * 1024
TOO_SLOW = "The request took too long to arrive."


class BodyDeadline:
    """ASGI middleware: a body that comes too slowly is answered with 408.

    `whole` is in seconds, for all of it; only the time in which the server waits for the client counts.
    """

    def __init__(self, app: ASGIApp, whole: float) -> None:
        self.app, self.whole = app, whole

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] != "http":
            await self.app(scope, receive, send)
            return
        body, started = _Body(self.whole), False

        async def timed() -> Message:
            if body.late:
                return {"type": "http.disconnect"}
            message = await body.next(receive)
            if message is None:
                if not started:
                    await problem(408, "too_slow", TOO_SLOW, {"Connection": "close"})(scope, receive, send)
                return {"type": "http.disconnect"}
            return message

        async def watched(message: Message) -> None:
            nonlocal started
            if not body.late:
                started = True
                await send(message)

        with suppress(ClientDisconnect):  # answered above, or gone by itself
            await self.app(scope, timed, watched)


class _Body:
    """What has come of one body, and the seconds left for more."""

    def __init__(self, whole: float) -> None:
        self.late = False
        self._whole, self._window, self._came, self._more = whole, WINDOW, 0, True

    async def next(self, receive: Receive) -> Message | None:
        """The next message, None where it is too late; what comes after the body may take as long as it likes."""
        if not self._more:
            return await receive()
        message: Message | None = None
        began = time.monotonic()
        with anyio.move_on_after(min(self._whole, self._window)):
            message = await receive()
        waited = time.monotonic() - began
        self._whole, self._window = self._whole - waited, self._window - waited
        if message is None:
            self.late = True
            return None
        self._more = message["type"] == "http.request" and bool(message.get("more_body"))
        self._came += len(message.get("body", b""))
        if self._came >= LEAST:
            self._window, self._came = WINDOW, 0
        return message
