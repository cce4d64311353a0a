"""Addon that counts and times requests, WebSockets and LiveView events; docs/reference/metrics.md has each metric."""

import time
from collections import Counter
from collections.abc import Callable, Mapping
from weakref import WeakValueDictionary

from mitmproxy import http
from mitmproxy.net.http import status_codes
from mitmproxy.websocket import WebSocketData
from prometheus_client import generate_latest

from livegate import mitm
from livegate.http1.refusal import Refusal
from livegate.inspect.recorder import ObservedFrame, ObservedIncident
from livegate.mitm.hook_table import FLOW_EVENTS, hook_errors
from livegate.mitm.proxyserver import open_connections
from livegate.observe.metrics.instruments import Instruments
from livegate.observe.metrics.labels import (
    UNMAPPED,
    LabelSets,
    close_label,
    event_label,
    method_label,
    reason_label,
    status_label,
    view_label,
)
from livegate.phoenix.sessions.tracker import Tracker
from livegate.pipeline.exchange.record import (
    DirectionCounters,
    Exchange,
    SocketStats,
    TrafficCounters,
    body_sizes,
    exchange_of,
    socket_stats,
)
from livegate.pipeline.router import service_for
from livegate.settings import CurrentSettings, Settings
from livegate.websocket.registry import SocketRegistry
from livegate.websocket.relay import WebSocketRelay

MAX_EVENT_LABELS = 500
"""Combinations of route, view and event; further ones are counted as `_other`, because each is about twenty lines."""
MAX_EVENTS_PER_VIEW = 50

_TIMED = frozenset({"event", "patch", "join"})
_UNREACHABLE = frozenset({"backend-unreachable", "timeout-connect"})
"""Failures in which the backend accepted no connection."""
type TrafficDelta = Counter[tuple[str, str, str]]
"""Traffic since the last count, by route, direction, and `message`, `control` or `bytes`."""
_INCIDENTS = ("crash", "refused")


