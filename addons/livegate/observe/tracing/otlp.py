"""Connection to a collector: OpenTelemetry's BatchSpanProcessor and OTLPSpanExporter.

The only module that imports OpenTelemetry. `exporter` imports it in a thread, because the import takes half a second.
"""

import logging
from collections.abc import Callable, Sequence

from opentelemetry import trace
from opentelemetry.exporter.otlp.proto.http.trace_exporter import OTLPSpanExporter
from opentelemetry.sdk.resources import Resource
from opentelemetry.sdk.trace import Event, ReadableSpan
from opentelemetry.sdk.trace.export import BatchSpanProcessor, SpanExporter, SpanExportResult
from opentelemetry.sdk.util.instrumentation import InstrumentationScope

from livegate import __version__
from livegate.observe.tracing.spans import Span
from livegate.pipeline.fields.trace_context import SpanContext
from livegate.redaction.printable import printable
from livegate.settings import TracingSettings

logger = logging.getLogger("livegate.tracing")

TIMEOUT_S = 5.0
"""Per batch, retries included."""
MAX_CAUSE_CHARACTERS = 300
_SCOPE = InstrumentationScope("livegate", __version__)
_UNSET = trace.Status(trace.StatusCode.UNSET)
EXPORTER_LOGGER = "opentelemetry.exporter.otlp.proto.http.trace_exporter"


class Collector(SpanExporter):
    """Exporter behind a batch processor; counts spans, and logs the first failed batch of an outage and its end."""

    def __init__(
        self, settings: TracingSettings, max_queued: int, batch: int, every_s: float, dropped: Callable[[], int]
    ) -> None:
        self.taken = 0
        """Spans that have left the queue."""
        self.failed = 0
        """Spans that the collector did not accept."""
        self._endpoint = settings.endpoint
        self._dropped = dropped
        self._failing = False
        exporter_logger = logging.getLogger(EXPORTER_LOGGER)
        exporter_logger.propagate = False  # because it logs every attempt
        exporter_logger.addHandler(_LAST_ERROR)
        self._resource = Resource.create({"service.name": settings.service_name, "service.version": __version__})
        self._exporter = OTLPSpanExporter(endpoint=settings.endpoint, headers=dict(settings.headers), timeout=TIMEOUT_S)
        self._processor = BatchSpanProcessor(self, max_queued, every_s * 1000, batch)

    def put(self, span: Span) -> None:
        """Queue a span; takes about 10 µs and never waits."""
        self._processor.on_end(_readable(span, self._resource))

    def flush(self) -> None:
        """Send what is queued, and close. Blocks for up to 30 s."""
        self._processor.shutdown()  # type: ignore[no-untyped-call]

    def export(self, spans: Sequence[ReadableSpan]) -> SpanExportResult:
        """Send a batch. Never raises."""
        self.taken += len(spans)
        try:
            result = self._exporter.export(spans)
        except Exception as error:  # noqa: BLE001 - an exporter that raises must not end the processor's thread
            _LAST_ERROR.text = repr(error)
            result = SpanExportResult.FAILURE
        failed = result is not SpanExportResult.SUCCESS
        self.failed += len(spans) if failed else 0
        if failed and not self._failing:
            logger.warning(
                "spans do not reach the collector at %s: %s; they are dropped until it accepts them (logged once)",
                self._endpoint,
                printable(_LAST_ERROR.text, MAX_CAUSE_CHARACTERS) or "unknown cause",
            )
        elif self._failing and not failed:
            logger.info("the collector accepts spans again; %d were dropped", self._dropped())
        self._failing = failed
        return result

    def shutdown(self) -> None:
        """Close the connections, and end the wait between two attempts."""
        self._exporter.shutdown()  # type: ignore[no-untyped-call]


class _LastErrorHandler(logging.Handler):
    """Handler that keeps the last message of OpenTelemetry's exporter, which says why a batch failed."""

    def __init__(self) -> None:
        super().__init__(logging.WARNING)
        self.text = ""

    def emit(self, record: logging.LogRecord) -> None:
        self.text = record.getMessage()


_LAST_ERROR = _LastErrorHandler()


def _readable(span: Span, resource: Resource) -> ReadableSpan:
    parent = SpanContext(span.context.trace_id, span.parent) if span.parent is not None else None
    return ReadableSpan(
        name=span.name,
        context=_context(span.context),
        parent=_context(parent, remote=span.remote_parent) if parent is not None else None,
        resource=resource,
        attributes=span.attributes,
        events=[Event(each.name, each.attributes, each.at_ns) for each in span.events],
        links=[trace.Link(_context(each)) for each in span.links],
        kind=trace.SpanKind.SERVER if span.kind == "server" else trace.SpanKind.INTERNAL,
        instrumentation_scope=_SCOPE,
        status=_UNSET if span.error is None else trace.Status(trace.StatusCode.ERROR, span.error),
        start_time=span.start_ns,
        end_time=span.end_ns,
    )


def _context(context: SpanContext, *, remote: bool = False) -> trace.SpanContext:
    flags = trace.TraceFlags(context.flags)
    return trace.SpanContext(int(context.trace_id, 16), int(context.span_id, 16), remote, flags)
