"""Addresses of clients and of the proxies between, read in one way."""

from __future__ import annotations

from collections.abc import Iterable
from ipaddress import IPv4Address, IPv4Network, IPv6Address, IPv6Network, ip_address, ip_network
from typing import TypeAlias

Address: TypeAlias = IPv4Address | IPv6Address
Network: TypeAlias = IPv4Network | IPv6Network
#: Networks that are never on the Internet itself: loopback, RFC 1918, carriers (RFC 6598), RFC 4193.
PRIVATE = ("127.0.0.0/8", "::1/128", "10.0.0.0/8", "172.16.0.0/12", "192.168.0.0/16", "100.64.0.0/10", "fc00::/7")


def address(text: str) -> Address | None:
    """An address, None where the text is none; IPv4 that came in by IPv6 is IPv4."""
    try:
        found = ip_address(text)
    except ValueError:
        return None
    return getattr(found, "ipv4_mapped", None) or found


def party(host: str) -> str:
    """Whom an address stands for: itself; of IPv6 the network that one customer is given (/64)."""
    found = address(host)
    return str(int(found) >> 64) if isinstance(found, IPv6Address) else str(found or host)


def networks(text: str) -> tuple[str, ...]:
    """Addresses and networks, separated by commas; "private" is all of PRIVATE. Raises ValueError."""
    parts = [part for part in text.replace(",", " ").split() for part in (PRIVATE if part == "private" else (part,))]
    return tuple(str(ip_network(part, strict=False)) for part in parts)


def holds(within: Iterable[str], host: str) -> bool:
    """Whether one of the networks has that address."""
    found = address(host)
    return found is not None and any(found in ip_network(network) for network in within)


def as_seen(within: Iterable[str]) -> list[str]:
    """The networks, those of IPv4 also as a socket that listens to both kinds names them (::ffff:a.b.c.d)."""
    every = [ip_network(network) for network in within]
    mapped = [f"::ffff:{n.network_address}/{n.prefixlen + 96}" for n in every if n.version == 4]
    return [*map(str, every), *mapped]
