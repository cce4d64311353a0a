"""Log handler in front of mitmproxy's handlers: it redacts each line, adds ids, formats exceptions, and throttles.

It is a handler on the loggers `livegate` and `mitmproxy`, because a filter on a logger does not see records of its
children.
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
"""Loggers whose lines are redacted by their caller and never throttled: the access log and `liveview_log`."""
UNREDACTED_LOGGERS = frozenset({"mitmproxy.tools.web.master", "mitmproxy.tools.web.webaddons"})
"""Loggers exempt from redaction. They print mitmweb's URL including its access token, and never log traffic."""
MAX_MESSAGE_CHARACTERS = 4096
"""Length of a message. Longer messages are cut."""
MAX_TRACEBACK_CHARACTERS = 16_384
"""Length of a traceback. Of a longer one the end is kept, because it names the exception."""
MAX_KIND_CHARACTERS = 300
"""Length of the part of a message that the throttle compares."""
_SEARCH_FACTOR = 4
"""Text is redacted up to this multiple of its limit, then cut, because a secret cut in half is not recognized."""
_BARE_TEMPLATE = "%s"
"""Template that only passes a message on; the throttle then compares the message."""

type Redact = Callable[[str, http.HTTPFlow | None], str]
"""Redact a text about a flow, or about none."""


@dataclass(frozen=True, slots=True)
class LogLine:
    """Content of a line, which the handler attaches to the record; see `log_line_of`."""

    message: str
    traceback: str = ""
    request_id: str | None = None
    session: int | None = None
    suppressed: int | None = None
    """In a summary: the number of suppressed lines."""

    @property
    def text(self) -> str:
        """The line as text, with its ids at the end."""
        request = f" request={self.request_id}" if self.request_id is not None else ""
        session = f" session={self.session}" if self.session is not None else ""
        traceback = f"\n{self.traceback}" if self.traceback else ""
        return f"{self.message}{request}{session}{traceback}"


_LINE = "livegate_line"


def log_line_of(record: logging.LogRecord) -> LogLine | None:
    """Return the content of a record, or None when the handler has not seen it."""
    return vars(record).get(_LINE)


def is_about_a_request(record: logging.LogRecord) -> bool:
    """Return whether a record is about a request that came through the gateway."""
    line = log_line_of(record)
    return line is not None and line.request_id is not None


class RedactingHandler(logging.Handler):
    """Handler of the loggers in ROOT_LOGGERS, which forwards to the root logger's handlers. Thread-safe."""

    def __init__(self, redact: Redact, clock: Callable[[], float] = time.monotonic) -> None:
        super().__init__()
        self.throttle = Throttle()
        self._redact = redact
        self._clock = clock
        self._root = logging.getLogger()
        self._loop: asyncio.AbstractEventLoop | None = None
        self._timer_pending = False

    def install(self) -> None:
        """Become the only handler of the loggers."""
        for name in ROOT_LOGGERS:
            logger = logging.getLogger(name)
            logger.addHandler(self)
            logger.propagate = False

    def set_event_loop(self, loop: asyncio.AbstractEventLoop) -> None:
        """Set the event loop whose timer writes summaries."""
        self._loop = loop

    def uninstall(self) -> None:
        """Write the summaries that are due, and restore the loggers."""
        with self._locked():
            self._loop = None
            self._summarize(self.throttle.expire_all(self._clock()))
        for name in ROOT_LOGGERS:
            logger = logging.getLogger(name)
            logger.removeHandler(self)
            logger.propagate = True

    def handle(self, record: logging.LogRecord) -> bool:
        """Process a record. Unthrottled loggers skip the lock, because they log once per request."""
        if record.name not in UNTHROTTLED_LOGGERS:
            return bool(super().handle(record))
        flow: http.HTTPFlow | None = vars(record).pop(FLOW, None)
        if flow is not None:
            setattr(record, _LINE, LogLine(record.getMessage(), "", request_id_of(flow), session_of(flow)))
        self._root.callHandlers(record)
        return True

    def emit(self, record: logging.LogRecord) -> None:
        """Forward a record or suppress it."""
        flow: http.HTTPFlow | None = vars(record).pop(FLOW, None)  # else a handler that keeps records keeps flows
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
        text = _message(record)[: MAX_MESSAGE_CHARACTERS * _SEARCH_FACTOR]
        message = escaped(text if record.name in UNREDACTED_LOGGERS else self._redact(text, flow))
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
        """Have the event loop start the timer of the next summary; any thread may call this."""
        if self._loop is None or self._timer_pending:
            return
        self._timer_pending = True
        with contextlib.suppress(RuntimeError):  # the loop is closed; `uninstall` writes the summaries
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
        """Hold the lock that `handle` takes, because other threads log as well."""
        self.acquire()
        try:
            yield
        finally:
            self.release()


def _is_throttled(record: logging.LogRecord) -> bool:
    """Return whether the throttle counts a record: not debug lines, nor mitmproxy's lines below warning."""
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
    except (TypeError, ValueError, KeyError) as error:  # a wrong log call must not break its caller
        return f"{record.msg} (arguments do not match: {type(error).__name__})"
