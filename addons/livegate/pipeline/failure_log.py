"""Logs why an exchange failed, one line each."""

import logging
from http import HTTPStatus

from mitmproxy import http

from livegate.http1.refusal import Refusal
from livegate.logs.context import about
from livegate.pipeline.exchange.record import exchange_of
from livegate.pipeline.exchange.responses import CLIENT_CLOSED_STATUS, fail
from livegate.redaction.printable import printable

logger = logging.getLogger(__name__)


class FailureLog:
    """Log failures. The response was chosen earlier, when the transport saw the failure."""

    def error(self, flow: http.HTTPFlow) -> None:
        exchange = exchange_of(flow)
        if exchange is None or flow.error is None:
            return
        failure = exchange.failure
        if failure is None:  # mitmproxy itself refused the message, or a person killed the flow
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
    """Return INFO if the client left or the gateway stops, WARNING for client errors and time-outs, else ERROR."""
    if failure.status in (CLIENT_CLOSED_STATUS, HTTPStatus.SERVICE_UNAVAILABLE):
        return logging.INFO
    server_error = failure.status >= HTTPStatus.INTERNAL_SERVER_ERROR and failure.status != HTTPStatus.GATEWAY_TIMEOUT
    return logging.ERROR if server_error else logging.WARNING


def _unforeseen(flow: http.HTTPFlow) -> Refusal:
    if flow.error is not None and flow.error.msg == flow.error.KILLED_MESSAGE:
        return Refusal(CLIENT_CLOSED_STATUS, "The flow was killed.", "killed")
    if flow.response is None:
        return Refusal(400, "The request is malformed.", "request-malformed", close=True)
    return Refusal(502, "The service sent an invalid response.", "backend-invalid")
