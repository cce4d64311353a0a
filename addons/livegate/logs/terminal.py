"""Terminal log: mitmproxy's own text or JSON lines, as the settings say; used by `Startup` and `Logs`."""

import asyncio
import contextlib
import functools
import json
import logging
import sys
from datetime import UTC, datetime
from typing import Literal, Protocol

from mitmproxy import ctx, log
from mitmproxy.utils import human

from livegate.lenient_json import json_bytes
from livegate.logs.handler import MAX_TRACEBACK_CHARACTERS, log_line_of
from livegate.logs.output import MISSING
from livegate.redaction.printable import printable

CONNECTION_LOGGER = "mitmproxy.proxy.server"
"""mitmproxy's logger of opened and closed connections; the access log has the same information in fewer lines."""
WATCH_LOGGER = "watchfiles"
"""Logs at level debug, twice a second, that no file has changed."""
ROOT_LOGGER = "livegate"
_VERBOSITY = {"debug": "debug", "info": "info", "warning": "warn", "error": "error"}
VERBOSITIES = ("termlog_verbosity", "console_eventlog_verbosity")
"""Options for the level of the terminal log; each of mitmproxy's tools has one of them."""


class LogSettings(Protocol):
    """Settings of the log."""

    @property
    def format(self) -> Literal["text", "json"]:
        """Format of a line."""
        ...

    @property
    def level(self) -> Literal["debug", "info", "warning", "error"]:
        """Lowest level that is shown."""
        ...


class JsonLines(log.MitmLogHandler):
    """Handler that writes each record to standard output as one JSON object; docs/reference/logs.md lists its fields.

    Lines from the event loop are written together at the end of its iteration; warnings and errors at once.
    """

    def __init__(self) -> None:
        super().__init__()  # type: ignore[no-untyped-call]  # mitmproxy's base is untyped
        self._lines: list[str] = []
        """Lines that wait for the scheduled flush."""
        self._unbuffered = False

    def emit(self, record: logging.LogRecord) -> None:
        """Write the record's line."""
        self._lines.append(f"{self.line(record)}\n")
        if self._unbuffered or record.levelno >= logging.WARNING or not self._schedule_flush():
            self.flush()

    def _schedule_flush(self) -> bool:
        if len(self._lines) == 1:
            try:
                asyncio.get_running_loop().call_soon(self.flush)
            except RuntimeError:  # no event loop runs in this thread
                return False
        return True

    def flush(self) -> None:
        """Write all pending lines. Lines that cannot be written are dropped; `Output`, once installed, counts them."""
        with self.lock or contextlib.nullcontext():
            lines, self._lines = self._lines, []
            if lines:
                with contextlib.suppress(OSError):
                    sys.stdout.write("".join(lines))
                    sys.stdout.flush()

    def stop_buffering(self) -> None:
        """Write each line at once from now on, because the event loop is about to stop."""
        self._unbuffered = True
        self.flush()

    def uninstall(self) -> None:
        """Remove the handler from the root logger and write pending lines."""
        super().uninstall()
        self.flush()

    def line(self, record: logging.LogRecord) -> str:
        """Return the JSON text of a record, without a line end."""
        entry: dict[str, object] = {
            "time": _time(record.created),
            "level": record.levelname.lower(),
            "logger": record.name,
        }
        fields: dict[str, object] | None = vars(record).get("livegate_fields")
        entry |= _message_fields(record) if fields is None else fields
        client = vars(record).get("client")
        if client:  # mitmproxy's lines about a connection
            entry["client"] = human.format_address(client)
        present = {name: value for name, value in entry.items() if value is not None}
        line = json_bytes(present)
        return line.decode() if line.isascii() else json.dumps(present)  # any terminal's encoding has ASCII


def _time(created: float) -> str:
    second, milliseconds = divmod(int(created * 1000), 1000)
    return f"{_second(second)}.{milliseconds:03}+00:00"


@functools.lru_cache(maxsize=4)
def _second(second: int) -> str:
    return datetime.fromtimestamp(second, UTC).strftime("%Y-%m-%dT%H:%M:%S")


def _message_fields(record: logging.LogRecord) -> dict[str, object]:
    """Return the fields of a record that is not from the access log."""
    line = log_line_of(record)
    if line is not None:
        ids = {"request_id": line.request_id, "session": line.session}
        return {"message": line.message, **ids, "suppressed": line.suppressed, "traceback": line.traceback or None}
    fields: dict[str, object] = {"message": printable(record.getMessage())}
    if record.exc_info:
        fields["traceback"] = logging.Formatter().formatException(record.exc_info)[-MAX_TRACEBACK_CHARACTERS:]
    return fields


class Terminal:
    """Terminal log of the process, which the settings switch between text and JSON."""

    def __init__(self) -> None:
        self._json_lines: JsonLines | None = None
        self._level_set: str | None = None
        self._settings: LogSettings | None = None

    def apply(self, settings: LogSettings) -> None:
        """Apply format and level, at the start and after each reload."""
        self._settings = settings
        logging.getLogger(WATCH_LOGGER).setLevel(logging.WARNING)
        if ctx.master.addons.get("termlog") is None:
            self.update_logger_level()
            return  # mitmproxy's console owns the terminal, and has an event log of its own
        quiet = settings.level != "debug"
        logging.getLogger(CONNECTION_LOGGER).setLevel(logging.WARNING if quiet else logging.NOTSET)
        self._set_verbosity(_VERBOSITY[settings.level])
        self.update_logger_level()
        if settings.format == "text":
            self._use_text()
            return
        if self._json_lines is None:
            self._show_text(False)
            self._json_lines = JsonLines()
            self._json_lines.install()
        self._json_lines.setLevel(settings.level.upper())

    def update_logger_level(self) -> None:
        """Create debug lines only while a user interface shows them, because mitmproxy sets loggers to DEBUG."""
        levels = {getattr(ctx.options, option) for option in VERBOSITIES if option in ctx.options}
        if self._settings is not None:
            levels.add(self._settings.level)
        logging.getLogger(ROOT_LOGGER).setLevel(logging.DEBUG if "debug" in levels else logging.INFO)

    def missing_text(self, count: int) -> str:
        """Return the line, in the current format, that reports `count` lost lines. Thread-safe."""
        record = logging.LogRecord(__name__, logging.ERROR, "", 0, MISSING, (count,), None)
        form = self._json_lines
        text = form.line(record) if form is not None else log.MitmFormatter(colorize=False).format(record)
        return f"{text}\n"

    def stop_buffering(self) -> None:
        """Write JSON lines at once from now on, because the event loop is about to stop."""
        if self._json_lines is not None:
            self._json_lines.stop_buffering()

    def restore(self) -> None:
        """Return to mitmproxy's own text and levels."""
        logging.getLogger(ROOT_LOGGER).setLevel(logging.NOTSET)
        self._use_text()

    def _use_text(self) -> None:
        if self._json_lines is not None:
            self._json_lines.uninstall()
            self._json_lines = None
            self._show_text(True)

    def _set_verbosity(self, level: str) -> None:
        """Follow the settings, unless the user chose a verbosity on the command line (`-q`, `-v`)."""
        options = ctx.options
        chosen = options.has_changed("termlog_verbosity") and options.termlog_verbosity != self._level_set
        if not chosen:
            options.update(termlog_verbosity=level)
            self._level_set = level

    def _show_text(self, shown: bool) -> None:
        terminal = ctx.master.addons.get("termlog")
        if shown:
            terminal.logger.install()
        else:
            terminal.uninstall()
