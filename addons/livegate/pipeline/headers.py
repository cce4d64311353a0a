"""Rewrites the head that the backend gets and the head that the client gets, so that no field can be spoofed."""

import logging
import time
from collections.abc import Iterable, Sequence

from mitmproxy import http
from mitmproxy.net.http import status_codes

from livegate.http1.field_values import Fields, members
from livegate.logs.context import about
from livegate.mitm.fast_headers import make_fast_headers
from livegate.pipeline.exchange.record import Exchange, awaiting_backend, exchange_of
from livegate.pipeline.fail_closed import fail_closed
from livegate.pipeline.fields import diff, forwarded
from livegate.pipeline.fields.trace_context import new_traceparent, read_traceparent
from livegate.settings import Service
from livegate.websocket import deflate

logger = logging.getLogger(__name__)

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
"""RFC 9110 section 7.6.1, without Transfer-Encoding, because mitmproxy frames a streamed body by it."""
FORWARDING = frozenset(
    {b"forwarded", b"x-real-ip", b"x-client-ip", b"x-original-url", b"x-rewrite-url", b"x-original-host"}
)
"""Fields, besides X-Forwarded-*, that are kept only if a trusted proxy sent them."""
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
REGENERATED = frozenset(
    {
        b"host",
        b"x-request-id",
        b"x-real-ip",
        b"forwarded",
        b"x-forwarded-for",
        b"x-forwarded-host",
        b"x-forwarded-port",
        b"x-forwarded-proto",
        b"traceparent",
        b"tracestate",
    }
)
"""Fields of a request that the gateway writes anew, from a trusted proxy's values if there are any."""
ADMIN_COOKIE = b"livegate_admin"
"""Cookie of the admin listener. Browsers send it to every port of a host, and apps must not get it."""
EXTENSIONS = b"sec-websocket-extensions"
_X_FORWARDED = b"x-forwarded-"
_PROTECTED = END_TO_END | FORWARDING
_PROTECTED_PREFIXES = (b"sec-websocket-", _X_FORWARDED)
_SENSITIVE = HOP_BY_HOP | _PROTECTED
_REMOVED = HOP_BY_HOP | REGENERATED | {EXTENSIONS}
_REMOVED_FROM_RESPONSES = HOP_BY_HOP | {b"alt-svc", b"x-request-id"}

type Field = tuple[bytes, bytes]


class Headers:
    """Rewrite request heads before they go to the backend, and response heads before they go to the client."""

    @fail_closed
    def requestheaders(self, flow: http.HTTPFlow) -> None:
        exchange = awaiting_backend(flow)
        if exchange is None or exchange.service is None:
            return
        kept, removed = _partition(flow.request.headers.fields, trusted=exchange.peer_trusted)
        fields = [
            (b"Host", _host(exchange, exchange.service).encode()),
            *_with_origin(kept, exchange, exchange.service),
            *_forwarded(removed, exchange),
            *_trace(removed),
            (b"X-Request-Id", exchange.request_id.encode()),
            *_upgrade(removed, exchange, exchange.service),
        ]
        if logger.isEnabledFor(logging.DEBUG):
            _log_field_changes(flow, "request", flow.request.headers.fields, fields)
        flow.request.headers = make_fast_headers(fields)

    def responseheaders(self, flow: http.HTTPFlow) -> None:
        exchange = exchange_of(flow)
        if exchange is None or exchange.refusal_reason or flow.response is None:
            return
        exchange.response_started_at = time.monotonic()
        fields = _response_fields(flow.response, exchange, flow.request)
        if logger.isEnabledFor(logging.DEBUG):
            _log_field_changes(flow, "response", flow.response.headers.fields, fields)
        flow.response.headers = make_fast_headers(fields)


def _log_field_changes(flow: http.HTTPFlow, message: str, before: Fields, after: Fields) -> None:
    """Log, at level debug, which fields were removed, added and changed."""
    changes = diff.describe(before, after)
    logger.debug("header fields of the %s: %s", message, changes or "unchanged", extra=about(flow))


def _partition(fields: Fields, *, trusted: bool) -> tuple[list[Field], dict[bytes, list[bytes]]]:
    """Return the fields of a request that are kept, and the values of the removed ones by lower-case name."""
    kept: list[Field] = []
    removed: dict[bytes, list[bytes]] = {}
    for field in fields:
        name = field[0].lower()
        if name in _REMOVED:
            removed.setdefault(name, []).append(field[1])
        elif name in FORWARDING or name.startswith(_X_FORWARDED):
            if trusted:
                kept.append(field)
        elif name == b"cookie" and ADMIN_COOKIE in field[1]:
            kept += _without_admin_cookie(field)
        elif b"_" not in name or not _is_sensitive(name.replace(b"_", b"-")):
            kept.append(field)
    nominated = _nominated(removed.get(b"connection", ()))
    return [field for field in kept if field[0].lower() not in nominated] if nominated else kept, removed


def _is_sensitive(name: bytes) -> bool:
    """Return whether a field's variant with underscores could be taken for it, as CGI, WSGI and Plug.Conn do."""
    return name in _SENSITIVE or name.startswith(_PROTECTED_PREFIXES)


