"""Contract of the data plane: the decisions that it requests from the gateway, and their plain values."""

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
    """Address and TLS parameters of a backend. Connections are reused only between equal upstreams."""

    host: str
    port: int
    tls: bool = False
    verify: bool = True
    server_name: str | None = None
    """Name for SNI and for the check of the certificate; the host when None."""
    ca_file: Path | None = None
    """Trust anchors as PEM; the usual public ones when None."""


@dataclass(frozen=True, slots=True)
class ForwardPlan:
    """Parameters for forwarding one request."""

    upstream: Upstream
    connect_timeout_s: float
    response_timeout_s: float
    """From the complete request to the response head."""
    stream_above_bytes: int
    max_body_bytes: int


@dataclass(frozen=True, slots=True)
class ConnectionLimits:
    """Limits of a client's connection while no complete request has arrived."""

    request_head_timeout_s: float
    keep_alive_timeout_s: float
    max_head_bytes: int
    """Of one request head. A client may send four times as much ahead while it waits for a response."""


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
    """For the log only, because it may contain addresses."""


class ProxyPolicy(Protocol):
    """Decisions of the gateway. No method may raise or block."""

    def limits(self) -> ConnectionLimits:
        """Return the limits in force."""

    def http_started(self, client: Client) -> None:
        """Note that a client's TLS handshake, if any, has finished and HTTP begins."""

    def refuse_head(self, client: Client, head: bytes, *, complete: bool) -> http.Response | None:
        """Return a response that refuses a request head, or None. A complete head ends with its blank line."""

    def request_head_timed_out(self, client: Client, head: bytes) -> http.Response:
        """Return the response to a client whose request head, of which `head` has arrived, took too long."""

    def refuse_unreadable(self, client: Client, request: http.Request | None, head: bytes) -> http.Response:
        """Return the response to a head that mitmproxy cannot parse.

        A request with readable fields becomes a flow, which fails next. Without one, no other method follows.
        """

    def plan(self, flow: http.HTTPFlow) -> ForwardPlan | None:
        """Return how to forward a flow, or None if it was not routed."""

    def upgrade_response_problem(self, flow: http.HTTPFlow, response: http.Response) -> str | None:
        """Return what is wrong with a 101 of the backend (RFC 6455 section 4.1), or None."""

    def open_relay(self, flow: http.HTTPFlow, client: PeerTransport, backend: PeerTransport) -> WebSocketRelay:
        """Return the relay for a flow that has switched to WebSocket."""

    def response_timed_out(self, flow: http.HTTPFlow, phase: str) -> None:
        """Note that `connect` or `response` exceeded its timeout. The flow fails next."""

    def request_failing(self, flow: http.HTTPFlow, failure: Failure) -> None:
        """Note that a flow fails. Called before the `error` hooks."""

    def failure_response(self, flow: http.HTTPFlow | None, status: int) -> http.Response:
        """Return the response for a failed flow. `status` is mitmproxy's choice."""

    def retrying(self, flow: http.HTTPFlow) -> None:
        """Note that a request is sent again, because its keep-alive connection was closed."""

    def stream_response(self, flow: http.HTTPFlow) -> bool | Callable[[bytes], bytes]:
        """Return the value of `flow.response.stream` for a body that turns out to be long or slow."""
