"""How the gateway's log lines reach the terminal: mitmproxy's own text, or JSON lines; called by Startup."""

import json
import logging
import sys
from datetime import UTC, datetime
from typing import Literal, Protocol, TextIO

from mitmproxy import ctx, log

from livegate.pipeline.printable import printable

CONNECTION_LOGGER = "mitmproxy.proxy.server"
"""mitmproxy's lines for every connection that is opened or closed; the access log says more in less."""
_VERBOSITY = {"debug": "debug", "info": "info", "warning": "warn", "error": "error"}
MAX_TRACEBACK_CHARACTERS = 16_384


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
    """Write every record as one JSON object on a line: time (RFC 3339), level, logger, message or the access fields."""

    def __init__(self, out: TextIO | None = None) -> None:
        super().__init__()  # type: ignore[no-untyped-call]  # mitmproxy's base is untyped
        self._out = out or sys.stdout

    def emit(self, record: logging.LogRecord) -> None:
        """Print the record's line."""
        print(self.line(record), file=self._out, flush=True)

    def line(self, record: logging.LogRecord) -> str:
        """The JSON text of one record, without a line end."""
        entry: dict[str, object] = {
            "time": datetime.fromtimestamp(record.created, UTC).isoformat(timespec="milliseconds"),
            "level": record.levelname.lower(),
            "logger": record.name,
        }
        fields = getattr(record, "livegate_fields", None)
        if fields is not None:
            entry |= {name: value for name, value in fields.items() if value is not None}
        else:
            entry["message"] = printable(record.getMessage())
        if record.exc_info:
            text = logging.Formatter().formatException(record.exc_info)
            entry["traceback"] = text[-MAX_TRACEBACK_CHARACTERS:]
        return json.dumps(entry)


class Terminal:
    """The process's terminal log, switched between text and JSON as the settings say."""

    def __init__(self) -> None:
        self._json_lines: JsonLines | None = None
        self._level_was_set: str | None = None

    def apply(self, settings: LogSettings) -> None:
        """Set format and level. May be called again at any time, as on a reload of the settings."""
        if ctx.master.addons.get("termlog") is None:
            return  # mitmproxy's console has the terminal to itself, and shows the lines in its own log
        quiet = settings.level != "debug"
        logging.getLogger(CONNECTION_LOGGER).setLevel(logging.WARNING if quiet else logging.NOTSET)
        self._set_verbosity(_VERBOSITY[settings.level])
        if settings.format == "text":
            self.restore()
            return
        if self._json_lines is None:
            self._show_text(False)
            self._json_lines = JsonLines()
            self._json_lines.install()
        self._json_lines.setLevel(settings.level.upper())

    def restore(self) -> None:
        """Back to mitmproxy's own text."""
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
