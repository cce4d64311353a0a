"""When Python looks for garbage: all of it at quiet moments, as the event loop stands still meanwhile.

What is kept of sockets and sessions are some hundred thousand objects, and to go through them takes a tenth of a second
or two. Left alone, Python does so whenever there is a quarter more of them: under load every few seconds. Young ones,
such as those of a request that is over, are still looked at as often as always.
"""

import asyncio
import gc
import time

LOOK_EVERY_S = 1.0
QUIET = 0.1
"""The part of a core below which a moment is quiet."""
LEAST_S, MOST_S = 10.0, 60.0
"""Between two times, at a quiet moment and at any."""
WORTH = 10
"""So many collections of young objects since the last time; with fewer there is little to find."""
NEVER = 1_000_000


def is_due(since_s: float, busy: float, young: int) -> bool:
    """Whether to look for all garbage: by the time since the last, the load of the last second, and what came since."""
    if young < WORTH or since_s < LEAST_S:
        return False
    return busy < QUIET or since_s >= MOST_S


class GarbageCollection:
    """Sets Python's collector up for a gateway; an addon for its life alone."""

    def __init__(self) -> None:
        self._task: asyncio.Task[None] | None = None
        self._thresholds = gc.get_threshold()

    def running(self) -> None:
        """What is there by now stays until the end: the collector need not walk through it again and again."""
        gc.collect()
        gc.freeze()
        young, middle, _ = self._thresholds
        gc.set_threshold(young, middle, NEVER)
        self._task = asyncio.get_running_loop().create_task(self._look(), name="livegate garbage collection")

    def done(self) -> None:
        """As it was before."""
        if self._task is not None:
            self._task.cancel()
            gc.set_threshold(*self._thresholds)

    async def _look(self) -> None:
        last, busy_before = time.monotonic(), time.process_time()
        while True:
            await asyncio.sleep(LOOK_EVERY_S)
            now, busy_now = time.monotonic(), time.process_time()
            if is_due(now - last, (busy_now - busy_before) / LOOK_EVERY_S, gc.get_count()[2]):
                gc.collect()
                last, busy_now = now, time.process_time()
            busy_before = busy_now
