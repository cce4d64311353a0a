"""Admin listener: its limits, its start and its stop."""

import asyncio
import contextlib
import json
import socket
import threading
from collections.abc import Iterator

import pytest
from gateway_parts import Parts
from mitmproxy import connection
from mitmproxy.proxy import server_hooks
from websockets.exceptions import ConnectionClosed, InvalidStatus
from websockets.sync.client import connect

from livegate.admin import live_feed as lives
from livegate.admin import server as servers
from livegate.admin.addon import AdminListener
from livegate.admin.server import AdminServer
from livegate.settings import Admin, CurrentSettings

WAIT_S = 10
TOKEN = "sixteen-characters"


@pytest.fixture
def port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return probe.getsockname()[1]


@contextlib.contextmanager
def listening(parts: Parts, port: int, token: str | None = None) -> Iterator[AdminServer]:
    server = AdminServer(Admin(listen=f"127.0.0.1:{port}", token=token), parts.state)
    server.start()
    try:
        yield server
    finally:
        server.stop()
        assert not server._thread.is_alive()


def opened(port: int) -> socket.socket:
    return socket.create_connection(("127.0.0.1", port), timeout=WAIT_S)


def request(conn: socket.socket, head: str) -> bytes:
    conn.sendall(f"{head}\r\n\r\n".encode())
    return conn.recv(65536)


