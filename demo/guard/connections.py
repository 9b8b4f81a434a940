"""Connections: how long a client may take to ask and to take the answer, and how many of them there may be.

uvicorn waits without end for the rest of a request's header, and for a client that does not read. Its own limit refuses
whoever comes next while idle connections fill the room; here an idle one makes room first.
"""

from __future__ import annotations

import asyncio
import json
import os
from collections import Counter
from collections.abc import Sequence
from contextlib import suppress
from dataclasses import dataclass
from typing import Any, ClassVar

import h11
import uvicorn
from starlette.types import ASGIApp
from uvicorn.protocols.http.h11_impl import H11Protocol

from demo.addresses import as_seen, holds, party
from demo.settings import Settings

from .deadlines import TOO_SLOW

#: Seconds in which a client must take some of an answer, and may go on sending after one.
STALLED_SECONDS, LINGER_SECONDS = 60.0, 10.0
#: Seconds for which what a refused client still sends is read away, so that it sees why, and how many may do so.
LEAVING_SECONDS, MOST_LEAVING = 1.0, 64
#: Seconds between two looks at a connection's deadlines.
LOOK_SECONDS = 0.5
#: Connections that wait to be accepted, and open files of this process that are no connections.
BACKLOG, OTHER_FILES = 128, 500
SENTENCES = {
    400: "The request is not one of HTTP.",
    408: TOO_SLOW,
    503: "Too many connections are open. Try again in a few seconds.",
}
PHRASES = {400: b"Bad Request", 408: b"Request Timeout", 503: b"Service Unavailable"}
CODES = {400: "invalid", 408: "too_slow", 503: "busy"}


