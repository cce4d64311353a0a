"""Measurement of the event loop's lag: how much later than requested a timer fires."""

import asyncio
from collections.abc import Callable

LAG_EVERY_S = 0.25


class LoopLag:
    """Addon that passes each measured lag, in seconds, to the metrics and to the time series."""

    def __init__(self, *observers: Callable[[float], None]) -> None:
        self._observers = observers
        self._task: asyncio.Task[None] | None = None

    def running(self) -> None:
        self._task = asyncio.get_running_loop().create_task(self._measure(), name="livegate loop lag")

    def done(self) -> None:
        if self._task is not None:
            self._task.cancel()
            self._task = None

    async def _measure(self) -> None:
        loop = asyncio.get_running_loop()
        while True:
            due = loop.time() + LAG_EVERY_S
            await asyncio.sleep(LAG_EVERY_S)
            lag = max(0.0, loop.time() - due)
            for observe in self._observers:
                observe(lag)
