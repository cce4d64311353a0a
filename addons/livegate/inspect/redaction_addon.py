"""Inspection as the gateway's settings say: redaction, and the frame log."""

import asyncio
import logging

from mitmproxy import ctx

from livegate import mitm
from livegate.inspect.frame_log.addon import FrameLogger
from livegate.inspect.frame_log.writer import FrameLogWriter
from livegate.inspect.recorder import Recorder
from livegate.mitm import display
from livegate.mitm.hook_table import keep
from livegate.redaction.flows import Hiding
from livegate.redaction.redactor import FIELDS, RedactionRules, Redactor
from livegate.settings import CurrentSettings, FrameLog, Settings

logger = logging.getLogger(__name__)


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
            keep(asyncio.ensure_future(self._close(writer, writer.dropped)))
        if wanted is None:
            return
        try:
            self._frames.writer = self._writer = FrameLogWriter(wanted, self._redactor)
        except OSError as error:
            logger.error("inspect.frame_log: %s cannot be written: %s", wanted.path, error.strerror)

    async def _close(self, writer: FrameLogWriter, known: int) -> None:
        await asyncio.to_thread(writer.close)
        self._dropped += writer.dropped - known