def test_a_slow_client_is_disconnected(parts: Parts, port: int, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(servers, "HEAD_TIMEOUT_S", 0.2)
    monkeypatch.setattr(servers, "BODY_TIMEOUT_S", 0.2)
    host = f"Host: 127.0.0.1:{port}"
    with listening(parts, port):
        for begun in (
            b"",
            b"GET / HTT",
            f"GET /version HTTP/1.1\r\n{host}\r\nX-Slow: ".encode(),
            f"POST /api/v1/drain HTTP/1.1\r\n{host}\r\nContent-Length: 10\r\n\r\n12".encode(),
            f"POST /api/v1/drain HTTP/1.1\r\n{host}\r\nTransfer-Encoding: chunked\r\n\r\n5\r\n12".encode(),
        ):
            with opened(port) as conn:
                conn.sendall(begun)
                with contextlib.suppress(ConnectionResetError):
                    while conn.recv(65536):
                        pass
        with opened(port) as conn:
            assert b"200 OK" in request(conn, f"GET /version HTTP/1.1\r\n{host}")
            while conn.recv(65536):
                pass  # an idle connection is closed as well


def test_connections_are_limited(parts: Parts, port: int, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(servers, "MAX_CONNECTIONS", 2)
    head = f"GET /version HTTP/1.1\r\nHost: 127.0.0.1:{port}"
    with listening(parts, port):
        with opened(port) as first, opened(port) as second:
            assert b"200 OK" in request(first, head) and b"200 OK" in request(second, head)
            with opened(port) as third, contextlib.suppress(ConnectionResetError, BrokenPipeError):
                assert request(third, head) == b""
        response = b""
        while b"200 OK" not in response:  # until the listener has noticed the closed connections
            with opened(port) as again, contextlib.suppress(ConnectionResetError, BrokenPipeError):
                response = request(again, head)


def test_pages_are_limited_authenticated_and_closed_with_the_listener(
    parts: Parts, port: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(lives, "MAX_SUBSCRIBERS", 1)
    monkeypatch.setattr(servers, "WRONG_TOKEN_DELAY_S", 0)
    known = {"Authorization": f"Bearer {TOKEN}"}
    url = f"ws://127.0.0.1:{port}/api/v1/live"
    with listening(parts, port, TOKEN) as server:
        for wrong in ({}, {"Authorization": "Bearer wrong"}):
            with pytest.raises(InvalidStatus) as refused:
                connect(url, additional_headers=wrong)
            assert refused.value.response.status_code == 401
        with connect(url, additional_headers=known, max_size=None) as live:
            assert json.loads(live.recv(WAIT_S))["type"] == "hello"
            with pytest.raises(InvalidStatus) as full:
                connect(url, additional_headers=known)
            assert full.value.response.status_code == 503
            server.stop()
            with pytest.raises(ConnectionClosed) as closed:
                live.recv(WAIT_S)
    assert closed.value.rcvd and closed.value.rcvd.code == 1012


def test_unsent_data_of_a_page_is_bounded(parts: Parts, port: int, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(lives, "INTERVAL_S", 0.001)
    monkeypatch.setattr(servers, "MAX_UNSENT_BYTES", 100_000)
    asked, enough = [0], threading.Event()
    original = servers.LiveHandler._is_congested

    def counted(handler: servers.LiveHandler) -> bool:
        behind = original(handler)
        if behind:
            asked.append(handler._unsent)
            if len(asked) > 20:
                enough.set()
        return behind

    monkeypatch.setattr(servers.LiveHandler, "_is_congested", counted)
    monkeypatch.setattr(lives.LiveFeed, "_send_changes", _much)
    with listening(parts, port), opened(port) as conn:
        conn.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 4096)
        request(
            conn,
            f"GET /api/v1/live HTTP/1.1\r\nHost: 127.0.0.1:{port}\r\nConnection: Upgrade\r\nUpgrade: websocket\r\n"
            "Sec-WebSocket-Version: 13\r\nSec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==",
        )
        assert enough.wait(WAIT_S)
    assert max(asked) < 100_000 + 60_000


async def _much(_: lives.LiveFeed, subscriber: lives.Subscriber) -> None:
    subscriber.send({"text": "x" * 50_000})


def test_an_internal_error_is_logged_and_not_in_the_response(
    parts: Parts, port: int, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    def fail() -> None:
        raise ArithmeticError("an internal matter")

    monkeypatch.setattr(parts.state, "totals", fail)
    with listening(parts, port), opened(port) as conn:
        response = request(conn, f"GET /api/v1/overview HTTP/1.1\r\nHost: 127.0.0.1:{port}")
    assert response.startswith(b"HTTP/1.1 500") and b"internal matter" not in response
    assert "admin request for /api/v1/overview failed" in caplog.text
    assert b"Server:" not in response and b"no-store" in response


def test_a_server_that_never_started_can_be_stopped(parts: Parts, port: int) -> None:
    server = AdminServer(Admin(listen=f"127.0.0.1:{port}"), parts.state)
    with opened_listener(port), pytest.raises(OSError, match="in use"):
        server.start()
    server.stop()


@contextlib.contextmanager
def opened_listener(port: int) -> Iterator[None]:
    with socket.create_server(("127.0.0.1", port)):
        yield


def _connecting(host: str, port: int) -> server_hooks.ServerConnectionHookData:
    client = connection.Client(peername=("127.0.0.1", 1), sockname=("127.0.0.1", 2), timestamp_start=0)
    return server_hooks.ServerConnectionHookData(connection.Server(address=(host, port)), client)


async def test_the_gateway_does_not_connect_to_the_listener_by_any_name(parts: Parts, port: int) -> None:
    addon = AdminListener(parts.current, parts.state)
    assert addon.server_connect(_connecting("127.0.0.1", port)) is None, "there is none"
    addon._server = AdminServer(Admin(listen=f"127.0.0.1:{port}"), parts.state)
    for host in ("127.0.0.1", "127.8.8.8", "0.0.0.0", "localhost"):
        data = _connecting(host, port)
        judging = addon.server_connect(data)
        assert judging is not None
        await judging
        assert data.server.error and "own admin listener" in data.server.error
    for host in ("192.0.2.1", "nowhere.invalid"):
        data = _connecting(host, port)
        judging = addon.server_connect(data)
        assert judging is not None
        await judging
        assert data.server.error is None
    assert addon.server_connect(_connecting("127.0.0.1", port + 1)) is None


async def test_unloading_the_script_stops_the_listener(parts: Parts, port: int) -> None:
    addon = AdminListener(CurrentSettings(), parts.state)
    addon.running()
    assert addon._interval_task is None, "without settings nothing is started"
    assert addon.done() is None, "mitmproxy does not await it while it goes on"

    addon = AdminListener(parts.current, parts.state)
    parts.current.value = parts.settings(admin={"listen": f"127.0.0.1:{port}"})
    addon.running()
    assert addon._change_task is not None
    await addon._change_task
    opened(port).close()
    addon.done()
    async with asyncio.timeout(WAIT_S), addon._change_lock:
        pass
    while addon._server is not None:
        await asyncio.sleep(0)
    server_thread = next((each for each in threading.enumerate() if each.name == "livegate admin"), None)
    await asyncio.to_thread(server_thread.join if server_thread else int)
    with pytest.raises(ConnectionRefusedError):
        opened(port)
