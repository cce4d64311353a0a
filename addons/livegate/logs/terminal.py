"""Terminal log: mitmproxy's own text or JSON lines, as the settings say; used by `Startup` and `Logs`."""

import logging
from typing import Literal, Protocol

from mitmproxy import ctx, log

from livegate.logs.json_lines import JsonLines
from livegate.logs.nonblocking_output import MISSING

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
