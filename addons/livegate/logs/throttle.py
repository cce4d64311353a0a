"""Throttle of log lines by kind, sans-io: the first lines of a window are written, the others counted."""

from collections import OrderedDict
from dataclasses import dataclass

LINES = 10
"""Of one kind that are written in a window."""
WINDOW_S = 10.0
MAX_KINDS = 500

type Kind = tuple[str, int, str]
"""Logger, level, and what the lines have in common."""


@dataclass(slots=True)
class Window:
    """A kind's while: it begins with a line and lasts `WINDOW_S`."""

    started_at: float
    written: int = 0
    suppressed: int = 0
    """Lines that were not written."""
    example: str = ""
    """What the first line said; set by whoever wrote it."""


@dataclass(frozen=True, slots=True)
class Summary:
    """What is to be said of the lines of a window that were not written."""

    kind: Kind
    count: int
    seconds: float
    example: str


class Throttle:
    """Counts lines by their kind. Times are seconds of a clock that never goes back, and are passed in."""

    def __init__(self, lines: int = LINES, window_s: float = WINDOW_S, max_kinds: int = MAX_KINDS) -> None:
        self.suppressed = 0
        """Lines that were not written, since the start."""
        self._lines = lines
        self._window_s = window_s
        self._max_kinds = max_kinds
        self._windows: OrderedDict[Kind, Window] = OrderedDict()
        """All windows last as long, so that the first one ends first."""

    def admit(self, kind: Kind, now: float) -> Window | None:
        """The window of a line that may be written, or None for one that is only counted. Call `over` before it."""
        window = self._windows.get(kind)
        if window is None:
            window = self._windows[kind] = Window(now)
        if window.written < self._lines:
            window.written += 1
            return window
        window.suppressed += 1
        self.suppressed += 1
        return None

    def expire(self, now: float) -> list[Summary]:
        """End the windows that are over, and the oldest ones when there are too many kinds."""
        found: list[Summary] = []
        windows = self._windows
        while windows:
            kind, window = next(iter(windows.items()))
            if now < window.started_at + self._window_s and len(windows) <= self._max_kinds:
                break
            del windows[kind]
            found += _summaries(kind, window, now)
        return found

    def expire_all(self, now: float) -> list[Summary]:
        """End every window."""
        found = [summary for kind, window in self._windows.items() for summary in _summaries(kind, window, now)]
        self._windows.clear()
        return found

    @property
    def next_expiry(self) -> float | None:
        """When something will have to be said; None when no line is held back."""
        return next(
            (window.started_at + self._window_s for window in self._windows.values() if window.suppressed), None
        )


def _summaries(kind: Kind, window: Window, now: float) -> list[Summary]:
    return [Summary(kind, window.suppressed, now - window.started_at, window.example)] if window.suppressed else []
