"""Schedules garbage collection: young generations every 100 ms, a full collection mostly while the process is idle.

A full collection pauses the event loop: half a second for the some hundred thousand objects of sockets and sessions.
CPython starts one whenever they have grown by a quarter. Closed connections are freed by reference counting
(`mitm.layers.teardown`), so under load a full collection is worthwhile only after memory has grown. Young objects cost
the same per object at any interval; a short one keeps each pause short.
"""

import asyncio
import gc
import sys
import time

YOUNG_INTERVAL_S, MIDDLE_INTERVAL_S = 0.1, 0.5
"""Between collections of generation 0, and of generations 0 and 1."""
GEN0_THRESHOLD = 10_000
"""Net allocations between two scheduled passes; beyond it, CPython collects generation 0 on its own."""
IDLE_CPU_SHARE = 0.1
"""Share of one core below which the process is idle."""
IDLE_FOR_S = 5.0
"""Idle time before a full collection, because load has short gaps, and the next request would wait."""
IDLE_FULL_INTERVAL_S, BUSY_FULL_INTERVAL_S = 10.0, 60.0
"""Least time between full collections while idle and under load, multiplied by the backoff."""
GROWTH_TRIGGER = 1.25
"""Growth of allocated memory blocks since the last full collection that causes one under load."""
WORTHWHILE_OBJECTS = 5000
"""A full collection that frees fewer objects doubles the backoff."""
MAX_BACKOFF = 16
DISABLED = 1_000_000


def is_due(since_s: float, idle_s: float, growth: float, backoff: int) -> bool:
    """Return whether to run a full collection, by the time since the last, the idle time, and the memory's growth."""
    if idle_s >= IDLE_FOR_S:
        return since_s >= IDLE_FULL_INTERVAL_S * backoff
    return growth >= GROWTH_TRIGGER and since_s >= BUSY_FULL_INTERVAL_S * backoff


def next_backoff(collected: int, backoff: int) -> int:
    """Return the factor for the next interval after a full collection that freed `collected` objects."""
    return min(2 * backoff, MAX_BACKOFF) if collected < WORTHWHILE_OBJECTS else 1


class GarbageCollection:
    """Addon that runs the schedule while mitmproxy runs."""

    def __init__(self) -> None:
        self._task: asyncio.Task[None] | None = None
        self._thresholds = gc.get_threshold()

    def running(self) -> None:
        """Exempt the objects of the start from collections, and start the schedule."""
        gc.collect()
        gc.freeze()
        gc.set_threshold(GEN0_THRESHOLD, DISABLED, DISABLED)
        self._task = asyncio.get_running_loop().create_task(self._run(), name="livegate garbage collection")

    def done(self) -> None:
        """Stop the schedule and restore the thresholds."""
        if self._task is not None:
            self._task.cancel()
            gc.set_threshold(*self._thresholds)

    async def _run(self) -> None:
        backoff = 1
        middle_at = full_at = load_at = busy_at = time.monotonic()
        cpu_before, blocks = time.process_time(), sys.getallocatedblocks()
        while True:
            await asyncio.sleep(YOUNG_INTERVAL_S)
            if time.monotonic() - middle_at < MIDDLE_INTERVAL_S:
                gc.collect(0)
                continue
            now = time.monotonic()
            if time.process_time() - cpu_before >= IDLE_CPU_SHARE * (now - load_at):
                busy_at = now
            if is_due(now - full_at, now - busy_at, sys.getallocatedblocks() / blocks, backoff):
                backoff = next_backoff(gc.collect(), backoff)
                full_at, blocks = now, sys.getallocatedblocks()
            else:
                gc.collect(1)
            middle_at, load_at, cpu_before = now, time.monotonic(), time.process_time()
