"""What every log line of the gateway passes before mitmproxy's handlers get it: terminal, JSON, mitmweb's event log.

A handler on the loggers `livegate` and `mitmproxy`, since a filter on a logger does not see what its children log. It
adds the ids of whom a line is about, takes secrets out of it, writes an exception into it, and holds back repetitions.
"""

import asyncio
import contextlib
import logging
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass

from mitmproxy import http

from livegate.logs.context import FLOW, KIND, request_id_of, session_of
from livegate.logs.throttle import Kind, Summary, Throttle
from livegate.redaction.printable import escaped

ROOT_LOGGERS = ("livegate", "mitmproxy")
UNTHROTTLED_LOGGERS = frozenset({"livegate.access", "livegate.liveview"})
"""Loggers whose lines are made without secrets, and are all wanted: one a request, and what `liveview_log` shows."""
UNREDACTED_LOGGERS = frozenset({"mitmproxy.tools.web.master", "mitmproxy.tools.web.webaddons"})
"""Loggers that tell whoever has started mitmweb where it is, with the token that opens it; nothing of the traffic."""
MAX_MESSAGE_CHARACTERS = 4096
MAX_TRACEBACK_CHARACTERS = 16_384
MAX_KIND_CHARACTERS = 300
_SEARCH_FACTOR = 4
"""So much more of a text is looked through for secrets before it is cut: half a secret is not recognized."""
_BARE_TEMPLATE = "%s"
"""A template that says nothing by itself: such a line's kind is what it says."""

type Redact = Callable[[str, http.HTTPFlow | None], str]
"""Takes secrets out of a text that is about a flow, or about none."""


@dataclass(frozen=True, slots=True)
class LogLine:
    """What a line says; `line_of` finds it on a record that has passed the gate."""

    message: str
    traceback: str = ""
    request_id: str | None = None
    session: int | None = None
    suppressed: int | None = None
    """Of a summary: how many lines it stands for."""

    @property
    def text(self) -> str:
        """The line as text, with what it is about at its end."""
        request = f" request={self.request_id}" if self.request_id is not None else ""
        session = f" session={self.session}" if self.session is not None else ""
        traceback = f"\n{self.traceback}" if self.traceback else ""
        return f"{self.message}{request}{session}{traceback}"


_LINE = "livegate_line"


def log_line_of(record: logging.LogRecord) -> LogLine | None:
    """What a record says, if it has passed the gate."""
    return vars(record).get(_LINE)


def is_about_a_request(record: logging.LogRecord) -> bool:
    """Whether a line that has passed the gate is about a request that came through the gateway."""
    line = log_line_of(record)
    return line is not None and line.request_id is not None


