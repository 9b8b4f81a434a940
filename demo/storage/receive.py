"""A form of files is taken in while it is sent: piece by piece into an upload, within its limits."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import anyio.to_thread
from python_multipart.exceptions import FormParserError
from python_multipart.multipart import MultipartParser, parse_options_header
from starlette.datastructures import Headers
from starlette.requests import Request
from starlette.types import Message, Receive, Scope

from demo.addresses import party
from strokenext import errors

from .upload import Upload
from .uploads import Uploads

#: Files of one upload.
MOST_FILES = 20_000
#: The key of the page that sends, as its browser knows it.
PAGE = "x-strokenext-page"
#: Seconds for which what a client still sends is read away, and bytes.
DRAIN_SECONDS, DRAIN_BYTES = 10.0, 2**30
BROKEN = "The upload could not be understood. Send the file again."


class Incoming:
    """A request's body as it comes, and whether more of it is to come; `count` is told the bytes so far."""

    def __init__(self, scope: Scope, receive: Receive) -> None:
        self._receive = receive
        self.count: Callable[[int], None] = _nobody
        self._size = 0
        # A client that asks before it sends has sent nothing to read away.
        self.more = "expect" not in Headers(scope=scope)

    async def __call__(self) -> Message:
        message = await self._receive()
        self.more = message["type"] == "http.request" and bool(message.get("more_body"))
        self._size += len(message.get("body", b""))
        self.count(self._size)
        return message

    async def drain(self, most: int = DRAIN_BYTES) -> None:
        """Read `most` bytes away at most: a client still sending would see a broken connection, not the answer."""
        left, self.count = most, _nobody
        with anyio.move_on_after(DRAIN_SECONDS):
            while self.more and left > 0:
                left -= len((await self()).get("body", b""))


def _nobody(_size: int) -> None:
    """What is read away takes no room."""


def declared(headers: Headers) -> int:
    """Bytes that a request says its body has; 0 where it does not say."""
    length = headers.get("content-length", "")
    return int(length) if length.isdecimal() else 0


async def take_in(scope: Scope, incoming: Incoming, uploads: Uploads) -> list[str]:
    """The names under which the files of a form wait.

    Raises InputError, TooLargeError, QuotaError, CrowdedError, StorageError, and ClientDisconnect where the client
    stops sending; nothing of the upload is left then.
    """
    request = Request(scope, incoming)
    kind, options = parse_options_header(request.headers.get("content-type", ""))
    boundary = options.get(b"boundary")
    if kind != b"multipart/form-data" or not boundary:
        raise errors.InputError(BROKEN)
    session = uploads.session_of(request.headers.get(PAGE, ""))
    with uploads.arriving(session or address_of(request), declared(request.headers), session) as upload:
        form = _Form(upload)
        parser = MultipartParser(boundary, form.callbacks)
        try:
            async for chunk in request.stream():
                await anyio.to_thread.run_sync(parser.write, chunk)
        except FormParserError as error:
            raise errors.InputError(BROKEN) from error
        if not form.complete:
            raise errors.InputError(BROKEN)
        if not upload.sizes:
            raise errors.InputError("Open a picture first.")
    return upload.names


def address_of(request: Request) -> str:
    """Whose room an upload takes where no page is named: whoever is at that address."""
    return f"at {party(request.client.host) if request.client else ''}"


class _Form:
    """What a parser finds: the content of files goes to the upload, their names and all other fields nowhere."""

    def __init__(self, upload: Upload) -> None:
        self.complete = False
        self._upload, self._disposition, self._is_file = upload, b"", False
        self._name, self._value = b"", b""
        callbacks = ("part_begin", "part_data", "header_field", "header_value", "header_end", "headers_finished", "end")
        self.callbacks: Any = {f"on_{name}": getattr(self, f"_{name}") for name in callbacks}

    def _part_begin(self) -> None:
        self._disposition, self._is_file = b"", False

    def _header_field(self, data: bytes, start: int, end: int) -> None:
        self._name += data[start:end]

    def _header_value(self, data: bytes, start: int, end: int) -> None:
        self._value += data[start:end]

    def _header_end(self) -> None:
        if self._name.lower() == b"content-disposition":
            self._disposition = self._value
        self._name = self._value = b""

    def _headers_finished(self) -> None:
        _, options = parse_options_header(self._disposition)
        self._is_file = b"filename" in options
        if self._is_file:
            if len(self._upload.sizes) >= MOST_FILES:
                raise errors.TooLargeError(f"At most {MOST_FILES} files can be opened at once.")
            self._upload.begin_file()

    def _part_data(self, data: bytes, start: int, end: int) -> None:
        if self._is_file:
            self._upload.write(data[start:end])

    def _end(self) -> None:
        self.complete = True
