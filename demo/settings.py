"""What can be chosen when the page is started: flags, each with a STROKENEXT_... variable, and their defaults."""

from __future__ import annotations

import argparse
import math
import os
import re
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from .addresses import networks

MEBI = 1024 * 1024
TRUE = frozenset({"1", "true", "yes", "on"})


@dataclass(frozen=True)
class Settings:
    """One start of the page and the API. `max_upload` is in bytes of one whole request."""

    host: str = "127.0.0.1"
    port: int = 7860
    device: str = "auto"
    presence: str | None = None  # bundled name, folder or Hub id; None is the bundled default
    subtype: str | None = None
    volume: str | None = None  # answers for whole series; None is the bundled one, where there is one
    segmentation: str | None = None  # marks lesions on slices; None is the bundled one, where there is one
    auth: tuple[str, str] | None = None  # user, password
    without_password: bool = False  # other machines may connect though there is no password
    allow_host: tuple[str, ...] = ()  # names under which the service may be asked, beside its own
    trusted_proxies: tuple[str, ...] = ()  # networks of proxies that say whose request they hand on
    case_names: bool | None = None  # whether cases are called by their files; None: where this machine alone may ask
    data_dir: Path | None = None  # None makes the folder for uploads among the temporary files
    max_upload: int = 256 * MEBI
    workers: int = 2  # images predicted at the same time
    queue: int = 16  # images that may wait
    decoders: int = 4  # files decoded at the same time, each in a process of its own
    decode_seconds: float = 60.0  # for one upload
    decode_memory: int = 4096 * MEBI  # bytes of address space of one of these processes
    max_held: int = 2048 * MEBI  # bytes of opened pictures in memory, of all readers together
    max_stored: int = 2048 * MEBI  # bytes of uploads that wait to be opened, of all readers together
    max_stored_each: int = 512 * MEBI  # of one reader; never less than `max_upload`
    uploads_each: int = 16  # uploads of one reader that may wait
    upload_seconds: float = 180.0  # without being opened, for the first time or again, after which an upload is gone
    connections: int = 600  # open at once, of all clients
    connections_each: int = 300  # of one address
    header_seconds: float = 10.0  # for the header of a request
    request_seconds: float = 3600.0  # for a whole request to arrive
    idle: float = 30 * 60.0  # seconds without use after which an opened picture is forgotten


def parse(arguments: Sequence[str] | None = None, environment: Mapping[str, str] = os.environ) -> Settings:
    """Settings from command-line flags, then variables, then defaults. Exits with a sentence like argparse does."""
    parser = build_parser(environment)
    values = vars(parser.parse_args(arguments))
    for name in ("max_upload", "max_held", "max_stored", "max_stored_each", "decode_memory"):
        values[name] = int(values[name] * MEBI)
    values["idle"] *= 60
    values["allow_host"] = tuple(values["allow_host"])
    values["trusted_proxies"] = values["trusted_proxies"] or ()
    return Settings(**values)


