"""The one place that makes the gateway's own answers: JSON, or a small page when the client prefers HTML.

Phoenix's long-poll transport gets a body of its own, as its client obeys what stands there: see `LONGPOLL_STATUS`.
"""

import html
import json
import logging
import re
from collections.abc import Iterable
from http import HTTPStatus

from mitmproxy import http

from livegate.http1.refusal import Refusal
from livegate.logs.context import about
from livegate.phoenix.longpoll import is_longpoll
from livegate.pipeline.exchange.record import Exchange, exchange_of, new_request_id
from livegate.redaction.printable import printable

logger = logging.getLogger(__name__)

CLIENT_GONE_STATUS = 499
LONGPOLL_STATUS = 500
"""The `status` in the body of an answer to a long-poll request, whatever the HTTP status.

phoenix.js (1.5 to 1.8, `LongPoll.poll`) looks at nothing else: at 500, or at a body that is no JSON, it closes the
socket, connects again by its own backoff and joins its channels anew. Any number that it does not know, and JSON
without a `status`, makes it throw, and it never polls again; 410 and 200 would tell it of a session, and 403 that it
was refused for good.
"""
PASSING = frozenset({429, 502, 503, 504})
"""Statuses that a page need not stay with: a tab that was loaded in that moment has no client that would come back."""
TRY_AGAIN_S = 5
"""After how long it loads anew, unless `Retry-After` says longer; phoenix.js's longest step as well."""
MAX_ACCEPT_CHARACTERS = 1024
_ADVICE = " Disable the validate_inbound_headers"
"""mitmproxy says how to switch its check off; nobody should do that in front of other people's apps."""
_QUALITY = re.compile(r";\s*q=([01](?:\.\d{0,3})?)", re.IGNORECASE)

_PAGE = """<!doctype html>
<html lang="en"><head><meta charset="utf-8"><meta name="viewport" content="width=device-width,initial-scale=1">
{refresh}<title>{status} {phrase}</title>
<style>:root{{color-scheme:light dark;font:16px/1.5 system-ui,sans-serif}}
body{{max-width:34rem;margin:18vh auto 0;padding:0 1.5rem}}h1{{font-size:1.35rem;margin:0 0 .5rem}}
p{{margin:.4rem 0}}small{{opacity:.65}}code{{font:.85em ui-monospace,monospace}}</style></head>
<body><h1>{status} {phrase}</h1><p>{message}{again}</p>
<p><small>Request <code>{request_id}</code></small></p></body></html>
"""


def refuse(flow: http.HTTPFlow, refusal: Refusal) -> None:
    """Answer a flow with a refusal; the request goes no further and no backend hears of it."""
    exchange = exchange_of(flow)
    if exchange is not None:
        exchange.refused = refusal.reason
    flow.request.stream = False
    flow.response = answer(flow, refusal)


def answer(flow: http.HTTPFlow | None, refusal: Refusal, target: str = "") -> http.Response:
    """Make the answer for a refusal.

    A request that wants HTML more than JSON (RFC 9110 section 12.5.1) gets a page, every other one
    `{"error", "status", "request_id"}`; where Phoenix's long-poll asks, `status` is `LONGPOLL_STATUS` and the HTTP
    status is `http_status`. `flow` is None when no flow was made of the request; `target` is then what it asked for, as
    far as that could be read.
    """
    exchange = exchange_of(flow) if flow is not None else None
    request_id = exchange.request_id if exchange is not None else new_request_id()
    accept = ", ".join(flow.request.headers.get_all("Accept")) if flow is not None else ""
    if prefers_html(accept):
        content_type, body = "text/html; charset=utf-8", _page(refusal, request_id, _try_again_s(flow, refusal))
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
        *_connection(refusal, closing=refusal.close or (exchange is not None and exchange.wants_close)),
    ]
    return _response(refusal.status, fields, body)


def fail(flow: http.HTTPFlow, exchange: Exchange, failure: Refusal, detail: str) -> Refusal:
    """Record why a flow fails, and return it.

    What the client shall be told is recorded as well, unless that is nothing, or something else is on its way already.
    """
    exchange.failure = failure
    exchange.failure_detail = detail.partition(_ADVICE)[0]
    begun = exchange.refused or flow.websocket or (flow.response is not None and flow.response.stream)
    if exchange.failure_answer is None and not begun and failure.status != CLIENT_GONE_STATUS:
        exchange.failure_answer = answer(flow, failure)
    return failure


