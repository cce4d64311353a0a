"""Addon that installs the log handler and the output streams; the last one, so that all others can log."""

import asyncio
import logging

from mitmproxy import ctx
from mitmproxy.addonmanager import Loader

from livegate.logs import stdout
from livegate.logs.handler import RedactingHandler, is_about_a_request
from livegate.logs.nonblocking_output import StandardStreams
from livegate.logs.terminal import VERBOSITIES, Terminal


class Logs:
    """Installs and removes the handler that redacts all log lines, and the threads that write standard output."""

    def __init__(self, terminal: Terminal, handler: RedactingHandler) -> None:
        self._terminal = terminal
        self._handler = handler
        self._streams = StandardStreams(terminal.missing_text)

    @property
    def unwritten(self) -> int:
        """Lines that were lost, because the reader was too slow or the write failed."""
        return self._streams.lost

    @property
    def suppressed(self) -> int:
        """Lines that the throttle suppressed."""
        return self._handler.throttle.suppressed

    def load(self, loader: Loader) -> None:
        del loader
        self._handler.install()
        check = ctx.master.addons.get("errorcheck")
        if check is not None:  # it ends mitmproxy on any error line during the start; a backend may be down, though
            check.logger.addFilter(_is_about_no_request)

    def configure(self, updated: set[str]) -> None:
        if not updated.isdisjoint(VERBOSITIES):
            self._terminal.update_logger_level()

    def take_over_streams(self) -> None:
        """Let threads write the standard streams from now on; not in mitmproxy's console, which draws on them."""
        if stdout.has_terminal_log():
            stdout.redirect(self._streams.take_over())

    def running(self) -> None:
        self.take_over_streams()
        self._handler.set_event_loop(asyncio.get_running_loop())

    def done(self) -> None:
        self._handler.uninstall()
        if ctx.master.should_exit.is_set():  # mitmproxy's last lines keep the format
            self._terminal.stop_buffering()
        else:
            self._terminal.restore()
            stdout.redirect(self._streams.restore())


def _is_about_no_request(record: logging.LogRecord) -> bool:
    return not is_about_a_request(record)
