"""Exchange: the record of one request. The guard starts it, the other addons of the pipeline fill it in."""

import functools
import os
import re
import time
from dataclasses import dataclass
from ipaddress import IPv4Address, IPv4Network, IPv6Address, IPv6Network, ip_address
from typing import Literal, NamedTuple

from mitmproxy import http
from mitmproxy.websocket import WebSocketData
from msgspec import Struct, field

from livegate.http1.refusal import Refusal
from livegate.logs.context import EXCHANGE
from livegate.settings import Service, Settings
from livegate.websocket.deflate import Parameters

MAX_COPY_BYTES = 256 * 1024
"""Bytes of one streamed body kept for display. A longer body is not kept at all."""

type Address = IPv4Address | IPv6Address
type Network = IPv4Network | IPv6Network

EARLY_RESPONSE = "livegate_answer"
"""Attribute of a request: the response to it that was made before it became a flow."""
REQUEST_ID = re.compile(r"[A-Za-z0-9._~+/=-]{20,200}")
"""Form of an X-Request-Id that is kept if a trusted proxy sent it (the bounds of Plug.RequestId)."""


class BoundedCopy:
    """Stream callback that counts the bytes of a body, and keeps a copy of a short one for display."""

    def __init__(self, bound: int) -> None:
        self.size = 0
        self._bound = min(bound, MAX_COPY_BYTES)
        self._copy = bytearray()

    def __call__(self, data: bytes) -> bytes:
        """Count the next piece and return it unchanged, as mitmproxy expects of `stream`."""
        self.size += len(data)
        if self.size <= self._bound:
            self._copy += data
        elif self._copy:
            self._copy = bytearray()
        return data

    @property
    def content(self) -> bytes | None:
        """Return the whole body, or None if it was longer than the bound."""
        return bytes(self._copy) if self.size <= self._bound else None


class DirectionCounters(NamedTuple):
    """Traffic of one direction of a WebSocket: messages, control frames, and payload bytes of messages."""

    messages: int = 0
    controls: int = 0
    bytes: int = 0


class TrafficCounters(NamedTuple):
    """Traffic of a WebSocket: `up` from the client, `down` from the backend."""

    up: DirectionCounters = DirectionCounters()
    down: DirectionCounters = DirectionCounters()


@dataclass(frozen=True, slots=True)
class SocketStats:
    """Totals of one WebSocket. `in` is from the client, `out` is from the backend."""

    messages_in: int
    messages_out: int
    bytes_in: int
    """Payload bytes of messages."""
    bytes_out: int
    controls_in: int
    """Pings and pongs."""
    controls_out: int
    closed_by: str
    """`client`, `backend` or `gateway`."""
    dropped: int
    """Messages evicted from the flow's history."""


class Exchange(Struct, weakref=True, kw_only=True):
    """One request and its outcome. Times are `time.monotonic()` seconds."""

    settings: Settings
    request_id: str
    peer: Address
    """Address at the other end of the client's TCP connection."""
    peer_trusted: bool
    """Whether `peer` is in `trusted_proxies`, so that its X-Forwarded-* count."""
    client: Address
    """Address of the client: the peer, or the address that a trusted proxy names (set by ClientIdentity)."""
    scheme: Literal["http", "https"]
    """Scheme that the client used, by a trusted proxy's X-Forwarded-Proto if there is one (set by ClientIdentity)."""
    authority: str = ""
    """Host field as the client sent it, with its port; empty if the request was refused for its Host."""
    service: Service | None = None
    """Service that gets the request (set by the router)."""
    upgrade: bool = False
    """Whether this is a well-formed WebSocket opening handshake (set by the guard)."""
    close_connection: bool = False
    """Whether the client asked to close its connection afterwards (set by the guard; the field itself is removed)."""
    streams_request: bool = False
    """Whether the request body is forwarded as it arrives (set by Streaming)."""
    metrics_recorded: bool = False
    """Whether the metrics have counted the outcome. They count each request once."""
    rate_limit_checked: bool = False
    """Whether the rate limiter has counted this flow. It counts each flow once."""
    limit_decisions: tuple[tuple[str, str], ...] = ()
    """Policy of each quota, with `allowed`, `refused` or `would_refuse`."""
    limit_fields: tuple[tuple[str, str], ...] = ()
    """Rate limit fields for the response."""
    refusal_reason: str = ""
    """Slug of the refusal if the gateway itself responded, else empty."""
    timed_out: str = ""
    """`connect`, `upgrade` or `response` if that time-out expired, else empty."""
    retried: bool = False
    """Whether it was sent a second time, because a keep-alive connection was dead."""
    failure: Refusal | None = None
    """Reason of a failed exchange. Status 499 means that the client had closed its connection and got no response."""
    failure_response: http.Response | None = None
    """Response for `failure`, unless one had already started."""
    failure_detail: str = ""
    """Cause of the failure, for the log only: it may name addresses."""
    request_copy: BoundedCopy | None = None
    response_copy: BoundedCopy | None = None
    socket_slot: tuple[str, str] | None = None
    """Slot reserved for this upgrade (see `websocket.registry`)."""
    deflate: Parameters | None = None
    """permessage-deflate parameters that client and backend negotiated."""
    traffic_counted: TrafficCounters = TrafficCounters()
    """Traffic of a WebSocket that the metrics have counted so far."""
    socket: SocketStats | None = None
    """Totals of a WebSocket, once it is closed."""
    forwarded_at: float | None = None
    """Time at which the request was sent to the backend."""
    response_started_at: float | None = None
    """Time at which the head of the backend's response arrived."""
    started: float = field(default_factory=time.monotonic)


