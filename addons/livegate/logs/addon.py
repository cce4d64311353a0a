"""The log's life in mitmproxy: the last addon of the pipeline, so that it is there as long as any other logs."""

import asyncio
import logging

from mitmproxy import ctx
from mitmproxy.addonmanager import Loader

from livegate.logs import stdout
from livegate.logs.handler import RedactingHandler, is_about_a_request
from livegate.logs.output import StandardStreams
from livegate.logs.terminal import VERBOSITIES, Terminal


class Logs:
    """Puts the gate in front of mitmproxy's log handlers, and takes it away again."""

    def __init__(self, terminal: Terminal, handler: RedactingHandler) -> None:
        self._terminal = terminal
        self._handler = handler
        self._streams = StandardStreams(terminal.missing_text)

    @property
    def unwritten(self) -> int:
        """How many lines nobody read in time, or the system did not take."""
        return self._streams.lost

    @property
    def suppressed(self) -> int:
        """How many lines were not written because there were too many of their kind."""
        return self._handler.throttle.suppressed

    def load(self, loader: Loader) -> None:
        del loader
        self._handler.install()
        check = ctx.master.addons.get("errorcheck")
        if check is not None:  # any error during mitmproxy's start ends it; a backend that is down is none of those
            check.logger.addFilter(_is_about_no_request)

    def configure(self, updated: set[str]) -> None:
        if not updated.isdisjoint(VERBOSITIES):
            self._terminal.update_logger_level()

    def take_over_streams(self) -> None:
        """From now on a thread writes what this process prints; not in mitmproxy's console, which draws on it."""
        if stdout.has_terminal_log():
            stdout.redirect(self._streams.take_over())

    def running(self) -> None:
        self.take_over_streams()
        self._handler.set_event_loop(asyncio.get_running_loop())

    def done(self) -> None:
        self._handler.uninstall()
        if ctx.master.should_exit.is_set():  # what mitmproxy still has to say comes in the same form
            self._terminal.stop_buffering()
        else:
            self._terminal.restore()
            stdout.redirect(self._streams.restore())


def _is_about_no_request(record: logging.LogRecord) -> bool:
    return not is_about_a_request(record)
