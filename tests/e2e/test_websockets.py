"""What addons may do to messages, what bounds a socket has, how it is opened: on every way through the gateway."""

import asyncio
import base64
import contextlib
import hashlib
from collections.abc import Iterator

import pytest
from socket_lab import WAYS, Lab, frame, inside, make_lab, seen, until
from websockets.asyncio.client import ClientConnection
from websockets.asyncio.server import ServerConnection
from websockets.exceptions import ConnectionClosed, InvalidStatus

LIMITS = {"max_message": "1MiB", "max_connections": {"per_client": 150, "per_service": 40}}


@pytest.fixture(scope="module")
def lab(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Lab]:
    lab = make_lab(tmp_path_factory.mktemp("sockets"), websocket=LIMITS)
    with lab.gateway, lab.layered:
        yield lab


async def echo(server: ServerConnection) -> None:
    with contextlib.suppress(ConnectionClosed):
        async for message in server:
            await server.send(message)


async def said(client: ClientConnection, *texts: str | bytes) -> list[str | bytes]:
    for text in texts:
        await client.send(text)
    return [await asyncio.wait_for(client.recv(), 60) for _ in texts]


async def settled(lab: Lab, way: str) -> None:
    """Until the socket is carried as it will be."""
    expected = ["AsyncioTransport"] * 2 if way == "raw" else ["LayerTransport"] * 2

    async def as_expected() -> bool:
        return (await inside(lab.gateway_of(way), "transports"))[-2:] == expected

    await until(as_expected)


# Hooks


@pytest.mark.parametrize("way", WAYS)
async def test_hooks_change_and_drop_messages_and_their_errors_harm_nobody(lab: Lab, way: str) -> None:
    async with lab.serving(echo):
        async with await lab.connect(lab.url(way)) as client:
            assert await said(client, "plain", "change:other", "change:" + "ü" * 70_000) == [
                "plain",
                "other",
                "ü" * 70_000,
            ]
            await client.send("drop:this")
            assert await said(client, "boom:", b"\x00\xff") == ["boom:", b"\x00\xff"]


@pytest.mark.parametrize("way", WAYS)
async def test_an_async_hook_holds_back_only_its_own_direction_and_keeps_the_order(lab: Lab, way: str) -> None:
    sent = asyncio.Event()

    async def handler(server: ServerConnection) -> None:
        assert await server.recv() == "go"
        await server.send("from server")
        sent.set()
        with contextlib.suppress(ConnectionClosed):
            async for message in server:
                await server.send(message)

    async with lab.serving(handler):
        async with await lab.connect(lab.url(way)) as client:
            await client.send("go")
            await asyncio.wait_for(sent.wait(), 60)
            for text in ("later:first", "second", "later:third", "nothing:", "fifth"):
                await client.send(text)
            received = [await asyncio.wait_for(client.recv(), 60) for _ in range(6)]
            assert received == ["from server", "first", "second", "third", "nothing:", "fifth"]


@pytest.mark.parametrize("way", WAYS)
async def test_a_message_is_held_in_one_direction_while_the_other_goes_on(lab: Lab, way: str) -> None:
    gateway = lab.gateway_of(way)
    servers: asyncio.Queue[ServerConnection] = asyncio.Queue()

    async def handler(server: ServerConnection) -> None:
        servers.put_nowait(server)
        await echo(server)

    async with lab.serving(handler):
        async with await lab.connect(lab.url(way, "/held")) as client:
            server = await servers.get()
            await client.send("later:held back")
            await server.send("meanwhile")
            assert await asyncio.wait_for(client.recv(), 60) == "meanwhile"
            assert await asyncio.wait_for(client.recv(), 60) == "held back"
            await client.send("intercept:me")

            async def intercepted() -> bool:
                return any(flow["intercepted"] for flow in await inside(gateway, "flows"))

            await until(intercepted)
            await server.send("still going")
            assert await asyncio.wait_for(client.recv(), 60) == "still going"
            await inside(gateway, "resume", "path=/held")
            assert await asyncio.wait_for(client.recv(), 60) == "intercept:me"


