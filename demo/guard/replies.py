"""What goes wrong further in, as a problem: Gradio's own refusals, and exceptions that nobody has foreseen."""

from __future__ import annotations

from starlette.datastructures import Headers
from starlette.requests import ClientDisconnect
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from demo.api import problems

#: Sentences for Gradio's refusals, by status; those of its own quote parsers, paths and values of the request.
SENTENCES = {
    400: "The request could not be understood.",
    401: problems.SENTENCES[401],
    403: "This may not be asked for.",
    404: "There is nothing at this address.",
    405: "This address does not answer this method.",
    413: "The request is too large.",
    422: "The request has missing or wrong values.",
}
FAILED = "The service failed on this request. The server's log says where."
#: The login answers 400 where the password is wrong.
WRONG_PASSWORD = "The user name or the password is wrong."
KEPT = ("allow", "retry-after", "www-authenticate", "set-cookie")


class Sentences:
    """ASGI app around another one, whose refusals (400 and above) become problems with a sentence of ours."""

    def __init__(self, app: ASGIApp) -> None:
        self.app = app

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        refused = False

        async def told(message: Message) -> None:
            nonlocal refused
            if message["type"] == "http.response.start" and message["status"] >= 400:
                refused = True
                await _problem(message, scope)(scope, receive, send)
            elif not refused:
                await send(message)

        await self.app(scope, receive, told)


def _problem(start: Message, scope: Scope) -> ASGIApp:
    status = start["status"]
    headers = {name: value for name, value in Headers(scope=start).items() if name in KEPT}
    sentence = SENTENCES.get(status, FAILED)
    if status == 400 and scope["path"].startswith("/login"):
        sentence = WRONG_PASSWORD
    return problems.problem(status, f"http_{status}", sentence, headers)


class Unforeseen:
    """ASGI middleware: an exception ends in a problem and a line in the log without its text, never in a traceback."""

    def __init__(self, app: ASGIApp) -> None:
        self.app = app

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        started = False

        async def watched(message: Message) -> None:
            nonlocal started
            started = True
            await send(message)

        try:
            await self.app(scope, receive, watched)
        except ClientDisconnect:
            return  # nobody is left to answer
        except Exception as error:
            if scope["type"] != "http":
                raise
            # The edge of the process: the exception's text may quote the request, so it goes no further.
            problems.report(error)
            if not started:
                await problems.problem(500, "failed", FAILED)(scope, receive, send)
