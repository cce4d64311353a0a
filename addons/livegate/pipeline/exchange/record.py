"""What the gateway knows of one flow while it lives: begun by the guard, filled in by the other pipeline addons."""

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
"""How much of a streamed body is kept for the inspector."""

type Address = IPv4Address | IPv6Address
type Network = IPv4Network | IPv6Network

EARLY_RESPONSE = "livegate_answer"
"""Attribute of a request that was answered before it became a flow: with what."""
REQUEST_ID = re.compile(r"[A-Za-z0-9._~+/=-]{20,200}")
"""What a trusted peer's X-Request-Id must look like to be kept (the bounds of Plug.RequestId)."""


class BoundedCopy:
    """Passes a streamed body on, counts its bytes, and keeps a copy for the inspector as long as it is short."""

    def __init__(self, bound: int) -> None:
        self.size = 0
        self._bound = min(bound, MAX_COPY_BYTES)
        self._copy = bytearray()

    def __call__(self, data: bytes) -> bytes:
        """Take the next piece; what is returned goes on to the other side."""
        self.size += len(data)
        if self.size <= self._bound:
            self._copy += data
        elif self._copy:
            self._copy = bytearray()
        return data

    @property
    def content(self) -> bytes | None:
        """The whole body, or None when it was longer than the bound."""
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
    """What went through a WebSocket, and who ended it."""

    messages_in: int
    """From the client; payload bytes likewise."""
    messages_out: int
    bytes_in: int
    bytes_out: int
    controls_in: int
    """Pings and pongs, likewise."""
    controls_out: int
    closed_by: str
    """`client`, `backend` or `gateway`."""
    dropped: int
    """Messages that are no longer in the flow's history."""


class Exchange(Struct, weakref=True, kw_only=True):
    """One request and what became of it. Times are `time.monotonic()` seconds."""

    settings: Settings
    request_id: str
    peer: Address
    """The address at the other end of the client's TCP connection."""
    peer_trusted: bool
    """Whether `peer` lies in `trusted_proxies`, so that its X-Forwarded-* are believed."""
    client: Address
    """Who is asking: the peer, or what a trusted proxy says (set by ClientIdentity)."""
    scheme: Literal["http", "https"]
    """The scheme that the client used towards the gateway, or what a trusted proxy says (set by ClientIdentity)."""
    authority: str = ""
    """Host header as the client sent it, port included; empty when the request was refused for its Host."""
    service: Service | None = None
    """Where the request goes (set by the router)."""
    upgrade: bool = False
    """Whether this is a well-formed WebSocket opening handshake (set by the guard)."""
    close_connection: bool = False
    """Whether the client wants its connection closed afterwards (set by the guard; the field itself is removed)."""
    streams_request: bool = False
    """Whether the request body is passed on as it arrives (set by Streaming)."""
    metrics_recorded: bool = False
    """Whether the metrics have counted what became of it; they count each request once."""
    rate_limit_checked: bool = False
    """Whether the rate limiter has counted this flow; it counts each once."""
    limit_decisions: tuple[tuple[str, str], ...] = ()
    """Of each budget: its policy, and `allowed`, `refused` or `would_refuse`."""
    limit_fields: tuple[tuple[str, str], ...] = ()
    """Rate limit header fields that the answer shall carry."""
    refusal_reason: str = ""
    """The slug of the refusal when the gateway itself answered; empty otherwise."""
    timed_out: str = ""
    """`connect`, `upgrade` or `response` when that time ran out."""
    retried: bool = False
    """Whether it was sent a second time, after a dead keep-alive connection."""
    failure: Refusal | None = None
    """What the client was told when the exchange failed (status 499: it had gone, and was told nothing)."""
    failure_response: http.Response | None = None
    """The answer for `failure`, unless it is too late for one."""
    failure_detail: str = ""
    """The cause of the failure for the log; it may name addresses."""
    request_copy: BoundedCopy | None = None
    response_copy: BoundedCopy | None = None
    socket_place: tuple[str, str] | None = None
    """The place among the WebSockets that is taken for this upgrade (see `websocket.registry`)."""
    deflate: Parameters | None = None
    """What client and backend have agreed on for permessage-deflate."""
    traffic_counted: TrafficCounters = TrafficCounters()
    """Traffic of a WebSocket that the metrics have counted so far."""
    socket: SocketStats | None = None
    """What became of a WebSocket, once it has ended."""
    forwarded_at: float | None = None
    """When the request was handed to the backend."""
    response_started_at: float | None = None
    """When the head of the backend's answer arrived."""
    started: float = field(default_factory=time.monotonic)


def start_exchange(flow: http.HTTPFlow, settings: Settings) -> Exchange:
    """Start the record of a flow. Called once a flow, by the first addon that sees it."""
    peer = peer_address(flow)
    trusted = is_trusted(peer, settings.trusted_proxies)
    answered: http.Response | None = getattr(flow.request, EARLY_RESPONSE, None)
    exchange = Exchange(
        settings=settings,
        request_id=answered.headers["X-Request-Id"] if answered else _request_id(flow, trusted=trusted),
        peer=peer,
        peer_trusted=trusted,
        client=peer,
        scheme="https" if flow.client_conn.tls else "http",
        failure_response=answered,
    )
    setattr(flow, EXCHANGE, exchange)
    return exchange


def exchange_of(flow: http.HTTPFlow) -> Exchange | None:
    """The record of a flow, or None for one that did not come through the gateway (loaded from a file, replayed)."""
    return getattr(flow, EXCHANGE, None)


def socket_stats(exchange: Exchange, websocket: WebSocketData) -> SocketStats:
    """The report on a socket that has ended; one that mitmproxy's own layer has carried still has every message."""
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
    """Bytes of the request's and of the answer's body, as they were sent: compressed, without chunk headers."""
    copy_in, copy_out = exchange.request_copy, exchange.response_copy
    size_in = copy_in.size if copy_in else len(flow.request.raw_content or b"")
    if copy_out:
        return size_in, copy_out.size
    answer = exchange.failure_response or flow.response
    if answer is None or flow.request.method == "HEAD":
        return size_in, 0
    return size_in, len(answer.raw_content or b"")


def awaiting_backend(flow: http.HTTPFlow) -> Exchange | None:
    """The record of a live flow that nobody has answered yet, else None.

    Every policy hook asks this first, so that saved flows, loaded or replayed, are never routed or counted again.
    """
    if not flow.live or flow.response is not None or flow.error is not None:
        return None
    return getattr(flow, EXCHANGE, None)


def peer_address(flow: http.HTTPFlow) -> Address:
    """The other end of the client's connection; IPv4-mapped IPv6 addresses are given as IPv4, scope ids dropped."""
    return _address(flow.client_conn.peername[0])


@functools.lru_cache(4096)
def _address(text: str) -> Address:
    address = ip_address(text.partition("%")[0])
    mapped = getattr(address, "ipv4_mapped", None)
    return mapped or address


def is_trusted(address: Address, networks: tuple[Network, ...]) -> bool:
    """Whether an address lies in one of the networks (an address never lies in a network of the other family)."""
    return any(address in network for network in networks)


def _request_id(flow: http.HTTPFlow, *, trusted: bool) -> str:
    if trusted:
        given = flow.request.headers.get_all("X-Request-Id")
        if len(given) == 1 and REQUEST_ID.fullmatch(given[0]):
            return given[0]
    return new_request_id()


def new_request_id() -> str:
    """A fresh request id: 32 hexadecimal digits."""
    return os.urandom(16).hex()
