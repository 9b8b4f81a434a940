"""The routes: POST /predict, GET /health, GET /models, and their description at /docs and /openapi.json."""

from __future__ import annotations

import asyncio
import logging
import time
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import ExitStack, asynccontextmanager
from dataclasses import dataclass, replace
from typing import Any, BinaryIO

import anyio.to_thread
from anyio import CapacityLimiter
from fastapi import APIRouter, Depends, FastAPI, HTTPException, Request
from fastapi.openapi.utils import get_openapi
from pydantic import ValidationError
from starlette.datastructures import FormData, UploadFile
from starlette.responses import HTMLResponse, JSONResponse

import strokenext
from demo.addresses import party
from demo.cancel import Cancel
from demo.login import Password
from demo.service import Options, Result, Service
from demo.storage.receive import Incoming, address_of, declared
from demo.storage.scratch import storage_error
from demo.storage.uploads import Uploads
from strokenext import StrokeNeXtError, errors, words

from . import docs, problems, reply, schemas

log = logging.getLogger("strokenext.api")
BASIC = {"WWW-Authenticate": 'Basic realm="StrokeNeXt", charset="UTF-8"'}
FIELDS = ("file", "image")
METHODS = {"/health": "GET", "/predict": "POST", "/models": "GET", "/docs": "GET", "/openapi.json": "GET"}
HINTS = {
    "threshold": "The threshold is a number from 0 to 1.",
    "task": "The task is one of presence, subtype, triage.",
}
EXAMPLE = """curl -F file=@slice.dcm -F task=triage {base}/predict
# The classic stroke API: class and confidence, "stroke" as soon as its probability exceeds 0.05
curl -F file=@slice.png -F threshold=0.05 {base}/predict"""
ERRORS: dict[int | str, dict[str, Any]] = {
    400: {"model": schemas.Problem, "description": "The image or an option cannot be used; the sentence says why."},
    401: {"model": schemas.Problem, "description": "The service was started with a password."},
    408: {"model": schemas.Problem, "description": "The request took too long to arrive."},
    413: {"model": schemas.Problem, "description": "The request is larger than the service takes."},
    500: {"model": schemas.Problem, "description": "A model is missing, or the service failed."},
    429: {"model": schemas.Problem, "description": "Too many images of this address wait already: see Retry-After."},
    503: {
        "model": schemas.Problem,
        "description": "Loading, stopping, or too many waiting: see Retry-After.",
    },
    507: {
        "model": schemas.Problem,
        "description": "The disk takes no file, or no more of this reader; the sentence says why.",
    },
}


def add_routes(app: FastAPI, service: Service, uploads: Uploads) -> None:
    """Put the routes on `app`; all but /health ask for the password, when there is one."""
    problems.install(app)
    app.include_router(_open_routes(service))
    guarded = [Depends(_password(service.settings.auth))]
    app.include_router(_predict_routes(service, uploads), dependencies=guarded)
    app.include_router(_description_routes(app), dependencies=guarded)
    for path, method in METHODS.items():
        # Without this the page, mounted on everything, would answer the other methods with a 404 of its own.
        others = sorted({"GET", "POST", "PUT", "PATCH", "DELETE"} - {method})
        app.add_api_route(path, _refusal(method), methods=others, include_in_schema=False)


def _refusal(method: str) -> Callable[[], Awaitable[None]]:
    async def refuse() -> None:
        raise HTTPException(405, headers={"Allow": method})

    return refuse


def _open_routes(service: Service) -> APIRouter:
    router = APIRouter()

    @router.head("/health", include_in_schema=False)
    @router.get("/health", response_model=schemas.Health)
    async def health() -> JSONResponse:
        """Whether the service is up and which models answer."""
        state = service.state()
        models = {"presence": state.presence, "subtype": state.subtype}
        optional = {"volume": state.volume, "segmentation": state.segmentation}
        body = {
            "status": state.health,
            "ready": state.status == "ready",
            "message": state.message,
            "models": models | {name: True for name, loaded in optional.items() if loaded},
            "architectures": dict(state.architectures),
            "device": state.device,
            "version": strokenext.__version__,
        }
        return JSONResponse(body)

    return router


def _predict_routes(service: Service, uploads: Uploads) -> APIRouter:
    router = APIRouter()
    # A few threads more than the service lets in, so that the ones it turns away hear so at once.
    limiter = CapacityLimiter(service.settings.workers + service.settings.queue + 8)
    answer_200 = {
        "model": schemas.SliceAnswer | schemas.TriageAnswer | schemas.SeriesAnswer,
        "description": "The answer; decision 'refused' with gate.reason where the model may not judge the image.",
    }

    @router.post(
        "/predict",
        responses={200: answer_200, **ERRORS},
        openapi_extra={"requestBody": _form_schema(), "x-example": EXAMPLE},
    )
    async def predict(request: Request) -> JSONResponse:
        """Judge one head CT image (DICOM, PNG, JPEG) or series (zip, multi-frame DICOM, NIfTI) sent as form data."""
        began = time.perf_counter()
        async with _sent(request, uploads) as (request, parts):
            upload = _upload(parts)
            form = _form({**request.query_params, **{k: v for k, v in parts.items() if k not in FIELDS}})
            who = Client(party(request.client.host) if request.client else "", Cancel())
            leaving = asyncio.create_task(_cancel_when_gone(request, who.cancel))
            try:
                body = await anyio.to_thread.run_sync(_body, service, upload.file, form, who, limiter=limiter)
            finally:
                leaving.cancel()
        log.info("predict %s %s in %.2f s", form.task, body["decision"], time.perf_counter() - began)
        return JSONResponse(body)

    @router.get("/models", response_model=schemas.Models, responses={401: ERRORS[401]})
    def models() -> JSONResponse:
        """The architectures that can be built, and the models the repository brings along with their results."""
        zoo = [row.to_dict() for row in strokenext.list_models()]
        return JSONResponse({"zoo": zoo, "bundled": strokenext.list_bundled()})

    return router


