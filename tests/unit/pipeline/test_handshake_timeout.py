"""Time limit of connections before HTTP."""

import asyncio
from pathlib import Path

import pytest
from flows import settings
from mitmproxy.test import tflow

from livegate.pipeline.handshake_timeout import HandshakeTimeout
from livegate.settings import CurrentSettings


async def test_a_connection_that_never_reaches_http_is_closed(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    closed: list[object] = []
    done = asyncio.Event()

    def close(client: object) -> None:
        closed.append(client)
        done.set()

    monkeypatch.setattr("livegate.pipeline.handshake_timeout.close_client", close)
    addon = HandshakeTimeout(CurrentSettings(settings(tmp_path, timeouts={"keep_alive": "10ms"})))
    silent, quick, closing, refused = (tflow.tclient_conn() for _ in range(4))
    refused.error = "refused"
    for client in (silent, quick, closing, refused):
        addon.client_connected(client)
    addon.http_started(quick)
    addon.client_disconnected(closing)
    await asyncio.wait_for(done.wait(), 5)
    assert closed == [silent]
    assert addon._timers == {}
    HandshakeTimeout(CurrentSettings()).client_connected(silent)
