"""Spans leave in batches from a thread; a collector that fails costs spans, never time, and is logged once."""

import logging
import subprocess
import sys
import threading
from collections.abc import Iterator, Sequence
from typing import Any

import pytest
from opentelemetry.sdk.trace import ReadableSpan
from opentelemetry.sdk.trace.export import SpanExportResult
from opentelemetry.trace import SpanKind, StatusCode

from livegate.observe.tracing import exporter, otlp
from livegate.observe.tracing.exporter import SpanExport
from livegate.observe.tracing.spans import Span, SpanEvent
from livegate.pipeline.fields.trace_context import SpanContext
from livegate.settings import TracingSettings

TIMEOUT_S = 20
OWN, OTHER = SpanContext("a" * 32, "b" * 16), SpanContext("c" * 32, "d" * 16, 3)


def span(name: str = "x", **more: Any) -> Span:
    return Span(name, OWN, None, 1, 2, {}, **more)


class Exporter:
    """Stands in for OTLPSpanExporter; a test says what becomes of each batch."""

    made: "Exporter"

    def __init__(self, **given: Any) -> None:
        self.given = given
        self.batches: list[list[str]] = []
        self.spans: list[ReadableSpan] = []
        self.results: list[Any] = []
        self.news = threading.Condition()
        self.shut = threading.Event()
        Exporter.made = self

    def export(self, spans: Sequence[ReadableSpan]) -> SpanExportResult:
        with self.news:
            self.batches.append([each.name for each in spans])
            self.spans += spans
            self.news.notify_all()
            result = self.results.pop(0) if self.results else SpanExportResult.SUCCESS
        if isinstance(result, threading.Event):
            result.wait(TIMEOUT_S)
            return SpanExportResult.FAILURE
        if isinstance(result, Exception):
            raise result
        if result is SpanExportResult.FAILURE:
            logging.getLogger(otlp.EXPORTER_LOGGER).warning("why it failed")
        return result

    def shutdown(self) -> None:
        self.shut.set()
        for each in self.results:
            if isinstance(each, threading.Event):
                each.set()


@pytest.fixture
def export(monkeypatch: pytest.MonkeyPatch) -> Iterator[SpanExport]:
    monkeypatch.setattr(otlp, "OTLPSpanExporter", Exporter)
    made = SpanExport(TracingSettings(endpoint="http://c.test", headers={"K": "v"}))
    yield made
    if made._starting.ident is not None:
        made.stop()


def test_what_is_put_leaves_in_batches_before_the_stop(export: SpanExport) -> None:
    for number in range(exporter.BATCH + 2):
        export.put(span(str(number)))
    export.start()
    export.stop()
    assert [len(batch) for batch in Exporter.made.batches] == [exporter.BATCH, 2]
    assert Exporter.made.given["headers"] == {"K": "v"}
    assert Exporter.made.given["endpoint"] == "http://c.test/v1/traces"
    assert Exporter.made.shut.is_set()
    assert export.dropped == 0


