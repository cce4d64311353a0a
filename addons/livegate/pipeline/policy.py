"""RequestPolicy: limits, forwarding plans, refusals and failure responses for the data plane."""

import logging
import time
from collections.abc import Callable
from http import HTTPStatus

from mitmproxy import ctx, http
from mitmproxy.connection import Client

from livegate.http1 import request_head, upgrade
from livegate.http1.refusal import Refusal
from livegate.logs.context import about
from livegate.mitm.hook_table import table_of
from livegate.pipeline.access_log import Fields, write
from livegate.pipeline.exchange.failures import refusal_for
from livegate.pipeline.exchange.record import EARLY_RESPONSE, SocketStats, exchange_of
from livegate.pipeline.exchange.responses import fail, make_response
from livegate.pipeline.streaming import tap_response
from livegate.proxy.policy import ConnectionLimits, Failure, ForwardPlan, Upstream
from livegate.redaction.printable import printable
from livegate.settings import CurrentSettings, MessageHistoryLimits, Service
from livegate.websocket import deflate
from livegate.websocket.history import KEPT_AFTER_CLOSE, HistoryBudget
from livegate.websocket.registry import SocketRegistry
from livegate.websocket.relay import WebSocketRelay
from livegate.websocket.transport import PeerTransport

logger = logging.getLogger(__name__)

MAX_HOST_CHARACTERS = 300


class RequestPolicy:
    """Implementation of `livegate.proxy.policy.ProxyPolicy`, by the settings in force."""

    def __init__(
        self,
        current: CurrentSettings,
        sockets: SocketRegistry,
        http_started: Callable[[Client], None],
        refused_before_flow: Callable[[Client, Refusal, int], None],
    ) -> None:
        self._current = current
        self._sockets = sockets
        self._history_budget = HistoryBudget(0)
        self._refused_before_flow = refused_before_flow
        self.http_started = http_started

    def limits(self) -> ConnectionLimits:
        settings = self._current.value
        return ConnectionLimits(
            request_head_timeout_s=settings.timeouts.request_head,
            keep_alive_timeout_s=settings.timeouts.keep_alive,
            max_head_bytes=settings.limits.head,
        )

    def refuse_head(self, client: Client, head: bytes, *, complete: bool) -> http.Response | None:
        limits = self._current.value.limits
        rule = request_head.head_refusal if complete else request_head.unfinished_head_refusal
        refusal = rule(head, max_bytes=limits.head, max_headers=limits.headers)
        return self._refuse_before_flow(client, refusal, head) if refusal else None

    def request_head_timed_out(self, client: Client, head: bytes) -> http.Response:
        seconds = self._current.value.timeouts.request_head
        message = f"The request head did not arrive within {seconds:g} s."
        return self._refuse_before_flow(client, Refusal(408, message, "request-head-slow", close=True), head)

    def refuse_unreadable(self, client: Client, request: http.Request | None, head: bytes) -> http.Response:
        refusal = Refusal(400, "The request is malformed.", "request-malformed", close=True)
        if request is None:
            return self._refuse_before_flow(client, refusal, head)
        response = make_response(None, refusal, request_head.request_target(head))
        setattr(request, EARLY_RESPONSE, response)
        return response

    def _refuse_before_flow(self, client: Client, refusal: Refusal, head: bytes) -> http.Response:
        """Log and count the refusal of a request that has no flow, and return the response."""
        response = make_response(None, refusal, request_head.request_target(head))
        size = len(response.raw_content or b"")
        fields: Fields = {
            "method": "-",
            "host": "-",
            "path": "-",
            "status": refusal.status,
            "bytes_out": size,
            "client": client.peername[0],
            "request_id": response.headers.get("X-Request-Id"),
            "reason": refusal.reason,
        }
        write(fields)
        self._refused_before_flow(client, refusal, size)
        return response

    def plan(self, flow: http.HTTPFlow) -> ForwardPlan | None:
        exchange = exchange_of(flow)
        if exchange is None or exchange.service is None:
            return None
        service, limits = exchange.service, exchange.settings.limits
        exchange.forwarded_at = time.monotonic()
        if logger.isEnabledFor(logging.DEBUG):
            _log_destination(flow, service)
        return ForwardPlan(
            upstream=_upstream(flow, service),
            connect_timeout_s=service.timeouts.connect,
            response_timeout_s=service.timeouts.upgrade if exchange.upgrade else service.timeouts.response,
            stream_above_bytes=limits.stream_above,
            max_body_bytes=limits.body,
        )

    def upgrade_response_problem(self, flow: http.HTTPFlow, response: http.Response) -> str | None:
        exchange = exchange_of(flow)
        if exchange is None or not exchange.upgrade:
            return "switched protocols without having been asked to"
        problem = upgrade.response_problem(flow.request.headers.fields, response.headers.fields)
        if problem is None:
            name = "Sec-WebSocket-Extensions"
            exchange.deflate, problem = deflate.agreed_parameters(
                response.headers.get_all(name), flow.request.headers.get_all(name)
            )
        return problem

    def open_relay(self, flow: http.HTTPFlow, client: PeerTransport, backend: PeerTransport) -> WebSocketRelay:
        exchange = exchange_of(flow)
        service = exchange.service if exchange is not None else None
        self._history_budget.max_bytes = self._current.value.history.message_bytes
        relay = WebSocketRelay(
            flow,
            table_of(ctx.master.addons),
            service.websocket if service is not None else self._current.value.websocket,
            client=client,
            backend=backend,
            deflate=exchange.deflate if exchange is not None else None,
            on_closed=self._relay_closed,
            budget=self._history_budget,
            kept_after_close=_kept_after_close(),
        )
        self._sockets.add(relay, service.name if service is not None else "")
        if logger.isEnabledFor(logging.DEBUG):
            compression = "passed through" if exchange is not None and exchange.deflate is not None else "none"
            logger.debug(
                "WebSocket relayed by %s, compression %s", type(client).__name__, compression, extra=about(flow)
            )
        return relay

    def _relay_closed(self, relay: WebSocketRelay) -> None:
        """Record the totals of a relay. The relay calls this before the `websocket_end` hooks."""
        self._sockets.remove(relay)
        exchange, client, backend = exchange_of(relay.flow), relay.client, relay.backend
        if exchange is not None:
            exchange.socket = SocketStats(
                messages_in=client.messages,
                messages_out=backend.messages,
                bytes_in=client.bytes,
                bytes_out=backend.bytes,
                controls_in=client.pings + client.pongs,
                controls_out=backend.pings + backend.pongs,
                closed_by=relay.close_info.by if relay.close_info else "gateway",
                dropped=relay.history.evicted,
            )

    def response_timed_out(self, flow: http.HTTPFlow, phase: str) -> None:
        exchange = exchange_of(flow)
        if exchange is not None:
            later = "upgrade" if exchange.upgrade else "response"
            exchange.timed_out = "connect" if phase == "connect" else later

    def request_failing(self, flow: http.HTTPFlow, failure: Failure) -> None:
        exchange = exchange_of(flow)
        if exchange is not None and exchange.failure is None:
            fail(flow, exchange, refusal_for(failure, exchange), failure.message)

    def failure_response(self, flow: http.HTTPFlow | None, status: int) -> http.Response:
        exchange = exchange_of(flow) if flow is not None else None
        if exchange is not None and exchange.failure_response is not None:
            return exchange.failure_response
        message = (
            "The request is malformed."
            if status < HTTPStatus.INTERNAL_SERVER_ERROR
            else "The gateway failed while it handled this request."
        )
        return make_response(flow, Refusal(status, message, "request-malformed", close=True))

    def retrying(self, flow: http.HTTPFlow) -> None:
        exchange = exchange_of(flow)
        if exchange is not None:
            exchange.retried = True
            logger.warning("the request is sent again, because its keep-alive connection was closed", extra=about(flow))

    def stream_response(self, flow: http.HTTPFlow) -> bool | Callable[[bytes], bytes]:
        exchange = exchange_of(flow)
        return True if exchange is None else tap_response(exchange)


