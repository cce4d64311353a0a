"""Long and slow bodies: flat memory, first bytes at once, and no host that waits for another."""

import asyncio
import hashlib
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import aiohttp
import pytest
from backends import Backend
from gateway_process import Gateway, free_port

from livegate.demo.processes import DemoProcesses

MIB = 1024 * 1024
MANY = {"user": "1000000/minute", "ip": "1000000/minute"}


@pytest.fixture(scope="module")
def gateway(folder: Path, demo: DemoProcesses) -> Iterator[Gateway]:
    settings = {
        "services": {
            "app.test": demo.live_url,
            "dead.test": f"http://127.0.0.1:{free_port()}",
            "slow.test": {"backend": demo.live_url, "timeouts": {"response": "2s"}},
        },
        "rate_limit": MANY,
        "limits": {"body": "200MiB"},
    }
    with Gateway(folder, settings) as gateway:
        yield gateway


@contextmanager
def peak_growth(gateway: Gateway) -> Iterator[list[int]]:
    """The largest growth of the process's resident memory inside the block, in bytes."""
    start, peak, stop = gateway.rss, [0], threading.Event()

    def watch() -> None:
        while not stop.wait(0.02):
            peak[0] = max(peak[0], gateway.rss - start)

    thread = threading.Thread(target=watch)
    thread.start()
    try:
        yield peak
    finally:
        stop.set()
        thread.join()


async def test_an_upload_of_100_mib_adds_less_than_32_mib(gateway: Gateway) -> None:
    piece, digest = bytes(range(256)) * 256, hashlib.sha256()

    async def body():
        for _ in range(100 * MIB // len(piece)):
            digest.update(piece)
            yield piece

    async with aiohttp.ClientSession(headers={"Host": "app.test"}) as session:
        for headers in ({"Content-Length": str(100 * MIB)}, {}):
            digest = hashlib.sha256()
            with peak_growth(gateway) as peak:
                async with session.post(f"{gateway.url}/upload-sink", data=body(), headers=headers) as answer:
                    assert await answer.json() == {"bytes": 100 * MIB, "sha256": digest.hexdigest()}
            assert peak[0] < 32 * MIB


async def test_a_download_of_100_mib_adds_less_than_32_mib_even_for_a_slow_reader(gateway: Gateway) -> None:
    async with aiohttp.ClientSession(headers={"Host": "app.test"}) as session:
        with peak_growth(gateway) as peak:
            received = 0
            async with session.get(f"{gateway.url}/bytes", params={"n": 100 * MIB}) as answer:
                async for chunk in answer.content.iter_any():
                    if received == 0:
                        await asyncio.sleep(1)  # a reader that pauses; the gateway must not read on meanwhile
                    received += len(chunk)
            assert received == 100 * MIB
        assert peak[0] < 32 * MIB


async def test_the_first_server_sent_event_arrives_before_the_second_is_sent(gateway: Gateway) -> None:
    async with aiohttp.ClientSession(headers={"Host": "app.test"}) as session:
        async with session.get(f"{gateway.url}/sse", params={"n": 2, "every": 3600}) as answer:
            first = await asyncio.wait_for(answer.content.readuntil(b"\n\n"), 60)
            assert first == b"data: 0\n\n"


async def test_fifty_long_polls_of_ten_seconds_all_end_well(gateway: Gateway) -> None:
    connector = aiohttp.TCPConnector(limit=0)
    async with aiohttp.ClientSession(connector=connector, headers={"Host": "app.test"}) as session:

        async def poll() -> int:
            async with session.get(f"{gateway.url}/poll", params={"wait": 10}) as answer:
                await answer.read()
                return answer.status

        assert await asyncio.gather(*(poll() for _ in range(50))) == [200] * 50


async def test_a_dead_and_a_slow_backend_delay_no_other_host(gateway: Gateway) -> None:
    connector = aiohttp.TCPConnector(limit=0)
    stop = asyncio.Event()
    async with aiohttp.ClientSession(connector=connector) as session:

        async def ask(host: str, path: str) -> tuple[int, float]:
            started = time.monotonic()
            async with session.get(f"{gateway.url}{path}", headers={"Host": host}) as answer:
                await answer.read()
                return answer.status, time.monotonic() - started

        async def press(host: str, path: str, statuses: list[int]) -> None:
            while not stop.is_set():
                statuses.append((await ask(host, path))[0])

        async def healthy() -> list[float]:
            times = []
            for _ in range(50):
                status, seconds = await ask("app.test", "/healthz")
                assert status == 200
                times.append(seconds)
            return sorted(times)

        dead: list[int] = []
        slow: list[int] = []
        load = [
            *(asyncio.create_task(press("dead.test", "/", dead)) for _ in range(2)),
            *(asyncio.create_task(press("slow.test", "/poll?wait=60", slow)) for _ in range(40)),
        ]
        while len(dead) < 20 or len(slow) < 40:
            await asyncio.sleep(0.05)
        under_load = await healthy()
        stop.set()
        await asyncio.gather(*load)
    print(f"healthy host under load: median {under_load[25] * 1000:.1f} ms, worst {under_load[-1] * 1000:.1f} ms")
    assert set(dead) == {502}
    assert set(slow) == {504}
    assert under_load[25] < 1, "a healthy host waits for nobody; the slow one takes 2 s to fail"


async def test_a_short_streamed_body_can_still_be_inspected(gateway: Gateway, tmp_path: Path) -> None:
    with Backend() as backend:
        flows = tmp_path / "flows"
        folder = tmp_path / "own"
        folder.mkdir()
        settings = {"services": {"app.test": backend.url}, "rate_limit": MANY}
        with Gateway(folder, settings, "-w", str(flows)) as own:
            async with aiohttp.ClientSession(headers={"Host": "app.test"}) as session:

                async def body():
                    yield b"part one, "
                    yield b"part two"

                async with session.post(own.url, data=body()) as answer:
                    assert (await answer.json())["bytes"] == 18
        assert b"part one, part two" in flows.read_bytes()