@dataclass(frozen=True)
class Bounds:
    """Connections at once, of all clients and of one address; seconds for a request's header; networks of proxies.

    A proxy's many connections are those of many clients.
    """

    total: int = Settings.connections
    each: int = Settings.connections_each
    header_seconds: float = Settings.header_seconds
    proxies: tuple[str, ...] = ()

    @classmethod
    def of(cls, settings: Settings) -> Bounds:
        """Those of a start, within the open files that the system allows; one address has half of them at most."""
        files = allow_files(settings.connections + OTHER_FILES)
        total = min(settings.connections, max(files - OTHER_FILES, files // 4))
        each = min(settings.connections_each, (total + 1) // 2)
        return cls(total, each, settings.header_seconds, settings.trusted_proxies)


def allow_files(count: int) -> int:
    """Let this process have so many open files, or as many as the system allows; how many it may have."""
    if os.name != "posix":
        return count
    import resource

    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    if soft == resource.RLIM_INFINITY or soft >= count:
        return count
    more = count if hard == resource.RLIM_INFINITY else min(count, hard)
    with suppress(OSError, ValueError):
        resource.setrlimit(resource.RLIMIT_NOFILE, (more, hard))
        return more
    return soft


class Connection(H11Protocol):
    """One connection of uvicorn's, with deadlines; what is malformed is answered shortly and closed."""

    bounds: ClassVar[Bounds] = Bounds()

    def __init__(self, *arguments: Any, **more: Any) -> None:
        super().__init__(*arguments, **more)
        self.party = ""
        self.heard = self._moved = self.loop.time()  # when the client last sent, and last took, something
        self._unsent = 0
        self._header_by: float | None = None  # when the header that is awaited must be there
        self._end: float | None = None  # when this ends whatever happens
        self._refused = False
        self._look: asyncio.TimerHandle | None = None

    @property
    def is_idle(self) -> bool:
        """Whether no request is being received after its header, or answered."""
        return self.cycle is None or self.cycle.response_complete

    @property
    def is_leaving(self) -> bool:
        """Whether it takes no further request."""
        return self._refused or self.transport.is_closing()

    def connection_made(self, transport: asyncio.Transport) -> None:  # type: ignore[override]
        super().connection_made(transport)
        self.party = party(self.client[0]) if self.client else ""
        self._header_by = self.loop.time() + self.bounds.header_seconds
        self._look = self.loop.call_later(LOOK_SECONDS, self._keep_time)
        if not self._has_room():
            self._refuse(503)

    def connection_lost(self, exc: Exception | None) -> None:
        if self._look is not None:
            self._look.cancel()
        super().connection_lost(exc)

    def data_received(self, data: bytes) -> None:
        if self.is_leaving:
            return  # read away
        self.heard = self.loop.time()
        if self._header_by is None and self.is_idle:
            self._header_by = self.heard + self.bounds.header_seconds
        super().data_received(data)
        if self.conn.their_state is not h11.IDLE:
            self._header_by = None
        if self.conn.their_state is not h11.SEND_BODY and not self._refused:
            self._end = None

    def on_response_complete(self) -> None:
        sending = self.conn.their_state is h11.SEND_BODY
        super().on_response_complete()
        if sending and not self.transport.is_closing():
            # What is still sent is read away; without an end, nobody would ever close.
            self._end = self.loop.time() + LINGER_SECONDS

    def resume_writing(self) -> None:
        self._moved = self.loop.time()
        super().resume_writing()

    def send_400_response(self, msg: str) -> None:
        self._refuse(400)

    def _keep_time(self) -> None:
        """Called again and again: end what has had its time."""
        now, unsent = self.loop.time(), self.transport.get_write_buffer_size()
        self._look = self.loop.call_later(LOOK_SECONDS, self._keep_time)
        if unsent == 0 or unsent < self._unsent:
            self._moved = now
        self._unsent = unsent
        if now - self._moved >= STALLED_SECONDS or (self._end is not None and now >= self._end):
            self.transport.abort()
        elif self._header_by is not None and now >= self._header_by and not self.is_leaving:
            self._too_slow()

    def _too_slow(self) -> None:
        if self.conn.trailing_data[0]:
            self._refuse(408)
        else:
            self.transport.close()  # browsers open connections ahead of need: nobody waits for an answer

    def _refuse(self, status: int) -> None:
        """A short answer of our own where none has begun, and the end of the connection."""
        if self.conn.our_state in (h11.IDLE, h11.SEND_RESPONSE):
            self.transport.write(_answer(status))
        if self.cycle is not None and not self.cycle.response_complete:
            self.cycle.disconnected = True  # nobody hears any more what was being answered
            self.cycle.message_event.set()
        self._refused, self._header_by, self._end = True, None, self.loop.time() + LEAVING_SECONDS
        leaving = sum(isinstance(c, Connection) and c._refused for c in self.connections)
        if leaving > MOST_LEAVING or not self.transport.can_write_eof():
            self.transport.close()
        else:
            self.flow.resume_reading()
            self.transport.write_eof()  # closed when the client closes too, or after LEAVING_SECONDS

    def _has_room(self) -> bool:
        """Whether there is room for this connection, perhaps after an idle one has been closed."""
        others = [c for c in self.connections if isinstance(c, Connection) and c is not self and not c.is_leaving]
        same = [c for c in others if c.party == self.party]
        host = self.client[0] if self.client else ""
        if len(same) >= self.bounds.each and not holds(self.bounds.proxies, host):
            return _made_room(same)
        if len(others) >= self.bounds.total:
            crowd = Counter(c.party for c in others).most_common(1)[0][0]
            return _made_room([c for c in others if c.party == crowd]) or _made_room(others)
        return True


def config(app: ASGIApp, settings: Settings) -> uvicorn.Config:
    """How uvicorn holds the connections of a start."""
    bounds = Bounds.of(settings)
    return uvicorn.Config(
        app,
        access_log=False,  # its lines hold the names of uploaded files
        log_level="warning",
        ws="none",
        http=type("BoundedConnection", (Connection,), {"bounds": bounds}),
        backlog=min(BACKLOG, bounds.total),
        proxy_headers=bool(settings.trusted_proxies),
        forwarded_allow_ips=as_seen(settings.trusted_proxies),  # not FORWARDED_ALLOW_IPS of the environment
        timeout_graceful_shutdown=3,  # the page keeps event streams open
    )


def _made_room(among: Sequence[Connection]) -> bool:
    """Close an idle connection, where there is one: that never asked anything, or was silent for the longest."""
    idle = [c for c in among if c.is_idle]
    if idle:
        min(idle, key=lambda c: (c.cycle is not None, c.heard)).transport.abort()
    return bool(idle)


def _answer(status: int) -> bytes:
    body = json.dumps({"error": {"code": CODES[status], "message": SENTENCES[status]}}).encode()
    headers = [b"Content-Type: application/json", b"Content-Length: %d" % len(body), b"Connection: close"]
    headers += [b"Cache-Control: no-store", b"X-Content-Type-Options: nosniff"]
    headers += [b"Retry-After: 5"] if status == 503 else []
    return b"\r\n".join([b"HTTP/1.1 %d %s" % (status, PHRASES[status]), *headers, b"", body])
