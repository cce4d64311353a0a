"""Probes of the backends."""

import asyncio
from typing import Any

import pytest

from livegate.admin import probes


async def test_a_backend_that_hangs_or_whose_name_does_not_resolve_is_down(monkeypatch: pytest.MonkeyPatch) -> None:
    assert await probes._connection_problem("nowhere.invalid", 1)
    monkeypatch.setattr(probes, "PROBE_TIMEOUT_S", 0.01)

    async def never(*_: Any) -> None:
        await asyncio.Event().wait()

    monkeypatch.setattr(asyncio, "open_connection", never)
    assert await probes._connection_problem("127.0.0.1", 1) == "no connection within 0.01 s"
