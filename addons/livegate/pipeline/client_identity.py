"""Address and scheme of the client: those of the connection, or those that a trusted proxy names."""

from collections.abc import Sequence
from ipaddress import IPv6Address, IPv6Network, ip_address
from typing import Literal

from mitmproxy import http

from livegate.pipeline.exchange.record import Address, Network, awaiting_backend, is_trusted
from livegate.pipeline.fail_closed import fail_closed
from livegate.pipeline.fields.forwarded import MAX_HOPS

RATE_PREFIX_BITS = 64
"""Prefix of IPv6 addresses that share one rate limit, because a site has at least a /64 (RFC 6177)."""


class ClientIdentity:
    """Set the client's address and scheme from X-Forwarded-* if the peer is a trusted proxy."""

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
    """Return the right-most address of X-Forwarded-For that is not a trusted proxy's own.

    An entry that is no address ends the search at the last trusted hop, because entries to its left may be forged.
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
    """Return the address of an X-Forwarded-For entry, without port, brackets and quotes, or None."""
    text = entry.strip().strip('"')
    if text.startswith("["):
        text = text[1:].partition("]")[0]
    elif text.count(":") == 1:
        text = text.partition(":")[0]
    try:
        address = ip_address(
            text.partition("%")[0]
        )  # a zone is local to the sender, and ipaddress accepts any text as one
    except ValueError:
        return None
    return getattr(address, "ipv4_mapped", None) or address


def forwarded_scheme(forwarded_proto: Sequence[str]) -> Literal["http", "https"] | None:
    """Return the scheme in the right-most value of X-Forwarded-Proto, which is the nearest proxy's."""
    match ",".join(forwarded_proto).rpartition(",")[2].strip().lower():
        case "https" | "wss":
            return "https"
        case "http" | "ws":
            return "http"
        case _:
            return None


def rate_limit_address(address: Address) -> str:
    """Return the part of an address that rate limits count: all of an IPv4 one, the /64 of an IPv6 one."""
    if isinstance(address, IPv6Address):
        return str(IPv6Network((int(address), RATE_PREFIX_BITS), strict=False))
    return str(address)
