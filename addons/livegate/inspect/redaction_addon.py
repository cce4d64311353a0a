"""Addons that switch redaction of what mitmproxy stores and shows: by an option, or by the gateway's settings."""

import logging

from mitmproxy import ctx
from mitmproxy.addonmanager import Loader

from livegate import mitm
from livegate.inspect.frame_log.addon import FrameLogger
from livegate.inspect.recorder import Recorder
from livegate.mitm import decoding_limits, display
from livegate.redaction.content_coding import decode
from livegate.redaction.flows import FlowRedactor
from livegate.redaction.redactor import SECRET_FIELDS, RedactionRules, Redactor
from livegate.settings import CurrentSettings, Settings

logger = logging.getLogger(__name__)


class RedactionSwitch:
    """Switch of the redaction; base of the addons, which call `_switch`."""

    def __init__(self, redactor: Redactor) -> None:
        self._redactor = redactor

    def _switch(self, enabled: bool, name: str) -> None:
        """Turn redaction on or off; `name` is the option or setting that says so."""
        self._redactor.enabled = enabled
        if not enabled:
            display.uninstall()
            logger.warning("%s is off: passwords, cookies and tokens are shown and stored as they are", name)
        elif not mitm.INCOMPATIBILITIES:
            display.install(FlowRedactor(self._redactor))

    def done(self) -> None:
        # While mitmproxy exits, other addons still write after this hook: a HAR file, for one.
        if not ctx.master.should_exit.is_set():
            display.uninstall()


class RedactionOption(RedactionSwitch):
    """Redaction by the option `liveview_redact`, for the inspector without the gateway."""

    def load(self, loader: Loader) -> None:
        loader.add_option("liveview_redact", bool, True, "Redact secrets in everything that is stored or shown.")
        if not mitm.INCOMPATIBILITIES:
            decoding_limits.install(decode)

    def configure(self, updated: set[str]) -> None:
        if "liveview_redact" in updated:
            self._switch(ctx.options.liveview_redact, "liveview_redact")

    def done(self) -> None:
        super().done()
        if not ctx.master.should_exit.is_set():
            decoding_limits.uninstall()


class InspectSettings(RedactionSwitch):
    """Applies the section `inspect` of the settings, at the start and after each reload."""

    def __init__(self, current: CurrentSettings, recorder: Recorder, redactor: Redactor, frames: FrameLogger) -> None:
        super().__init__(redactor)
        self._current = current
        self._recorder = recorder
        self._frames = frames
        current.on_change(self._apply)

    def running(self) -> None:
        if self._current.loaded:
            self._apply(self._current.value)

    def _apply(self, settings: Settings) -> None:
        inspect = settings.inspect
        self._recorder.tracker.set_session_limit(inspect.sessions)
        self._redactor.set_rules(
            RedactionRules(SECRET_FIELDS.union(inspect.redact_fields), key=self._redactor.rules.key)
        )
        self._switch(inspect.redact, "inspect.redact")
        self._frames.write_to(inspect.frame_log)
