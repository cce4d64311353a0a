"""Registry of background tasks, and the switch interval of threads that run beside the event loop."""

import asyncio
import sys

SWITCH_INTERVAL_S = 0.001
"""Time after which a busy thread yields the interpreter to the event loop; Python's default is 5 ms."""
_running: set[asyncio.Future[None]] = set()


def retain(task: asyncio.Future[None]) -> None:
    """Keep a reference to a task until it is done, because the event loop keeps only a weak one."""
    _running.add(task)
    task.add_done_callback(_running.discard)


def shorten_switch_interval() -> None:
    """Set the interpreter's switch interval; called by each thread owner whose work would delay the event loop."""
    sys.setswitchinterval(SWITCH_INTERVAL_S)
