"""Addons that give requests their trace context, and export spans of requests, sessions, joins and events.

With `tracing` unset, or a sample of 0, there is no hook, no listener and no thread.
"""

import asyncio
import time

from mitmproxy import ctx, http
from mitmproxy.net.http import status_codes

from livegate.inspect.recorder import ObservedExchange, ObservedFrame, Recorder, socket_of
from livegate.logs.context import FlowAttribute
from livegate.mitm.hook_table import SkippableAddon, table_of
from livegate.observe.metrics.addon import route_of
from livegate.observe.metrics.labels import METHODS
from livegate.observe.tracing.exporter import SpanExport
from livegate.observe.tracing.spans import Span, Spans, Value
from livegate.pipeline.exchange.record import Exchange, awaiting_backend, exchange_of, socket_stats
from livegate.pipeline.fields.trace_context import RequestTrace, Sampler
from livegate.redaction.printable import printable
from livegate.redaction.redactor import Redactor
from livegate.settings import CurrentSettings, Settings, TracingSettings
from livegate.tasks import retain

SWEEP_EVERY_S = 5.0
MAX_PATH_CHARACTERS = 500
_PARENT, _STATE = b"traceparent", b"tracestate"
_NAMES = frozenset({_PARENT, _STATE})
_LENGTHS = frozenset(map(len, _NAMES))


class FlowTrace:
    """Trace of a flow."""

    __slots__ = ("is_page", "request", "session")

    def __init__(self, request: RequestTrace) -> None:
        self.request = request
        self.session: int | None = None
        """Number of the session that the request belongs to."""
        self.is_page = False
        """Whether the request loaded the page that started the session."""


_FLOW_TRACE = FlowAttribute[FlowTrace]("livegate_trace")
"""Attribute of a flow: its `FlowTrace`."""


class TraceContext(SkippableAddon):
    """Addon that gives each forwarded request its span context, in front of `Headers`, which writes the fields."""

    def __init__(self) -> None:
        self.sampler: Sampler | None = None

    @property
    def skip(self) -> bool:
        return self.sampler is None

    def requestheaders(self, flow: http.HTTPFlow) -> None:
        exchange = awaiting_backend(flow)
        if exchange is None or self.sampler is None:
            return
        request = self.start_trace(flow, exchange, self.sampler).request
        if not request.recorded:
            return  # it goes on as though there were no tracing
        fields = [field for field in flow.request.headers.fields if field[0].lower() not in _NAMES]
        fields.append((_PARENT, request.context.traceparent.encode()))
        if request.tracestate:
            fields.append((_STATE, request.tracestate.encode()))
        flow.request.headers.fields = tuple(fields)

    @staticmethod
    def start_trace(flow: http.HTTPFlow, exchange: Exchange, sampler: Sampler) -> FlowTrace:
        """Start a flow's trace, or continue the one that its client sent."""
        parents: list[str] = []
        states: list[str] = []
        for name, value in flow.request.headers.fields:
            if len(name) in _LENGTHS and (known := name.lower()) in _NAMES:
                (parents if known == _PARENT else states).append(value.decode("latin-1"))
        traced = FlowTrace(sampler.request(parents, states, trusted=exchange.peer_trusted))
        _FLOW_TRACE.set(flow, traced)
        return traced


