"""Access log: one line per request and one per closed WebSocket, without queries, cookies and tokens."""

import logging
import re
import time

from mitmproxy import http
from mitmproxy.websocket import WebSocketData

from livegate.logs.context import session_of
from livegate.pipeline.exchange.record import Exchange, body_sizes, exchange_of, socket_stats
from livegate.redaction.printable import printable
from livegate.redaction.redactor import Redactor

logger = logging.getLogger("livegate.access")

_SPECIAL = re.compile(r'[ "=]')
MIN_SECRET_CHARACTERS = 40
"""Length of a path from which it is searched for tokens. Shorter paths are not, because no token is that short."""

type Fields = dict[str, str | int | float | None]


class AccessLog:
    """Write the log lines. Comes after the rest of the pipeline and the inspector, because it needs their results."""

    def __init__(self, redactor: Redactor) -> None:
        self._redactor = redactor

    def response(self, flow: http.HTTPFlow) -> None:
        exchange = exchange_of(flow)
        if exchange is not None and flow.response is not None:
            write(self._request_fields(flow, exchange, flow.response.status_code))

    def error(self, flow: http.HTTPFlow) -> None:
        exchange = exchange_of(flow)
        if exchange is not None:
            status = exchange.failure.status if exchange.failure else 0
            write(self._request_fields(flow, exchange, status))

    def websocket_end(self, flow: http.HTTPFlow) -> None:
        exchange = exchange_of(flow)
        if exchange is not None and flow.websocket is not None:
            write(self._websocket_fields(flow, exchange, flow.websocket))

    def _request_fields(self, flow: http.HTTPFlow, exchange: Exchange, status: int) -> Fields:
        bytes_in, bytes_out = body_sizes(flow, exchange)
        return {
            "method": printable(flow.request.method, 32),
            **self._place(flow, exchange),
            "status": status,
            "duration_ms": _milliseconds(exchange.started, time.monotonic()),
            "backend_ms": _milliseconds(exchange.forwarded_at, exchange.response_started_at),
            "bytes_in": bytes_in,
            "bytes_out": bytes_out,
            "route": exchange.service.name if exchange.service else None,
            "client": str(exchange.client),
            "request_id": exchange.request_id,
            "session": session_of(flow),
            "reason": exchange.refusal_reason or (exchange.failure.reason if exchange.failure else None),
        }

    def _websocket_fields(self, flow: http.HTTPFlow, exchange: Exchange, websocket: WebSocketData) -> Fields:
        stats = socket_stats(exchange, websocket)
        return {
            "method": "WEBSOCKET",
            **self._place(flow, exchange),
            "close_code": websocket.close_code,
            "close_reason": printable(self._redactor.text(websocket.close_reason or ""), 123) or None,
            "closed_by": stats.closed_by,
            "duration_ms": _milliseconds(exchange.started, time.monotonic()),
            "frames_in": stats.messages_in,
            "frames_out": stats.messages_out,
            "bytes_in": stats.bytes_in,
            "bytes_out": stats.bytes_out,
            "pings": stats.controls_in + stats.controls_out or None,
            "route": exchange.service.name if exchange.service else None,
            "client": str(exchange.client),
            "request_id": exchange.request_id,
            "session": session_of(flow),
        }

    def _place(self, flow: http.HTTPFlow, exchange: Exchange) -> Fields:
        path = flow.request.path.partition("?")[0]
        if len(path) >= MIN_SECRET_CHARACTERS:  # a link to reset a password has a token in its path
            path = self._redactor.url(path)
        return {
            "host": printable(exchange.authority, 261) or "-",
            "path": printable(path),
        }


def _milliseconds(start: float | None, end: float | None) -> float | None:
    return None if start is None or end is None else round((end - start) * 1000, 1)


class _Line:
    """Text of a line, rendered only if a handler needs it. The handler that writes JSON does not."""

    def __init__(self, fields: Fields) -> None:
        self._fields = fields

    def __str__(self) -> str:
        return render(self._fields)


def write(fields: Fields) -> None:
    """Write one line. `log.format` decides whether the terminal shows `key=value` pairs or JSON."""
    if logger.isEnabledFor(logging.INFO):
        logger.handle(_record(fields))


_TEMPLATE = vars(logging.LogRecord(logger.name, logging.INFO, __file__, 0, "%s", None, None))


def _record(fields: Fields) -> logging.LogRecord:
    """Return a log record as `logger.info` makes it, in a quarter of the time: without caller, thread and process."""
    record = logging.LogRecord.__new__(logging.LogRecord)
    now = time.time()
    own = vars(record)
    own.update(_TEMPLATE)
    own["args"], own["livegate_fields"] = (_Line(fields),), fields
    own["created"], own["msecs"] = now, now * 1000 % 1000
    return record


def render(fields: Fields) -> str:
    """Return a line of `key=value` pairs. Fields without a value are left out, and values are quoted where needed."""
    return " ".join(f"{name}={_quoted(value)}" for name, value in fields.items() if value is not None)


def _quoted(value: str | float) -> str:
    text = str(value)
    return '"' + text.replace('"', '\\"') + '"' if not text or _SPECIAL.search(text) else text
