"""How the gateway's log lines reach the terminal: mitmproxy's own text, or JSON lines; called by Startup and Logs."""

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
"""mitmproxy's lines for every connection that is opened or closed; the access log says more in less."""
WATCH_LOGGER = "watchfiles"
"""Says at level debug, twice a second, that no file has changed."""
ROOT_LOGGER = "livegate"
_VERBOSITY = {"debug": "debug", "info": "info", "warning": "warn", "error": "error"}
VERBOSITIES = ("termlog_verbosity", "console_eventlog_verbosity")
"""Options that say what a terminal shows; no tool has them both."""


class LogSettings(Protocol):
    """What of the settings is used here."""

    @property
    def format(self) -> Literal["text", "json"]:
        """The form of a line."""
        ...

    @property
    def level(self) -> Literal["debug", "info", "warning", "error"]:
        """The least level that is shown."""
        ...


class JsonLines(log.MitmLogHandler):
    """Write every record as one JSON object on a line to standard output; docs/logs.md lists what is in it.

    Lines of the event loop leave at the end of its turn, those of many requests together; warnings and worse at once.
    """

    def __init__(self) -> None:
        super().__init__()  # type: ignore[no-untyped-call]  # mitmproxy's base is untyped
        self._lines: list[str] = []
        """What is still to be written, which the event loop has been asked for."""
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
        """Let all lines out. Before `Output` has the place of standard output, what fails is lost in silence."""
        with self.lock or contextlib.nullcontext():
            lines, self._lines = self._lines, []
            if lines:
                with contextlib.suppress(OSError):
                    sys.stdout.write("".join(lines))
                    sys.stdout.flush()

    def stop_buffering(self) -> None:
        """The event loop is about to end: from now on every line is written at once."""
        self._unbuffered = True
        self.flush()

    def uninstall(self) -> None:
        """Write no more."""
        super().uninstall()
        self.flush()

    def line(self, record: logging.LogRecord) -> str:
        """The JSON text of one record, without a line end."""
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
        return line.decode() if line.isascii() else json.dumps(present)  # which any terminal can write


def _time(created: float) -> str:
    second, milliseconds = divmod(int(created * 1000), 1000)
    return f"{_second(second)}.{milliseconds:03}+00:00"


@functools.lru_cache(maxsize=4)
def _second(second: int) -> str:
    return datetime.fromtimestamp(second, UTC).strftime("%Y-%m-%dT%H:%M:%S")


def _message_fields(record: logging.LogRecord) -> dict[str, object]:
    """What a line says when it is not one of the access log."""
    line = log_line_of(record)
    if line is not None:
        ids = {"request_id": line.request_id, "session": line.session}
        return {"message": line.message, **ids, "suppressed": line.suppressed, "traceback": line.traceback or None}
    fields: dict[str, object] = {"message": printable(record.getMessage())}
    if record.exc_info:
        fields["traceback"] = logging.Formatter().formatException(record.exc_info)[-MAX_TRACEBACK_CHARACTERS:]
    return fields


class Terminal:
    """The process's terminal log, switched between text and JSON as the settings say."""

    def __init__(self) -> None:
        self._json_lines: JsonLines | None = None
        self._level_set: str | None = None
        self._settings: LogSettings | None = None

    def apply(self, settings: LogSettings) -> None:
        """Set format and level. May be called again at any time, as on a reload of the settings."""
        self._settings = settings
        logging.getLogger(WATCH_LOGGER).setLevel(logging.WARNING)
        if ctx.master.addons.get("termlog") is None:
            self.update_logger_level()
            return  # mitmproxy's console has the terminal to itself, and shows the lines in its own log
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
        """Have debug lines made only while somebody sees them: mitmproxy lets all through, up to what shows them."""
        seen = {getattr(ctx.options, option) for option in VERBOSITIES if option in ctx.options}
        if self._settings is not None:
            seen.add(self._settings.level)
        logging.getLogger(ROOT_LOGGER).setLevel(logging.DEBUG if "debug" in seen else logging.INFO)

    def missing_text(self, count: int) -> str:
        """The line, in the form in force, that stands where others could not be written. Any thread may ask."""
        record = logging.LogRecord(__name__, logging.ERROR, "", 0, MISSING, (count,), None)
        form = self._json_lines
        text = form.line(record) if form is not None else log.MitmFormatter(colorize=False).format(record)
        return f"{text}\n"

    def stop_buffering(self) -> None:
        """The process is about to end; its last lines come in the same form."""
        if self._json_lines is not None:
            self._json_lines.stop_buffering()

    def restore(self) -> None:
        """Back to mitmproxy's own text and levels."""
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
