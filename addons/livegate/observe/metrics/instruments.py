"""All metrics: names, help texts, labels and buckets. Used by `observe.metrics.addon`.

A test compares docs/reference/metrics.md with this registry.
"""

import platform
from collections.abc import Container
from typing import Any

from mitmproxy import version
from prometheus_client import (
    CollectorRegistry,
    Counter,
    Gauge,
    GCCollector,
    Histogram,
    ProcessCollector,
    disable_created_metrics,
)

from livegate import __version__

BUCKETS = (0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0, 10.0)
"""Seconds."""
SOCKET_BUCKETS = (1.0, 10.0, 60.0, 300.0, 900.0, 3600.0, 14400.0, 86400.0)
LAG_BUCKETS = (0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0)

ROUTE = "route"
"""Label, always the first: the service's name in the settings, or `_unmapped`."""


class HttpInstruments:
    """Metrics of requests and responses, upgrades included."""

    def __init__(self, registry: CollectorRegistry) -> None:
        self.requests = Counter(
            "gateway_requests", "Completed HTTP requests.", [ROUTE, "method", "code"], registry=registry
        )
        self.in_flight = Gauge("gateway_requests_in_flight", "HTTP requests in flight.", [ROUTE], registry=registry)
        self.durations = Histogram(
            "gateway_request_duration_seconds",
            "Time from the request head to the end of the response.",
            [ROUTE],
            buckets=BUCKETS,
            registry=registry,
        )
        self.upstream_durations = Histogram(
            "gateway_upstream_duration_seconds",
            "Time from forwarding a request to the response head of the backend.",
            [ROUTE],
            buckets=BUCKETS,
            registry=registry,
        )
        self.upstream_up = Gauge(
            "gateway_upstream_up",
            "1 if the backend was reachable at the last attempt, otherwise 0.",
            [ROUTE],
            registry=registry,
        )
        self.bytes = Counter("gateway_http_bytes", "Bytes of HTTP bodies.", [ROUTE, "direction"], registry=registry)
        self.rejected = Counter(
            "gateway_rejected", "Requests that the gateway refused.", [ROUTE, "reason"], registry=registry
        )
        self.failures = Counter(
            "gateway_failures", "Requests that the gateway could not complete.", [ROUTE, "reason"], registry=registry
        )
        self.decisions = Counter(
            "gateway_ratelimit_decisions", "Decisions of the rate limiter.", ["policy", "decision"], registry=registry
        )


class SocketInstruments:
    """Metrics of WebSockets."""

    def __init__(self, registry: CollectorRegistry) -> None:
        self.open = Gauge("gateway_ws_connections", "Open WebSockets.", [ROUTE], registry=registry)
        self.upgrades = Counter(
            "gateway_ws_upgrades", "WebSocket upgrades by outcome.", [ROUTE, "outcome"], registry=registry
        )
        self.closes = Counter("gateway_ws_close", "Closed WebSockets.", [ROUTE, "code", "by"], registry=registry)
        self.durations = Histogram(
            "gateway_ws_duration_seconds",
            "Time that WebSockets were open.",
            [ROUTE],
            buckets=SOCKET_BUCKETS,
            registry=registry,
        )
        self.frames = Counter(
            "gateway_ws_frames",
            "Forwarded messages and control frames (pings and pongs).",
            [ROUTE, "direction", "type"],
            registry=registry,
        )
        self.bytes = Counter(
            "gateway_ws_bytes", "Bytes of WebSocket messages.", [ROUTE, "direction"], registry=registry
        )


class LiveViewInstruments:
    """Metrics of LiveView sessions."""

    def __init__(self, registry: CollectorRegistry) -> None:
        self.event_durations = Histogram(
            "gateway_liveview_event_duration_seconds",
            "Round trips of LiveView events, patches and joins.",
            [ROUTE, "view", "event"],
            buckets=BUCKETS,
            registry=registry,
        )
        self.diff_bytes = Counter(
            "gateway_liveview_diff_bytes",
            "Bytes of the diffs in replies to events.",
            [ROUTE, "view", "event"],
            registry=registry,
        )
        self.incidents = Counter(
            "gateway_liveview_incidents",
            "Crashed views, refused joins, and rejoins.",
            [ROUTE, "kind"],
            registry=registry,
        )
        self.causes = Counter(
            "gateway_incidents",
            "Incidents by cause: crashes, refused joins, lost sockets, refused requests; see docs/reference/causes.md.",
            [ROUTE, "cause"],
            registry=registry,
        )
        self.sessions = Gauge(
            "gateway_liveview_sessions",
            "Known LiveView sessions (browser tabs).",
            ["state"],
            registry=registry,
        )


class OwnInstruments:
    """Metrics of the gateway itself."""

    def __init__(self, registry: CollectorRegistry) -> None:
        self.connections = Gauge("gateway_connections", "Open connections of clients.", registry=registry)
        self.reloads = Counter("gateway_config_reloads", "Reloads of the settings.", ["result"], registry=registry)
        self.last_reload_success = Gauge(
            "gateway_config_last_reload_success",
            "1 if the settings were valid when last read, 0 if the previous ones remain in force.",
            registry=registry,
        )
        self.hook_errors = Counter("gateway_hook_errors", "Exceptions in hooks of addons.", ["hook"], registry=registry)
        self.lag = Histogram(
            "gateway_event_loop_lag_seconds", "Lag of the event loop.", buckets=LAG_BUCKETS, registry=registry
        )
        self.dropped = Counter("gateway_dropped", "Dropped items, by kind.", ["what"], registry=registry)
        self.expiry = Gauge(
            "gateway_certificate_expiry_timestamp_seconds",
            "Expiry of a certificate for clients, in seconds since 1970.",
            ["name"],
            registry=registry,
        )
        self.build = Gauge(
            "gateway_build_info",
            "Always 1; the labels are the versions.",
            ["version", "mitmproxy", "python"],
            registry=registry,
        )


class Instruments:
    """Registry with a cache of the metrics' children."""

    def __init__(self) -> None:
        disable_created_metrics()  # type: ignore[no-untyped-call]  # a third of all lines, and nobody asks for them
        self.registry = CollectorRegistry()
        self.http = HttpInstruments(self.registry)
        self.sockets = SocketInstruments(self.registry)
        self.liveview = LiveViewInstruments(self.registry)
        self.own = OwnInstruments(self.registry)
        self.own.build.labels(__version__, version.VERSION, platform.python_version()).set(1)
        ProcessCollector(registry=self.registry)
        GCCollector(registry=self.registry)
        self._children: dict[tuple[Any, ...], Any] = {}

    def child(self, metric: Any, *labels: str) -> Any:
        """Return a metric's child; prometheus-client's own look-up takes three times as long."""
        key = (metric, *labels)
        child = self._children.get(key)
        if child is None:
            child = self._children[key] = metric.labels(*labels)
        return child

    def remove(self, metric: Any, *labels: str) -> None:
        """Remove a child, so that it is no longer exported."""
        if self._children.pop((metric, *labels), None) is not None:
            metric.remove(*labels)

    def labels_of(self, metric: Any) -> list[tuple[str, ...]]:
        """Return the label values of a metric's children."""
        return [tuple(labels) for each, *labels in self._children if each is metric]

    def keep_routes(self, routes: Container[str]) -> None:
        """Remove the children of all other routes."""
        without_route = {self.http.decisions, self.liveview.sessions, *vars(self.own).values()}
        for metric, *labels in list(self._children):
            if metric not in without_route and labels[0] not in routes:
                self.remove(metric, *labels)
