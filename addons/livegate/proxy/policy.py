"""What the transport layers ask of the gateway: the questions as a protocol, the answers as plain values."""

from collections.abc import Callable
from dataclasses import dataclass
from enum import Enum, auto
from pathlib import Path
from typing import Protocol

from mitmproxy import http
from mitmproxy.connection import Client

from livegate.websocket.relay import WebSocketRelay
from livegate.websocket.transport import PeerTransport


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
class ForwardPlan:
    """How one request is to be carried. Times in seconds, sizes in bytes."""

    upstream: Upstream
    connect_timeout_s: float
    response_timeout_s: float
    """Until the head of the answer: the `response` or, for an upgrade, the `upgrade` time."""
    stream_above_bytes: int
    max_body_bytes: int


@dataclass(frozen=True, slots=True)
class ConnectionLimits:
    """What a client's connection may take before a request is complete. Times in seconds."""

    request_head_timeout_s: float
    keep_alive_timeout_s: float
    max_head_bytes: int
    """Bytes of one request head; also what a client may send ahead while it waits for an answer, times four."""


class FailureKind(Enum):
    """Reason why a request could not be completed."""

    CLIENT_DISCONNECTED = auto()
    """The client closed its connection, or an addon killed the flow: nobody is left to respond to."""
    REQUEST_MALFORMED = auto()
    REQUEST_TOO_LARGE = auto()
    HOST_MISSING = auto()
    CONNECT_FAILED = auto()
    RESPONSE_INVALID = auto()
    """The response breaks HTTP's rules."""
    BACKEND_FAILED = auto()
    """The backend closed its connection, sent no readable response, or ran out of time."""


@dataclass(frozen=True, slots=True)
class Failure:
    """A request that could not be completed, as the layer saw it."""

    kind: FailureKind
    message: str
    """For the log only: it may name addresses."""


class ProxyPolicy(Protocol):
    """The gateway's side of the transport. No method may raise; none may block."""

    def limits(self) -> ConnectionLimits:
        """The bounds in force now."""

    def http_started(self, client: Client) -> None:
        """A client's connection has reached HTTP: its TLS handshake, if any, is over."""

    def refuse_head(self, client: Client, head: bytes, *, complete: bool) -> http.Response | None:
        """The answer to a request head that must not go further, or None; a complete one ends in its blank line."""

    def request_head_timed_out(self, client: Client, head: bytes) -> http.Response:
        """The answer to a client whose request head took too long; `head` is what has come of it."""

    def refuse_unreadable(self, client: Client, request: http.Request | None, head: bytes) -> http.Response:
        """The answer to a head that mitmproxy's parser does not take.

        A request that has been read as far as its fields becomes a flow, which fails next; of another one nothing
        will be heard again.
        """

    def plan(self, flow: http.HTTPFlow) -> ForwardPlan | None:
        """How to carry a flow; None when nobody has routed it."""

    def upgrade_response_problem(self, flow: http.HTTPFlow, response: http.Response) -> str | None:
        """What is wrong with a 101 of the backend (RFC 6455 section 4.1), or None."""

    def open_relay(self, flow: http.HTTPFlow, client: PeerTransport, backend: PeerTransport) -> WebSocketRelay:
        """A session for a flow that has switched to WebSocket."""

    def response_timed_out(self, flow: http.HTTPFlow, phase: str) -> None:
        """`connect` or `answer` took longer than planned; the flow is about to fail."""

    def request_failing(self, flow: http.HTTPFlow, failure: Failure) -> None:
        """A flow is about to fail; called before the `error` hooks run."""

    def failure_response(self, flow: http.HTTPFlow | None, status: int) -> http.Response:
        """What the client gets for a failed flow. `status` is mitmproxy's own choice."""

    def retrying(self, flow: http.HTTPFlow) -> None:
        """A request is sent once more because its keep-alive connection turned out to be dead."""

    def stream_response(self, flow: http.HTTPFlow) -> bool | Callable[[bytes], bytes]:
        """What `flow.response.stream` shall be when a body turns out to be long or slow."""