class Tracing(SkippableAddon):
    """Addon that exports spans; it runs after the inspector, which finds the session of a flow."""

    def __init__(self, current: CurrentSettings, recorder: Recorder, redactor: Redactor) -> None:
        self.context = TraceContext()
        self._dropped_before = 0
        self._current = current
        self._recorder = recorder
        self._redactor = redactor
        self._spans: Spans | None = None
        self._export: SpanExport | None = None
        self._sweeping: asyncio.Task[None] | None = None
        current.on_change(self._apply)

    @property
    def skip(self) -> bool:
        return self._spans is None

    @property
    def dropped(self) -> int:
        """Spans that reached no collector, since the start."""
        return self._dropped_before + (self._export.dropped if self._export is not None else 0)

    # Life

    def running(self) -> None:
        if self._current.loaded:
            self._apply(self._current.value)

    def done(self) -> None:
        export = self._disable()
        if export is not None:
            export.stop()

    def _apply(self, settings: Settings) -> None:
        tracing = settings.tracing if settings.tracing is not None and settings.tracing.sample > 0 else None
        if tracing is None:
            self._stop_in_background(self._disable())
        elif self._spans is None or self._export is None:
            self._enable(tracing)
        else:
            self._reconfigure(self._spans, self._export, tracing)

    def _enable(self, settings: TracingSettings) -> None:
        self._export = export = SpanExport(settings)
        export.start()
        sampler = self.context.sampler = Sampler(settings.sample)
        self._spans = Spans(sampler, self._redactor, self._export_span)
        self._recorder.on_frame.append(self._on_frame)
        self._recorder.on_exchange.append(self._on_exchange)
        self._sweeping = asyncio.get_running_loop().create_task(self._sweep(self._spans), name="livegate tracing")
        table_of(ctx.master.addons).invalidate()

    def _reconfigure(self, spans: Spans, export: SpanExport, settings: TracingSettings) -> None:
        """Apply new settings. Pending spans go to the new collector; the new sample applies to new traces."""
        spans.sampler.ratio = settings.sample
        if export.settings.model_copy(update={"sample": settings.sample}) != settings:
            self._export = SpanExport(settings)
            self._export.start()
            self._stop_in_background(export)

    def _disable(self) -> SpanExport | None:
        """End all pending spans; return their exporter, which the caller stops."""
        spans, export = self._spans, self._export
        if spans is None or self._sweeping is None:
            return None
        spans.end_all(time.time())
        self._sweeping.cancel()
        self._recorder.on_frame.remove(self._on_frame)
        self._recorder.on_exchange.remove(self._on_exchange)
        self._spans = self._export = self._sweeping = self.context.sampler = None
        table_of(ctx.master.addons).invalidate()
        return export

    def _stop_in_background(self, export: SpanExport | None) -> None:
        """Let an exporter send its queue without blocking the event loop."""
        if export is not None:
            retain(asyncio.ensure_future(self._stop(export)))

    async def _stop(self, export: SpanExport) -> None:
        await asyncio.to_thread(export.stop)
        self._dropped_before += export.dropped

    async def _sweep(self, spans: Spans) -> None:
        while True:
            await asyncio.sleep(SWEEP_EVERY_S)
            spans.sweep(time.time())

    def _export_span(self, span: Span) -> None:
        if self._export is not None:
            self._export.put(span)

    # Listeners of the inspector

    def _on_frame(self, observed: ObservedFrame) -> None:
        exchange, traced = exchange_of(observed.flow), _FLOW_TRACE.get(observed.flow)
        if exchange is None or self._spans is None:
            return  # of a file that was loaded
        upgrade = traced.request.context if traced is not None and traced.request.recorded else None
        self._spans.on_frame(observed.info, observed.socket.info, route_of(exchange), upgrade)

    def _on_exchange(self, observed: ObservedExchange) -> None:
        traced = _FLOW_TRACE.get(observed.flow)
        if traced is not None:
            traced.session, traced.is_page = observed.session, observed.page is not None

    # Hooks

    def response(self, flow: http.HTTPFlow) -> None:
        exchange = exchange_of(flow)
        if exchange is not None and flow.response is not None:
            self._end_request(flow, exchange, flow.response.status_code, exchange.refusal_reason)

    def error(self, flow: http.HTTPFlow) -> None:
        exchange = exchange_of(flow)
        if exchange is not None and flow.websocket is None:
            failure = exchange.failure
            self._end_request(flow, exchange, failure.status if failure else 0, failure.reason if failure else "lost")

    def websocket_end(self, flow: http.HTTPFlow) -> None:
        exchange, websocket, channels = exchange_of(flow), flow.websocket, socket_of(flow)
        if exchange is None or websocket is None or channels is None or self._spans is None:
            return
        report = socket_stats(exchange, websocket)
        attributes: dict[str, Value] = {
            "livegate.close.code": websocket.close_code or 1006,
            "livegate.close.by": report.closed_by,
            "livegate.close.reason": self._spans.text(websocket.close_reason or ""),
            "livegate.messages.up": report.messages_in,
            "livegate.messages.down": report.messages_out,
            "livegate.bytes.up": report.bytes_in,
            "livegate.bytes.down": report.bytes_out,
        }
        self._spans.end_socket(channels.info.id, websocket.timestamp_end or time.time(), attributes)

    def _end_request(self, flow: http.HTTPFlow, exchange: Exchange, status: int, reason: str) -> None:
        spans, sampler = self._spans, self.context.sampler
        if spans is None or sampler is None:
            return
        traced = _FLOW_TRACE.get(flow)
        if traced is None:
            if exchange.forwarded_at is not None:
                return  # it went to its backend before tracing was switched on
            traced = TraceContext.start_trace(flow, exchange, sampler)
        service, path = route_of(exchange), flow.request.path.partition("?")[0]
        began, ended = flow.request.timestamp_start, _end_time(flow)
        if traced.is_page and traced.session is not None:
            spans.start_session(traced.request, traced.session, service, path, began=began, ended=ended)
        known = flow.request.method in METHODS
        error = reason or str(status) if status >= status_codes.INTERNAL_SERVER_ERROR or not status else None
        spans.end_request(
            traced.request,
            flow.request.method if known else "HTTP",
            self._request_attributes(flow, exchange, flow.request.method if known else "_OTHER", status, reason),
            error=error,
            began=began,
            ended=ended,
            number=traced.session,
            is_page=traced.is_page,
        )

    def _request_attributes(
        self, flow: http.HTTPFlow, exchange: Exchange, method: str, status: int, reason: str
    ) -> dict[str, Value]:
        path = self._redactor.string(flow.request.path.partition("?")[0])
        service = route_of(exchange)
        attributes: dict[str, Value] = {
            "http.request.method": method,
            "url.path": printable(path, MAX_PATH_CHARACTERS),
            "url.scheme": exchange.scheme,
            "server.address": service,
            "network.protocol.name": "http",
            "network.protocol.version": flow.request.http_version.removeprefix("HTTP/"),
            "livegate.service": service,
            "livegate.request_id": exchange.request_id,
        }
        if status:
            attributes["http.response.status_code"] = status
        if reason or status >= status_codes.INTERNAL_SERVER_ERROR:
            attributes["error.type"] = reason or str(status)
        if exchange.forwarded_at is not None and exchange.response_started_at is not None:
            attributes["livegate.backend.seconds"] = round(exchange.response_started_at - exchange.forwarded_at, 6)
        return attributes


def _end_time(flow: http.HTTPFlow) -> float:
    response = flow.response
    return (response.timestamp_end if response is not None else None) or time.time()
