"""The event loop's lag is measured from `running` to `done`, without an admin listener."""

import asyncio
import time

import pytest

from livegate.observe.metrics import loop_lag
from livegate.observe.metrics.loop_lag import LoopLag

TIMEOUT_S = 20
BLOCKED_S = 0.05


async def test_a_blocked_loop_is_observed_by_everyone_until_the_end(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(loop_lag, "LAG_EVERY_S", 0.001)
    observed: asyncio.Queue[float] = asyncio.Queue()
    also: list[float] = []
    addon = LoopLag(observed.put_nowait, also.append)
    addon.running()
    while await asyncio.wait_for(observed.get(), TIMEOUT_S) < BLOCKED_S / 2:
        time.sleep(BLOCKED_S)
    task = addon._task
    addon.done()
    assert task is not None
    await asyncio.wait({task})
    assert task.cancelled()
    assert max(also) >= BLOCKED_S / 2