def _kept_after_close() -> MessageHistoryLimits | None:
    """Return how many messages of a closed socket stay; None for all in its history."""
    # A HAR file is written when mitmproxy ends, and a view shows a flow until `FlowHistory` removes it.
    is_used = ctx.options.hardump or ctx.master.addons.get("view") is not None
    return None if is_used else KEPT_AFTER_CLOSE


def _upstream(flow: http.HTTPFlow, service: Service) -> Upstream:
    """Return the service's backend. If another addon redirected the request, that target, with public TLS trust."""
    request, backend = flow.request, service.backend
    if (request.host, request.port, request.scheme) != (backend.host, backend.port, backend.scheme):
        return Upstream(request.host, request.port, tls=request.scheme == "https")
    return Upstream(
        host=backend.host,
        port=backend.port,
        tls=backend.tls,
        verify=service.tls.verify,
        server_name=service.tls.server_name,
        ca_file=service.tls.ca_file,
    )


def _log_destination(flow: http.HTTPFlow, service: Service) -> None:
    """Log, at level debug, the backend of a request, and the fields by which the backend recognizes its host."""
    request = flow.request
    logger.debug(
        "forwarded to %s://%s:%d for service %s, Host %s, Origin %s",
        request.scheme,
        printable(request.host, MAX_HOST_CHARACTERS),
        request.port,
        service.name,
        printable(request.headers.get("Host", "-"), MAX_HOST_CHARACTERS),
        printable(request.headers.get("Origin", "-"), MAX_HOST_CHARACTERS),
        extra=about(flow),
    )
