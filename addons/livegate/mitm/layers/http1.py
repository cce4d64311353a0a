"""HTTP/1 connections to clients and backends, stricter and more complete than mitmproxy's own.

They add limits on heads, interim responses, trailers, lingering closes, and `Connection: close` kept in mind although
the field itself is removed.
"""

import re
from logging import WARNING
from typing import Any

import h11
from h11._readers import ChunkedReader
from mitmproxy import http
from mitmproxy.connection import ConnectionState
from mitmproxy.net.http import http1, status_codes
from mitmproxy.proxy import commands, events, layer
from mitmproxy.proxy.context import Context
from mitmproxy.proxy.layers.http import _http1
from mitmproxy.proxy.layers.http._base import ReceiveHttp
from mitmproxy.proxy.layers.http._events import (
    ErrorCode,
    HttpEvent,
    RequestHeaders,
    RequestProtocolError,
    ResponseData,
    ResponseHeaders,
    ResponseProtocolError,
)

from livegate.mitm.fast_headers import use_fast_headers
from livegate.mitm.layers.events import (
    HttpConnection,
    InformationalResponse,
    LingerTimeout,
    RequestBodyTimeout,
    RequestHeadTimeout,
)

MAX_RESPONSE_HEAD_BYTES = 256 * 1024
MAX_INTERIM_RESPONSES = 16
SEND_AHEAD_HEADS = 4
"""Per client connection, in units of `max_head_bytes`. A client that sends more while it waits is disconnected."""
LINGER_S = 5.0

_BLANK_LINES = re.compile(rb"(?:\r?\n)*")
_HEAD_END = re.compile(rb"\n\r?\n")
_INTERIM = re.compile(rb"HTTP/1\.[01] 1(?!01\b)\d\d\b")

type Commands = layer.CommandGenerator[None]


class _TrailersDropped:
    """Body reader that drops trailers (RFC 9110 section 6.5.1), because mitmproxy's own fails on them."""

    def __init__(self, reader: ChunkedReader) -> None:
        self._reader = reader

    def __call__(self, buf: Any) -> Any:
        event = self._reader(buf)
        return h11.EndOfMessage() if isinstance(event, h11.EndOfMessage) else event

    def read_eof(self) -> Any:
        return self._reader.read_eof()


def _body_reader(expected_size: int | None) -> Any:
    reader = _http1.make_body_reader(expected_size)
    return _TrailersDropped(reader) if isinstance(reader, ChunkedReader) else reader


