"""Stream of one request and its response in the gateway's HTTP layer.

It adds early responses, body limits, deadlines, and one retry after a closed keep-alive connection.
"""

import time
from logging import WARNING

from mitmproxy import http
from mitmproxy.net.http import http1, status_codes
from mitmproxy.proxy import commands, events, layer
from mitmproxy.proxy.context import Context
from mitmproxy.proxy.layers import http as http_layers
from mitmproxy.proxy.layers.http._events import (
    ErrorCode,
    RequestData,
    RequestEndOfMessage,
    RequestHeaders,
    RequestProtocolError,
    ResponseData,
    ResponseEndOfMessage,
    ResponseHeaders,
    ResponseProtocolError,
)
from mitmproxy.proxy.layers.http._hooks import HttpRequestHeadersHook, HttpResponseHeadersHook

from livegate.mitm.layers.events import FlushTimeout, HttpConnection, InformationalResponse, ResponseTimeout
from livegate.mitm.layers.teardown import ignore
from livegate.mitm.layers.upstream import GetUpstream
from livegate.mitm.layers.websocket import GatewayWebsocketLayer
from livegate.mitm.proxyserver import Abandoned
from livegate.proxy.policy import Failure, FailureKind, ForwardPlan

FLUSH_AFTER_S = 0.1
"""Per response body of unknown length. It is buffered so long for addons to change it, then streamed."""
CLOSED_BEFORE_RESPONSE = "server closed connection"
"""mitmproxy's message for a backend connection that closed without a byte of a response."""
IDEMPOTENT = frozenset({"GET", "HEAD", "OPTIONS", "PUT", "DELETE"})
"""RFC 9110 section 9.2.2. TRACE is missing, because the gateway refuses it."""
_FAILURE_KINDS = {
    ErrorCode.CLIENT_DISCONNECTED: FailureKind.CLIENT_DISCONNECTED,
    ErrorCode.KILL: FailureKind.CLIENT_DISCONNECTED,
    ErrorCode.CANCEL: FailureKind.CLIENT_DISCONNECTED,
    ErrorCode.PASSTHROUGH_CLOSE: FailureKind.CLIENT_DISCONNECTED,
    ErrorCode.REQUEST_TOO_LARGE: FailureKind.REQUEST_TOO_LARGE,
    ErrorCode.REQUEST_VALIDATION_FAILED: FailureKind.REQUEST_MALFORMED,
    ErrorCode.GENERIC_CLIENT_ERROR: FailureKind.REQUEST_MALFORMED,
    ErrorCode.DESTINATION_UNKNOWN: FailureKind.HOST_MISSING,
    ErrorCode.CONNECT_FAILED: FailureKind.CONNECT_FAILED,
    ErrorCode.RESPONSE_VALIDATION_FAILED: FailureKind.RESPONSE_INVALID,
}
"""Kinds by mitmproxy's code; all other codes are failures of the backend."""

type Commands = layer.CommandGenerator[None]