def build_parser(environment: Mapping[str, str] = os.environ) -> argparse.ArgumentParser:
    """The parser whose --help documents every setting and its variable."""
    parser = argparse.ArgumentParser(
        prog="app.py",
        description="StrokeNeXt: the page and the API for head CT. Research use only. Not a medical device.",
        epilog="Exit codes: 0 stopped by the user, 2 a wrong option or no password where other machines could connect, "
        "4 a model that cannot be loaded, 5 a device that is not there, 8 no folder for uploads, "
        "9 a port that cannot be opened.",
    )
    base = Settings()

    def option(flag: str, kind: Callable[[str], object], default: object, text: str, *fallbacks: str) -> None:
        variable = "STROKENEXT_" + flag.strip("-").upper().replace("-", "_")
        value = next((environment[name] for name in (variable, *fallbacks) if environment.get(name)), default)
        # The value found in a variable may be a password: --help names the variable, never its content.
        text = f"{text} ({variable}, default {default})" if default is not None else f"{text} ({variable})"
        parser.add_argument(flag, type=kind, default=value, help=text)

    host = "0.0.0.0" if "SPACE_ID" in environment else base.host
    option("--host", str, host, "address to listen on", "GRADIO_SERVER_NAME")
    option("--port", _port, base.port, "port to listen on, 0 for any free one", "GRADIO_SERVER_PORT")
    option("--device", _device, base.device, "auto, cpu, cuda, cuda:N or mps")
    option("--presence", str, None, "stroke presence model: bundled name, folder or Hub owner/repo")
    option("--subtype", str, None, "stroke subtype model: bundled name, folder or Hub owner/repo")
    option("--volume", str, None, "model of whole series, beside the slices: bundled name, folder or Hub owner/repo")
    option("--segmentation", str, None, "model that marks lesions on slices: bundled name, folder or Hub owner/repo")
    option("--auth", _auth, None, "user:password asked by page and API; the variable keeps it out of process lists")
    parser.add_argument(
        "--without-password",
        action="store_true",
        default=environment.get("STROKENEXT_WITHOUT_PASSWORD", "").lower() in TRUE,
        help="let other machines connect though there is no --auth (STROKENEXT_WITHOUT_PASSWORD=1)",
    )
    parser.add_argument(
        "--allow-host",
        metavar="NAME",
        action="append",
        type=_name,
        default=[_name(text) for text in environment.get("STROKENEXT_ALLOW_HOST", "").replace(",", " ").split()],
        help="another name under which browsers may ask for the page, a proxy's for one; may be given several times "
        "(STROKENEXT_ALLOW_HOST, separated by commas)",
    )
    option(
        "--trusted-proxies",
        _proxies,
        "private" if "SPACE_ID" in environment else None,
        "addresses or networks of proxies in front, separated by commas, 'private' for every private one: who asks is "
        "whom their X-Forwarded-For names; of all others such headers are ignored",
    )
    parser.add_argument(
        "--case-names",
        action=argparse.BooleanOptionalAction,
        default=_switch(environment.get("STROKENEXT_CASE_NAMES", "")),
        help="call each case on the page and in its downloads by the names of its file or folder, study and series, by "
        "slice thickness and date; without, by a number (STROKENEXT_CASE_NAMES=1 or 0, default on where this machine "
        "alone can connect, off elsewhere, on a Space and behind an --allow-host)",
    )
    option("--data-dir", Path, None, "where the folder for uploads is made; without one, among the temporary files")
    option("--max-upload", _size, base.max_upload // MEBI, "largest request in MiB")
    option("--workers", _count, base.workers, "images judged at the same time")
    option("--queue", _waiting, base.queue, "images that may wait before others are turned away")
    option("--decoders", _count, base.decoders, "files decoded at the same time, each in a process of its own")
    option("--decode-seconds", _seconds, base.decode_seconds, "seconds that decoding one upload may take")
    option("--decode-memory", _address, base.decode_memory // MEBI, "MiB that one decoding process may use (Linux)")
    option("--max-held", _held, base.max_held // MEBI, "opened pictures kept in memory, of all readers, in MiB")
    option("--max-stored", _held, base.max_stored // MEBI, "uploads that wait to be opened, of all readers, in MiB")
    option("--max-stored-each", _held, base.max_stored_each // MEBI, "of one reader, in MiB; at least --max-upload")
    option("--uploads-each", _count, base.uploads_each, "uploads of one reader that may wait to be opened")
    option(
        "--upload-seconds",
        _seconds,
        base.upload_seconds,
        "seconds after which an upload nobody opens, or opens again, is gone",
    )
    option("--connections", _many, base.connections, "connections open at once, of all clients")
    option("--connections-each", _many, base.connections_each, "of one address that is no trusted proxy")
    option("--header-seconds", _seconds, base.header_seconds, "seconds that the header of a request may take to arrive")
    option("--request-seconds", _long, base.request_seconds, "seconds that a whole request may take to arrive")
    option("--idle", _minutes, base.idle / 60, "minutes without use after which an opened picture is forgotten")
    return parser


def _switch(text: str) -> bool | None:
    return text.lower() in TRUE if text else None


def _port(text: str) -> int:
    if not (text.isdecimal() and int(text) <= 65535):
        raise argparse.ArgumentTypeError(f"a port is a number from 0 to 65535, not '{text}'")
    return int(text)


def _device(text: str) -> str:
    if not re.fullmatch(r"auto|cpu|mps|cuda(:\d+)?", text):
        raise argparse.ArgumentTypeError(f"'{text}' is not a device; use auto, cpu, cuda, cuda:N or mps")
    return text


def _auth(text: str) -> tuple[str, str]:
    user, colon, password = text.partition(":")
    if not (user and colon and password):
        raise argparse.ArgumentTypeError("give a user and a password as user:password")
    return user, password


def _name(text: str) -> str:
    if not re.fullmatch(r"[A-Za-z0-9_-]+(\.[A-Za-z0-9_-]+)*\.?|[0-9a-f:]+", text):
        raise argparse.ArgumentTypeError(f"give a host's name alone, as in stroke.example.org, not '{text}'")
    return text.lower()


def _proxies(text: str) -> tuple[str, ...]:
    try:
        return networks(text)
    except ValueError:
        raise argparse.ArgumentTypeError(
            f"give addresses or networks, as in 10.0.0.5,10.1.0.0/16, or the word private, not '{text}'"
        ) from None


def _size(text: str) -> float:
    try:
        size = float(text)
    except ValueError:
        size = 0.0
    if not 0 < size <= 4096:
        raise argparse.ArgumentTypeError(f"a size in MiB is a number above 0 and at most 4096, not '{text}'")
    return size


def _held(text: str) -> float:
    return _number(text, 16, 1024 * 1024, "a size in MiB")


def _seconds(text: str) -> float:
    return _number(text, 1, 3600, "a time in seconds")


def _long(text: str) -> float:
    return _number(text, 1, 24 * 3600, "a time in seconds")


def _address(text: str) -> float:
    return _number(text, 512, 1024 * 1024, "a size in MiB")


def _minutes(text: str) -> float:
    return _number(text, 0.1, 24 * 60, "a time in minutes")


def _number(text: str, least: float, most: float, what: str) -> float:
    try:
        number = float(text)
    except ValueError:
        number = math.nan
    if not least <= number <= most:
        raise argparse.ArgumentTypeError(f"{what} is a number from {least:g} to {most:g}, not '{text}'")
    return number


def _count(text: str) -> int:
    if not (text.isdecimal() and 1 <= int(text) <= 64):
        raise argparse.ArgumentTypeError(f"give a whole number from 1 to 64, not '{text}'")
    return int(text)


def _many(text: str) -> int:
    if not (text.isdecimal() and 1 <= int(text) <= 100_000):
        raise argparse.ArgumentTypeError(f"give a whole number from 1 to 100000, not '{text}'")
    return int(text)


def _waiting(text: str) -> int:
    if not (text.isdecimal() and int(text) <= 10000):
        raise argparse.ArgumentTypeError(f"give a whole number from 0 to 10000, not '{text}'")
    return int(text)
