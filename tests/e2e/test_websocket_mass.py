"""Many sockets and many bytes: nothing is lost, nothing is left behind, memory stays bounded.

`LIVEGATE_SOAK=1` runs the sizes that the README's figures are from; without it they are smaller.
"""

import asyncio
import contextlib
import os
import random
import socket
import struct
import time
from collections.abc import AsyncIterator, Callable, Iterator
from pathlib import Path
from typing import Any

import psutil
import pytest
from browser import browser_page
from gateway_process import MITMDUMP, Gateway, free_port
from picows import WSFrame, WSListener, WSMsgType, WSTransport, ws_connect, ws_create_server
from socket_lab import INSIDE, MEDDLER, inside, until

pytestmark = pytest.mark.unmeasured

SOAK = os.environ.get("LIVEGATE_SOAK") == "1"
MIB = 1024 * 1024
GATEWAY_SCRIPT = str(Path(__file__).parents[2] / "addons" / "gateway.py")


class Echo(WSListener):  # type: ignore[misc]
    """The server's end: echoes text, swallows binary."""

    connections: list[WSTransport]

    def __init__(self, connections: list[WSTransport]) -> None:
        self.connections = connections
        self.swallowed = 0

    def on_ws_connected(self, transport: WSTransport) -> None:
        self.transport = transport
        self.connections.append(transport)

    def on_ws_frame(self, transport: WSTransport, frame: WSFrame) -> None:
        if frame.msg_type == WSMsgType.CLOSE:
            transport.send_close(1000)
            transport.disconnect()
        elif frame.msg_type == WSMsgType.BINARY:
            self.swallowed += frame.payload_size
            if self.swallowed % (64 * MIB) == 0:
                transport.send(WSMsgType.TEXT, b"%d" % self.swallowed)
        elif frame.msg_type == WSMsgType.TEXT:
            transport.send(WSMsgType.TEXT, frame.get_payload_as_bytes())


class Client(WSListener):  # type: ignore[misc]
    """The client's end: counts what comes back, and how late."""

    def __init__(self) -> None:
        self.received = 0
        self.sent_at = 0.0
        self.slowest = 0.0
        self.closed = False
        self.writable = asyncio.Event()
        self.writable.set()
        self.arrived = asyncio.Event()

    def on_ws_connected(self, transport: WSTransport) -> None:
        self.transport = transport

    def say(self, data: bytes) -> None:
        self.sent_at = time.monotonic()
        self.transport.send(WSMsgType.TEXT, data)

    def on_ws_frame(self, transport: WSTransport, frame: WSFrame) -> None:
        if frame.msg_type == WSMsgType.TEXT:
            self.received += 1
            self.slowest = max(self.slowest, time.monotonic() - self.sent_at)
            self.arrived.set()

    def on_ws_disconnected(self, transport: WSTransport) -> None:
        self.closed = True

    def pause_writing(self) -> None:
        self.writable.clear()

    def resume_writing(self) -> None:
        self.writable.set()


@contextlib.asynccontextmanager
async def echo_server(port: int) -> AsyncIterator[list[WSTransport]]:
    connections: list[WSTransport] = []
    server = await ws_create_server(lambda request: Echo(connections), "127.0.0.1", port, backlog=4096)
    async with server:
        yield connections


def settings(port: int) -> dict[str, Any]:
    return {
        "services": {"default": f"http://127.0.0.1:{port}"},
        "rate_limit": {"user": None, "ip": None},
        "websocket": {"max_connections": {"per_client": None}},
    }


@pytest.fixture
def port() -> int:
    return free_port()


@pytest.fixture
def gateway(tmp_path: Path, port: int) -> Iterator[Gateway]:
    made = Gateway(tmp_path, settings(port), "-s", str(MEDDLER))
    made.command[1:1] = ["-s", str(INSIDE)]
    with made:
        yield made


async def connect(gateway: Gateway) -> Client:
    _, client = await ws_connect(
        Client, f"ws://127.0.0.1:{gateway.port}/", websocket_handshake_timeout=60, max_frame_size=64 * MIB
    )
    return client


async def connect_many(gateway: Gateway, count: int, at_once: int = 50) -> list[Client]:
    gate = asyncio.Semaphore(at_once)

    async def one() -> Client:
        async with gate:
            return await connect(gateway)

    return await asyncio.gather(*(one() for _ in range(count)))


def rss_of(gateway: Gateway) -> Callable[[], int]:
    assert gateway.process
    process = psutil.Process(gateway.process.pid)
    return lambda: process.memory_info().rss


async def test_a_gibibyte_through_one_socket_leaves_no_trace_in_memory(gateway: Gateway, port: int) -> None:
    total = (1024 if SOAK else 256) * MIB
    rss = rss_of(gateway)
    async with echo_server(port):
        client = await connect(gateway)
        message = os.urandom(MIB)
        before = peak = 0
        for sent in range(0, total, MIB):
            await client.writable.wait()
            client.transport.send(WSMsgType.BINARY, message)
            await asyncio.sleep(0)
            if sent == 16 * MIB:
                before = rss()
            if before:
                peak = max(peak, rss())

        async def all_there() -> bool:
            return client.received == total // (64 * MIB)

        await until(all_there, seconds=120)
        client.transport.disconnect()
        assert peak - before < 64 * MIB, (before, peak)


