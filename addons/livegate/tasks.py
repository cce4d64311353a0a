"""Background tasks, held until they end."""

import asyncio

_running: set[asyncio.Future[None]] = set()


def retain(task: asyncio.Future[None]) -> None:
    """Hold a reference to a task until it ends, because the event loop itself holds it only weakly."""
    _running.add(task)
    task.add_done_callback(_running.discard)
