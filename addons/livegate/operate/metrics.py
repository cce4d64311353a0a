"""What the gateway counts and times, for Prometheus; the names are listed in docs/metrics.md."""

import platform
import time
from typing import Any

from mitmproxy import http, version
from mitmproxy.net.http import status_codes
from prometheus_client import CollectorRegistry, Counter, Gauge, Histogram, generate_latest

from livegate import __version__
from livegate.inspect.recorder import FrameSeen
from livegate.mitm.dispatch import hook_errors
from livegate.operate.labels import (
    OTHER,
    UNMAPPED,
    LabelSets,
    close_label,
    event_label,
    method_label,
    status_label,
    view_label,
)
from livegate.pipeline.exchange import CurrentSettings, Exchange, SocketReport, exchange_of, report_of
from livegate.pipeline.refusal import Refusal
from livegate.websocket.registry import Sockets

BUCKETS = (0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0, 10.0)
"""Seconds."""
SOCKET_BUCKETS = (1.0, 10.0, 60.0, 300.0, 900.0, 3600.0, 14400.0, 86400.0)
LAG_BUCKETS = (0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0)
MAX_EVENT_LABELS = 500
"""Combinations of service, view and event."""

type Told = tuple[int, int, int, int, int, int]
"""Of a socket: messages, control frames and bytes from the client, then the same from the backend."""
NOTHING_TOLD: Told = (0, 0, 0, 0, 0, 0)


