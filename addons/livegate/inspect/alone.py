"""The LiveView inspector without the gateway, as a list of addons; `addons/liveview.py` loads it."""

import logging
from typing import Any

from mitmproxy import ctx
from mitmproxy.addonmanager import Loader

from livegate import mitm
from livegate.inspect.addon import LiveViewInspector
from livegate.inspect.commands import LiveViewCommands
from livegate.inspect.recorder import Recorder
from livegate.mitm import decoding_limits, display
from livegate.redaction.content_coding import decode
from livegate.redaction.flows import Hiding
from livegate.redaction.redactor import Redactor

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


def inspectors() -> list[Any]:
    """Make a fresh set of addons that share what was recorded."""
    recorder, redactor = Recorder(), Redactor()
    return [Redaction(redactor), LiveViewInspector(recorder, redactor), LiveViewCommands(recorder, redactor)]