class Metrics:
    """Addon that owns the metrics. Everything but `text` is for the event loop only."""

    def __init__(self, current: CurrentSettings, sockets: SocketRegistry, tracker: Tracker) -> None:
        instruments = Instruments()
        self.registry = instruments.registry
        self.lag = instruments.own.lag
        self._instruments, self._child = instruments, instruments.child
        self._http, self._ws = instruments.http, instruments.sockets
        self._liveview, self._own = instruments.liveview, instruments.own
        self._current = current
        self._sockets = sockets
        self._tracker = tracker
        self._in_flight: WeakValueDictionary[str, http.HTTPFlow] = WeakValueDictionary()
        """Requests by flow id; weak, so that a request whose end no hook reported is not counted forever."""
        self._open_sockets: WeakValueDictionary[str, http.HTTPFlow] = WeakValueDictionary()
        """WebSockets by flow id; weak for the same reason."""
        self._events = LabelSets(MAX_EVENT_LABELS, MAX_EVENTS_PER_VIEW)
        self._services: frozenset[str] = frozenset()
        self._unreachable: set[str] = set()
        self._socket_routes: set[str] = set()
        self._view_routes: set[str] = set()
        self._hook_errors: Counter[str] = Counter()
        self._drops: dict[str, Callable[[], int]] = {}
        self._dropped: dict[str, int] = {}
        current.on_change(self._settings_changed)
        self._initialize_series()

    def _initialize_series(self) -> None:
        """Create the series that alerts use with value 0.

        `rate()` does not see an increase when a series first appears at 1.
        """
        self._own.last_reload_success.set(1)
        for result in ("success", "failure"):
            self._child(self._own.reloads, result)
        for hook in FLOW_EVENTS:
            self._child(self._own.hook_errors, hook)

    def count_drops(self, drops: Mapping[str, Callable[[], int]]) -> None:
        """Add sources of `gateway_dropped_total`: functions that return how much was dropped so far, by name."""
        self._drops.update(drops)
        for what in drops:
            self._child(self._own.dropped, what)

    # Hooks for HTTP

    def running(self) -> None:
        if self._current.loaded:
            self._settings_changed(self._current.value)

    def requestheaders(self, flow: http.HTTPFlow) -> None:
        exchange = exchange_of(flow)
        if exchange is not None and not exchange.metrics_recorded:
            self._in_flight[flow.id] = flow

    def response(self, flow: http.HTTPFlow) -> None:
        exchange = exchange_of(flow)
        if exchange is not None and flow.response is not None:
            self._record_request(flow, exchange, flow.response.status_code)

    def error(self, flow: http.HTTPFlow) -> None:
        exchange = exchange_of(flow)
        if exchange is not None and flow.websocket is None:
            self._record_request(flow, exchange, exchange.failure.status if exchange.failure else 0)

    def _record_request(self, flow: http.HTTPFlow, exchange: Exchange, status: int) -> None:
        if exchange.metrics_recorded:  # an early answer, and then the client went away before its body had come
            return
        exchange.metrics_recorded = True
        self._in_flight.pop(flow.id, None)
        route, of = route_of(exchange), self._child
        of(self._http.requests, route, method_label(flow.request.method), status_label(status)).inc()
        of(self._http.durations, route).observe(time.monotonic() - exchange.started)
        up, down = body_sizes(flow, exchange)
        if up:
            of(self._http.bytes, route, "up").inc(up)
        if down:
            of(self._http.bytes, route, "down").inc(down)
        if exchange.forwarded_at is not None and exchange.response_started_at is not None:
            of(self._http.upstream_durations, route).observe(exchange.response_started_at - exchange.forwarded_at)
            self.record_reachability(route, reached=True)
        if exchange.refusal_reason:
            of(self._http.rejected, route, reason_label(exchange.refusal_reason)).inc()
        elif exchange.failure is not None:
            self._record_failure(route, exchange.failure)
        for policy, decision in exchange.limit_decisions:
            of(self._http.decisions, policy, decision).inc()
        if exchange.upgrade and status != status_codes.SWITCHING:
            of(self._ws.upgrades, route, "refused" if exchange.refusal_reason else "failed").inc()

    def _record_failure(self, route: str, failure: Refusal) -> None:
        self._child(self._http.failures, route, reason_label(failure.reason)).inc()
        if failure.reason in _UNREACHABLE:
            self.record_reachability(route, reached=False)

    def refused_before_flow(self, refusal: Refusal, size: int) -> None:
        """Count a request that was refused before it became a flow; `size` is that of the response body."""
        self._child(self._http.requests, UNMAPPED, "other", status_label(refusal.status)).inc()
        self._child(self._http.rejected, UNMAPPED, reason_label(refusal.reason)).inc()
        self._child(self._http.bytes, UNMAPPED, "down").inc(size)

    # Hooks for WebSockets; there is none for messages, which their sessions count

    def websocket_start(self, flow: http.HTTPFlow) -> None:
        exchange = exchange_of(flow)
        if exchange is None:
            return
        route = route_of(exchange)
        self._open_sockets[flow.id] = flow
        self._child(self._ws.upgrades, route, "opened").inc()
        if route not in self._socket_routes:
            self._initialize_socket_series(route)

    def _initialize_socket_series(self, route: str) -> None:
        """Create the series of a route's WebSockets with value 0; see `_initialize_series`."""
        self._socket_routes.add(route)
        for by in ("client", "backend"):
            self._child(self._ws.closes, route, "1006", by)
        for direction in ("up", "down"):
            self._child(self._ws.bytes, route, direction)
            for kind in ("message", "control"):
                self._child(self._ws.frames, route, direction, kind)

    def websocket_end(self, flow: http.HTTPFlow) -> None:
        exchange = exchange_of(flow)
        if exchange is None or flow.websocket is None or self._open_sockets.pop(flow.id, None) is None:
            return
        route, stats = route_of(exchange), socket_stats(exchange, flow.websocket)
        delta: TrafficDelta = Counter()
        _add_delta(delta, route, exchange, _of_stats(stats))
        self._count_traffic(delta)
        self._child(self._ws.closes, route, close_label(flow.websocket.close_code), stats.closed_by).inc()
        self._child(self._ws.durations, route).observe(time.monotonic() - exchange.started)

    def _count_traffic(self, delta: TrafficDelta) -> None:
        for (route, direction, kind), amount in delta.items():
            if kind == "bytes":
                self._child(self._ws.bytes, route, direction).inc(amount)
            else:
                self._child(self._ws.frames, route, direction, kind).inc(amount)

    # LiveView

    def on_frame(self, observed: ObservedFrame) -> None:
        """Count a decoded frame of a LiveView session."""
        note, event = observed.info, observed.info.push
        if note.kind in _INCIDENTS:
            self._child(self._liveview.incidents, _route(observed.flow), note.kind).inc()
        elif note.kind == "joined":
            self._record_join(_route(observed.flow), again=note.view is not None and note.view.rejoins)
        if event is None or note.from_client or event.kind not in _TIMED or event.replied_at is None:
            return
        module = note.view.module if note.view is not None else None
        # Only what a backend has answered well is a name of its own: anybody can make up views and events.
        labels = self._events.bounded(
            _route(observed.flow),
            view_label(module),
            event_label(event.kind, event.name),
            may_grow=event.outcome == "ok",
        )
        self._child(self._liveview.event_durations, *labels).observe(max(0.0, event.replied_at - event.sent_at))
        self._child(self._liveview.diff_bytes, *labels).inc(event.diff_size)

    def on_incident(self, observed: ObservedIncident) -> None:
        """Count an incident."""
        route = _route(observed.flow) if observed.flow is not None else UNMAPPED
        self._child(self._liveview.causes, route, reason_label(observed.incident.slug)).inc()

    def _record_join(self, route: str, *, again: bool) -> None:
        if route not in self._view_routes:
            self._view_routes.add(route)
            for kind in (*_INCIDENTS, "rejoin"):
                self._child(self._liveview.incidents, route, kind)
        if again:
            self._child(self._liveview.incidents, route, "rejoin").inc()

    # Events of other addons

    def on_reload(self, good: bool) -> None:
        """Count a reload of the settings."""
        self._child(self._own.reloads, "success" if good else "failure").inc()
        self._own.last_reload_success.set(int(good))

    def unreachable(self) -> frozenset[str]:
        """Return the services whose backends were unreachable at the last attempt."""
        return frozenset(self._unreachable)

    def record_reachability(self, route: str, *, reached: bool) -> None:
        """Record whether a service's backend was reachable."""
        if route in self._services:  # else it is gone, and nobody would ever try again
            self._child(self._http.upstream_up, route).set(int(reached))
            (self._unreachable.discard if reached else self._unreachable.add)(route)

    def _settings_changed(self, settings: Settings) -> None:
        """Remove the series of services that neither these settings nor the previous ones have.

        Sockets of a removed service still close after the reload.
        """
        services = frozenset(service.name for service in settings.services)
        routes = services | self._services | {UNMAPPED}
        self._instruments.keep_routes(routes)
        self._events.keep_routes(routes)
        self._socket_routes &= routes
        self._view_routes &= routes
        self._unreachable &= services
        for removed in self._services - services:
            self._instruments.remove(self._http.upstream_up, removed)
        self._services = services
        for (name,) in self._instruments.labels_of(self._own.expiry):
            self._instruments.remove(self._own.expiry, name)
        for certificate in settings.tls.certificates:
            self._child(self._own.expiry, certificate.pattern).set(certificate.not_after)

    # Scrapes

    def refresh(self) -> None:
        """Update what is counted elsewhere, before a scrape; takes about 3 µs per open socket."""
        delta: TrafficDelta = Counter()
        for session, _ in self._sockets.open_sockets():
            exchange = exchange_of(session.flow)
            if exchange is not None:
                _add_delta(delta, route_of(exchange), exchange, _of_session(session))
        for flow in list(self._open_sockets.values()) if mitm.INCOMPATIBILITIES else ():
            exchange = exchange_of(flow)
            if exchange is not None and flow.websocket is not None:
                _add_delta(delta, route_of(exchange), exchange, _of_messages(exchange, flow.websocket))
        self._count_traffic(delta)
        self._set_gauge(self._ws.open, self._open_sockets)
        self._set_gauge(self._http.in_flight, self._in_flight)
        states = Counter(each.is_open for each in self._tracker.sessions.values() if each.kind == "tab")
        self._child(self._liveview.sessions, "open").set(states[True])
        self._child(self._liveview.sessions, "closed").set(states[False])
        self._own.connections.set(open_connections())
        for hook, count in hook_errors.items():
            self._child(self._own.hook_errors, hook).inc(count - self._hook_errors[hook])
            self._hook_errors[hook] = count
        for what, drops in self._drops.items():
            count, before = drops(), self._dropped.get(what, 0)
            self._child(self._own.dropped, what).inc(count - before)
            self._dropped[what] = count

    def text(self) -> bytes:
        """Return all metrics in Prometheus' text format 0.0.4. Thread-safe, because each metric locks its children."""
        return generate_latest(self.registry)

    def _set_gauge(self, gauge: object, flows: Mapping[str, http.HTTPFlow]) -> None:
        """Set a gauge to the number of flows of each route."""
        now = Counter(_route(flow) for flow in list(flows.values()))
        shown = {labels[0] for labels in self._instruments.labels_of(gauge)}
        for route in shown.union(self._services, now):
            self._child(gauge, route).set(now[route])