def _description_routes(app: FastAPI) -> APIRouter:
    router = APIRouter(include_in_schema=False)

    def describe() -> dict[str, Any]:
        text = f"Stroke on non-contrast head CT. {words.NOTICE} Every error has the form of Problem."
        return get_openapi(title="StrokeNeXt", version=strokenext.__version__, description=text, routes=app.routes)

    @router.get("/openapi.json")
    async def openapi() -> JSONResponse:
        return JSONResponse(describe())

    @router.get("/docs")
    async def page(request: Request) -> HTMLResponse:
        return HTMLResponse(docs.render(describe(), str(request.base_url).rstrip("/")))

    return router


@asynccontextmanager
async def _sent(request: Request, uploads: Uploads) -> AsyncIterator[tuple[Request, FormData]]:
    """The request, read to its end, and its form, whose files are kept while inside.

    Raises QuotaError, CrowdedError, StorageError.
    """
    incoming = Incoming(request.scope, request.receive)
    request = Request(request.scope, incoming)
    with ExitStack() as room:
        try:
            whose = address_of(request)
            incoming.count = room.enter_context(uploads.elsewhere(whose, declared(request.headers)))
            parts = await request.form(max_files=1, max_fields=16, max_part_size=4096)
        except OSError as error:
            await incoming.drain()
            raise storage_error(error) from error
        except StrokeNeXtError:
            await incoming.drain()
            raise
        try:
            yield request, parts
        finally:
            await parts.close()


@dataclass(frozen=True)
class Client:
    """Who asked: whose turn it is by `owner`, who is at its address; `cancel` is given when its connection closes."""

    owner: str
    cancel: Cancel


async def _cancel_when_gone(request: Request, cancel: Cancel) -> None:
    """The body has been read, so what comes next is that the client goes."""
    while (await request.receive())["type"] != "http.disconnect":
        pass
    cancel.cancel()


def _body(service: Service, source: BinaryIO, form: schemas.PredictForm, client: Client) -> dict[str, Any]:
    try:
        if form.task == "triage":
            service.predictor("subtype")  # a client that asks for both questions must hear when one cannot be answered
        options = Options(explain=form.explain, threshold=form.threshold, force=form.force)
        who: dict[str, Any] = vars(client)
        result = service.predict(source, form.task, options, **who)
        whole = service.predict_whole(result, options, **who)
        result = replace(result, whole=whole)
        return reply.to_json(_marked(service, result, form.force, who) if form.segment else result, form)
    except StrokeNeXtError:
        raise
    except Exception as error:
        # The edge of the process: whatever went wrong inside, a client gets a sentence and the log the place.
        problems.report(error)
        raise HTTPException(500, "The service failed on this image. The server's log says where.") from None


def _marked(service: Service, result: Result, force: bool, who: dict[str, Any]) -> Result:
    """With what is marked on the slice that a picture would show, and in the whole series where there is one.

    Raises OptionError without a segmentation model.
    """
    if not service.state().segmentation:
        raise errors.OptionError(
            "No segmentation model is loaded here. Start the service with --segmentation, or leave segment out."
        )
    measured = service.segment_series(result, force, **who)
    if measured is not None:
        peak = result.peak
        return replace(result, measured=measured, marks=None if peak is None else measured.slices[peak])
    if result.shown is None:
        return result
    return replace(result, marks=service.segment(result.shown.image, result.shown.gate, force, **who))


def _upload(parts: FormData) -> UploadFile:
    for name in FIELDS:
        value = parts.get(name)
        if isinstance(value, UploadFile):
            if value.size == 0:
                raise errors.InputError("The file is empty.")
            return value
    raise errors.InputError("No image was sent. Send it as multipart form data in a field called 'file'.")


def _form(values: dict[str, Any]) -> schemas.PredictForm:
    try:
        return schemas.PredictForm.model_validate(values)
    except ValidationError as error:
        name = str(error.errors()[0]["loc"][0])
        if name not in schemas.PredictForm.model_fields:
            known = ", ".join(schemas.PredictForm.model_fields)
            raise errors.OptionError(f"There is no such option. The options are: {known}.") from None
        raise errors.OptionError(HINTS.get(name, f"The option '{name}' is true or false.")) from None


def _form_schema() -> dict[str, Any]:
    picture = {"type": "string", "format": "binary", "description": "The image; 'image' is taken as its name too."}
    options = schemas.PredictForm.model_json_schema()["properties"]
    schema = {"type": "object", "required": ["file"], "properties": {"file": picture, **options}}
    return {"required": True, "content": {"multipart/form-data": {"schema": schema}}}


def _password(auth: tuple[str, str] | None) -> Callable[[Request], None]:
    """HTTP Basic, compared in constant time; nothing is asked when there is no password."""
    expected = None if auth is None else Password(*auth)

    def check(request: Request) -> None:
        if expected is not None and not expected.matches_basic(request.headers.get("authorization", "")):
            raise HTTPException(401, headers=BASIC)

    return check
