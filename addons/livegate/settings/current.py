"""Settings in force: the value that a reload replaces, and the observers of a reload."""

import asyncio
from collections.abc import Callable

from livegate.settings.model import Settings


class CurrentSettings:
    """Holder of the settings in force. A reload replaces `value`; requests keep the settings that they started with."""

    def __init__(self, value: Settings | None = None) -> None:
        self._value = value
        self._observers: list[Callable[[Settings], None]] = []
        self.ready = asyncio.Event()
        """Set once all addons have started; earlier connections wait for it."""

    @property
    def loaded(self) -> bool:
        """Return whether any settings have been loaded."""
        return self._value is not None

    @property
    def value(self) -> Settings:
        """Return the settings in force. Raise RuntimeError before the first load, so that policy hooks fail closed."""
        if self._value is None:
            msg = "no settings are loaded"
            raise RuntimeError(msg)
        return self._value

    @value.setter
    def value(self, value: Settings) -> None:
        is_reload = self._value is not None
        self._value = value
        for observer in self._observers if is_reload else ():
            observer(value)

    def on_change(self, observer: Callable[[Settings], None]) -> None:
        """Call `observer` with the new settings after each reload, but not after the first load."""
        self._observers.append(observer)
