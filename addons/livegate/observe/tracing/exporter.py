"""Queue between the event loop and a collector: OpenTelemetry's BatchSpanProcessor, which sends spans from a thread.

Created by `observe.tracing.addon` when tracing is on.
"""

import threading
import time
from collections import deque
from typing import TYPE_CHECKING

from livegate.observe.tracing.spans import Span
from livegate.settings import TracingSettings

if TYPE_CHECKING:
    from livegate.observe.tracing.otlp import Collector

MAX_QUEUED = 8192
"""Spans per collector; further ones are dropped, so that a collector that is down costs bounded memory."""
BATCH = 512
"""Spans per request; a full batch is sent at once."""
EVERY_S = 1.0
"""Interval between requests while less than a batch is queued."""
STOP_WITHIN_S = 2.0


class SpanExport:
    """Bounded queue of spans. `put` is for the event loop, `stop` for any thread."""

    def __init__(self, settings: TracingSettings) -> None:
        self.settings = settings
        self._queued = 0
        """Spans that entered the queue so far."""
        self._rejected = 0
        """Spans that found the queue full."""
        self._early: deque[Span] = deque()
        """Spans that ended while OpenTelemetry was being imported."""
        self._early_lock = threading.Lock()
        self._collector: Collector | None = None
        self._starting = threading.Thread(target=self._start, name="livegate span export", daemon=True)

    @property
    def dropped(self) -> int:
        """Spans that no collector accepted, or that found the queue full."""
        return self._rejected + (self._collector.failed if self._collector is not None else 0)

    def start(self) -> None:
        """Import OpenTelemetry and start to send, both in threads."""
        self._starting.start()

    def put(self, span: Span) -> None:
        """Queue a span; never waits."""
        if self._queued - (self._collector.taken if self._collector is not None else 0) >= MAX_QUEUED:
            self._rejected += 1
            return
        self._queued += 1
        with self._early_lock:
            if self._collector is None:
                self._early.append(span)
                return
        self._collector.put(span)

    def stop(self) -> None:
        """Send what is queued, for at most STOP_WITHIN_S; what is not sent by then is dropped."""
        deadline = time.monotonic() + STOP_WITHIN_S
        self._starting.join(STOP_WITHIN_S)
        if self._collector is None:
            return
        flushing = threading.Thread(target=self._collector.flush, name="livegate span export flush", daemon=True)
        flushing.start()
        flushing.join(max(0.0, deadline - time.monotonic()))
        if flushing.is_alive():
            self._collector.shutdown()

    def _start(self) -> None:
        from livegate.observe.tracing.otlp import Collector

        collector = Collector(self.settings, MAX_QUEUED, BATCH, EVERY_S, lambda: self.dropped)
        while self._early:  # without the lock, because `put` must not wait for thousands of spans
            collector.put(self._early.popleft())
        with self._early_lock:
            while self._early:
                collector.put(self._early.popleft())
            self._collector = collector
