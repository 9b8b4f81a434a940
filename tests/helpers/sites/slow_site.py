"""The whole app on a thread, as slow and uneven as a test wants it: replies overtake each other, work takes time."""

from __future__ import annotations

import asyncio
import random
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

from demo import server
from demo.cancel import Cancel
from demo.service import Service
from demo.settings import Settings


class Uneven:
    """ASGI middleware: calls of the page wait before they are heard, and again before they are answered."""

    def __init__(self, app: Any, longest: float, seed: int) -> None:
        self.app, self.longest, self._random = app, longest, random.Random(seed)

    async def __call__(self, scope: Any, receive: Any, send: Any) -> None:
        slow = scope["type"] == "http" and scope["path"].endswith(("component_server", "component_server/", "upload"))
        if slow:
            await asyncio.sleep(self._random.random() * self.longest)

        async def late(message: Any) -> None:
            if slow and message["type"] == "http.response.start":
                await asyncio.sleep(self._random.random() ** 3 * self.longest)
            await send(message)

        await self.app(scope, receive, late)


def hesitant(service: Service, longest: float, seed: int) -> None:
    """Decoding and judging wait for up to `longest` seconds first, as on a busy server; a Cancel ends the wait."""
    pace = random.Random(seed)

    def slowed(function: Any) -> Any:
        def call(*arguments: Any, owner: str = "", cancel: Cancel | None = None, **more: Any) -> Any:
            (cancel or Cancel()).wait(pace.random() ** 2 * longest)
            return function(*arguments, owner=owner, cancel=cancel, **more)

        return call

    service.predict = slowed(service.predict)  # type: ignore[method-assign]
    service.offer = slowed(service.offer)  # type: ignore[method-assign]


@contextmanager
def running(longest: float, seed: int) -> Iterator[tuple[str, Service]]:
    """The address of the app and its service, whose models are loaded; both slow by up to `longest` seconds a step."""
    import uvicorn

    app, service = server.build(Settings(device="cpu", port=0))
    hesitant(service, longest, seed)
    listener = server.open_port("127.0.0.1", 0)
    config = uvicorn.Config(Uneven(app, longest / 2, seed), log_level="critical", timeout_graceful_shutdown=1)
    process = uvicorn.Server(config)
    thread = threading.Thread(target=process.run, kwargs={"sockets": [listener]}, daemon=True)
    thread.start()
    try:
        assert service.wait(180).status in ("loading", "ready")
        yield f"http://127.0.0.1:{listener.getsockname()[1]}/", service
    finally:
        process.should_exit = True
        thread.join(30)
        listener.close()
