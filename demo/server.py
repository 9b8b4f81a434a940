"""The process: page and API on one FastAPI app, one uvicorn server, and models that load once it is up."""

from __future__ import annotations

import logging
import os
import signal
import socket
import sys
import tempfile
import threading
from collections.abc import AsyncIterator, Mapping, Sequence
from contextlib import asynccontextmanager
from dataclasses import replace
from pathlib import Path
from types import FrameType
from typing import TYPE_CHECKING

from strokenext import StrokeNeXtError

from . import zerogpu
from .guard import names
from .login import Password
from .service import Service
from .settings import Settings, parse
from .storage.limits import Limits
from .storage.scratch import FolderError, Scratch
from .storage.uploads import Uploads

if TYPE_CHECKING:
    from fastapi import FastAPI

PORT_TAKEN = 9
#: Pages of which Gradio keeps what it sent last; ours are kept apart, so that one more forgotten costs nothing.
SESSIONS = 256
HUB_FRAMES = "'self' https://huggingface.co https://*.hf.space"


class PortError(StrokeNeXtError):
    """The address asked for cannot be listened on."""

    exit_code = PORT_TAKEN


class UnprotectedError(StrokeNeXtError):
    """Other machines could connect, and nobody asks for a password."""


def main(arguments: Sequence[str] | None = None) -> int:
    """Parse, build, serve until stopped; the exit code that --help documents."""
    settings = parse(arguments)
    try:
        require_password(settings, os.environ)
        serve(settings, prepare_process(settings))
    except StrokeNeXtError as error:
        print(error, file=sys.stderr)
        return error.exit_code
    except KeyboardInterrupt:
        return 0
    return 0


def prepare_process(settings: Settings) -> Scratch:
    """Where uploads go, what Gradio may not send, and what the log shows. Before gradio is imported.

    Raises FolderError.
    """
    logging.basicConfig(level=logging.INFO, format="%(asctime)s %(levelname)s %(message)s")
    for name in ("httpx", "httpcore", "pydicom", "PIL", "matplotlib", "asyncio"):
        # These quote addresses, file names or tag values.
        logging.getLogger(name).setLevel(logging.CRITICAL if name == "pydicom" else logging.ERROR)
    os.environ["GRADIO_ANALYTICS_ENABLED"] = "False"
    os.environ.setdefault("HF_HUB_DISABLE_TELEMETRY", "1")
    scratch = scratch_folder(settings.data_dir)
    scratch.use()
    return scratch


def scratch_folder(data_dir: Path | None) -> Scratch:
    """A folder of this process among the system's temporary ones, or below the data directory. Raises FolderError."""
    try:
        temporary = Path(tempfile.gettempdir())
    except OSError as error:
        raise FolderError(
            "This machine has no folder for temporary files that can be written to. Free some space, or name a folder "
            "in TMPDIR."
        ) from error
    if data_dir is None:
        return Scratch(temporary)
    try:
        folder = data_dir.expanduser().resolve() / "uploads"
    except (OSError, RuntimeError) as error:  # nobody's home, or a link to itself
        raise FolderError(f"There is no folder {data_dir}. Give another one with --data-dir.") from error
    return Scratch(folder, (temporary,))


def serve(settings: Settings, scratch: Scratch) -> None:
    """Open the port, build, and answer until the process is told to stop.

    Raises PortError, and DeviceError or ModelError when a device was named and is not there.
    """
    import uvicorn

    from .guard.connections import config

    listener = open_port(settings.host, settings.port)
    with listener:
        app, service = build(settings)
        service.regularly(scratch.look_after)
        if settings.device not in {"auto", "cpu"} or zerogpu.active():
            # A device somebody named must be there; ZeroGPU wants every model in place before it starts.
            service.start()
            if (error := service.wait().error) is not None:
                raise error
            zerogpu.startup()
        port = listener.getsockname()[1]
        shown = "127.0.0.1" if settings.host in {"0.0.0.0", "::"} else settings.host
        print(f"StrokeNeXt is at http://{shown}:{port} (research use only, Ctrl+C stops it)", flush=True)
        signal.signal(signal.SIGTERM, _stop)  # uvicorn ends first, then hands the signal on
        server = uvicorn.Server(config(app, settings))
        leave = server.handle_exit

        def stop(number: int, frame: FrameType | None) -> None:
            # Work ends before the connections are waited for; on a thread, since a signal interrupts whoever holds
            # a lock.
            threading.Thread(target=service.stop, name="strokenext-stop").start()
            leave(number, frame)

        server.handle_exit = stop  # type: ignore[method-assign, assignment]
        server.run(sockets=[listener])