class Metrics:
    """Counts at mitmproxy's hooks, on the event loop; `text` may be called in another thread after `refresh`."""

    def __init__(self, current: CurrentSettings, sockets: Sockets) -> None:
        self.registry = CollectorRegistry()
        self._current = current
        self._sockets = sockets
        self._told: dict[str, Told] = {}
        self._children: dict[tuple[Any, ...], Any] = {}
        self._events = LabelSets[tuple[str, str, str]](MAX_EVENT_LABELS)
        self._timed: dict[tuple[str, str | None, str, str], tuple[Any, Any]] = {}
        """Histogram and counter of events by route, module, kind and name; as many as there are label sets."""
        self._hook_errors: dict[str, int] = {}
        self._define()

    def _define(self) -> None:
        registry = self.registry
        self.requests = Counter(
            "gateway_requests", "HTTP requests that were answered.", ["route", "method", "code"], registry=registry
        )
        self.durations = Histogram(
            "gateway_request_duration_seconds",
            "From the head of a request to the end of its answer.",
            ["route"],
            buckets=BUCKETS,
            registry=registry,
        )
        self.upstream = Histogram(
            "gateway_upstream_duration_seconds",
            "From the backend being asked to the head of its answer.",
            ["route"],
            buckets=BUCKETS,
            registry=registry,
        )
        self.upstream_up = Gauge(
            "gateway_upstream_up", "1 when the backend answered last, 0 when not.", ["route"], registry=registry
        )
        self.rejected = Counter(
            "gateway_rejected", "Requests that the gateway refused itself.", ["route", "reason"], registry=registry
        )
        self.decisions = Counter(
            "gateway_ratelimit_decisions", "Decisions of the rate limiter.", ["policy", "decision"], registry=registry
        )
        self.ws_open = Gauge("gateway_ws_connections", "Open WebSockets.", ["route"], registry=registry)
        self.ws_outcomes = Counter(
            "gateway_ws_upgrades",
            "WebSocket upgrades: opened, refused (by the gateway), failed.",
            ["route", "outcome"],
            registry=registry,
        )
        self.ws_closes = Counter("gateway_ws_close", "Closed WebSockets.", ["route", "code", "by"], registry=registry)
        self.ws_durations = Histogram(
            "gateway_ws_duration_seconds",
            "How long WebSockets were open.",
            ["route"],
            buckets=SOCKET_BUCKETS,
            registry=registry,
        )
        self.ws_frames = Counter(
            "gateway_ws_frames",
            "Messages and control frames (pings, pongs).",
            ["route", "direction", "type"],
            registry=registry,
        )
        self.ws_bytes = Counter(
            "gateway_ws_bytes", "Payload bytes of messages.", ["route", "direction"], registry=registry
        )
        self.events = Histogram(
            "gateway_liveview_event_duration_seconds",
            "Round trips of LiveView events.",
            ["route", "view", "event"],
            buckets=BUCKETS,
            registry=registry,
        )
        self.diff_bytes = Counter(
            "gateway_liveview_diff_bytes",
            "Diffs in the answers to events.",
            ["route", "view", "event"],
            registry=registry,
        )
        self.liveview = Counter(
            "gateway_liveview_incidents", "Crashes, refused joins, rejoins.", ["route", "kind"], registry=registry
        )
        self.reloads = Counter("gateway_config_reloads", "Reloads of the settings.", ["result"], registry=registry)
        self.reload_ok = Gauge(
            "gateway_config_last_reload_success", "1 when the last reload was good.", registry=registry
        )
        self.hook_failures = Counter("gateway_hook_errors", "Exceptions in hooks.", ["hook"], registry=registry)
        self.lag = Histogram(
            "gateway_event_loop_lag_seconds", "How late the event loop was.", buckets=LAG_BUCKETS, registry=registry
        )
        self.dropped = Counter("gateway_dropped", "What could not be kept, by queue.", ["queue"], registry=registry)
        build = Gauge("gateway_build_info", "1.", ["version", "mitmproxy", "python"], registry=registry)
        build.labels(__version__, version.VERSION, platform.python_version()).set(1)
        self.reload_ok.set(1)

    # Hooks

    def response(self, flow: http.HTTPFlow) -> None:
        exchange = exchange_of(flow)
        if exchange is not None and flow.response is not None:
            self._request(flow, exchange, flow.response.status_code)

    def error(self, flow: http.HTTPFlow) -> None:
        exchange = exchange_of(flow)
        if exchange is not None and flow.websocket is None:
            self._request(flow, exchange, exchange.failure.status if exchange.failure else 0)

    def _request(self, flow: http.HTTPFlow, exchange: Exchange, status: int) -> None:
        now, route = time.monotonic(), route_of(exchange)
        self._of(self.requests, route, method_label(flow.request.method), status_label(status)).inc()
        self._of(self.durations, route).observe(now - exchange.started)
        if exchange.forwarded_at is not None:
            if exchange.answered_at is not None:
                self._of(self.upstream, route).observe(exchange.answered_at - exchange.forwarded_at)
                self._of(self.upstream_up, route).set(1)
            elif exchange.failure is not None and exchange.failure.status >= status_codes.BAD_GATEWAY:
                self._of(self.upstream_up, route).set(0)
        if exchange.refused:
            self._of(self.rejected, route, exchange.refused).inc()
        for policy, decision in exchange.limit_decisions:
            self._of(self.decisions, policy, decision).inc()
        if exchange.upgrade and status != status_codes.SWITCHING:
            self._of(self.ws_outcomes, route, "refused" if exchange.refused else "failed").inc()

    def refused_early(self, refusal: Refusal) -> None:
        """A request that never became a flow."""
        self._of(self.requests, UNMAPPED, "other", status_label(refusal.status)).inc()
        self._of(self.rejected, UNMAPPED, refusal.reason).inc()

    def websocket_start(self, flow: http.HTTPFlow) -> None:
        exchange = exchange_of(flow)
        if exchange is not None:
            route = route_of(exchange)
            self._of(self.ws_outcomes, route, "opened").inc()
            self._of(self.ws_open, route).inc()

    def websocket_end(self, flow: http.HTTPFlow) -> None:
        exchange = exchange_of(flow)
        if exchange is None or flow.websocket is None:
            return
        route, report = route_of(exchange), report_of(exchange, flow.websocket)
        self._tell(flow.id, route, _told(report))
        del self._told[flow.id]
        self._of(self.ws_open, route).dec()
        self._of(self.ws_closes, route, close_label(flow.websocket.close_code), report.closed_by).inc()
        self._of(self.ws_durations, route).observe(time.monotonic() - exchange.started)

    def frame(self, seen: FrameSeen) -> None:
        """A frame of a LiveView session was understood."""
        note = seen.note
        if note.from_client:
            return
        exchange = exchange_of(seen.flow)
        route = route_of(exchange) if exchange is not None else UNMAPPED
        if note.what in ("crash", "refused"):
            self._of(self.liveview, route, note.what).inc()
        elif note.what == "joined" and note.view is not None and note.view.rejoins:
            self._of(self.liveview, route, "rejoin").inc()
        event = note.event
        if event is None or event.kind not in _TIMED or event.round_trip is None:
            return
        key = (route, note.view.module if note.view is not None else None, event.kind, event.name)
        timed = self._timed.get(key) or self._event(*key)
        timed[0].observe(event.round_trip)
        timed[1].inc(event.diff_size)

    def _event(self, route: str, module: str | None, kind: str, name: str) -> tuple[Any, Any]:
        """The metrics of an event; clients choose its name, so not every one is remembered."""
        wanted = (route, view_label(module), event_label(kind, name))
        labels = self._events.allowed(wanted, (route, OTHER, OTHER))
        found = (self._of(self.events, *labels), self._of(self.diff_bytes, *labels))
        if len(self._timed) < MAX_EVENT_LABELS:
            self._timed[(route, module, kind, name)] = found
        return found

    # For whoever reads them

    def refresh(self) -> None:
        """Bring up to date what is counted elsewhere. Called on the event loop, at most a few µs an open socket."""
        for session, service in self._sockets.open_now():
            self._tell(session.flow.id, service or UNMAPPED, _now(session))
        for hook, count in hook_errors.items():
            self._of(self.hook_failures, hook).inc(count - self._hook_errors.get(hook, 0))
            self._hook_errors[hook] = count

    def reloaded(self, *, good: bool) -> None:
        """The settings were read again."""
        self._of(self.reloads, "success" if good else "failure").inc()
        self.reload_ok.set(int(good))

    def text(self) -> bytes:
        """Everything in Prometheus' text format 0.0.4."""
        return generate_latest(self.registry)

    def _tell(self, flow_id: str, route: str, now: Told) -> None:
        """Count what has passed on a socket since the last time."""
        before = self._told.get(flow_id, NOTHING_TOLD)
        if now != before:
            for index, direction in ((0, "up"), (3, "down")):
                messages, controls, size = (now[index + part] - before[index + part] for part in range(3))
                self._of(self.ws_frames, route, direction, "message").inc(messages)
                self._of(self.ws_frames, route, direction, "control").inc(controls)
                self._of(self.ws_bytes, route, direction).inc(size)
        self._told[flow_id] = now

    def _of(self, metric: Any, *labels: str) -> Any:
        """A metric's child; prometheus-client's own look-up takes three times as long."""
        key = (metric, *labels)
        child = self._children.get(key)
        if child is None:
            child = self._children[key] = metric.labels(*labels)
        return child


_TIMED = frozenset({"event", "patch", "join"})


def route_of(exchange: Exchange) -> str:
    """The service of a request, as the settings name it."""
    return exchange.service.name if exchange.service is not None else UNMAPPED


def _now(session: Any) -> Told:
    client, server = session.client, session.server
    return (
        client.messages,
        client.pings + client.pongs,
        client.bytes,
        server.messages,
        server.pings + server.pongs,
        server.bytes,
    )


def _told(report: SocketReport) -> Told:
    return (
        report.messages_in,
        report.controls_in,
        report.bytes_in,
        report.messages_out,
        report.controls_out,
        report.bytes_out,
    )
