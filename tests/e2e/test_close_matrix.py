"""Whatever one end of a WebSocket did, the other end sees through the gateway what it would have seen without."""

import asyncio
from collections.abc import Iterator

import pytest
from socket_lab import WAYS, Lab, break_off, inside, make_lab, seen, until
from websockets.asyncio.server import ServerConnection

pytestmark = pytest.mark.unmeasured

FAULTS = ["1000", "1001", "1002", "1003", "1007", "1008", "1009", "1010", "1011", "1012", "1013", "1014"]
FAULTS += ["3000", "3410", "4001", "4999", "none", "rst", "eof"]


@pytest.fixture(scope="module")
def lab(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Lab]:
    lab = make_lab(tmp_path_factory.mktemp("matrix"))
    with lab.gateway, lab.layered:
        yield lab


async def end_by(lab: Lab, url: str, who: str, fault: str) -> dict[str, object]:
    """Open a socket, say something, let one end break it off; what both ends have seen."""
    at_server: asyncio.Queue[ServerConnection] = asyncio.Queue()
    done = asyncio.Event()

    async def handler(server: ServerConnection) -> None:
        for _ in range(3):
            await server.send(await server.recv())
        at_server.put_nowait(server)
        if who == "server":
            await break_off(server, fault)
        await server.wait_closed()
        await done.wait()

    async with lab.serving(handler):
        client = await lab.connect(url)
        for text in ("one", "two", "three"):
            await client.send(text)
            assert await asyncio.wait_for(client.recv(), 60) == text
        server = await asyncio.wait_for(at_server.get(), 60)
        if who == "client":
            await break_off(client, fault)
        result = {"client": await seen(client), "server": await seen(server)}
        done.set()
        return result


@pytest.mark.parametrize("way", WAYS)
@pytest.mark.parametrize("who", ["client", "server"])
@pytest.mark.parametrize("fault", FAULTS)
async def test_both_ends_see_what_they_would_see_without_a_gateway(lab: Lab, way: str, who: str, fault: str) -> None:
    directly = await end_by(lab, lab.direct(), who, fault)
    assert await end_by(lab, lab.url(way), who, fault) == directly


@pytest.mark.parametrize("way", WAYS)
async def test_each_way_is_the_one_it_says(lab: Lab, way: str) -> None:
    async def handler(server: ServerConnection) -> None:
        await server.wait_closed()

    gateway = lab.gateway_of(way)
    expected = ["AsyncioTransport"] * 2 if way == "raw" else ["LayerTransport"] * 2

    async def none_left() -> bool:
        return await inside(gateway, "transports") == []

    async def as_expected() -> bool:
        return await inside(gateway, "transports") == expected

    async with lab.serving(handler):
        await until(none_left)
        client = await lab.connect(lab.url(way))
        await until(as_expected)
        await client.close()
