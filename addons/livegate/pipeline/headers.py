"""Rewrites header fields so that sessions and origin checks survive the gateway, and nothing can be spoofed."""

import time
from collections.abc import Iterable

from mitmproxy import http
from mitmproxy.net.http import status_codes

from livegate.pipeline import forwarded
from livegate.pipeline.exchange import Exchange, awaiting_backend, exchange_of
from livegate.pipeline.safety import fail_closed
from livegate.settings import Service

HOP_BY_HOP = frozenset(
    {
        b"connection",
        b"keep-alive",
        b"proxy-connection",
        b"proxy-authenticate",
        b"proxy-authorization",
        b"te",
        b"trailer",
        b"upgrade",
        b"http2-settings",
    }
)
"""RFC 9110 section 7.6.1. Transfer-Encoding is not among them: mitmproxy frames a streamed body by it."""
FORWARDING = frozenset(
    {b"forwarded", b"x-real-ip", b"x-client-ip", b"x-original-url", b"x-rewrite-url", b"x-original-host"}
)
"""Fields, besides X-Forwarded-*, by which only a trusted proxy may speak."""
END_TO_END = frozenset(
    {
        b"host",
        b"cookie",
        b"authorization",
        b"origin",
        b"content-length",
        b"content-type",
        b"transfer-encoding",
        b"x-request-id",
        b"traceparent",
        b"tracestate",
        b"expect",
    }
)
"""Fields that `Connection` cannot nominate for removal."""
SET_BY_US = frozenset({b"host", b"x-request-id", b"traceparent", b"x-real-ip", b"forwarded"})
REMADE = frozenset({b"tracestate", b"sec-websocket-extensions"})
"""tracestate goes only with a good traceparent; of extensions mitmproxy's WebSocket layer cannot bear legal answers."""
_X_FORWARDED = b"x-forwarded-"
_SENSITIVE = HOP_BY_HOP | FORWARDING | END_TO_END

type Field = tuple[bytes, bytes]


class Headers:
    """Make the head that the backend gets, and the head that the client gets."""

    @fail_closed
    def requestheaders(self, flow: http.HTTPFlow) -> None:
        exchange = awaiting_backend(flow)
        if exchange is None or exchange.service is None:
            return
        given = flow.request.headers
        nominated = _nominated(given.fields)
        kept = [field for field in given.fields if _passes(field[0].lower(), nominated)]
        fields = [
            (b"Host", _host(exchange, exchange.service).encode()),
            *_with_origin(kept, exchange, exchange.service),
            *_forwarded(given, exchange),
            *_trace(given),
            (b"X-Request-Id", exchange.request_id.encode()),
            *([(b"Connection", b"Upgrade"), (b"Upgrade", b"websocket")] if exchange.upgrade else []),
        ]
        flow.request.headers = http.Headers(fields)

    def responseheaders(self, flow: http.HTTPFlow) -> None:
        exchange = exchange_of(flow)
        if exchange is None or exchange.refused or flow.response is None:
            return
        exchange.answered_at = time.monotonic()
        flow.response.headers = http.Headers(_answer_fields(flow.response, exchange, flow.request))


def _nominated(fields: Iterable[Field]) -> frozenset[bytes]:
    """The fields that `Connection` names for this hop only, without those that it may not name."""
    names = {
        item.strip().lower() for name, value in fields if name.lower() == b"connection" for item in value.split(b",")
    }
    return frozenset(
        name
        for name in names
        if name not in END_TO_END | FORWARDING and not name.startswith((b"sec-websocket-", _X_FORWARDED))
    )


def _passes(name: bytes, nominated: frozenset[bytes]) -> bool:
    """Whether a request's field goes on as it is; everything else is dropped, or made anew."""
    if name in HOP_BY_HOP or name in nominated or name in FORWARDING or name in SET_BY_US:
        return False
    if name.startswith(_X_FORWARDED) or name in REMADE:
        return False
    if b"_" not in name:
        return True
    twin = name.replace(b"_", b"-")
    return twin not in _SENSITIVE and not twin.startswith((_X_FORWARDED, b"sec-websocket-"))


def _host(exchange: Exchange, service: Service) -> str:
    return exchange.authority if service.host == "keep" else service.backend.authority


def _with_origin(fields: list[Field], exchange: Exchange, service: Service) -> list[Field]:
    has_origin = any(name.lower() == b"origin" for name, _ in fields)
    match service.origin:
        case "preserve" if exchange.upgrade and not has_origin:
            return [*fields, (b"Origin", f"{exchange.scheme}://{exchange.authority}".encode())]
        case "rewrite" if has_origin:
            others = [field for field in fields if field[0].lower() != b"origin"]
            return [*others, (b"Origin", service.backend.url.encode())]
        case "drop":
            return [field for field in fields if field[0].lower() != b"origin"]
        case _:
            return fields


def _forwarded(given: http.Headers, exchange: Exchange) -> list[Field]:
    """For whom this request is asked; what came in counts only from a trusted proxy."""
    told = given.get_all if exchange.peer_trusted else _nothing
    host = forwarded.valid_host(told("X-Forwarded-Host")) or exchange.authority
    port = forwarded.valid_port(told("X-Forwarded-Port")) or forwarded.port_of(host, exchange.scheme)
    element = forwarded.forwarded_element(exchange.peer, exchange.authority, exchange.scheme)
    return [
        (b"X-Forwarded-For", forwarded.appended(told("X-Forwarded-For"), str(exchange.peer)).encode("latin-1")),
        (b"X-Forwarded-Proto", exchange.scheme.encode()),
        (b"X-Forwarded-Host", host.encode()),
        (b"X-Forwarded-Port", port.encode()),
        (b"Forwarded", forwarded.appended(told("Forwarded"), element).encode("latin-1", "replace")),
        (b"X-Real-IP", str(exchange.client).encode()),
    ]


def _nothing(_: str) -> list[str]:
    return []


def _trace(given: http.Headers) -> list[Field]:
    parents = given.get_all("traceparent")
    if not forwarded.valid_trace(parents):
        return [(b"traceparent", forwarded.new_traceparent().encode())]
    states = [(b"tracestate", value) for name, value in given.fields if name.lower() == b"tracestate"]
    return [(b"traceparent", parents[0].encode()), *states]


def _answer_fields(response: http.Response, exchange: Exchange, request: http.Request) -> list[Field]:
    fields = response.headers.fields
    nominated = _nominated(fields)
    dropped = HOP_BY_HOP | nominated | {b"alt-svc", b"x-request-id"}
    if request.http_version == "HTTP/1.0":
        dropped |= {b"transfer-encoding"}  # which HTTP/1.0 does not know: the end of the connection ends the body
    kept = [field for field in fields if field[0].lower() not in dropped]
    if response.status_code == status_codes.SWITCHING:
        kept += [(b"Connection", b"Upgrade"), (b"Upgrade", b"websocket")]
    elif exchange.wants_close:
        kept.append((b"Connection", b"close"))
    own_legacy = any(name.lower().startswith(b"x-ratelimit-") for name, _ in kept)
    limits = [
        (name.encode(), value.encode())
        for name, value in exchange.limit_fields
        if not (own_legacy and name.lower().startswith("x-ratelimit-"))
    ]
    return [*kept, *limits, (b"X-Request-Id", exchange.request_id.encode())]
