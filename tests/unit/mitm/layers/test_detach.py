"""Raw legs on real sockets: bytes at once, half-closes, and nothing left of mitmproxy's task when it is over."""

import asyncio
import socket
import struct
from collections.abc import AsyncIterator
from dataclasses import dataclass, field
from types import SimpleNamespace
from typing import Any, cast

import pytest

from livegate.mitm.layers.detach import AsyncioTransport, can_detach


@dataclass
class PeerStub:
    """Records what a transport reports to its peer."""

    received: bytes = b""
    events: list[str] = field(default_factory=list)

    def data_received(self, data: bytes) -> None:
        self.received += data

    def eof_received(self) -> None:
        self.events.append("end")

    def connection_lost(self) -> None:
        self.events.append("lost")

    def pause_writing(self) -> None:
        self.events.append("paused")

    def resume_writing(self) -> None:
        self.events.append("resumed")


@dataclass
class Pair:
    """A transport and the other end of its connection."""

    ours: AsyncioTransport
    peer: PeerStub
    reader: asyncio.StreamReader
    transport: asyncio.Transport
    other: socket.socket

    async def read(self, size: int) -> bytes:
        return await asyncio.get_running_loop().sock_recv(self.other, size)


@pytest.fixture
async def pair() -> AsyncIterator[Pair]:
    ours, other = socket.socketpair()
    other.setblocking(False)
    reader, writer = await asyncio.open_connection(sock=ours)
    peer = PeerStub()
    transport = cast("asyncio.Transport", writer.transport)
    yield Pair(AsyncioTransport(transport, cast("Any", peer)), peer, reader, transport, other)
    transport.abort()
    other.close()
    await asyncio.sleep(0)


async def eventually(condition: Any) -> None:
    async with asyncio.timeout(10):
        while not condition():
            await asyncio.sleep(0.001)


async def test_bytes_go_both_ways(pair: Pair) -> None:
    pair.ours.write(b"to it")
    assert await pair.read(100) == b"to it"
    pair.other.send(b"from it")
    await eventually(lambda: pair.peer.received == b"from it")


async def test_data_that_the_socket_does_not_take_is_sent_later_in_order(pair: Pair) -> None:
    data = [bytes([number]) * 300_000 for number in range(10)]
    for piece in data:
        pair.ours.write(piece)
    assert "paused" in pair.peer.events
    received = b""
    while len(received) < 3_000_000:
        received += await pair.read(1 << 20)
    assert received == b"".join(data)
    await eventually(lambda: "resumed" in pair.peer.events)


async def test_a_half_close_lets_the_other_end_finish(pair: Pair) -> None:
    pair.ours.write(b"last words")
    pair.ours.write_eof()
    pair.ours.write_eof()
    assert await pair.read(100) == b"last words"
    assert await pair.read(100) == b""
    pair.other.send(b"still here")
    await eventually(lambda: pair.peer.received == b"still here")
    pair.other.close()
    await eventually(lambda: pair.peer.events == ["end", "lost"])
    assert pair.reader.at_eof()


async def test_an_end_of_the_stream_leaves_time_for_what_is_to_be_sent(pair: Pair) -> None:
    pair.other.shutdown(socket.SHUT_WR)
    await eventually(lambda: pair.peer.events == ["end"])
    pair.ours.write(b"last words")
    pair.ours.write_eof()
    assert await pair.read(100) == b"last words"
    await eventually(lambda: pair.peer.events == ["end", "lost"])


async def test_an_aborted_transport_reports_only_the_lost_connection(pair: Pair) -> None:
    pair.ours.abort()
    for late in (pair.ours.pause_reading, pair.ours.resume_reading, pair.ours.write_eof):
        late()
    pair.ours.write(b"too late")
    await eventually(lambda: pair.peer.events == ["lost"])
    assert pair.reader.at_eof()


async def test_reading_can_be_paused(pair: Pair) -> None:
    pair.ours.pause_reading()
    pair.other.send(b"held back")
    await asyncio.sleep(0.05)
    assert pair.peer.received == b""
    pair.ours.resume_reading()
    await eventually(lambda: pair.peer.received == b"held back")


@pytest.mark.parametrize("call", ["write", "write_eof"])
async def test_writing_to_a_connection_that_was_reset_raises_nothing(call: str) -> None:
    with socket.create_server(("127.0.0.1", 0)) as server:
        reader, writer = await asyncio.open_connection(*server.getsockname())
        other, _ = server.accept()
    peer = PeerStub()
    ours = AsyncioTransport(cast("asyncio.Transport", writer.transport), cast("Any", peer))
    other.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
    other.close()  # and the loop has not looked at the socket since
    if call == "write":
        ours.write(b"to nobody")
    ours.write_eof()
    await eventually(lambda: "lost" in peer.events)
    await eventually(lambda: reader.at_eof() or reader.exception() is not None)


async def test_only_a_waiting_connection_with_an_empty_reader_can_be_detached() -> None:
    ours, other = socket.socketpair()
    reader, writer = await asyncio.open_connection(sock=ours)
    connection = object()
    transports: dict[Any, Any] = {connection: SimpleNamespace(reader=reader, writer=writer)}
    found: Any = writer.transport
    handler: Any = SimpleNamespace(transports=transports, transport_of=lambda _: found)
    assert not can_detach(handler, cast("Any", connection)), "nobody reads"
    reading = asyncio.create_task(reader.read(100))
    await asyncio.sleep(0)
    assert can_detach(handler, cast("Any", connection))
    other.send(b"x")
    await eventually(lambda: not can_detach(handler, cast("Any", connection)))
    assert await reading == b"x"
    reading = asyncio.create_task(reader.read(100))
    await asyncio.sleep(0)
    assert can_detach(handler, cast("Any", connection))
    writer.close()
    assert not can_detach(handler, cast("Any", connection)), "it is being closed"
    assert await reading == b""
    found = None
    assert not can_detach(handler, cast("Any", connection))
    transports.clear()
    assert not can_detach(handler, cast("Any", connection))
    other.close()
