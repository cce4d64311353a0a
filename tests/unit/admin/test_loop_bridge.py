"""Calls from other threads: they run on the gateway's event loop and hold it only for a slice at a time."""

import asyncio
import threading
from typing import Any

import pytest
from admin_client import AdminClient
from gateway_parts import Parts, session

from livegate.admin import loop_bridge
from livegate.admin.loop_bridge import GatewayUnresponsiveError


async def test_a_call_runs_on_the_gateways_loop(parts: Parts) -> None:
    assert await parts.state.bridge.call(asyncio.get_running_loop) is parts.loop
    with pytest.raises(ZeroDivisionError):
        await parts.state.bridge.call(lambda: 1 / 0)


async def test_on_the_gateways_loop_itself_a_call_runs_at_once(parts: Parts) -> None:
    parts.state.bridge.loop = asyncio.get_running_loop()
    assert await parts.state.bridge.call(threading.get_ident) == threading.get_ident()
    assert await parts.state.bridge.call_for_each([1, 2, 3], lambda n: {"n": n} if n != 2 else None) == [
        {"n": 1},
        {"n": 3},
    ]


async def test_a_loop_that_hangs_has_stopped_or_is_not_running_is_reported(
    parts: Parts, api: AdminClient, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(loop_bridge, "CALL_TIMEOUT_S", 0.05)
    hang = threading.Event()
    parts.loop.call_soon_threadsafe(hang.wait, 10)
    ran: list[int] = []
    with pytest.raises(GatewayUnresponsiveError, match="did not respond"):
        await parts.state.bridge.call(ran.append, 1)
    assert (await api("GET", "/healthz")).status == 503
    hang.set()
    monkeypatch.setattr(loop_bridge, "CALL_TIMEOUT_S", 5)
    assert (await api("GET", "/healthz")).status == 200
    assert not ran, "a call whose caller gave up does not run"
    await asyncio.to_thread(_end, parts.loop)
    assert b"has stopped" in (await api("GET", "/healthz")).body
    parts.state.bridge.loop = None
    assert b"is not running yet" in (await api("GET", "/healthz")).body


def _end(loop: asyncio.AbstractEventLoop) -> None:
    loop.call_soon_threadsafe(loop.stop)
    while loop.is_running():
        pass
    loop.close()


async def test_five_thousand_sessions_are_read_in_slices(parts: Parts, monkeypatch: pytest.MonkeyPatch) -> None:
    parts.know(*(session(number) for number in range(1, 5001)))
    slices: list[int] = []
    original = loop_bridge._run_slice

    def counted(items: Any, start: int, *more: Any) -> int:
        end: int = original(items, start, *more)
        slices.append(end - start)
        return end

    monkeypatch.setattr(loop_bridge, "_run_slice", counted)
    monkeypatch.setattr(loop_bridge, "SLICE_S", 0)
    rows = await parts.state.rows(list(range(1, 5001)))
    assert [row.number for row in rows] == list(range(1, 5001))
    assert set(slices) == {1}, "the loop is free again after each slice"