def start_exchange(flow: http.HTTPFlow, settings: Settings) -> Exchange:
    """Start the record of a flow. The guard calls it once per flow."""
    peer = peer_address(flow)
    trusted = is_trusted(peer, settings.trusted_proxies)
    early: http.Response | None = getattr(flow.request, EARLY_RESPONSE, None)
    exchange = Exchange(
        settings=settings,
        request_id=early.headers["X-Request-Id"] if early else _request_id(flow, trusted=trusted),
        peer=peer,
        peer_trusted=trusted,
        client=peer,
        scheme="https" if flow.client_conn.tls else "http",
        failure_response=early,
    )
    setattr(flow, EXCHANGE, exchange)
    return exchange


def exchange_of(flow: http.HTTPFlow) -> Exchange | None:
    """Return the record of a flow, or None for one that did not come through the gateway (loaded, replayed)."""
    return getattr(flow, EXCHANGE, None)


def socket_stats(exchange: Exchange, websocket: WebSocketData) -> SocketStats:
    """Return the totals of a closed socket. mitmproxy's own layer keeps none, but every message, so count those."""
    if exchange.socket is not None:
        return exchange.socket
    sizes_in = [len(message.content) for message in websocket.messages if message.from_client]
    sizes_out = [len(message.content) for message in websocket.messages if not message.from_client]
    return SocketStats(
        messages_in=len(sizes_in),
        messages_out=len(sizes_out),
        bytes_in=sum(sizes_in),
        bytes_out=sum(sizes_out),
        controls_in=0,
        controls_out=0,
        closed_by="client" if websocket.closed_by_client else "backend",
        dropped=0,
    )


def body_sizes(flow: http.HTTPFlow, exchange: Exchange) -> tuple[int, int]:
    """Return the sizes of the request's and the response's body as sent: compressed, without chunk headers."""
    copy_in, copy_out = exchange.request_copy, exchange.response_copy
    size_in = copy_in.size if copy_in else len(flow.request.raw_content or b"")
    if copy_out:
        return size_in, copy_out.size
    response = exchange.failure_response or flow.response
    if response is None or flow.request.method == "HEAD":
        return size_in, 0
    return size_in, len(response.raw_content or b"")


def awaiting_backend(flow: http.HTTPFlow) -> Exchange | None:
    """Return the record of a live flow without a response, else None.

    Every policy hook calls this first, so that saved flows are never routed or counted again when they are loaded.
    """
    if not flow.live or flow.response is not None or flow.error is not None:
        return None
    return getattr(flow, EXCHANGE, None)


def peer_address(flow: http.HTTPFlow) -> Address:
    """Return the address of the client's end of its connection, IPv4-mapped addresses as IPv4, without scope id."""
    return _address(flow.client_conn.peername[0])


@functools.lru_cache(4096)
def _address(text: str) -> Address:
    address = ip_address(text.partition("%")[0])
    mapped = getattr(address, "ipv4_mapped", None)
    return mapped or address


def is_trusted(address: Address, networks: tuple[Network, ...]) -> bool:
    """Return whether an address is in one of the networks. One of the other family never is."""
    return any(address in network for network in networks)


def _request_id(flow: http.HTTPFlow, *, trusted: bool) -> str:
    if trusted:
        received = flow.request.headers.get_all("X-Request-Id")
        if len(received) == 1 and REQUEST_ID.fullmatch(received[0]):
            return received[0]
    return new_request_id()


def new_request_id() -> str:
    """Return a new request id: 32 hexadecimal digits."""
    return os.urandom(16).hex()
