"""The names under which this service may be asked: another site may make its own point here, not take one of ours."""

from __future__ import annotations

import re
import socket
from collections.abc import Mapping
from dataclasses import dataclass

from demo.addresses import Address, address
from demo.settings import Settings

_AUTHORITY = re.compile(r"(?P<host>\[[0-9a-f:.]+\]|[a-z0-9_.-]+)(:(?P<port>\d{1,5}))?", re.ASCII)


@dataclass(frozen=True)
class Authority:
    """A host in lower case, an address without brackets, and the port where one is named."""

    host: str
    port: int | None = None

    @property
    def address(self) -> Address | None:
        """The host as an address, None where it is a name."""
        return address(self.host)


@dataclass(frozen=True)
class Hosts:
    """The names that are ours; `public` are those among them that a proxy may stand for.

    `addresses`: any address is ours, since other machines may know this one by several, and an address cannot be made
    to point elsewhere as a name can. Those of this machine alone always are.
    """

    names: frozenset[str] = frozenset()
    public: frozenset[str] = frozenset()
    endings: tuple[str, ...] = ()
    addresses: bool = False

    def holds(self, host: Authority, arrived: str) -> bool:
        """Whether a request may name that host; `arrived` is the address at which its connection came in."""
        named = host.address
        if named is not None:
            ours = named in {address(arrived), *map(address, self.names)}
            return named.is_loopback or (not named.is_unspecified and (self.addresses or ours))
        return host.host in {"localhost", arrived.lower(), *self.names} or host.host.endswith(self.endings)


def hosts(settings: Settings, environment: Mapping[str, str]) -> Hosts:
    """The names for that start: those given, the one listened on, the machine's where it listens to others."""
    public = _plain(environment.get("SPACE_HOST", ""), *settings.allow_host)
    wide = not is_loopback(settings.host)
    own = _plain(socket.gethostname(), socket.getfqdn()) if wide else frozenset()
    local = {f"{name}.local" for name in own if "." not in name}
    endings = (".hf.space",) if "SPACE_ID" in environment else ()
    return Hosts(public | own | local | _plain(settings.host), public, endings, wide)


def _plain(*names: str) -> frozenset[str]:
    return frozenset(name.lower().rstrip(".") for name in names if name)


def is_loopback(host: str) -> bool:
    """Whether who listens there hears this machine alone; a name that stands for nothing is heard by nobody."""
    try:
        found = socket.getaddrinfo(host, 0, type=socket.SOCK_STREAM)[0][4][0]
    except (OSError, UnicodeError):
        return True
    heard = address(str(found))
    return heard is not None and heard.is_loopback


def authority(text: str) -> Authority | None:
    """What a Host header names; None where it cannot be read."""
    found = _AUTHORITY.fullmatch(text.strip().lower())
    if found is None:
        return None
    host = found["host"].strip("[]").rstrip(".")
    return Authority(host, int(found["port"]) if found["port"] else None) if host else None
