"""The gateway's own responses: JSON, or a small page if the client prefers HTML. Only this module makes them.

Phoenix's long-poll transport gets a body of its own, because its client acts on that body: see `LONGPOLL_STATUS`.
"""

import html
import json
import re
from collections.abc import Iterable
from http import HTTPStatus

from mitmproxy import http

from livegate.http1.refusal import Refusal
from livegate.phoenix.longpoll import is_longpoll
from livegate.pipeline.exchange.record import Exchange, exchange_of, new_request_id

CLIENT_CLOSED_STATUS = 499
"""nginx's status for a client that closed its connection. It is logged and never sent."""
LONGPOLL_STATUS = 500
"""`status` in the body of a response to a long-poll request, whatever the HTTP status.

phoenix.js (1.5 to 1.8, `LongPoll.poll`) reads nothing else. At 500, or at a body that is no JSON, it closes the socket,
reconnects with its own backoff and joins its channels anew. A number that it does not know, or JSON without a `status`,
makes it throw, and it never polls again. 410 and 200 would mean a session, and 403 a final refusal.
"""
TEMPORARY_STATUSES = frozenset({429, 502, 503, 504})
"""Statuses whose page reloads itself, because it has no LiveView client that would reconnect."""
RELOAD_S = 5
"""Seconds until such a page reloads, unless `Retry-After` is longer; the longest backoff step of phoenix.js."""
MAX_ACCEPT_CHARACTERS = 1024
_ADVICE = " Disable the validate_inbound_headers"
"""Start of mitmproxy's advice to disable its validation, which would be unsafe in a gateway. Not logged."""
_QUALITY = re.compile(r";\s*q=([01](?:\.\d{0,3})?)", re.IGNORECASE)

_PAGE = """<!doctype html>
<html lang="en"><head><meta charset="utf-8"><meta name="viewport" content="width=device-width,initial-scale=1">
{refresh}<title>{status} {phrase}</title>
<style>:root{{color-scheme:light dark;font:16px/1.5 system-ui,sans-serif}}
body{{max-width:34rem;margin:18vh auto 0;padding:0 1.5rem}}h1{{font-size:1.35rem;margin:0 0 .5rem}}
p{{margin:.4rem 0}}small{{opacity:.65}}code{{font:.85em ui-monospace,monospace}}</style></head>
<body><h1>{status} {phrase}</h1><p>{message}{reload}</p>
<p><small>Request <code>{request_id}</code></small></p></body></html>
"""


def refuse(flow: http.HTTPFlow, refusal: Refusal) -> None:
    """Respond to a flow with a refusal. No backend receives the request."""
    exchange = exchange_of(flow)
    if exchange is not None:
        exchange.refusal_reason = refusal.reason
    flow.request.stream = False
    flow.response = make_response(flow, refusal)


def make_response(flow: http.HTTPFlow | None, refusal: Refusal, target: str = "") -> http.Response:
    """Return the response for a refusal.

    A request that prefers HTML to JSON (RFC 9110 section 12.5.1) gets a page, every other one
    `{"error", "status", "request_id"}`. For Phoenix's long-poll, `status` is `LONGPOLL_STATUS` and the HTTP status is
    `http_status`. Without a flow, `target` is the request target as far as it could be read.
    """
    exchange = exchange_of(flow) if flow is not None else None
    request_id = exchange.request_id if exchange is not None else new_request_id()
    accept = ", ".join(flow.request.headers.get_all("Accept")) if flow is not None else ""
    if prefers_html(accept):
        content_type, body = "text/html; charset=utf-8", _page(refusal, request_id, _reload_s(flow, refusal))
    else:
        longpoll = is_longpoll(flow.request.path if flow is not None else target)
        content_type, body = "application/json", _json(refusal, request_id, longpoll=longpoll)
    fields = [
        ("Content-Type", content_type),
        ("Cache-Control", "no-store"),
        ("X-Content-Type-Options", "nosniff"),
        ("X-Request-Id", request_id),
        *(exchange.limit_fields if exchange is not None else ()),
        *refusal.headers,
        *_connection(refusal, closing=refusal.close or (exchange is not None and exchange.close_connection)),
    ]
    return _response(refusal.status, fields, body)


def fail(flow: http.HTTPFlow, exchange: Exchange, failure: Refusal, detail: str) -> Refusal:
    """Record why a flow fails, and return it.

    Also store the response for the client, unless none is sent (499) or a response has already started.
    """
    exchange.failure = failure
    exchange.failure_detail = detail.partition(_ADVICE)[0]
    started = exchange.refusal_reason or flow.websocket or (flow.response is not None and flow.response.stream)
    if exchange.failure_response is None and not started and failure.status != CLIENT_CLOSED_STATUS:
        exchange.failure_response = make_response(flow, failure)
    return failure


def internal_error(exchange: Exchange | None = None) -> Refusal:
    """Return the refusal for a fault of the gateway itself, which never lets the request through instead."""
    hint = f" Look for request {exchange.request_id} in the gateway's log." if exchange else ""
    return Refusal(500, f"The gateway failed while it handled this request.{hint}", "internal-error")


def prefers_html(accept: str) -> bool:
    """Return whether an Accept field gives text/html a higher weight than application/json, as browsers do."""
    weights = {"text/html": 0.0, "application/json": 0.0}
    for item in accept[:MAX_ACCEPT_CHARACTERS].split(","):
        media_type = item.partition(";")[0].strip().lower()
        if media_type in weights:
            quality = _QUALITY.search(item)
            weights[media_type] = max(weights[media_type], float(quality[1]) if quality else 1.0)
    return weights["text/html"] > weights["application/json"]


def _connection(refusal: Refusal, *, closing: bool) -> list[tuple[str, str]]:
    """Return the Connection field: `close`, and `Upgrade` if there is an Upgrade field (RFC 9110 section 7.8)."""
    upgrade = any(name == "Upgrade" for name, _ in refusal.headers)
    options = [*(["Upgrade"] if upgrade else []), *(["close"] if closing else [])]
    return [("Connection", ", ".join(options))] if options else []


def _json(refusal: Refusal, request_id: str, *, longpoll: bool) -> str:
    status = {"status": LONGPOLL_STATUS, "http_status": refusal.status} if longpoll else {"status": refusal.status}
    return json.dumps({"error": refusal.message, **status, "request_id": request_id}) + "\n"


def _reload_s(flow: http.HTTPFlow | None, refusal: Refusal) -> int | None:
    """Return after how many seconds a page reloads; None if that would not help or would repeat a form as a GET."""
    if flow is None or flow.request.method != "GET" or refusal.status not in TEMPORARY_STATUSES:
        return None
    return max(RELOAD_S, int(dict(refusal.headers).get("Retry-After", 0)))


def _page(refusal: Refusal, request_id: str, reload_s: int | None) -> str:
    return _PAGE.format(
        refresh=f'<meta http-equiv="refresh" content="{reload_s}">\n' if reload_s is not None else "",
        reload=f" This page reloads in {reload_s} s." if reload_s is not None else "",
        status=refusal.status,
        phrase=html.escape(HTTPStatus(refusal.status).phrase),
        message=html.escape(refusal.message.removesuffix(".")) + ".",
        request_id=html.escape(request_id),
    )


def _response(status: int, fields: Iterable[tuple[str, str]], body: str) -> http.Response:
    headers = http.Headers([(name.encode(), value.encode("ascii", "backslashreplace")) for name, value in fields])
    response = http.Response.make(status, body.encode(), headers)
    response.reason = HTTPStatus(status).phrase
    return response
