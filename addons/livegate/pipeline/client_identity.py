"""Who is asking: the peer of the connection, or whom a trusted proxy names."""

from collections.abc import Sequence
from ipaddress import IPv6Address, IPv6Network, ip_address
from typing import Literal

from mitmproxy import http

from livegate.pipeline.exchange.record import Address, Network, awaiting_backend, is_trusted
from livegate.pipeline.fail_closed import fail_closed

MAX_HOPS = 64
"""How many entries of X-Forwarded-For are looked at, from the right."""
RATE_PREFIX_BITS = 64
"""One customer has at least a /64 of IPv6 addresses to ask from (RFC 6177)."""


class ClientIdentity:
    """Set the client's address and scheme; both are the connection's own unless a trusted proxy says otherwise."""

    @fail_closed
    def requestheaders(self, flow: http.HTTPFlow) -> None:
        exchange = awaiting_backend(flow)
        if exchange is None or not exchange.peer_trusted:
            return
        headers = flow.request.headers
        trusted = exchange.settings.trusted_proxies
        exchange.client = client_address(exchange.peer, headers.get_all("X-Forwarded-For"), trusted)
        exchange.scheme = forwarded_scheme(headers.get_all("X-Forwarded-Proto")) or exchange.scheme


def client_address(peer: Address, forwarded_for: Sequence[str], trusted: tuple[Network, ...]) -> Address:
    """The right-most address of X-Forwarded-For that is not a trusted proxy's own.

    An entry that is no address ends the walk: what stands left of it may be anybody's invention, so the last trusted
    hop is then the client.
    """
    client = peer
    for entry in reversed(",".join(forwarded_for).split(",")[-MAX_HOPS:]):
        address = parse_hop(entry)
        if address is None:
            break
        client = address
        if not is_trusted(address, trusted):
            break
    return client


def parse_hop(entry: str) -> Address | None:
    """An entry of X-Forwarded-For: an address, perhaps with a port, brackets or quotes; None for anything else."""
    text = entry.strip().strip('"')
    if text.startswith("["):
        text = text[1:].partition("]")[0]
    elif text.count(":") == 1:
        text = text.partition(":")[0]
    try:
        address = ip_address(text.partition("%")[0])  # a zone means nothing here, and ipaddress lets it be any text
    except ValueError:
        return None
    return getattr(address, "ipv4_mapped", None) or address


def forwarded_scheme(forwarded_proto: Sequence[str]) -> Literal["http", "https"] | None:
    """The right-most value of X-Forwarded-Proto, which is that of the nearest proxy."""
    match ",".join(forwarded_proto).rpartition(",")[2].strip().lower():
        case "https" | "wss":
            return "https"
        case "http" | "ws":
            return "http"
        case _:
            return None


def rate_limit_address(address: Address) -> str:
    """What of an address is counted: all of an IPv4 one, the /64 of an IPv6 one."""
    if isinstance(address, IPv6Address):
        return str(IPv6Network((int(address), RATE_PREFIX_BITS), strict=False))
    return str(address)
