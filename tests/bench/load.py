"""The WebSocket load: clients made of picows on uvloop, which take a few microseconds a message.

Every function opens its own sockets, measures for a while, closes them, and returns what it counted. A socket that is
lost on the way, or a message of the wrong size, is an error, not a slower result.
"""

import asyncio
import gc
import time
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager

import picows
import uvloop

from .configs import WEBSOCKET_HOST, WEBSOCKET_PATH
from .meter import LoadError, Meter

HANDSHAKE_TIMEOUT_S = 30.0
OPENING_AT_ONCE = 16
MEASUREMENT_TIMEOUT_S = 90.0
CLOSE_TIMEOUT_S = 5.0
SETTLE_S = 0.1
WARM_UP_S = 0.3
BUFFER_BYTES = 16 * 1024
BIG_BUFFER_BYTES = 2 * 1024 * 1024


class Client(picows.WSListener):
    """One socket. Counts whole messages of a given size, and can answer each with the next one."""

    def __init__(self, expected_bytes: int = 0) -> None:
        super().__init__()
        self.transport: picows.WSTransport
        self.messages = 0
        self.problem = ""
        self._expected = expected_bytes
        self._received = 0
        self._closing = False
        self._wanted = 0
        self._reached: asyncio.Future[None] | None = None

    def on_ws_connected(self, transport: picows.WSTransport) -> None:
        self.transport = transport

    def on_ws_frame(self, transport: picows.WSTransport, frame: picows.WSFrame) -> None:
        if frame.msg_type is picows.WSMsgType.CLOSE:
            transport.disconnect()
            return
        self._received += frame.payload_size
        if not frame.fin:
            return
        if self._received != self._expected:
            self._fail(f"a message of {self._received} bytes came instead of {self._expected}")
        self._received = 0
        self.messages += 1
        self.on_message()

    def on_message(self) -> None:
        """Called for every whole message."""
        if self._reached is not None and self.messages >= self._wanted:
            self._reached.set_result(None)
            self._reached = None

    def on_ws_disconnected(self, transport: picows.WSTransport) -> None:
        if not self._closing:
            self._fail("a socket was lost")

    def _fail(self, problem: str) -> None:
        self.problem = self.problem or problem
        if self._reached is not None:
            self._reached.set_exception(LoadError(problem))
            self._reached = None

    async def ask(self, kind: picows.WSMsgType, message: bytes, answers: int = 1) -> None:
        """Send one message and wait for a number of messages."""
        self._wanted = self.messages + answers
        self._reached = asyncio.get_running_loop().create_future()
        reached = self._reached
        self.transport.send(kind, message)
        await reached

    async def close(self) -> None:
        """The closing handshake, and the end of the connection."""
        self._closing = True
        self.transport.send_close(picows.WSCloseCode.OK)
        try:
            async with asyncio.timeout(CLOSE_TIMEOUT_S):
                await self.transport.wait_disconnected()
        except TimeoutError:
            self.transport.disconnect(graceful=False)


class PingPong(Client):
    """Sends the next message as soon as the last one has come back."""

    def __init__(self, message: bytes) -> None:
        super().__init__(len(message))
        self._message = message
        self.going = True

    def send(self) -> None:
        self.transport.send(picows.WSMsgType.BINARY, self._message)

    def on_message(self) -> None:
        if self.going:
            self.send()


class TimedPingPong(PingPong):
    """Remembers how long every round trip took, in nanoseconds."""

    def __init__(self, message: bytes) -> None:
        super().__init__(message)
        self.times_ns: list[int] = []
        self._sent_ns = 0

    def send(self) -> None:
        self._sent_ns = time.perf_counter_ns()
        super().send()

    def on_message(self) -> None:
        self.times_ns.append(time.perf_counter_ns() - self._sent_ns)
        super().on_message()


def run[T](work: Callable[[], Awaitable[T]]) -> T:
    """Run one measurement on a uvloop of its own, without the garbage collector's pauses. Raises LoadError."""

    async def limited() -> T:
        async with asyncio.timeout(MEASUREMENT_TIMEOUT_S):
            result = await work()
            await asyncio.sleep(SETTLE_S)
            return result

    gc.collect()
    gc.disable()
    try:
        return uvloop.run(limited())
    except (picows.WSError, OSError, TimeoutError) as error:
        raise LoadError(f"{type(error).__name__} {error}".strip()) from error
    finally:
        gc.enable()


