"""When Python looks for garbage: little by little, and through all there is at quiet moments, as everything waits then.

What is kept of sockets and sessions are some hundred thousand objects, and to go through them takes half a second. Left
alone, Python does so whenever there is a quarter more of them; and through young ones when there are 2,000 more than
there were, which may be late, as others go meanwhile, and takes the longer then. What is over here is freed without the
collector (`mitm.layers.teardown`), so that it finds little, and need not look often: under load only when there is more
in memory than there was.

Each look takes about as long for an object whether it comes often or seldom; in small steps no frame waits for long.
"""

import asyncio
import gc
import sys
import time

YOUNG_INTERVAL_S, MIDDLE_INTERVAL_S = 0.1, 0.5
"""How often objects are looked at that came since the last time, and those that have been looked at but once."""
GEN0_THRESHOLD = 10_000
"""So many more objects than there were, and Python looks at the young ones by itself."""
IDLE_CPU_SHARE = 0.1
"""The part of a core below which a moment is quiet."""
IDLE_FOR_S = 5.0
"""So long it has to be quiet: under load there are moments without any, and who comes next would wait."""
IDLE_FULL_INTERVAL_S, BUSY_FULL_INTERVAL_S = 10.0, 60.0
"""Between two times of looking at all there is, at a quiet moment and under load; longer, when that is in vain."""
GROWTH_TRIGGER = 1.25
"""So many times as much in memory as after the last time, and it is worth to look at all there is under load too."""
WORTHWHILE_OBJECTS = 5000
"""Objects that make it worth to look at all there is."""
MAX_BACKOFF = 16
DISABLED = 1_000_000


def is_due(since_s: float, quiet_s: float, growth: float, backoff: int) -> bool:
    """Whether to look at all there is.

    By the time since the last, how long it has been quiet, and how many times as much is in memory.
    """
    if quiet_s >= IDLE_FOR_S:
        return since_s >= IDLE_FULL_INTERVAL_S * backoff
    return growth >= GROWTH_TRIGGER and since_s >= BUSY_FULL_INTERVAL_S * backoff


def next_backoff(found: int, backoff: int) -> int:
    """How many times as long to wait as usual, after so many objects were found; `patience` is how long it was."""
    return min(2 * backoff, MAX_BACKOFF) if found < WORTHWHILE_OBJECTS else 1


class GarbageCollection:
    """Sets Python's collector up for a gateway; an addon for its life alone."""

    def __init__(self) -> None:
        self._task: asyncio.Task[None] | None = None
        self._thresholds = gc.get_threshold()

    def running(self) -> None:
        """What is there by now stays until the end: the collector need not walk through it again and again."""
        gc.collect()
        gc.freeze()
        gc.set_threshold(GEN0_THRESHOLD, DISABLED, DISABLED)
        self._task = asyncio.get_running_loop().create_task(self._run(), name="livegate garbage collection")

    def done(self) -> None:
        """As it was before."""
        if self._task is not None:
            self._task.cancel()
            gc.set_threshold(*self._thresholds)

    async def _run(self) -> None:
        backoff = 1
        middle_at = all_at = load_at = busy_at = time.monotonic()
        busy_before, blocks = time.process_time(), sys.getallocatedblocks()
        while True:
            await asyncio.sleep(YOUNG_INTERVAL_S)
            if time.monotonic() - middle_at < MIDDLE_INTERVAL_S:
                gc.collect(0)
                continue
            now = time.monotonic()
            if time.process_time() - busy_before >= IDLE_CPU_SHARE * (now - load_at):
                busy_at = now
            if is_due(now - all_at, now - busy_at, sys.getallocatedblocks() / blocks, backoff):
                backoff = next_backoff(gc.collect(), backoff)
                all_at, blocks = now, sys.getallocatedblocks()
            else:
                gc.collect(1)
            middle_at, load_at, busy_before = now, time.monotonic(), time.process_time()
