"""How the gateway's log lines reach the terminal: mitmproxy's own text, or JSON lines; called by Startup and Logs."""

import asyncio
import contextlib
import json
import logging
import sys
from datetime import UTC, datetime
from typing import Literal, Protocol, TextIO

import orjson
from mitmproxy import ctx, log
from mitmproxy.utils import human

from livegate.logs.gate import MAX_TRACEBACK_CHARACTERS, line_of
from livegate.pipeline.printable import printable

CONNECTION_LOGGER = "mitmproxy.proxy.server"
"""mitmproxy's lines for every connection that is opened or closed; the access log says more in less."""
WATCH_LOGGER = "watchfiles"
"""Says at level debug, twice a second, that no file has changed."""
TREE = "livegate"
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
    """Write every record as one JSON object on a line; docs/logs.md lists what is in it.

    Lines of the event loop leave at the end of its turn, those of many requests together; warnings and worse at once.
    """

    def __init__(self, out: TextIO | None = None) -> None:
        super().__init__()  # type: ignore[no-untyped-call]  # mitmproxy's base is untyped
        self._out = out or sys.stdout
        self._leaving = False
        """Whether what was written will be flushed without anybody's doing."""

    def emit(self, record: logging.LogRecord) -> None:
        """Write the record's line."""
        self._out.write(f"{self.line(record)}\n")
        if record.levelno >= logging.WARNING or not self._leave_later():
            self._out.flush()

    def _leave_later(self) -> bool:
        if not self._leaving:
            try:
                asyncio.get_running_loop().call_soon(self.flush)
            except RuntimeError:  # no event loop runs in this thread
                return False
            self._leaving = True
        return True

    def flush(self) -> None:
        """Let everything out that was written."""
        with self.lock or contextlib.nullcontext():
            self._leaving = False
            self._out.flush()

    def uninstall(self) -> None:
        """Write no more."""
        super().uninstall()
        self.flush()

    def line(self, record: logging.LogRecord) -> str:
        """The JSON text of one record, without a line end."""
        entry: dict[str, object] = {
            "time": datetime.fromtimestamp(record.created, UTC).isoformat(timespec="milliseconds"),
            "level": record.levelname.lower(),
            "logger": record.name,
        }
        fields: dict[str, object] | None = vars(record).get("livegate_fields")
        entry |= _said(record) if fields is None else fields
        client = vars(record).get("client")
        if client:  # mitmproxy's lines about a connection
            entry["client"] = human.format_address(client)
        told = {name: value for name, value in entry.items() if value is not None}
        try:
            line = orjson.dumps(told).decode()
        except orjson.JSONEncodeError:  # half of a surrogate pair
            return json.dumps(told)
        return line if line.isascii() else json.dumps(told)  # which any terminal can write


def _said(record: logging.LogRecord) -> dict[str, object]:
    """What a line says when it is not one of the access log."""
    line = line_of(record)
    if line is not None:
        ids = {"request_id": line.request_id, "session": line.session}
        return {"message": line.message, **ids, "suppressed": line.suppressed, "traceback": line.traceback or None}
    said: dict[str, object] = {"message": printable(record.getMessage())}
    if record.exc_info:
        said["traceback"] = logging.Formatter().formatException(record.exc_info)[-MAX_TRACEBACK_CHARACTERS:]
    return said


class Terminal:
    """The process's terminal log, switched between text and JSON as the settings say."""

    def __init__(self) -> None:
        self._json_lines: JsonLines | None = None
        self._level_was_set: str | None = None
        self._settings: LogSettings | None = None

    def apply(self, settings: LogSettings) -> None:
        """Set format and level. May be called again at any time, as on a reload of the settings."""
        self._settings = settings
        logging.getLogger(WATCH_LOGGER).setLevel(logging.WARNING)
        if ctx.master.addons.get("termlog") is None:
            self.set_least_level()
            return  # mitmproxy's console has the terminal to itself, and shows the lines in its own log
        quiet = settings.level != "debug"
        logging.getLogger(CONNECTION_LOGGER).setLevel(logging.WARNING if quiet else logging.NOTSET)
        self._set_verbosity(_VERBOSITY[settings.level])
        self.set_least_level()
        if settings.format == "text":
            self._back_to_text()
            return
        if self._json_lines is None:
            self._show_text(False)
            self._json_lines = JsonLines()
            self._json_lines.install()
        self._json_lines.setLevel(settings.level.upper())

    def set_least_level(self) -> None:
        """Have debug lines made only while somebody sees them: mitmproxy lets all through, up to what shows them."""
        seen = {getattr(ctx.options, option) for option in VERBOSITIES if option in ctx.options}
        if self._settings is not None:
            seen.add(self._settings.level)
        logging.getLogger(TREE).setLevel(logging.DEBUG if "debug" in seen else logging.INFO)

    def restore(self) -> None:
        """Back to mitmproxy's own text and levels."""
        logging.getLogger(TREE).setLevel(logging.NOTSET)
        self._back_to_text()

    def _back_to_text(self) -> None:
        if self._json_lines is not None:
            self._json_lines.uninstall()
            self._json_lines = None
            self._show_text(True)

    def _set_verbosity(self, level: str) -> None:
        """Follow the settings, unless the user chose a verbosity on the command line (`-q`, `-v`)."""
        options = ctx.options
        chosen = options.has_changed("termlog_verbosity") and options.termlog_verbosity != self._level_was_set
        if not chosen:
            options.update(termlog_verbosity=level)
            self._level_was_set = level

    def _show_text(self, shown: bool) -> None:
        terminal = ctx.master.addons.get("termlog")
        if shown:
            terminal.logger.install()
        else:
            terminal.uninstall()