def route_of(exchange: Exchange) -> str:
    """Return the name of a request's service, or `_unmapped`; also for a request that never reached the router."""
    service = service_for(exchange) if exchange.authority else None
    return service.name if service is not None else UNMAPPED


def _route(flow: http.HTTPFlow) -> str:
    exchange = exchange_of(flow)
    return route_of(exchange) if exchange is not None else UNMAPPED


def _add_delta(delta: TrafficDelta, route: str, exchange: Exchange, now: TrafficCounters) -> None:
    """Add the traffic of a socket since the last count."""
    before = exchange.traffic_counted
    if now == before:
        return
    exchange.traffic_counted = now
    for direction, new, old in (("up", now.up, before.up), ("down", now.down, before.down)):
        if new != old:
            delta[route, direction, "message"] += new.messages - old.messages
            delta[route, direction, "control"] += new.controls - old.controls
            delta[route, direction, "bytes"] += new.bytes - old.bytes


def _of_session(session: WebSocketRelay) -> TrafficCounters:
    up, down = session.client, session.backend
    return TrafficCounters(
        DirectionCounters(up.messages, up.pings + up.pongs, up.bytes),
        DirectionCounters(down.messages, down.pings + down.pongs, down.bytes),
    )


def _of_messages(exchange: Exchange, websocket: WebSocketData) -> TrafficCounters:
    """Return the counters of a socket that mitmproxy's own layer relays, which reports no control frames."""
    up, down = exchange.traffic_counted
    for message in websocket.messages[up.messages + down.messages :]:
        size = len(message.content)
        if message.from_client:
            up = up._replace(messages=up.messages + 1, bytes=up.bytes + size)
        else:
            down = down._replace(messages=down.messages + 1, bytes=down.bytes + size)
    return TrafficCounters(up, down)


def _of_stats(stats: SocketStats) -> TrafficCounters:
    return TrafficCounters(
        DirectionCounters(stats.messages_in, stats.controls_in, stats.bytes_in),
        DirectionCounters(stats.messages_out, stats.controls_out, stats.bytes_out),
    )
