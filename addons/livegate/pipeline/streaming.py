"""Streams long bodies in both directions, and refuses request bodies larger than `limits.body` (413)."""

from mitmproxy import http

from livegate.http1.refusal import Refusal
from livegate.http1.request_head import MAX_LENGTH_DIGITS
from livegate.pipeline.exchange.record import BoundedCopy, Exchange, awaiting_backend, exchange_of
from livegate.pipeline.exchange.responses import refuse
from livegate.pipeline.fail_closed import fail_closed


class Streaming:
    """Decide from each head whether its body is streamed, and keep a bounded copy of a streamed body for display."""

    @fail_closed
    def requestheaders(self, flow: http.HTTPFlow) -> None:
        exchange = awaiting_backend(flow)
        if exchange is None:
            return
        limits = exchange.settings.limits
        length = content_length(flow.request.headers)
        if length is not None and length > limits.body:
            message = f"The request body is too large: {length} bytes (limit {limits.body})."
            refuse(flow, Refusal(413, message, "body-too-large"))
        elif should_stream_request(flow, exchange):
            exchange.streams_request = True
            exchange.request_copy = BoundedCopy(limits.stream_above)
            flow.request.stream = exchange.request_copy

    def request(self, flow: http.HTTPFlow) -> None:
        exchange = exchange_of(flow)
        if exchange is not None and exchange.request_copy is not None:
            flow.request.data.content = exchange.request_copy.content

    def responseheaders(self, flow: http.HTTPFlow) -> None:
        exchange = exchange_of(flow)
        if exchange is None or exchange.refusal_reason or flow.response is None or flow.response.stream:
            return
        if should_stream_response(flow.response, exchange):
            flow.response.stream = tap_response(exchange)

    def response(self, flow: http.HTTPFlow) -> None:
        exchange = exchange_of(flow)
        if exchange is not None and exchange.response_copy is not None and flow.response is not None:
            flow.response.data.content = exchange.response_copy.content


def content_length(headers: http.Headers) -> int | None:
    """Return the value of a valid Content-Length, else None. mitmproxy refuses an invalid one before any hook."""
    value = headers.get("content-length", "")
    return int(value) if value.isascii() and value.isdigit() and len(value) <= MAX_LENGTH_DIGITS else None


def should_stream_request(flow: http.HTTPFlow, exchange: Exchange) -> bool:
    """Return whether a request body is longer than `stream_above` or of unknown length."""
    if "transfer-encoding" in flow.request.headers:
        return True
    length = content_length(flow.request.headers)
    return length is not None and length > exchange.settings.limits.stream_above


def should_stream_response(response: http.Response, exchange: Exchange) -> bool:
    """Return whether a response is endless (Server-Sent Events) or longer than `stream_above`, by its head."""
    media_type = response.headers.get("content-type", "").partition(";")[0].strip().lower()
    if media_type == "text/event-stream":
        return True
    length = content_length(response.headers)
    return length is not None and length > exchange.settings.limits.stream_above


def tap_response(exchange: Exchange) -> BoundedCopy:
    """Return the callback for `flow.response.stream` that counts and copies a streamed response."""
    exchange.response_copy = BoundedCopy(exchange.settings.limits.stream_above)
    return exchange.response_copy
