"""What is over is freed at once, not when the collector of cycles comes by: that stops everything, the longer the more."""

import asyncio
from collections.abc import Iterator

import pytest
from socket_lab import WAYS, Lab, break_off, inside, make_lab, until
from websockets.asyncio.server import ServerConnection

pytestmark = pytest.mark.unmeasured

TIMES = 30
CLIENT_HELLO = {"TlsClientHello", "Version", "Random", "SessionId", "CipherSuites", "CompressionMethods", "Extensions"}
CLIENT_HELLO |= {"Extension", "Sni", "ServerName", "KaitaiStream", "BytesIO", "list"}
"""As mitmproxy's parser leaves it: its parts refer to each other."""


@pytest.fixture(scope="module")
def lab(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Lab]:
    lab = make_lab(tmp_path_factory.mktemp("cycles"))
    with lab.gateway, lab.layered:
        yield lab


def many(found: dict[str, int]) -> dict[str, int]:
    """What is there once for each of what was over, or more often."""
    print(found)
    known = CLIENT_HELLO if "TlsClientHello" in found else set()
    return {name: count for name, count in found.items() if count >= TIMES // 2 and name not in known}


async def test_an_exchange_leaves_nothing_for_the_collector(lab: Lab) -> None:
    async def handler(server: ServerConnection) -> None:
        await server.wait_closed()

    async with lab.serving(handler):
        reader, writer = await asyncio.open_connection("127.0.0.1", lab.gateway.port)
        await inside(lab.gateway, "collect_nothing")
        for host in ("app.test", "nobody.test") * TIMES:  # one is answered by the app, one is refused
            writer.write(f"GET /page HTTP/1.1\r\nHost: {host}\r\n\r\n".encode())
            head = await asyncio.wait_for(reader.readuntil(b"\r\n\r\n"), 60)
            size = next(line for line in head.lower().split(b"\r\n") if line.startswith(b"content-length"))
            await reader.readexactly(int(size.partition(b":")[2]))
        found = await inside(lab.gateway, "cycles")
        writer.close()
    assert many(found) == {}


@pytest.mark.parametrize("who", ["client", "server"])
@pytest.mark.parametrize("fault", ["1000", "rst"])
@pytest.mark.parametrize("way", WAYS)
async def test_a_socket_leaves_nothing_for_the_collector(lab: Lab, way: str, who: str, fault: str) -> None:
    async def handler(server: ServerConnection) -> None:
        await server.send(await server.recv())
        if who == "server":
            await break_off(server, fault)
        await server.wait_closed()

    gateway = lab.gateway_of(way)

    async def none_left() -> bool:
        return await inside(gateway, "connections") == 1

    async with lab.serving(handler):
        await until(none_left)
        await inside(gateway, "collect_nothing")
        for _ in range(TIMES):
            client = await lab.connect(lab.url(way))
            await client.send("hello")
            assert await asyncio.wait_for(client.recv(), 60) == "hello"
            if who == "client":
                await break_off(client, fault)
            await client.wait_closed()
        await until(none_left)
        found = await inside(gateway, "cycles")
    assert many(found) == {}
