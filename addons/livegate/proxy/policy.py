"""What the transport layers ask of the gateway: the questions as a protocol, the answers as plain values."""

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Protocol

from mitmproxy import http
from mitmproxy.connection import Client
from mitmproxy.proxy.layers.http._events import ErrorCode
from mitmproxy.websocket import WebSocketMessage

__all__ = ["ConnectionBounds", "ErrorCode", "Failure", "GatewayPolicy", "Leg", "Peer", "Plan", "Socket", "Upstream"]


@dataclass(frozen=True, slots=True)
class Upstream:
    """Where a request goes and how TLS is spoken there. Connections are reused only between equal upstreams."""

    host: str
    port: int
    tls: bool = False
    verify: bool = True
    server_name: str | None = None
    """The name sent as SNI and looked for in the certificate; the host when None."""
    ca_file: Path | None = None
    """Trust anchors as PEM; the usual public ones when None."""


@dataclass(frozen=True, slots=True)
class Plan:
    """How one request is to be carried. Times in seconds, sizes in bytes."""

    upstream: Upstream
    connect_s: float
    answer_s: float
    """Until the head of the answer: the `response` or, for an upgrade, the `upgrade` time."""
    stream_above: int
    max_body: int


@dataclass(frozen=True, slots=True)
class ConnectionBounds:
    """What a client's connection may take before a request is complete. Times in seconds."""

    request_head_s: float
    keep_alive_s: float
    max_head: int
    """Bytes of one request head; also what a client may send ahead while it waits for an answer, times four."""


@dataclass(frozen=True, slots=True)
class Failure:
    """A request that could not be completed, as the layer saw it."""

    code: ErrorCode
    message: str
    """For the log only: it may name addresses."""


class Leg(Protocol):
    """Where the bytes for one peer of a WebSocket go: a raw transport, or mitmproxy's layers."""

    def write(self, data: bytes) -> None:
        """Send bytes; nothing happens when the connection has ended."""

    def finish(self) -> None:
        """Send what is left, then the end of the stream; the peer's own end is reported as `lost`."""

    def abort(self) -> None:
        """End the connection at once."""

    def pause_reading(self) -> None:
        """Let what the peer sends wait in its socket."""

    def resume_reading(self) -> None:
        """The opposite of `pause_reading`."""


NOT_KEPT = "livegate_not_kept"
"""Of a flow's metadata: how many messages of its socket are no longer there."""
UPLOADS_NOT_KEPT = "livegate_uploads_not_kept"
"""Of a flow's metadata: how many of those were pieces of uploads."""


def not_kept_text(flow: http.HTTPFlow) -> str:
    """Say how many messages of a flow's socket are no longer there; empty when all are."""
    count, uploads = flow.metadata.get(NOT_KEPT), flow.metadata.get(UPLOADS_NOT_KEPT)
    if not isinstance(count, int) or not count:
        return ""
    if not isinstance(uploads, int) or not uploads:
        return f"{count:,} earlier messages not kept"
    rest = f", {count - uploads:,} earlier messages" if count > uploads else ""
    return f"{uploads:,} upload chunks{rest} not kept"


class Peer(Protocol):
    """One end of a WebSocket, told by its leg what happens there."""

    leg: Leg

    def receive(self, data: bytes) -> None:
        """Bytes that came from this peer."""

    def end_of_stream(self) -> None:
        """Nothing more will come from here."""

    def lost(self) -> None:
        """The connection to this peer is over, both ways. Called once."""

    def block_writing(self, *, blocked: bool) -> None:
        """The peer does not take what it is sent as fast as it comes; or it does again."""


class Socket(Protocol):
    """A WebSocket that passes through the gateway."""

    @property
    def client(self) -> Peer:
        """The end that asked for it."""

    @property
    def server(self) -> Peer:
        """The backend's end."""

    def start(self) -> None:
        """Both legs are ready."""

    def inject(self, message: WebSocketMessage) -> None:
        """Send a message in the name of a peer (`message.from_client`)."""


class GatewayPolicy(Protocol):
    """The gateway's side of the transport. No method may raise; none may block."""

    def bounds(self) -> ConnectionBounds:
        """The bounds in force now."""

    def http_started(self, client: Client) -> None:
        """A client's connection has reached HTTP: its TLS handshake, if any, is over."""

    def refuse_head(self, client: Client, head: bytes, *, complete: bool) -> http.Response | None:
        """The answer to a request head that must not go further, or None; a complete one ends in its blank line."""

    def head_timed_out(self, client: Client, head: bytes) -> http.Response:
        """The answer to a client whose request head took too long; `head` is what has come of it."""

    def refuse_unreadable(self, client: Client, request: http.Request | None, head: bytes) -> http.Response:
        """The answer to a head that mitmproxy's parser does not take.

        A request that has been read as far as its fields becomes a flow, which fails next; of another one nothing
        will be heard again.
        """

    def plan(self, flow: http.HTTPFlow) -> Plan | None:
        """How to carry a flow; None when nobody has routed it."""

    def switching_problem(self, flow: http.HTTPFlow, response: http.Response) -> str | None:
        """What is wrong with a 101 of the backend (RFC 6455 section 4.1), or None."""

    def open_socket(self, flow: http.HTTPFlow, client: Leg, server: Leg) -> Socket:
        """A session for a flow that has switched to WebSocket."""

    def answer_overdue(self, flow: http.HTTPFlow, phase: str) -> None:
        """`connect` or `answer` took longer than planned; the flow is about to fail."""

    def failing(self, flow: http.HTTPFlow, failure: Failure) -> None:
        """A flow is about to fail; called before the `error` hooks run."""

    def failure_answer(self, flow: http.HTTPFlow | None, status: int) -> http.Response:
        """What the client gets for a failed flow. `status` is mitmproxy's own choice."""

    def retrying(self, flow: http.HTTPFlow) -> None:
        """A request is sent once more because its keep-alive connection turned out to be dead."""

    def stream_response(self, flow: http.HTTPFlow) -> bool | Callable[[bytes], bytes]:
        """What `flow.response.stream` shall be when a body turns out to be long or slow."""
