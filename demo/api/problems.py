"""Errors as JSON: a machine name and a sentence, never a traceback, a path or a file name."""

from __future__ import annotations

import logging
import re
import traceback

from fastapi import FastAPI, Request
from fastapi.exceptions import RequestValidationError
from starlette.exceptions import HTTPException
from starlette.responses import JSONResponse, Response

from strokenext import StrokeNeXtError, errors

RETRY_SECONDS = 5
log = logging.getLogger("strokenext.api")

#: Sentences for what the framework refuses before a route is reached.
SENTENCES = {
    401: "This service asks for a user name and a password.",
    404: "There is nothing at this address. The routes are described at /docs.",
    405: "This address does not answer this method. The routes are described at /docs.",
}


def problem(status: int, code: str, message: str, headers: dict[str, str] | None = None) -> JSONResponse:
    """{"error": {"code", "message"}} with that HTTP status."""
    return JSONResponse({"error": {"code": code, "message": message}}, status, headers)


def code_of(error: Exception) -> str:
    """DamagedFileError -> "damaged_file"."""
    name = type(error).__name__.removesuffix("Error") or "error"
    return re.sub(r"(?<!^)(?=[A-Z])", "_", name.replace("StrokeNeXt", "")).lower() or "error"


def report(error: Exception) -> None:
    """Log an unforeseen error by its type and place; its text may quote a file name or a tag, so it is left out."""
    places = "".join(traceback.format_tb(error.__traceback__))
    log.error("unforeseen %s\n%s", type(error).__name__, places)


def install(app: FastAPI) -> None:
    """Answer every error of the routes in the one shape."""
    app.add_exception_handler(StrokeNeXtError, _library)
    app.add_exception_handler(HTTPException, _framework)
    app.add_exception_handler(RequestValidationError, _invalid)


def refusal(error: StrokeNeXtError) -> JSONResponse:
    """The problem for an error of the library or of ours, with its status."""
    headers = {"Retry-After": str(RETRY_SECONDS)} if isinstance(error, errors.BusyError) else None
    return problem(error.http_status, code_of(error), str(error), headers)


async def _library(_request: Request, error: Exception) -> Response:
    assert isinstance(error, StrokeNeXtError)
    return refusal(error)


async def _framework(_request: Request, error: Exception) -> Response:
    assert isinstance(error, HTTPException)
    message = SENTENCES.get(error.status_code, str(error.detail))
    headers = dict(error.headers) if error.headers else None
    return problem(error.status_code, f"http_{error.status_code}", message, headers)


async def _invalid(_request: Request, error: Exception) -> Response:
    assert isinstance(error, RequestValidationError)
    places = ", ".join(sorted({".".join(str(part) for part in item["loc"]) for item in error.errors()}))
    return problem(422, "invalid", f"The request has missing or wrong values: {places}.")
