"""Events between the gateway's HTTP layers, and the HTTP layer as its children see it."""

from typing import Protocol
from weakref import WeakSet

from mitmproxy import http
from mitmproxy.connection import Server
from mitmproxy.proxy import events
from mitmproxy.proxy.layers import http as http_layers
from mitmproxy.proxy.layers.http._events import HttpEvent

from livegate.proxy.policy import ProxyPolicy

type DeadlineKey = str | tuple[str, int]


class HttpConnection(Protocol):
    """HTTP on one client connection, as its HTTP/1 parsers, streams and WebSockets see it."""

    policy: ProxyPolicy
    streams: dict[int, http_layers.HttpStream]
    used_connections: WeakSet[Server]
    """Backend connections that have carried a request."""

    def set_deadline(self, key: DeadlineKey, seconds: float) -> None:
        """Start a timer. A pending one of the same key is replaced."""

    def clear_deadline(self, key: DeadlineKey) -> None:
        """Cancel a timer, if it is pending."""


class RequestHeadTimeout(events.Event):
    """To the client's HTTP connection: the head that has begun did not arrive in time, or no request came at all."""


class RequestBodyTimeout(events.Event):
    """To the client's HTTP connection: nothing of the request's body has come for too long."""


class LingerTimeout(events.Event):
    """To the client's HTTP connection: it has been answered early and had its time to notice."""


class ResponseTimeout(HttpEvent):
    """To a stream: the backend has not answered in time."""


class FlushTimeout(HttpEvent):
    """To a stream: a response of unknown length has been held back long enough."""


class RelayOutput(HttpEvent):
    """To a stream that has become a WebSocket: its session has something to send outside of any other event."""


class InformationalResponse(HttpEvent):
    """From the backend's connection to the client's: an interim response (RFC 9110 section 15.2)."""

    def __init__(self, stream_id: int, response: http.Response) -> None:
        super().__init__(stream_id)
        self.response = response