@pytest.mark.parametrize("way", WAYS)
async def test_a_socket_that_is_cut_while_a_hook_has_a_message_ends_when_the_hook_does(lab: Lab, way: str) -> None:
    gateway = lab.gateway_of(way)
    lines = len(gateway.output.lines)

    async def held() -> bool:
        return f"client later:{way}" in await inside(gateway, "seen")

    async def nothing_is_left() -> bool:
        now = await inside(gateway, "held")
        return now["open"] == now["places"] == 0 and now["connections"] == 1

    async with lab.serving(echo):
        client = await lab.connect(lab.url(way, "/cut"))
        await client.send(f"later:{way}")
        await until(held)
        await inside(gateway, "kill", "path=/cut")
        await client.wait_closed()
        await until(nothing_is_left)
        await asyncio.sleep(0.5)  # longer than the hook takes: what mitmproxy had of the socket is gone by then
        await until(nothing_is_left)
    assert "Traceback" not in "\n".join(gateway.output.lines[lines:])


@pytest.mark.parametrize("way", WAYS)
async def test_messages_are_injected_both_ways_between_whole_messages(lab: Lab, way: str) -> None:
    gateway = lab.gateway_of(way)
    async with lab.serving(echo):
        async with await lab.connect(lab.url(way, "/inject")) as client:
            assert await said(client, "before") == ["before"]
            # Half a message is under way in the same direction.
            client.transport.write(frame(1, b"half ", masked=True, fin=False))
            await inside(gateway, "inject", "path=/inject&to_client=0&text=to-server")
            assert await asyncio.wait_for(client.recv(), 60) == "to-server"
            client.transport.write(frame(0, b"and half", masked=True))
            assert await asyncio.wait_for(client.recv(), 60) == "half and half"
            await inside(gateway, "inject", "path=/inject&to_client=1&text=to-client")
            assert await asyncio.wait_for(client.recv(), 60) == "to-client"
    events = await inside(gateway, "seen")
    assert "client to-server injected" in events
    assert "server to-client injected" in events


@pytest.mark.parametrize("way", WAYS)
@pytest.mark.parametrize("by_hook", [True, False])
async def test_a_killed_flow_ends_both_connections(lab: Lab, way: str, by_hook: bool) -> None:
    gateway = lab.gateway_of(way)
    servers: asyncio.Queue[ServerConnection] = asyncio.Queue()

    async def handler(server: ServerConnection) -> None:
        servers.put_nowait(server)
        await echo(server)

    async with lab.serving(handler):
        client = await lab.connect(lab.url(way, f"/kill-{by_hook}"))
        server = await servers.get()
        await said(client, "hello")
        if by_hook:
            await client.send("kill:")
        else:
            await inside(gateway, "kill", f"path=/kill-{by_hook}")
        assert (await seen(client))[0] == 1006
        assert (await seen(server))[0] == 1006


@pytest.mark.parametrize("way", WAYS)
async def test_pings_keep_their_payload_and_an_addon_sees_them(lab: Lab, way: str) -> None:
    async with lab.serving(echo):
        async with await lab.connect(lab.url(way)) as client:
            pong = await client.ping(f"hello-{way}".encode())
            await asyncio.wait_for(pong, 60)
    events = await inside(lab.gateway_of(way), "seen")
    assert f"ping from client hello-{way}" in events
    assert f"pong from server hello-{way}" in events
    output = lab.gateway_of(way).output.text
    assert "Received WebSocket ping" not in output


@pytest.mark.parametrize("way", WAYS)
async def test_the_end_is_told_exactly_once_with_code_reason_and_who(lab: Lab, way: str) -> None:
    gateway = lab.gateway_of(way)
    text = f"bye from {way}"
    async with lab.serving(echo):
        client = await lab.connect(lab.url(way))
        await said(client, "x")
        await client.close(4010, text)

    async def told() -> bool:
        return f"end 4010 {text} True" in await inside(gateway, "seen")

    await until(told)
    line = gateway.output.wait_for(f'close_code=4010 close_reason="{text}" closed_by=client')
    assert "frames_in=1 frames_out=1 bytes_in=1 bytes_out=1" in line
    assert (await inside(gateway, "seen")).count(f"end 4010 {text} True") == 1


# Frames


