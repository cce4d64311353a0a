"""Time series of the last 15 minutes in intervals of 5 s, for the admin page and `livegate top`."""

import time
from collections import Counter, deque
from dataclasses import dataclass, field

from livegate.inspect.json_units import Body, Count, Milliseconds, Timestamp
from livegate.phoenix.model import percentile

INTERVAL_S = 5.0
MAX_INTERVALS = 180
MAX_CLOSE_KINDS = 50
"""Close codes per interval; further ones are counted as `other`."""
MAX_ROUND_TRIPS = 2000
"""Round trips per interval for its percentiles; further ones are ignored."""


@dataclass(slots=True)
class Interval:
    """Counters of the current interval."""

    requests: Counter[str] = field(default_factory=Counter)
    """Requests by service."""
    refused: Counter[str] = field(default_factory=Counter)
    """Refused and failed requests by reason."""
    closes: Counter[str] = field(default_factory=Counter)
    """Closed WebSockets by code and side, such as `1006 backend`; beyond MAX_CLOSE_KINDS `other`."""
    causes: Counter[str] = field(default_factory=Counter)
    """Incidents by cause."""
    round_trips: list[float] = field(default_factory=list)
    """Round trips of LiveView events in seconds."""
    max_lag: float = 0.0
    """Maximum lag of the event loop in seconds."""


class IntervalSummary(Body):
    """Interval of five seconds."""

    at: Timestamp
    """End of the interval."""
    requests: dict[str, Count]
    """Requests by service."""
    sockets: dict[str, Count]
    """WebSockets open at the end, by service."""
    sessions: Count
    """Known LiveView sessions at the end."""
    refused: dict[str, Count]
    """Refused and failed requests by reason."""
    closes: dict[str, Count]
    """Ended WebSockets by close code and side, such as `1006 backend`."""
    causes: dict[str, Count]
    """Incidents by cause."""
    events: Count
    """LiveView events that got a reply; counted up to 2000."""
    p50: Milliseconds | None
    p95: Milliseconds | None
    p99: Milliseconds | None
    lag: Milliseconds | None
    """Maximum delay of the event loop."""


class TimeSeries:
    """Past intervals, and the current one."""

    def __init__(self) -> None:
        self.current = Interval()
        self.intervals: deque[IntervalSummary] = deque(maxlen=MAX_INTERVALS)

    def add_round_trip(self, seconds: float) -> None:
        """Record the round trip of an event."""
        if len(self.current.round_trips) < MAX_ROUND_TRIPS:
            self.current.round_trips.append(seconds)

    def add_close(self, code: int, by: str) -> None:
        """Count a closed WebSocket."""
        closes, kind = self.current.closes, f"{code} {by}"
        closes[kind if kind in closes or len(closes) < MAX_CLOSE_KINDS else f"other {by}"] += 1

    def add_lag(self, seconds: float) -> None:
        """Record a lag of the event loop; an interval keeps the maximum."""
        self.current.max_lag = max(self.current.max_lag, seconds)

    def end_interval(self, sockets: dict[str, int], sessions: int) -> IntervalSummary:
        """End the current interval, at which so many sockets (by service) and sessions exist. Returns its summary."""
        step, self.current = self.current, Interval()
        trips = sorted(step.round_trips)
        summary = IntervalSummary(
            at=time.time(),
            requests=dict(step.requests),
            sockets=sockets,
            sessions=sessions,
            refused=dict(step.refused),
            closes=dict(step.closes),
            causes=dict(step.causes),
            events=len(trips),
            p50=_ms(percentile(trips, 0.5)),
            p95=_ms(percentile(trips, 0.95)),
            p99=_ms(percentile(trips, 0.99)),
            lag=_ms(step.max_lag),
        )
        self.intervals.append(summary)
        return summary


def _ms(seconds: float | None) -> float | None:
    return None if seconds is None else round(seconds * 1000, 2)