class RedactingHandler(logging.Handler):
    """Takes the lines of the trees and hands them to the root logger's handlers. Any thread may log."""

    def __init__(self, redact: Redact, clock: Callable[[], float] = time.monotonic) -> None:
        super().__init__()
        self.throttle = Throttle()
        self._redact = redact
        self._clock = clock
        self._root = logging.getLogger()
        self._loop: asyncio.AbstractEventLoop | None = None
        self._timer_pending = False

    def install(self) -> None:
        """From now on every line of the trees comes here, and here only."""
        for name in ROOT_LOGGERS:
            logger = logging.getLogger(name)
            logger.addHandler(self)
            logger.propagate = False

    def set_event_loop(self, loop: asyncio.AbstractEventLoop) -> None:
        """The event loop on which to say, when their time has come, what was held back."""
        self._loop = loop

    def uninstall(self) -> None:
        """Say what was held back, and leave the loggers as they were."""
        with self._locked():
            self._loop = None
            self._summarize(self.throttle.expire_all(self._clock()))
        for name in ROOT_LOGGERS:
            logger = logging.getLogger(name)
            logger.removeHandler(self)
            logger.propagate = True

    def handle(self, record: logging.LogRecord) -> bool:
        """Take a record. What is written for each request takes the short way, without the lock."""
        if record.name not in UNTHROTTLED_LOGGERS:
            return bool(super().handle(record))
        flow: http.HTTPFlow | None = vars(record).pop(FLOW, None)
        if flow is not None:
            setattr(record, _LINE, LogLine(record.getMessage(), "", request_id_of(flow), session_of(flow)))
        self._root.callHandlers(record)
        return True

    def emit(self, record: logging.LogRecord) -> None:
        """Hand a record on, or hold it back."""
        flow: http.HTTPFlow | None = vars(record).pop(FLOW, None)  # a record may be kept; a flow shall not be for that
        window = None
        if _is_throttled(record):
            now = self._clock()
            self._summarize(self.throttle.expire(now))
            window = self.throttle.admit(_kind(record), now)
            if window is None:
                self._schedule_timer()
                return
        line = self._log_line(record, flow)
        if window is not None and not window.example:
            window.example = line.message
        self._forward(record, line)

    def _log_line(self, record: logging.LogRecord, flow: http.HTTPFlow | None) -> LogLine:
        said = _message(record)[: MAX_MESSAGE_CHARACTERS * _SEARCH_FACTOR]
        message = escaped(said if record.name in UNREDACTED_LOGGERS else self._redact(said, flow))
        if len(message) > MAX_MESSAGE_CHARACTERS:
            message = f"{message[:MAX_MESSAGE_CHARACTERS]}…"
        ids = (request_id_of(flow), session_of(flow)) if flow is not None else (None, None)
        return LogLine(message, self._traceback(record, flow), *ids)

    def _traceback(self, record: logging.LogRecord, flow: http.HTTPFlow | None) -> str:
        if not record.exc_info:
            return ""
        text = logging.Formatter().formatException(record.exc_info)
        lines = self._redact(text[-MAX_TRACEBACK_CHARACTERS * _SEARCH_FACTOR :], flow).splitlines()
        return "\n".join(map(escaped, lines))[-MAX_TRACEBACK_CHARACTERS:]

    def _forward(self, record: logging.LogRecord, line: LogLine) -> None:
        record.msg, record.args = line.text, None
        record.exc_info = record.exc_text = None
        setattr(record, _LINE, line)
        self._root.callHandlers(record)

    def _summarize(self, summaries: list[Summary]) -> None:
        for each in summaries:
            name, level, _ = each.kind
            message = f"{each.count} more like this in {each.seconds:.1f} s: {each.example}"
            record = logging.LogRecord(name, level, "", 0, "", None, None)
            self._forward(record, LogLine(message, suppressed=each.count))

    def _schedule_timer(self) -> None:
        """Let the event loop look when something is due."""
        if self._loop is None or self._timer_pending:
            return
        self._timer_pending = True
        with contextlib.suppress(RuntimeError):  # the loop has ended; what was held back is said at the end
            self._loop.call_soon_threadsafe(self._start_timer)

    def _start_timer(self) -> None:
        with self._locked():
            due = self.throttle.next_expiry
            self._timer_pending = due is not None and self._loop is not None
            if due is not None and self._loop is not None:
                self._loop.call_later(max(0.0, due - self._clock()), self._on_timer)

    def _on_timer(self) -> None:
        with self._locked():
            self._summarize(self.throttle.expire(self._clock()))
        self._start_timer()

    @contextlib.contextmanager
    def _locked(self) -> Iterator[None]:
        """Hold the lock that `handle` takes: lines come from other threads as well."""
        self.acquire()
        try:
            yield
        finally:
            self.release()


def _is_throttled(record: logging.LogRecord) -> bool:
    """Whether a line is counted: debug lines were asked for, and mitmproxy's milder ones are one a connection."""
    if record.name.startswith("mitmproxy"):
        return record.levelno >= logging.WARNING
    return record.levelno > logging.DEBUG


def _kind(record: logging.LogRecord) -> Kind:
    template = str(record.msg)
    subject = (_message(record) if template == _BARE_TEMPLATE else template)[:MAX_KIND_CHARACTERS]
    return record.name, record.levelno, f"{subject} {vars(record).get(KIND, '')}"


def _message(record: logging.LogRecord) -> str:
    try:
        return record.getMessage()
    except (TypeError, ValueError, KeyError) as error:  # whoever logs must not fail because of it
        return f"{record.msg} (its values do not fit: {type(error).__name__})"