async def test_many_messages_over_many_sockets_with_mitmweb_open(tmp_path: Path, port: int, chromium: str) -> None:
    """The history is bounded, and mitmweb's page is told of changes at a bounded rate."""
    sockets, messages = 100, 2000 if SOAK else 200
    web_port = free_port()
    command = [str(MITMDUMP.with_name("mitmweb")), "-s", GATEWAY_SCRIPT]
    web = ["--web-port", str(web_port), "--no-web-open-browser", "--set", "web_password=secret"]
    with Gateway(tmp_path, settings(port), *web, command=command) as gateway:
        rss = rss_of(gateway)
        async with echo_server(port):
            clients = await connect_many(gateway, sockets)
            opened, finish = asyncio.Event(), asyncio.Event()
            loop = asyncio.get_running_loop()

            def look() -> int:
                with browser_page(chromium) as page:
                    page.goto(f"http://127.0.0.1:{web_port}/?token=secret")
                    page.wait_for_selector("tr", timeout=30_000)
                    loop.call_soon_threadsafe(opened.set)
                    asyncio.run_coroutine_threadsafe(finish.wait(), loop).result(600)
                    return int(page.locator("tr").count())

            looking = asyncio.create_task(asyncio.to_thread(look))
            await asyncio.wait_for(opened.wait(), 60)
            before = peak = rss()
            for round_ in range(messages):
                for client in clients:
                    client.arrived.clear()
                    client.say(b'["1","%d","lv:phx","event",{"type":"click"}]' % round_ + b"x" * 50)
                await asyncio.gather(*(asyncio.wait_for(client.arrived.wait(), 60) for client in clients))
                peak = max(peak, rss())
            finish.set()
            assert await looking > 1
            assert all(client.received == messages for client in clients)
            for client in clients:
                client.transport.disconnect()
            await asyncio.to_thread(gateway.output.wait_for, "close_code=1006")
            assert peak - before < 64 * MIB + (0 if SOAK else 16 * MIB), (before, peak)


async def test_thousands_of_sockets_with_heartbeats_lose_none(gateway: Gateway, port: int) -> None:
    sockets, seconds, every = (5000, 60, 2.0) if SOAK else (500, 8, 2.0)
    async with echo_server(port):
        clients = await connect_many(gateway, sockets)
        assert (await inside(gateway, "held"))["open"] == sockets

        async def beat(client: Client) -> int:
            await asyncio.sleep(random.random() * every)
            ends, sent = time.monotonic() + seconds, 0
            while time.monotonic() < ends:
                client.say(b'[null,"1","phoenix","heartbeat",{}]')
                sent += 1
                await asyncio.sleep(every)
            return sent

        sent = await asyncio.gather(*(beat(client) for client in clients))

        async def all_answered() -> bool:
            return all(client.received == count for client, count in zip(clients, sent, strict=True))

        await until(all_answered)
        assert not any(client.closed for client in clients)
        slowest = max(client.slowest for client in clients)
        print(f"{sockets} sockets, {sum(sent)} heartbeats, the slowest answer after {slowest * 1000:.0f} ms")
        assert slowest < (1 if SOAK else 30)
        for client in clients:
            client.transport.disconnect()


async def test_sockets_cut_at_random_by_either_end_leave_nothing_behind(gateway: Gateway, port: int) -> None:
    sockets, rounds = (1000, 10) if SOAK else (200, 3)

    async def none_left() -> bool:
        held = await inside(gateway, "held")
        return held["places"] == held["open"] == 0 and held["connections"] == 1

    async with echo_server(port) as at_server:
        await until(none_left)
        before = await inside(gateway, "held")
        for _ in range(rounds):
            at_server.clear()
            clients = await connect_many(gateway, sockets)
            ends = [*[client.transport for client in clients], *at_server]
            random.shuffle(ends)
            for end in ends:
                if random.random() < 0.5:
                    end.send(WSMsgType.TEXT, b"under way")
                _cut(end)
            try:
                await until(none_left, seconds=60)
            except TimeoutError:
                raise AssertionError(await inside(gateway, "held")) from None

        async def as_before() -> bool:
            now = await inside(gateway, "held")
            keys = ("sockets", "tasks", "timers", "handlers")
            return all(now[key] <= before[key] for key in keys)

        await until(as_before)


def _cut(end: WSTransport) -> None:
    """By a reset, by the end of the stream, or by a close frame."""
    match random.randrange(3):
        case 0:
            raw = end.underlying_transport.get_extra_info("socket")
            if raw is not None:
                with contextlib.suppress(OSError):
                    raw.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
            end.underlying_transport.abort()
        case 1:
            end.disconnect()
        case _:
            end.send_close(4000, b"random")
            end.disconnect()
