"""Redaction by an option (`Redaction`), or by the gateway's settings together with the frame log (`Inspection`)."""

import asyncio
import logging

from mitmproxy import ctx
from mitmproxy.addonmanager import Loader

from livegate import mitm
from livegate.inspect.frame_log.addon import FrameLogger
from livegate.inspect.frame_log.writer import FrameLogWriter
from livegate.inspect.recorder import Recorder
from livegate.mitm import decoding_limits, display
from livegate.redaction.content_coding import decode
from livegate.redaction.flows import Hiding
from livegate.redaction.redactor import FIELDS, RedactionRules, Redactor
from livegate.settings import CurrentSettings, FrameLog, Settings
from livegate.tasks import retain

logger = logging.getLogger(__name__)


class Redaction:
    """Takes secrets out of what is stored or shown, unless the option `liveview_redact` says otherwise."""

    def __init__(self, redactor: Redactor) -> None:
        self._redactor = redactor

    def load(self, loader: Loader) -> None:
        loader.add_option("liveview_redact", bool, True, "Take secrets out of everything that is stored or shown.")
        if not mitm.SHAPE_PROBLEMS:
            decoding_limits.install(decode)

    def configure(self, updated: set[str]) -> None:
        if "liveview_redact" not in updated:
            return
        self._redactor.enabled = ctx.options.liveview_redact
        if not self._redactor.enabled:
            display.uninstall()
            logger.warning("liveview_redact is off: passwords, cookies and tokens are shown and stored as they are")
        elif not mitm.SHAPE_PROBLEMS:
            display.install(Hiding(self._redactor))

    def done(self) -> None:
        if not ctx.master.should_exit.is_set():  # else others still write when this is done: a HAR file, for one
            display.uninstall()
            decoding_limits.uninstall()


class Inspection:
    """Apply `inspect` of the settings, at the start and whenever they change."""

    def __init__(self, current: CurrentSettings, recorder: Recorder, redactor: Redactor, frames: FrameLogger) -> None:
        self._current = current
        self._recorder = recorder
        self._redactor = redactor
        self._frames = frames
        self._writer: FrameLogWriter | None = None
        self._dropped = 0
        current.on_change(self._apply)

    @property
    def dropped(self) -> int:
        """Lines of the frame log that were lost since the start."""
        return self._dropped + (self._writer.dropped if self._writer is not None else 0)

    def running(self) -> None:
        if self._current.loaded:
            self._apply(self._current.value)

    def done(self) -> None:
        if not ctx.master.should_exit.is_set():  # else others still write when this is done: a HAR file, for one
            display.uninstall()
        if self._writer is not None:
            self._frames.writer = None
            self._writer.close()

    def _apply(self, settings: Settings) -> None:
        inspect = settings.inspect
        self._recorder.tracker.keep(inspect.sessions)
        self._redactor.use(RedactionRules(FIELDS.union(inspect.redact_fields), key=self._redactor.rules.key))
        self._redactor.enabled = inspect.redact
        if not inspect.redact:
            display.uninstall()
            logger.warning("inspect.redact is off: passwords, cookies and tokens are shown and stored as they are")
        elif not mitm.SHAPE_PROBLEMS:
            display.install(Hiding(self._redactor))
        self._log(inspect.frame_log)

    def _log(self, wanted: FrameLog | None) -> None:
        writer = self._writer
        if writer is not None and writer.settings == wanted:
            return
        self._frames.writer = self._writer = None
        if writer is not None:  # the disk may take its time, and sockets go on
            self._dropped += writer.dropped
            retain(asyncio.ensure_future(self._close(writer, writer.dropped)))
        if wanted is None:
            return
        try:
            self._frames.writer = self._writer = FrameLogWriter(wanted, self._redactor)
        except OSError as error:
            logger.error("inspect.frame_log: %s cannot be written: %s", wanted.path, error.strerror)

    async def _close(self, writer: FrameLogWriter, known: int) -> None:
        await asyncio.to_thread(writer.close)
        self._dropped += writer.dropped - known
