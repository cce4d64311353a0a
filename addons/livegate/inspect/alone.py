"""The LiveView inspector without the gateway, as a list of addons; `addons/liveview.py` loads it."""

from typing import Any

from livegate.inspect.commands import LiveViewCommands
from livegate.inspect.liveview import LiveViewInspector
from livegate.inspect.recorder import Recorder
from livegate.inspect.redaction import Redactor


def inspectors() -> list[Any]:
    """Make a fresh set of addons that share what was recorded."""
    recorder, redactor = Recorder(), Redactor()
    return [LiveViewInspector(recorder, redactor), LiveViewCommands(recorder, redactor)]
