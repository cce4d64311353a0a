"""Sends spans to a collector from a thread of its own, in batches; made by observe.tracing when tracing is on.

The only place that knows OpenTelemetry's packages. They are imported in the thread, when the settings have found them.
"""

import logging
import threading
from collections import deque
from typing import TYPE_CHECKING

from livegate import __version__
from livegate.observe.tracing.spans import Span
from livegate.pipeline.fields.trace_context import SpanContext
from livegate.redaction.printable import printable
from livegate.settings import TracingSettings

if TYPE_CHECKING:
    from opentelemetry.sdk.resources import Resource
    from opentelemetry.sdk.trace import ReadableSpan
    from opentelemetry.sdk.trace.export import SpanExporter

logger = logging.getLogger("livegate.tracing")

MAX_QUEUED = 8192
"""Spans; those that come while so many wait are dropped."""
BATCH = 512
EVERY_S = 1.0
TIMEOUT_S = 5.0
"""For a batch, tries after a refusal included."""
STOP_WITHIN_S = 2.0
MAX_CAUSE_CHARACTERS = 300
EXPORTER_LOGGER = "opentelemetry.exporter.otlp.proto.http.trace_exporter"


class SpanExport:
    """A bounded queue of spans, and the thread that empties it."""

    def __init__(self, settings: TracingSettings) -> None:
        self.settings = settings
        self.dropped = 0
        """Spans that no collector has got: the queue was full, or the collector did not take them."""
        self._queue: deque[Span] = deque()
        self._wake = threading.Event()
        self._stopping = threading.Event()
        self._failing = False
        self._exporter: SpanExporter | None = None
        self._thread = threading.Thread(target=self._run, name="livegate span export", daemon=True)

    def start(self) -> None:
        """Begin to send."""
        self._thread.start()

    def put(self, span: Span) -> None:
        """Take a span; never waits."""
        if len(self._queue) >= MAX_QUEUED:
            self.dropped += 1
            return
        self._queue.append(span)
        if len(self._queue) >= BATCH:
            self._wake.set()

    def stop(self) -> None:
        """Send what there is, for at most STOP_WITHIN_S; what was not sent by then is dropped."""
        self._stopping.set()
        self._wake.set()
        self._thread.join(STOP_WITHIN_S)
        if self._thread.is_alive() and self._exporter is not None:
            _shut_down(self._exporter)

    def _run(self) -> None:
        from opentelemetry.exporter.otlp.proto.http.trace_exporter import OTLPSpanExporter
        from opentelemetry.sdk.resources import Resource

        resource = Resource.create({"service.name": self.settings.service_name, "service.version": __version__})
        heard = logging.getLogger(EXPORTER_LOGGER)
        heard.propagate = False  # a line for each try would fill the log
        heard.addHandler(_LAST_WORD)
        self._exporter = exporter = OTLPSpanExporter(
            endpoint=self.settings.endpoint, headers=dict(self.settings.headers), timeout=TIMEOUT_S
        )
        while not self._stopping.is_set():
            self._wake.wait(EVERY_S)
            self._wake.clear()
            self._send_all(exporter, resource)
        self._send_all(exporter, resource)  # what was put between the last look and the stop
        _shut_down(exporter)

    def _send_all(self, exporter: "SpanExporter", resource: "Resource") -> None:
        while self._queue:
            batch = [self._queue.popleft() for _ in range(min(BATCH, len(self._queue)))]
            if self._sent(batch, exporter, resource):
                if self._failing:
                    logger.info("the collector takes spans again; %d were lost", self.dropped)
                self._failing = False
                continue
            self.dropped += len(batch)
            if not self._failing:
                logger.warning(
                    "spans do not reach the collector at %s: %s; they are dropped until it takes them (said once)",
                    self.settings.endpoint,
                    printable(_LAST_WORD.text, MAX_CAUSE_CHARACTERS) or "no cause was told",
                )
            self._failing = True

    def _sent(self, batch: list[Span], exporter: "SpanExporter", resource: "Resource") -> bool:
        from opentelemetry.sdk.trace.export import SpanExportResult

        try:
            result = exporter.export([_readable(span, resource) for span in batch])
        except Exception as error:  # noqa: BLE001 - whatever the exporter raises, the next batch may do
            _LAST_WORD.text = repr(error)
            return False
        return result is SpanExportResult.SUCCESS


class _LastWord(logging.Handler):
    """Keeps what the exporter logged last, which is why it failed."""

    def __init__(self) -> None:
        super().__init__(logging.WARNING)
        self.text = ""

    def emit(self, record: logging.LogRecord) -> None:
        self.text = record.getMessage()


_LAST_WORD = _LastWord()


def _shut_down(exporter: "SpanExporter") -> None:
    """Close its connections, and wake it where it waits to try again."""
    exporter.shutdown()


def _readable(span: Span, resource: "Resource") -> "ReadableSpan":
    """A span as OpenTelemetry's SDK has it."""
    from opentelemetry import trace
    from opentelemetry.sdk.trace import Event, ReadableSpan
    from opentelemetry.sdk.util.instrumentation import InstrumentationScope
    from opentelemetry.trace import Link, SpanKind, Status, StatusCode, TraceFlags

    def context(own: SpanContext, *, remote: bool = False) -> trace.SpanContext:
        return trace.SpanContext(int(own.trace_id, 16), int(own.span_id, 16), remote, TraceFlags(own.flags))

    parent = SpanContext(span.context.trace_id, span.parent) if span.parent is not None else None
    return ReadableSpan(
        name=span.name,
        context=context(span.context),
        parent=context(parent, remote=span.remote_parent) if parent is not None else None,
        resource=resource,
        attributes=span.attributes,
        events=[Event(each.name, each.attributes, each.at_ns) for each in span.events],
        links=[Link(context(each)) for each in span.links],
        kind=SpanKind.SERVER if span.kind == "server" else SpanKind.INTERNAL,
        instrumentation_scope=InstrumentationScope("livegate", __version__),
        status=Status(StatusCode.UNSET) if span.error is None else Status(StatusCode.ERROR, span.error),
        start_time=span.start_ns,
        end_time=span.end_ns,
    )