class GatewayStream(http_layers.HttpStream):
    """Stream of one flow."""

    def __init__(self, context: Context, stream_id: int, gateway: HttpConnection) -> None:
        super().__init__(context, stream_id)
        self.gateway = gateway
        self.plan: ForwardPlan | None = None
        self.on_used_connection = False
        self.retried = False
        self.request_bytes = 0

    def _handle_event(self, event: events.Event) -> Commands:
        if isinstance(event, ResponseTimeout):
            yield from self._response_timed_out()
        elif isinstance(event, Abandoned):
            if self.awaits_response:
                yield from self._abort_backend("the request was abandoned")
        elif isinstance(event, FlushTimeout):
            if self.server_state == self.state_consume_response_body:
                yield from self._start_streaming()
        elif isinstance(event, InformationalResponse):
            if self.server_state == self.state_wait_for_response_headers:
                yield http_layers.SendHttp(event, self.context.client)
        else:
            yield from super()._handle_event(event)
        if self.stream_id not in self.gateway.streams:
            self._break_cycles()

    def _break_cycles(self) -> None:
        """Drop references that form cycles, because a garbage collection pauses all connections."""
        self._handle_event = self.client_state = self.server_state = ignore  # type: ignore[method-assign]
        self.context.layers.clear()

    def state_wait_for_request_headers(self, event: RequestHeaders) -> Commands:
        self.flow = http.HTTPFlow(self.context.client, self.context.server)
        self.flow.request = event.request
        self.flow.live = True
        if (yield from self.check_invalid(request=True)):
            return
        self._set_unrouted()
        yield HttpRequestHeadersHook(self.flow)
        if (yield from self.check_killed(emit_error_hook=True)):
            return
        self.server_state = self.state_wait_for_response_headers
        if self.flow.response is not None and not event.end_stream:
            yield from self._respond_early()
            return
        if self.flow.request.headers.get("expect", "").lower() == "100-continue":
            yield from self._continue()
        if self.flow.request.stream and not event.end_stream:
            yield from self.start_request_stream()
        else:
            self.client_state = self.state_consume_request_body

    def _set_unrouted(self) -> None:
        """Address the request to the black hole of the reverse mode until the router routes it."""
        assert self.context.server.address
        data = self.flow.request.data
        data.host, data.port = self.context.server.address[:2]
        data.scheme = b"http"

    def _continue(self) -> Commands:
        response = http.Response.make(100)
        response.headers.clear()
        yield http_layers.SendHttp(ResponseHeaders(self.stream_id, response), self.context.client)
        self.flow.request.headers.pop("expect")

    def _respond_early(self) -> Commands:
        """Respond before the body has arrived, and discard the body (RFC 9112 section 9.6)."""
        assert self.flow.response is not None
        self.flow.response.timestamp_start = time.time()
        self.flow.response.headers["Connection"] = "close"
        self.client_state = self._discard_request_body
        yield HttpResponseHeadersHook(self.flow)
        if (yield from self.check_killed(emit_error_hook=True)):
            return
        yield from self.send_response()
        yield http_layers.SendHttp(ResponseEndOfMessage(self.stream_id), self.context.client)
        self.flow.live = False

    def _discard_request_body(self, event: events.Event) -> Commands:
        if isinstance(event, RequestEndOfMessage):
            yield http_layers.DropStream(self.stream_id)

    def state_consume_request_body(self, event: events.Event) -> Commands:
        yield from super().state_consume_request_body(event)
        if isinstance(event, RequestEndOfMessage):
            self._start_response_timeout()

    def start_request_stream(self) -> Commands:
        if not (yield from self.make_server_connection()):
            self.client_state = self.state_errored
            return
        head = RequestHeaders(self.stream_id, self.flow.request, end_stream=False)
        yield http_layers.SendHttp(head, self.context.server)
        self.client_state = self.state_stream_request_body

    def state_stream_request_body(self, event: RequestData | RequestEndOfMessage) -> Commands:
        if isinstance(event, RequestData):
            self.request_bytes += len(event.data)
            if self.plan is not None and self.request_bytes > self.plan.max_body_bytes:
                yield from self._body_too_large()
                return
        yield from super().state_stream_request_body(event)
        if isinstance(event, RequestEndOfMessage):
            self._start_response_timeout()

    def _body_too_large(self) -> Commands:
        problem = "request body larger than allowed"
        yield http_layers.SendHttp(
            RequestProtocolError(self.stream_id, problem, ErrorCode.REQUEST_TOO_LARGE), self.context.server
        )
        yield from self.handle_protocol_error(
            ResponseProtocolError(self.stream_id, problem, ErrorCode.REQUEST_TOO_LARGE)
        )

    def _start_response_timeout(self) -> None:
        """Start the response timeout once the whole request has been sent."""
        if self.awaits_response and self.plan:
            self.gateway.set_deadline(("response", self.stream_id), self.plan.response_timeout_s)

    @property
    def awaits_response(self) -> bool:
        """Whether the backend has the whole request, but has sent no response head."""
        waiting = self.server_state == self.state_wait_for_response_headers
        return waiting and self.client_state == self.state_done and self.plan is not None and self.flow.response is None

    def _response_timed_out(self) -> Commands:
        if self.server_state != self.state_wait_for_response_headers:
            return
        self.gateway.policy.response_timed_out(self.flow, "response")
        yield from self._abort_backend("backend did not respond in time")

    def _abort_backend(self, why: str) -> Commands:
        yield commands.CloseConnection(self.context.server)
        yield from self._fail(why, ErrorCode.GENERIC_SERVER_ERROR)

    def _fail(self, message: str, code: ErrorCode) -> Commands:
        self.retried = True
        yield from self.handle_protocol_error(ResponseProtocolError(self.stream_id, message, code))

    def make_server_connection(self) -> layer.CommandGenerator[bool]:
        self.plan = self.gateway.policy.plan(self.flow)
        if self.plan is None:
            yield from self._fail("the request was not routed", ErrorCode.CONNECT_FAILED)
            return False
        deadline = ("connect", self.stream_id)
        self.gateway.set_deadline(deadline, self.plan.connect_timeout_s)
        connection, error = yield GetUpstream.to(self.plan.upstream, self.stream_id)
        self.gateway.clear_deadline(deadline)
        if error:
            yield from self._fail(error, ErrorCode.CONNECT_FAILED)
            return False
        self.on_used_connection = connection in self.gateway.used_connections
        self.gateway.used_connections.add(connection)
        self.context.server = self.flow.server_conn = connection
        return True

    def state_wait_for_response_headers(self, event: ResponseHeaders) -> Commands:
        self.gateway.clear_deadline(("response", self.stream_id))
        if event.response.status_code == status_codes.SWITCHING:
            problem = self.gateway.policy.upgrade_response_problem(self.flow, event.response)
            if problem:
                yield commands.CloseConnection(self.context.server)
                yield from self._fail(problem, ErrorCode.GENERIC_SERVER_ERROR)
                return
        yield from super().state_wait_for_response_headers(event)
        if self.server_state == self.state_consume_response_body and not event.end_stream:
            assert self.flow.response is not None
            if http1.expected_http_body_size(self.flow.request, self.flow.response) in (None, -1):
                self.gateway.set_deadline(("flush", self.stream_id), FLUSH_AFTER_S)

    def check_body_size(self, request: bool) -> layer.CommandGenerator[bool]:
        """Stream a response that exceeds its buffer. All else is decided in `requestheaders`."""
        too_long = not request and self.plan and len(self.response_body_buf) > self.plan.stream_above_bytes
        if too_long and self.server_state == self.state_consume_response_body:
            yield from self._start_streaming()
        return False

    def _start_streaming(self) -> Commands:
        assert self.flow.response is not None
        self.flow.response.stream = self.gateway.policy.stream_response(self.flow)
        gathered = bytes(self.response_body_buf)
        self.response_body_buf.clear()
        yield from self.start_response_stream()
        if gathered:
            yield from self.server_state(ResponseData(self.stream_id, gathered))

    def start_response_stream(self) -> Commands:
        assert self.flow.response is not None
        head = ResponseHeaders(self.stream_id, self.flow.response, end_stream=False)
        yield http_layers.SendHttp(head, self.context.client)
        self.server_state = self.state_stream_response_body

    def handle_protocol_error(self, event: RequestProtocolError | ResponseProtocolError) -> Commands:
        self.gateway.clear_deadline(("response", self.stream_id))
        self.gateway.clear_deadline(("flush", self.stream_id))
        if self._can_retry(event):
            yield from self._retry()
            return
        still_open = self.server_state not in (self.state_done, self.state_errored)
        if still_open and self.client_state != self.state_errored:
            self.gateway.policy.request_failing(
                self.flow, Failure(_FAILURE_KINDS.get(event.code, FailureKind.BACKEND_FAILED), event.message)
            )
        yield from super().handle_protocol_error(event)

    def _can_retry(self, event: RequestProtocolError | ResponseProtocolError) -> bool:
        """Return whether a closed keep-alive connection allows to send the request again (RFC 9112 section 9.3.1)."""
        return (
            isinstance(event, ResponseProtocolError)
            and event.message == CLOSED_BEFORE_RESPONSE
            and self.on_used_connection
            and not self.retried
            and self.server_state == self.state_wait_for_response_headers
            and self.client_state == self.state_done
            and self.flow.request.method in IDEMPOTENT
            and not self.flow.request.raw_content
            and self.request_bytes == 0
        )

    def _retry(self) -> Commands:
        self.retried = True
        self.gateway.policy.retrying(self.flow)
        if not (yield from self.make_server_connection()):
            return
        head = RequestHeaders(self.stream_id, self.flow.request, end_stream=True)
        yield http_layers.SendHttp(head, self.context.server)
        yield http_layers.SendHttp(RequestEndOfMessage(self.stream_id), self.context.server)
        self._start_response_timeout()

    def flow_done(self) -> Commands:
        assert self.flow.response is not None
        if self.flow.response.status_code != status_codes.SWITCHING:
            yield from super().flow_done()
            return
        if self.flow.websocket is None:
            yield commands.Log("A backend switched protocols, but mitmproxy's option websocket is off.", WARNING)
            self.flow.live = False
            yield commands.CloseConnection(self.context.client)
            self.client_state = self.server_state = self.state_errored
            return
        self.child_layer = GatewayWebsocketLayer(self.context, self.flow, self.gateway, self.stream_id)
        self._handle_event = self.passthrough  # type: ignore[method-assign]  # as mitmproxy's own layers do
        yield from self.child_layer.handle_event(events.Start())
        yield http_layers.SendHttp(ResponseEndOfMessage(self.stream_id), self.context.client)