class GatewayHttp1Server(_http1.Http1Server):
    """HTTP/1 connection to a client."""

    def __init__(self, context: Context, gateway: HttpConnection) -> None:
        super().__init__(context)
        self.gateway = gateway
        self.must_close = False
        self.head_started = False

    def _handle_event(self, event: events.Event) -> Commands:
        if isinstance(event, RequestHeadTimeout):
            yield from self._request_head_timed_out()
        elif isinstance(event, LingerTimeout) or (
            isinstance(event, events.DataReceived) and self._exceeds_send_ahead(event)
        ):
            yield commands.CloseConnection(self.conn)
        elif isinstance(event, RequestBodyTimeout):
            yield from self._request_body_timed_out()
        else:
            yield from super()._handle_event(event)
            if self.state == self.read_body:
                self.gateway.set_deadline("body", self.gateway.policy.limits().keep_alive_timeout_s)
            else:
                self.gateway.clear_deadline("body")

    def _exceeds_send_ahead(self, event: events.DataReceived) -> bool:
        bound = SEND_AHEAD_HEADS * self.gateway.policy.limits().max_head_bytes
        return self.state == self.wait and len(self.buf) + len(event.data) > bound

    def _request_head_timed_out(self) -> Commands:
        if self.state != self.read_headers:
            return
        if self.head_started:
            yield from self._refuse(self.gateway.policy.request_head_timed_out(self.context.client, bytes(self.buf)))
        else:
            yield commands.CloseConnection(self.conn)

    def _request_body_timed_out(self) -> Commands:
        """Abort a request with a stalled body, because it occupies the backend too."""
        if self.state == self.read_body:
            yield commands.CloseConnection(self.conn)
            stalled = RequestProtocolError(self.stream_id, "request body stalled", ErrorCode.CLIENT_DISCONNECTED)
            yield ReceiveHttp(stalled)

    def _refuse(self, response: http.Response) -> Commands:
        """Send a response and close, without a flow, because the request could not be read."""
        self.gateway.clear_deadline("head")
        self.state = self.done
        yield commands.SendData(self.conn, self._assemble(response))
        yield commands.CloseConnection(self.conn)

    def read_headers(self, event: events.ConnectionEvent) -> Commands:
        if not isinstance(event, events.DataReceived):
            yield commands.CloseConnection(self.conn)
            return
        self._skip_blank_lines()
        buffered = bytes(self.buf)
        if not buffered:
            return
        end = _HEAD_END.search(buffered)
        head = buffered[: end.end()] if end else buffered
        response = self.gateway.policy.refuse_head(self.context.client, head, complete=end is not None)
        if response is not None:
            yield from self._refuse(response)
        elif end is None:
            if not self.head_started:
                self.head_started = True
                self.gateway.set_deadline("head", self.gateway.policy.limits().request_head_timeout_s)
        else:
            yield from self._begin_request(event)

    def _skip_blank_lines(self) -> None:
        """Ignore empty lines before a request line (RFC 9112 section 2.2)."""
        blank = _BLANK_LINES.match(bytes(self.buf)).end()  # type: ignore[union-attr]  # it always matches
        if blank:
            self.buf.maybe_extract_at_most(blank)

    def _begin_request(self, event: events.DataReceived) -> Commands:
        self.head_started = False
        self.gateway.clear_deadline("head")
        lines = self.buf.maybe_extract_lines() or []
        request: http.Request | None = None
        try:
            request = http1.read_request_head([bytes(line) for line in lines])
            use_fast_headers(request)
            expected = http1.expected_http_body_size(request)
        except ValueError as error:
            yield from self._refuse_unreadable(request, b"\n".join(map(bytes, lines)), str(error))
            return
        self.request = request
        # Read now, because the headers addon removes `Connection` from the request.
        self.must_close = self.must_close or http1.connection_close(request.http_version, request.headers)
        self.body_reader = _body_reader(expected)
        yield ReceiveHttp(RequestHeaders(self.stream_id, request, expected == 0))
        self.state = self.read_body
        yield from self.state(event)

    def _refuse_unreadable(self, request: http.Request | None, head: bytes, problem: str) -> Commands:
        """Refuse a head that mitmproxy cannot parse. It becomes a flow if it has readable fields."""
        self.request = request
        yield from self._refuse(self.gateway.policy.refuse_unreadable(self.context.client, request, head))
        if request is not None:
            yield ReceiveHttp(RequestHeaders(self.stream_id, request, end_stream=False))
            yield ReceiveHttp(RequestProtocolError(self.stream_id, problem, ErrorCode.GENERIC_CLIENT_ERROR))

    def read_body(self, event: events.Event) -> Commands:
        malformed = False
        stream = self.gateway.streams.get(self.stream_id)
        for command in super().read_body(event):
            closing = isinstance(command, commands.CloseConnection) and self.state == self.read_body
            if closing and isinstance(event, events.DataReceived):
                malformed = True  # mitmproxy would close without a response
            else:
                yield command
        if malformed and self.response is None:
            flow = stream.flow if stream else None
            yield from self._refuse(self.gateway.policy.failure_response(flow, status_codes.BAD_REQUEST))
        elif malformed:
            yield commands.CloseConnection(self.conn)

    def send(self, event: HttpEvent) -> Commands:
        if self.state == self.done:
            return
        if isinstance(event, InformationalResponse):
            if self.request is not None and self.request.is_http11 and self.response is None:
                yield commands.SendData(self.conn, http1.assemble_response_head(event.response))
        elif isinstance(event, ResponseHeaders) and event.response.status_code == status_codes.CONTINUE:
            # mitmproxy's own response to `Expect: 100-continue`, not the final one.
            yield commands.SendData(self.conn, http1.assemble_response_head(event.response))
        elif isinstance(event, ResponseHeaders):
            self._announce_close(event.response)
            yield from super().send(event)
        elif isinstance(event, ResponseData) and self._responds_to_head:
            pass  # the client would take the body of an addon's response for the next response
        elif isinstance(event, ResponseProtocolError):
            yield from self._send_failure(event)
        else:
            yield from super().send(event)

    @property
    def _responds_to_head(self) -> bool:
        """Whether no body may follow the response head (RFC 9110 section 9.3.2)."""
        return self.request is not None and self.request.method.upper() == "HEAD"

    def _assemble(self, response: http.Response) -> bytes:
        whole: bytes = (
            http1.assemble_response_head(response) if self._responds_to_head else http1.assemble_response(response)
        )
        return whole

    def _announce_close(self, response: http.Response) -> None:
        """Add `Connection: close` when the connection closes after this response (RFC 9112 section 9.6)."""
        assert self.request is not None
        if response.status_code == status_codes.SWITCHING:
            return
        until_eof = http1.expected_http_body_size(self.request, response) == -1
        has_close = "close" in response.headers.get("connection", "").lower()
        self.must_close = self.must_close or until_eof or has_close
        if self.must_close and not has_close:
            response.headers["Connection"] = "close"

    def _send_failure(self, event: ResponseProtocolError) -> Commands:
        if not self.conn.state & ConnectionState.CAN_WRITE:
            return
        status = event.code.http_status_code()
        if self.response is not None or status is None:
            yield commands.CloseConnection(self.conn)
            return
        stream = self.gateway.streams.get(event.stream_id)
        response = self.gateway.policy.failure_response(stream.flow if stream else None, status)
        keep = self.request_done and not self.must_close and "connection" not in response.headers
        if not keep:
            response.headers["Connection"] = "close"
        yield commands.SendData(self.conn, self._assemble(response))
        self.response = response
        if keep:
            yield from self.mark_done(response=True)
        else:
            yield from self._linger_or_close()

    def _linger_or_close(self) -> Commands:
        """Close after LINGER_S if the client is still sending, because a reset would discard the response."""
        self.must_close = True
        if self.request_done:
            yield commands.CloseConnection(self.conn)
        else:
            self.response_done = True
            self.gateway.set_deadline("linger", LINGER_S)

    def mark_done(self, *, request: bool = False, response: bool = False) -> Commands:
        self.request_done = self.request_done or request
        self.response_done = self.response_done or response
        if self.request_done and self.response_done:
            assert self.request is not None
            assert self.response is not None
            if self.must_close and not _http1.should_make_pipe(self.request, self.response):
                self.gateway.clear_deadline("linger")
                self.state = self.done
                yield commands.CloseConnection(self.conn)
                return
            self.gateway.set_deadline("head", self.gateway.policy.limits().keep_alive_timeout_s)
            if _http1.should_make_pipe(self.request, self.response):
                self.gateway.clear_deadline("head")
        elif self.response_done:
            self.must_close = True
            self.gateway.set_deadline("linger", LINGER_S)
        yield from super().mark_done()