@pytest.mark.parametrize("way", ["raw", "layer"])
async def test_fragments_and_masks_arrive_as_they_came(lab: Lab, way: str) -> None:
    """The backend sees the very bytes: also a control frame between two fragments."""
    received: asyncio.Queue[bytes] = asyncio.Queue()
    sent = (
        frame(1, b"one ", masked=True, fin=False)
        + frame(9, b"between", masked=True)
        + frame(0, b"", masked=True, fin=False)
        + frame(0, "zwei ü".encode(), masked=True)
        + frame(2, b"", masked=True)
        + frame(2, b"\xff" * 70_000, masked=True)
    )
    ping = frame(9, b"between", masked=True)
    expected = ping + sent.replace(ping, b"", 1)

    async def raw_backend(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        head = await reader.readuntil(b"\r\n\r\n")
        key = next(
            line.split(b":")[1].strip() for line in head.split(b"\r\n") if line.lower().startswith(b"sec-websocket-key")
        )
        accept = base64.b64encode(hashlib.sha1(key + b"258EAFA5-E914-47DA-95CA-C5AB0DC85B11").digest())
        writer.write(b"HTTP/1.1 101 Switching Protocols\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n")
        writer.write(b"Sec-WebSocket-Accept: " + accept + b"\r\n\r\n")
        received.put_nowait(await reader.readexactly(len(expected)))
        writer.close()

    server = await asyncio.start_server(raw_backend, "127.0.0.1", lab.port)
    async with server:
        client = await lab.connect(lab.url(way))
        await settled(lab, way)
        for place in range(0, len(sent), 1000):
            client.transport.write(sent[place : place + 1000])
            await asyncio.sleep(0)
        assert await asyncio.wait_for(received.get(), 60) == expected
        await client.wait_closed()


BROKEN = {
    "reserved bits": (frame(1, b"x", masked=True, rsv=0x40), 1002),
    "not masked": (frame(1, b"x", masked=False), 1002),
    "unknown opcode": (frame(3, b"x", masked=True), 1002),
    "fragmented ping": (frame(9, b"x", masked=True, fin=False), 1002),
    "long ping": (frame(9, b"x" * 126, masked=True), 1002),
    "continuation of nothing": (frame(0, b"x", masked=True), 1002),
    "bad close code": (frame(8, b"\x03\xed", masked=True), 1002),
    "close of one byte": (frame(8, b"\x03", masked=True), 1002),
    "text that is not utf-8": (frame(1, b"\xff", masked=True), 1007),
    "reason that is not utf-8": (frame(8, b"\x03\xe8\xff", masked=True), 1007),
    "too big": (frame(2, b"x", masked=True)[:1] + b"\xff" + (1 << 40).to_bytes(8) + b"1234", 1009),
}


@pytest.mark.parametrize("way", WAYS)
@pytest.mark.parametrize("name", BROKEN)
async def test_a_client_that_breaks_the_protocol_is_closed_and_the_backend_is_told(
    lab: Lab, way: str, name: str
) -> None:
    data, code = BROKEN[name]
    servers: asyncio.Queue[ServerConnection] = asyncio.Queue()

    async def handler(server: ServerConnection) -> None:
        servers.put_nowait(server)
        await echo(server)

    async with lab.serving(handler):
        client = await lab.connect(lab.url(way))
        await settled(lab, way)
        client.transport.write(data)
        server = await servers.get()
        assert (await seen(client))[0] == code
        assert (await seen(server))[0] == code


@pytest.mark.parametrize("way", WAYS)
async def test_a_message_that_grows_past_its_bound_ends_with_1009_at_both_ends(lab: Lab, way: str) -> None:
    servers: asyncio.Queue[ServerConnection] = asyncio.Queue()

    async def handler(server: ServerConnection) -> None:
        servers.put_nowait(server)
        await echo(server)

    async with lab.serving(handler):
        client = await lab.connect(lab.url(way))
        client.transport.write(frame(1, b"x" * 65_000, masked=True, fin=False))
        for _ in range(17):
            client.transport.write(frame(0, b"x" * 65_000, masked=True, fin=False))
            await asyncio.sleep(0)
        assert (await seen(client))[0] == 1009
        assert (await seen(await servers.get()))[0] == 1009


# Opening


async def test_a_service_takes_so_many_sockets_and_then_answers_503_before_any_backend_is_dialled(lab: Lab) -> None:
    async with lab.serving(echo):

        async def none_left() -> bool:
            return (await inside(lab.gateway, "held"))["places"] == 0

        await until(none_left)
        clients = [await lab.connect(lab.url("raw")) for _ in range(40)]
        with pytest.raises(InvalidStatus) as refused:
            await lab.connect(lab.url("raw"))
        assert refused.value.response.status_code == 503
        assert refused.value.response.headers["Retry-After"]
        await clients.pop().close()

        async def one_left() -> bool:
            return (await inside(lab.gateway, "held"))["places"] == 39

        await until(one_left)
        clients.append(await lab.connect(lab.url("raw")))
        await asyncio.gather(*(client.close() for client in clients))
        await until(none_left)
