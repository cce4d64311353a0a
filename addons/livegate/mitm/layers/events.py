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
    """For the client's HTTP connection: no complete request head has arrived in time."""


class RequestBodyTimeout(events.Event):
    """For the client's HTTP connection: the request body has stalled."""


class LingerTimeout(events.Event):
    """For the client's HTTP connection: the time to read an early response has passed."""


class ResponseTimeout(HttpEvent):
    """For a stream: the backend has not responded in time."""


class FlushTimeout(HttpEvent):
    """For a stream: a response of unknown length has been buffered for its time."""


class RelayOutput(HttpEvent):
    """For a stream that is a WebSocket: its relay has output outside of any other event."""


class InformationalResponse(HttpEvent):
    """An interim response, from the backend's connection to the client's (RFC 9110 section 15.2)."""

    def __init__(self, stream_id: int, response: http.Response) -> None:
        super().__init__(stream_id)
        self.response = response