def _connection(refusal: Refusal, *, closing: bool) -> list[tuple[str, str]]:
    """The Connection field: `close` at the end, and `Upgrade` beside an Upgrade field (RFC 9110 section 7.8)."""
    upgrade = any(name == "Upgrade" for name, _ in refusal.headers)
    options = [*(["Upgrade"] if upgrade else []), *(["close"] if closing else [])]
    return [("Connection", ", ".join(options))] if options else []


def internal_error(exchange: Exchange | None = None) -> Refusal:
    """The refusal for a fault of the gateway itself: the request is never let through instead."""
    hint = f" Look for request {exchange.request_id} in the gateway's log." if exchange else ""
    return Refusal(500, f"The gateway failed while it handled this request.{hint}", "internal-error")


def prefers_html(accept: str) -> bool:
    """Whether an Accept header names text/html with a higher weight than application/json, as browsers do."""
    weights = {"text/html": 0.0, "application/json": 0.0}
    for item in accept[:MAX_ACCEPT_CHARACTERS].split(","):
        media_type = item.partition(";")[0].strip().lower()
        if media_type in weights:
            quality = _QUALITY.search(item)
            weights[media_type] = max(weights[media_type], float(quality[1]) if quality else 1.0)
    return weights["text/html"] > weights["application/json"]


def _json(refusal: Refusal, request_id: str, *, longpoll: bool) -> str:
    status = {"status": LONGPOLL_STATUS, "http_status": refusal.status} if longpoll else {"status": refusal.status}
    return json.dumps({"error": refusal.message, **status, "request_id": request_id}) + "\n"


def _try_again_s(flow: http.HTTPFlow | None, refusal: Refusal) -> int | None:
    """When a page shall be loaded anew; None where that would not help, or would send a form again as a GET."""
    if flow is None or flow.request.method != "GET" or refusal.status not in PASSING:
        return None
    return max(TRY_AGAIN_S, int(dict(refusal.headers).get("Retry-After", 0)))


def _page(refusal: Refusal, request_id: str, again_s: int | None) -> str:
    return _PAGE.format(
        refresh=f'<meta http-equiv="refresh" content="{again_s}">\n' if again_s is not None else "",
        again=f" This page is loaded again in {again_s} s." if again_s is not None else "",
        status=refusal.status,
        phrase=html.escape(HTTPStatus(refusal.status).phrase),
        message=html.escape(refusal.message),
        request_id=html.escape(request_id),
    )


def _response(status: int, fields: Iterable[tuple[str, str]], body: str) -> http.Response:
    headers = http.Headers([(name.encode(), value.encode("ascii", "backslashreplace")) for name, value in fields])
    response = http.Response.make(status, body.encode(), headers)
    response.reason = HTTPStatus(status).phrase
    return response


class Errors:
    """Log why an exchange failed; what the client is told was decided when the transport saw the failure."""

    def error(self, flow: http.HTTPFlow) -> None:
        exchange = exchange_of(flow)
        if exchange is None or flow.error is None:
            return
        failure = exchange.failure
        if failure is None:  # mitmproxy itself turned the message down, or a person killed the flow
            failure = fail(flow, exchange, _unforeseen(flow), flow.error.msg)
        service = exchange.service
        name = service.name if service else "-"
        logger.log(
            _level(failure),
            "%d %s: %s (service %s, backend %s)",
            failure.status,
            failure.reason,
            printable(exchange.failure_detail),
            name,
            service.backend.url if service else "-",
            extra=about(flow, f"{failure.reason} {name}"),
        )


def _level(failure: Refusal) -> int:
    """A client that left or a stop is no news, its own mistakes and time-outs are warnings, what broke is an error."""
    if failure.status in (CLIENT_GONE_STATUS, HTTPStatus.SERVICE_UNAVAILABLE):
        return logging.INFO
    broke = failure.status >= HTTPStatus.INTERNAL_SERVER_ERROR and failure.status != HTTPStatus.GATEWAY_TIMEOUT
    return logging.ERROR if broke else logging.WARNING


def _unforeseen(flow: http.HTTPFlow) -> Refusal:
    if flow.error is not None and flow.error.msg == flow.error.KILLED_MESSAGE:
        return Refusal(CLIENT_GONE_STATUS, "The flow was killed.", "killed")
    if flow.response is None:
        return Refusal(400, "The request is malformed.", "request-malformed", close=True)
    return Refusal(502, "The service sent an invalid answer.", "backend-invalid")