async def connect[C: Client](
    port: int,
    client: Callable[[], C],
    *,
    buffer: int = BUFFER_BYTES,
    host: str = WEBSOCKET_HOST,
    path: str = WEBSOCKET_PATH,
) -> C:
    """Open one socket to a port of 127.0.0.1, with that many bytes to receive into."""
    listener = client()
    await picows.ws_connect(
        lambda: listener,
        f"ws://127.0.0.1:{port}{path}",
        extra_headers={"Host": host},
        websocket_handshake_timeout=HANDSHAKE_TIMEOUT_S,
        read_buffer_init_size=buffer,
    )
    return listener


@asynccontextmanager
async def sockets[C: Client](
    port: int, count: int, client: Callable[[], C], *, buffer: int = BUFFER_BYTES, **where: str
) -> AsyncIterator[list[C]]:
    """That many open sockets; raises LoadError afterwards when one of them had a problem."""
    opened: list[C] = []

    async def open_some(number: int) -> None:
        for _ in range(number):
            opened.append(await connect(port, client, buffer=buffer, **where))

    workers = min(count, OPENING_AT_ONCE)
    try:
        async with asyncio.TaskGroup() as group:
            for index in range(workers):
                group.create_task(open_some(count // workers + (index < count % workers)))
    except* (picows.WSError, OSError) as errors:
        raise LoadError(f"{len(opened)} of {count} sockets opened: {errors.exceptions[0]}") from errors
    try:
        yield opened
        problem = next((one.problem for one in opened if one.problem), "")
        if problem:
            raise LoadError(problem)
    finally:
        await asyncio.gather(*(one.close() for one in opened))


async def round_trips(
    port: int, meter: Meter, made: Callable[[], PingPong], *, count: int, seconds: float, **where: str
) -> float:
    """Round trips a second over that many sockets, each with one message in flight."""
    async with sockets(port, count, made, **where) as clients:
        for client in clients:
            client.send()
        await asyncio.sleep(WARM_UP_S)
        before = sum(client.messages for client in clients)
        with meter:
            await asyncio.sleep(seconds)
            after = sum(client.messages for client in clients)
        for client in clients:
            client.going = False
        await asyncio.sleep(SETTLE_S)
        return (after - before) / meter.seconds


async def latencies_ms(port: int, meter: Meter, *, message: bytes, seconds: float) -> list[float]:
    """How long each round trip of a single socket took, in milliseconds."""
    async with sockets(port, 1, lambda: TimedPingPong(message)) as (client,):
        client.send()
        await asyncio.sleep(WARM_UP_S)
        begin = len(client.times_ns)
        with meter:
            await asyncio.sleep(seconds)
        client.going = False
        await asyncio.sleep(SETTLE_S)
        return [nanoseconds / 1e6 for nanoseconds in client.times_ns[begin:]]


async def burst(port: int, meter: Meter, *, count: int, size: int, seconds: float) -> float:
    """Frames a second from the server to one socket, which asks for bursts one after the other."""
    command = f"burst {count} {size}".encode()
    async with sockets(port, 1, lambda: Client(size)) as (client,):
        await client.ask(picows.WSMsgType.TEXT, command, count)
        before = client.messages
        with meter:
            while meter.so_far < seconds:
                await client.ask(picows.WSMsgType.TEXT, command, count)
        return (client.messages - before) / meter.seconds


async def large_messages(port: int, meter: Meter, *, size: int, seconds: float, most: int) -> float:
    """Large messages a second, echoed one after the other on one socket; at most that many, as mitmproxy keeps them."""
    message = bytes(size)
    async with sockets(port, 1, lambda: Client(size), buffer=BIG_BUFFER_BYTES) as (client,):
        for _ in range(2):
            await client.ask(picows.WSMsgType.BINARY, message)
        before = client.messages
        with meter:
            while meter.so_far < seconds and client.messages - before < most:
                await client.ask(picows.WSMsgType.BINARY, message)
        return (client.messages - before) / meter.seconds


async def idle_growth(port: int, meter: Meter, *, count: int, warm_up: int, settle_s: float) -> float:
    """Resident memory that an open socket without traffic costs the proxy, in bytes."""
    async with sockets(port, warm_up, Client):
        pass
    await asyncio.sleep(settle_s)
    before = meter.rss()
    async with sockets(port, count, Client):
        await asyncio.sleep(settle_s)
        return (meter.rss() - before) / count
