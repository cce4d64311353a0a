"""Events of our own that travel between the gateway's HTTP layers."""

from mitmproxy import http
from mitmproxy.proxy import events
from mitmproxy.proxy.layers.http._events import HttpEvent


class HeadOverdue(events.Event):
    """To the client's HTTP connection: the head that has begun did not arrive in time, or no request came at all."""


class BodyOverdue(events.Event):
    """To the client's HTTP connection: nothing of the request's body has come for too long."""


class LingerOver(events.Event):
    """To the client's HTTP connection: it has been answered early and had its time to notice."""


class AnswerOverdue(HttpEvent):
    """To a stream: the backend has not answered in time."""


class Abandoned(HttpEvent):
    """To a stream: nobody shall wait for the backend's answer any longer."""


class FlushDue(HttpEvent):
    """To a stream: a response of unknown length has been held back long enough."""


class SocketOutput(HttpEvent):
    """To a stream that has become a WebSocket: its session has something to send outside of any other event."""


class InformationalResponse(HttpEvent):
    """From the backend's connection to the client's: an interim response (RFC 9110 section 15.2)."""

    def __init__(self, stream_id: int, response: http.Response) -> None:
        super().__init__(stream_id)
        self.response = response
