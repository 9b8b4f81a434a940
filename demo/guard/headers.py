"""What every response says to browsers, caches and other sites."""

from __future__ import annotations

from starlette.datastructures import MutableHeaders
from starlette.types import ASGIApp, Message, Receive, Scope, Send

PRIVATE = ("/predict", "/models", "/health", "/gradio_api/")


class SafeHeaders:
    """ASGI middleware: no sniffing, no foreign frames, no referrer, nothing about an image kept in caches."""

    def __init__(self, app: ASGIApp, frames: str = "'self'") -> None:
        self.app = app
        self.policy = f"frame-ancestors {frames}"

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] != "http":
            await self.app(scope, receive, send)
            return
        private = scope["path"].startswith(PRIVATE)

        async def guarded(message: Message) -> None:
            if message["type"] == "http.response.start":
                headers = MutableHeaders(scope=message)
                headers["X-Content-Type-Options"] = "nosniff"
                headers["Referrer-Policy"] = "same-origin"
                headers.setdefault("Content-Security-Policy", self.policy)
                if private:
                    headers["Cache-Control"] = "no-store"
            await send(message)

        await self.app(scope, receive, guarded)