class GatewayHttp1Client(_http1.Http1Client):
    """HTTP/1 connection to a backend."""

    def __init__(self, context: Context) -> None:
        super().__init__(context)
        self.must_close = False
        self.interim_responses = 0

    def read_headers(self, event: events.ConnectionEvent) -> Commands:
        if isinstance(event, events.DataReceived) and self.request is not None:
            yield from self._read_response_head(event)
        elif isinstance(event, events.DataReceived):
            # The data is not logged, because it may be the response to any client.
            yield commands.Log("A backend connection was closed: it sent data without a request.", WARNING)
            yield commands.CloseConnection(self.conn)
        elif self.buf and self.stream_id is not None:
            yield from self._fail("connection closed within the response head")
        else:
            yield from super().read_headers(event)

    def _read_response_head(self, event: events.DataReceived) -> Commands:
        assert self.stream_id is not None
        while _INTERIM.match(bytes(self.buf)) and (lines := self.buf.maybe_extract_lines()):
            self.interim_responses += 1
            if self.interim_responses > MAX_INTERIM_RESPONSES:
                yield from self._fail("too many interim responses")
                return
            interim = http1.read_response_head([bytes(line) for line in lines])
            if interim.status_code != status_codes.CONTINUE:
                yield ReceiveHttp(InformationalResponse(self.stream_id, interim))
        lines = self.buf.maybe_extract_lines()
        if not lines:
            if len(self.buf) > MAX_RESPONSE_HEAD_BYTES:
                yield from self._fail(f"response head larger than {MAX_RESPONSE_HEAD_BYTES} bytes")
            return
        assert self.request is not None
        try:
            response = http1.read_response_head([bytes(line) for line in lines])
            use_fast_headers(response)
            expected = http1.expected_http_body_size(self.request, response)
        except ValueError:  # its text may contain field values, which must not be logged
            yield from self._fail("the response head is malformed")
            return
        self.response = response
        self.interim_responses = 0
        self.must_close = http1.connection_close(response.http_version, response.headers)
        self.body_reader = _body_reader(expected)
        yield ReceiveHttp(ResponseHeaders(self.stream_id, response, expected == 0))
        self.state = self.read_body
        yield from self.state(event)

    def _fail(self, problem: str) -> Commands:
        assert self.stream_id is not None
        yield commands.CloseConnection(self.conn)
        yield ReceiveHttp(ResponseProtocolError(self.stream_id, problem, ErrorCode.GENERIC_SERVER_ERROR))

    def mark_done(self, *, request: bool = False, response: bool = False) -> Commands:
        self.request_done = self.request_done or request
        self.response_done = self.response_done or response
        if self.request_done and self.response_done and self.must_close:
            assert self.request is not None
            assert self.response is not None
            if not _http1.should_make_pipe(self.request, self.response):
                self.state = self.done
                yield commands.CloseConnection(self.conn)
                return
        yield from super().mark_done()
