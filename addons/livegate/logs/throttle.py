"""Throttle of log lines by kind, sans-io: the first lines of a window are written, the others counted."""

from collections import OrderedDict
from dataclasses import dataclass

LINES = 10
"""Lines of one kind that are written per window. Further lines are counted, and reported by a summary."""
WINDOW_S = 10.0
MAX_KINDS = 500
"""Kinds that have a window at a time. Beyond, the oldest window ends early."""

type Kind = tuple[str, int, str]
"""Logger, level, and the text that lines of the kind have in common."""


@dataclass(slots=True)
class Window:
    """Window of one kind; it starts with a line and lasts WINDOW_S."""

    started_at: float
    written: int = 0
    suppressed: int = 0
    """Lines that were not written."""
    example: str = ""
    """Text of the first line; set by the caller of `admit`."""


@dataclass(frozen=True, slots=True)
class Summary:
    """Summary of the suppressed lines of one window."""

    kind: Kind
    count: int
    seconds: float
    example: str


class Throttle:
    """Counts lines by kind. Callers pass times in seconds of a monotonic clock."""

    def __init__(self, lines: int = LINES, window_s: float = WINDOW_S, max_kinds: int = MAX_KINDS) -> None:
        self.suppressed = 0
        """Lines suppressed since the start."""
        self._lines = lines
        self._window_s = window_s
        self._max_kinds = max_kinds
        self._windows: OrderedDict[Kind, Window] = OrderedDict()
        """By start time; all windows are equally long, so the first one ends first."""

    def admit(self, kind: Kind, now: float) -> Window | None:
        """Return the window of a line that may be written, or None for a suppressed line. Call `expire` before."""
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
        """End expired windows, and the oldest ones beyond MAX_KINDS; return their summaries."""
        summaries: list[Summary] = []
        windows = self._windows
        while windows:
            kind, window = next(iter(windows.items()))
            if now < window.started_at + self._window_s and len(windows) <= self._max_kinds:
                break
            del windows[kind]
            summaries += _summaries(kind, window, now)
        return summaries

    def expire_all(self, now: float) -> list[Summary]:
        """End all windows; return their summaries."""
        summaries = [summary for kind, window in self._windows.items() for summary in _summaries(kind, window, now)]
        self._windows.clear()
        return summaries

    @property
    def next_expiry(self) -> float | None:
        """Time of the next summary; None while no line is suppressed."""
        return next(
            (window.started_at + self._window_s for window in self._windows.values() if window.suppressed), None
        )


def _summaries(kind: Kind, window: Window, now: float) -> list[Summary]:
    return [Summary(kind, window.suppressed, now - window.started_at, window.example)] if window.suppressed else []