def test_a_full_batch_does_not_wait(export: SpanExport, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(exporter, "EVERY_S", TIMEOUT_S * 10)
    export.start()
    for number in range(exporter.BATCH):
        export.put(span(str(number)))
    with_made = wait_for_made()
    with with_made.news:
        assert with_made.news.wait_for(lambda: with_made.spans, TIMEOUT_S)


def wait_for_made() -> Exporter:
    for _ in range(int(TIMEOUT_S / 0.01)):
        if hasattr(Exporter, "made"):
            return Exporter.made
        threading.Event().wait(0.01)
    raise AssertionError("no exporter was made")


def test_a_queue_that_is_full_drops_and_counts(export: SpanExport, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(exporter, "MAX_QUEUED", 3)
    monkeypatch.setattr(exporter, "BATCH", 3)
    for _ in range(5):
        export.put(span())
    assert export.dropped == 2
    export.start()
    export.stop()
    assert len(Exporter.made.spans) == 3


def test_the_queue_is_bounded_while_a_collector_hangs_and_has_room_again_afterwards(
    export: SpanExport, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(exporter, "MAX_QUEUED", 3)
    monkeypatch.setattr(exporter, "BATCH", 1)
    hanging = threading.Event()

    class Hanging(Exporter):
        def __init__(self, **given: Any) -> None:
            super().__init__(**given)
            self.results = [hanging]

    monkeypatch.setattr(otlp, "OTLPSpanExporter", Hanging)
    export.put(span("hangs"))
    export.start()
    export._starting.join(TIMEOUT_S)
    made = Exporter.made
    with made.news:
        assert made.news.wait_for(lambda: made.batches, TIMEOUT_S)
    for number in range(5):
        export.put(span(str(number)))
    assert export.dropped == 2, "the batch under way has left the queue"
    hanging.set()
    with made.news:
        assert made.news.wait_for(lambda: len(made.spans) == 4, TIMEOUT_S)
    export.put(span("later"))
    export.stop()
    assert [each.name for each in made.spans] == ["hangs", "0", "1", "2", "later"]
    assert export.dropped == 3, "the batch that failed, and the two that found the queue full"


@pytest.mark.process
def test_opentelemetry_is_imported_by_the_thread_alone() -> None:
    code = "import sys, livegate.addons; sys.exit('opentelemetry' in sys.modules)"
    assert subprocess.run([sys.executable, "-c", code], check=False, timeout=120).returncode == 0


def test_a_failure_is_logged_once_with_its_cause_and_so_is_its_end(
    export: SpanExport, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    monkeypatch.setattr(exporter, "BATCH", 1)
    caplog.set_level(logging.INFO)
    results = [SpanExportResult.FAILURE, ValueError("broken"), SpanExportResult.SUCCESS, SpanExportResult.SUCCESS]

    class Failing(Exporter):
        def __init__(self, **given: Any) -> None:
            super().__init__(**given)
            self.results = results

    monkeypatch.setattr(otlp, "OTLPSpanExporter", Failing)
    for number in range(4):
        export.put(span(str(number)))
    export.start()
    export.stop()
    assert Exporter.made.batches == [["0"], ["1"], ["2"], ["3"]]
    assert export.dropped == 2
    first, second = [record.getMessage() for record in caplog.records if record.name == "livegate.tracing"]
    assert "do not reach the collector at http://c.test/v1/traces: why it failed" in first
    assert second == "the collector accepts spans again; 2 were dropped"
    assert not logging.getLogger(otlp.EXPORTER_LOGGER).propagate, "a line for each try is in nobody's log"


def test_a_stop_does_not_wait_for_a_collector_that_hangs(export: SpanExport, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(exporter, "STOP_WITHIN_S", 0.1)
    hanging = threading.Event()

    class Hanging(Exporter):
        def __init__(self, **given: Any) -> None:
            super().__init__(**given)
            self.results = [hanging]

        def shutdown(self) -> None:
            hanging.set()
            super().shutdown()

    monkeypatch.setattr(otlp, "OTLPSpanExporter", Hanging)
    export.put(span())
    export.start()
    export.stop()
    assert Exporter.made.shut.is_set(), "the exporter is woken"
    for _ in range(int(TIMEOUT_S / 0.01)):
        if export.dropped:
            break
        threading.Event().wait(0.01)
    assert export.dropped == 1


def test_all_of_a_span_arrives(export: SpanExport) -> None:
    event = SpanEvent("diff", 5, {"b": 1})
    export.put(Span("s", OWN, "e" * 16, 1, 9, {"a": "b"}, "server", "why", True, events=(event,), links=(OTHER,)))
    export.put(span())
    export.start()
    export.stop()
    full, plain = Exporter.made.spans
    assert (full.name, full.kind, full.start_time, full.end_time) == ("s", SpanKind.SERVER, 1, 9)
    assert full.context is not None
    assert (f"{full.context.trace_id:032x}", f"{full.context.span_id:016x}") == (OWN.trace_id, OWN.span_id)
    assert full.parent is not None
    assert (f"{full.parent.span_id:016x}", full.parent.is_remote) == ("e" * 16, True)
    assert (full.status.status_code, full.status.description) == (StatusCode.ERROR, "why")
    assert dict(full.attributes or {}) == {"a": "b"}
    assert [(each.name, each.timestamp, dict(each.attributes or {})) for each in full.events] == [("diff", 5, {"b": 1})]
    assert [f"{each.context.trace_id:032x}" for each in full.links] == [OTHER.trace_id]
    assert full.resource.attributes["service.name"] == "livegate"
    assert (plain.parent, plain.kind, plain.status.status_code) == (None, SpanKind.INTERNAL, StatusCode.UNSET)