def _stop(*_: object) -> None:
    """End like Ctrl+C does, so that the folder of uploads is removed when a supervisor stops the process too."""
    raise KeyboardInterrupt


def require_password(settings: Settings, environment: Mapping[str, str]) -> None:
    """Raises UnprotectedError where other machines could connect without a password and nobody said they may."""
    told = settings.auth is not None or settings.without_password or "SPACE_ID" in environment
    if not told and not names.is_loopback(settings.host):
        raise UnprotectedError(
            f"Other machines could reach this page on {settings.host} without a password: give one in STROKENEXT_AUTH "
            "as user:password, or start with --without-password."
        )


def open_port(host: str, port: int) -> socket.socket:
    """A bound socket. Raises PortError with what to do, before anything slow has begun."""
    try:
        family, kind, protocol, _, address = socket.getaddrinfo(host, port, type=socket.SOCK_STREAM)[0]
        listener = socket.socket(family, kind, protocol)
    except (OSError, UnicodeError) as error:
        raise PortError(f"'{host}' is not an address this machine can listen on. Give another --host.") from error
    try:
        if os.name == "posix":
            listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        listener.bind(address)
        listener.listen(256)
    except OSError as error:
        listener.close()
        reason = "another program is using it" if error.errno in {48, 98, 10048} else "the system does not allow it"
        raise PortError(f"Port {port} on {host} cannot be opened: {reason}. Give another --port, or 0.") from error
    return listener


def shows_names(settings: Settings, environment: Mapping[str, str]) -> bool:
    """Whether a case may be called by its file's name and descriptions, which may name the patient.

    Unless it is said, only where nobody but the person at this machine sees them.
    """
    if settings.case_names is not None:
        return settings.case_names
    return names.is_loopback(settings.host) and not settings.allow_host and "SPACE_ID" not in environment


def build(settings: Settings) -> tuple[FastAPI, Service]:
    """The app with API and page, and its Service, whose models load once the app is started."""
    import gradio
    from gradio.routes import App
    from starlette.routing import Mount

    from .door import Door
    from .page import app as page

    uploads = Uploads(Limits.of(settings))
    app, service = build_api(settings, uploads)
    options = {
        **page.page_options(),
        "auth": None if settings.auth is None else Password(*settings.auth).matches,
        "max_file_size": settings.max_upload,
        "mcp_server": False,
    }
    blocks = page.build(service, uploads)
    blocks.state_session_capacity = SESSIONS
    gradio.mount_gradio_app(app, blocks, path="/", **options)
    blocks.has_launched = True  # launch() was never called, and without it Gradio checks no path that it is given
    for mount in app.routes:
        if isinstance(mount, Mount) and isinstance(mount.app, App):
            mount.app = Door(mount.app, uploads, embedded="SPACE_ID" in os.environ)
    return app, service


def build_api(settings: Settings, uploads: Uploads | None = None) -> tuple[FastAPI, Service]:
    """The app with the API alone, behind the limits and headers that stand in front of the page too."""
    from fastapi import FastAPI
    from starlette.middleware.cors import CORSMiddleware

    from .api import routes as api
    from .guard import deadlines, headers, hosts, limits, login, replies

    service = Service(replace(settings, case_names=shows_names(settings, os.environ)))
    uploads = Uploads(Limits.of(settings)) if uploads is None else uploads

    @asynccontextmanager
    async def lifespan(_app: FastAPI) -> AsyncIterator[None]:
        service.start()
        yield
        service.stop()
        uploads.close()

    app = FastAPI(title="StrokeNeXt", docs_url=None, redoc_url=None, openapi_url=None, lifespan=lifespan)
    trusted = names.hosts(settings, os.environ)
    # The last one added is the first to be asked.
    app.add_middleware(CORSMiddleware, allow_origins=())  # no other site; also keeps Gradio from allowing any
    app.add_middleware(deadlines.BodyDeadline, whole=settings.request_seconds)
    app.add_middleware(limits.BodyLimit, limit=settings.max_upload)
    if settings.auth is not None:
        app.add_middleware(login.LoginGuard, password=Password(*settings.auth), embedded="SPACE_ID" in os.environ)
    app.add_middleware(hosts.OwnPages, hosts=trusted)
    app.add_middleware(hosts.TrustedHosts, hosts=trusted)
    app.add_middleware(replies.Unforeseen)
    app.add_middleware(headers.SafeHeaders, frames=HUB_FRAMES if "SPACE_ID" in os.environ else "'self'")
    api.add_routes(app, service, uploads)
    return app, service