def _without_admin_cookie(field: Field) -> list[Field]:
    pairs = [pair for pair in field[1].split(b";") if pair.partition(b"=")[0].strip() != ADMIN_COOKIE]
    rest = b";".join(pairs).strip()
    return [(field[0], rest)] if rest else []


def _nominated(connection: Iterable[bytes]) -> set[bytes]:
    """Return the fields that `Connection` nominates for removal, without the protected ones."""
    names = {name.lower() for name in members(connection)}
    return {
        name
        for name in names
        if name not in _PROTECTED and name not in HOP_BY_HOP and not name.startswith(_PROTECTED_PREFIXES)
    }


def _host(exchange: Exchange, service: Service) -> str:
    return exchange.authority if service.host == "keep" else service.backend.authority


def _with_origin(fields: list[Field], exchange: Exchange, service: Service) -> list[Field]:
    if service.origin == "passthrough" or (service.origin == "preserve" and not exchange.upgrade):
        return fields
    others = [field for field in fields if field[0].lower() != b"origin"]
    has_origin = len(others) < len(fields)
    match service.origin:
        case "preserve" if not has_origin:
            return [*fields, (b"Origin", f"{exchange.scheme}://{exchange.authority}".encode())]
        case "rewrite" if has_origin:
            return [*others, (b"Origin", service.backend.url.encode())]
        case "drop":
            return others
        case _:
            return fields


def _forwarded(removed: dict[bytes, list[bytes]], exchange: Exchange) -> list[Field]:
    """Return the forwarding fields. Received values count only if a trusted proxy sent them."""
    received = removed if exchange.peer_trusted else {}
    peer = str(exchange.peer)
    client = peer if exchange.client is exchange.peer else str(exchange.client)
    host = forwarded.valid_host(_texts(received, b"x-forwarded-host")) or exchange.authority
    port = forwarded.valid_port(_texts(received, b"x-forwarded-port")) or forwarded.port_of(host, exchange.scheme)
    element = forwarded.forwarded_element(peer, exchange.authority, exchange.scheme)
    return [
        (b"X-Forwarded-For", forwarded.appended(_texts(received, b"x-forwarded-for"), peer).encode("latin-1")),
        (b"X-Forwarded-Proto", exchange.scheme.encode()),
        (b"X-Forwarded-Host", host.encode()),
        (b"X-Forwarded-Port", port.encode()),
        (b"Forwarded", forwarded.forwarded(_texts(received, b"forwarded"), element).encode("latin-1")),
        (b"X-Real-IP", client.encode()),
    ]


def _upgrade(removed: dict[bytes, list[bytes]], exchange: Exchange, service: Service) -> list[Field]:
    """Return the fields that ask for a WebSocket. Of the extensions offered, only permessage-deflate is kept."""
    if not exchange.upgrade:
        return []
    fields = [(b"Connection", b"Upgrade"), (b"Upgrade", b"websocket")]
    if service.websocket.compression == "passthrough":
        offer = deflate.filter_offer(_texts(removed, EXTENSIONS))
        if offer is not None:
            fields.append((b"Sec-WebSocket-Extensions", offer.encode()))
    return fields


def _texts(values: dict[bytes, list[bytes]], name: bytes) -> Sequence[str]:
    """Return all values of a field as Latin-1, which encodes to the same bytes again."""
    return [value.decode("latin-1") for value in values[name]] if name in values else ()


def _trace(removed: dict[bytes, list[bytes]]) -> list[Field]:
    """Return the received trace context, or a new traceparent. A tracestate needs a valid traceparent."""
    parents = _texts(removed, b"traceparent")
    if read_traceparent(parents) is None:
        return [(b"traceparent", new_traceparent().encode())]
    return [
        (b"traceparent", parents[0].encode()),
        *((b"tracestate", state) for state in removed.get(b"tracestate", ())),
    ]


def _response_fields(response: http.Response, exchange: Exchange, request: http.Request) -> list[Field]:
    """Return the fields for the client. A backend's own X-RateLimit-* are kept instead of the gateway's."""
    fields = response.headers.fields
    dropped = _REMOVED_FROM_RESPONSES | _nominated(value for name, value in fields if name.lower() == b"connection")
    if request.http_version == "HTTP/1.0":
        dropped |= {b"transfer-encoding"}  # unknown in HTTP/1.0, where the end of the connection ends the body
    kept = [field for field in fields if field[0].lower() not in dropped]
    if response.status_code == status_codes.SWITCHING:
        kept += [(b"Connection", b"Upgrade"), (b"Upgrade", b"websocket")]
    elif exchange.close_connection:
        kept.append((b"Connection", b"close"))
    own_legacy = any(name.lower().startswith(b"x-ratelimit-") for name, _ in kept)
    limits = [
        (name.encode(), value.encode())
        for name, value in exchange.limit_fields
        if not (own_legacy and name.lower().startswith("x-ratelimit-"))
    ]
    return [*kept, *limits, (b"X-Request-Id", exchange.request_id.encode())]
