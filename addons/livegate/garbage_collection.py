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

YOUNG_EVERY_S, MIDDLE_EVERY_S = 0.1, 0.5
"""How often objects are looked at that came since the last time, and those that have been looked at but once."""
MANY_YOUNG = 10_000
"""So many more objects than there were, and Python looks at the young ones by itself."""
QUIET = 0.1
"""The part of a core below which a moment is quiet."""
QUIET_FOR_S = 5.0
"""So long it has to be quiet: under load there are moments without any, and who comes next would wait."""
LEAST_S, MOST_S = 10.0, 60.0
"""Between two times of looking at all there is, at a quiet moment and under load; longer, when that is in vain."""
GROWN = 1.25
"""So many times as much in memory as after the last time, and it is worth to look at all there is under load too."""
WORTH = 5000
"""Objects that make it worth to look at all there is."""
MAX_PATIENCE = 16
NEVER = 1_000_000


def is_due(since_s: float, quiet_s: float, growth: float, patience: int) -> bool:
    """Whether to look at all there is.

    By the time since the last, how long it has been quiet, and how many times as much is in memory.
    """
    if quiet_s >= QUIET_FOR_S:
        return since_s >= LEAST_S * patience
    return growth >= GROWN and since_s >= MOST_S * patience


def patience_after(found: int, patience: int) -> int:
    """How many times as long to wait as usual, after so many objects were found; `patience` is how long it was."""
    return min(2 * patience, MAX_PATIENCE) if found < WORTH else 1


class GarbageCollection:
    """Sets Python's collector up for a gateway; an addon for its life alone."""

    def __init__(self) -> None:
        self._task: asyncio.Task[None] | None = None
        self._thresholds = gc.get_threshold()

    def running(self) -> None:
        """What is there by now stays until the end: the collector need not walk through it again and again."""
        gc.collect()
        gc.freeze()
        gc.set_threshold(MANY_YOUNG, NEVER, NEVER)
        self._task = asyncio.get_running_loop().create_task(self._look(), name="livegate garbage collection")

    def done(self) -> None:
        """As it was before."""
        if self._task is not None:
            self._task.cancel()
            gc.set_threshold(*self._thresholds)

    async def _look(self) -> None:
        patience = 1
        middle_at = all_at = load_at = busy_at = time.monotonic()
        busy_before, blocks = time.process_time(), sys.getallocatedblocks()
        while True:
            await asyncio.sleep(YOUNG_EVERY_S)
            if time.monotonic() - middle_at < MIDDLE_EVERY_S:
                gc.collect(0)
                continue
            now = time.monotonic()
            if time.process_time() - busy_before >= QUIET * (now - load_at):
                busy_at = now
            if is_due(now - all_at, now - busy_at, sys.getallocatedblocks() / blocks, patience):
                patience = patience_after(gc.collect(), patience)
                all_at, blocks = now, sys.getallocatedblocks()
            else:
                gc.collect(1)
            middle_at, load_at, busy_before = now, time.monotonic(), time.process_time()
