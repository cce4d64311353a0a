"""Our connection handler obeys the commands that mitmproxy's own obeys, in the same order."""

import asyncio
import contextlib
import logging
from collections.abc import AsyncIterator, Callable, Iterator
from dataclasses import dataclass
from typing import Any

import pytest
from mitmproxy import connection
from mitmproxy.http import HTTPFlow
from mitmproxy.proxy import commands, events, layer, mode_servers, mode_specs
from mitmproxy.proxy.context import Context
from mitmproxy.proxy.layers.http import HttpRequestHook
from mitmproxy.proxy.layers.tls import TlsStartClientHook
from mitmproxy.test import taddons, tflow

from livegate.mitm import hook_table
from livegate.mitm.layers import handler

type Step = Callable[[events.Event], Iterator[commands.Command]]


class Scripted(layer.Layer):
    """Hands events to a test, and its commands to the handler."""

    def __init__(self, context: Context, step: Step) -> None:
        super().__init__(context)
        self.step = step

    def _handle_event(self, event: events.Event) -> layer.CommandGenerator[None]:
        yield from self.step(event)


@dataclass
class Served:
    """One client, and the handler that serves it."""

    reader: asyncio.StreamReader
    writer: asyncio.StreamWriter
    handler: handler.GatewayConnectionHandler
    task: asyncio.Task[None]


@contextlib.asynccontextmanager
async def serving(step: Step, *addons: object) -> AsyncIterator[Served]:
    with taddons.context(*addons) as context:
        hook_table.install(context.master.addons)
        made: asyncio.Queue[Served] = asyncio.Queue()

        async def accept(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
            mode = mode_specs.ProxyMode.parse("reverse:http://black.invalid:1")
            one = handler.GatewayConnectionHandler(context.master, reader, writer, context.options, mode)
            one.layer = Scripted(one.layer.context, step)
            task = asyncio.create_task(one.handle_client())
            made.put_nowait(Served(reader, writer, one, task))
            await task

        server = await asyncio.start_server(accept, "127.0.0.1", 0)
        reader, writer = await asyncio.open_connection(*server.sockets[0].getsockname())
        try:
            async with asyncio.timeout(20):
                served = await made.get()
                served.reader, served.writer = reader, writer
                yield served
                writer.close()
                await served.task
        finally:
            server.close()
            hook_table.uninstall(context.master.addons)


def upper(event: events.Event) -> Iterator[commands.Command]:
    """A layer that answers in capitals, in two pieces, and closes at the end."""
    if isinstance(event, events.DataReceived):
        yield commands.SendData(event.connection, event.data[:1].upper())
        yield commands.SendData(event.connection, event.data[1:].upper())
    elif isinstance(event, events.ConnectionClosed):
        yield commands.CloseConnection(event.connection)


async def test_pieces_of_one_event_leave_together(monkeypatch: pytest.MonkeyPatch) -> None:
    async with serving(upper) as served:
        written: list[bytes] = []
        server_side = served.handler.transports[served.handler.client].writer
        assert isinstance(server_side, asyncio.StreamWriter)
        stock = server_side.write
        monkeypatch.setattr(server_side, "write", lambda data: (written.append(bytes(data)), stock(data)))
        served.writer.write(b"abc")
        assert await served.reader.readexactly(3) == b"ABC"
        assert written == [b"ABC"]


async def test_data_sent_before_a_close_arrives() -> None:
    def once(event: events.Event) -> Iterator[commands.Command]:
        if isinstance(event, events.DataReceived):
            yield commands.SendData(event.connection, b"last words")
            yield commands.CloseTcpConnection(event.connection, half_close=True)
            yield commands.CloseConnection(event.connection)
            yield commands.SendData(event.connection, b"too late")
        elif isinstance(event, events.ConnectionClosed):
            yield commands.CloseConnection(event.connection)

    async with serving(once) as served:
        served.writer.write(b"x")
        assert await served.reader.read() == b"last words"
        await served.task


async def test_events_after_the_end_are_ignored_and_the_layers_are_freed() -> None:
    async with serving(upper) as served:
        served.writer.write(b"abc")
        assert await served.reader.readexactly(3) == b"ABC"
        top = served.handler.layer
        served.writer.close()
        await served.task
        assert not hasattr(top, "context")
        served.handler.handle(events.DataReceived(served.handler.client, b"late"))  # as a hook's end may come late
        await served.handler.timeout_watchdog.callback()


async def test_a_hook_still_pending_when_the_connection_closes_is_awaited() -> None:
    gate, seen = asyncio.Event(), []
    flow = tflow.tflow()

    class Slow:
        async def request(self, flow: HTTPFlow) -> None:
            await gate.wait()

    def ask(event: events.Event) -> Iterator[commands.Command]:
        if isinstance(event, events.DataReceived):
            yield HttpRequestHook(flow)
            seen.append("through")
            yield HttpRequestHook(flow)
            seen.append("through again")
        elif isinstance(event, events.ConnectionClosed):
            seen.append("closed")
            yield commands.CloseConnection(event.connection)

    async with serving(ask, Slow()) as served:
        served.writer.write(b"x")
        async with asyncio.timeout(10):
            while not served.handler._pending_hooks:
                await asyncio.sleep(0.01)
            served.handler.close_connection(served.handler.client)  # as at a shutdown
            await served.task
            top = served.handler.layer
            gate.set()
            while hasattr(top, "context"):
                await asyncio.sleep(0.01)
    assert seen == ["through", "through again", "closed"]


async def test_a_backend_is_opened_and_its_bytes_come_back() -> None:
    seen: list[str] = []

    async def echo(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        writer.write(await reader.read(100))
        await writer.drain()
        writer.close()

    backend = await asyncio.start_server(echo, "127.0.0.1", 0)
    server = connection.Server(address=backend.sockets[0].getsockname())

    def relay(event: events.Event) -> Iterator[commands.Command]:
        seen.append(type(event).__name__)
        if isinstance(event, events.DataReceived) and event.connection is not server:
            error = yield commands.OpenConnection(server)
            assert error is None
            yield commands.SendData(server, event.data)
        elif isinstance(event, events.DataReceived):
            yield commands.SendData(client_of(), event.data)
        elif isinstance(event, events.ConnectionClosed):
            yield commands.CloseConnection(event.connection)

    async with serving(relay) as served:

        def client_of() -> connection.Connection:
            return served.handler.client

        served.writer.write(b"hello")
        assert await served.reader.readexactly(5) == b"hello"
    backend.close()
    assert seen[:4] == ["Start", "DataReceived", "DataReceived", "ConnectionClosed"]


class Slow:
    """A hook that takes its time, and says when."""

    def __init__(self) -> None:
        self.log: list[str] = []
        self.go_on = asyncio.Event()

    async def request(self, flow: object) -> None:
        self.log.append("begins")
        await self.go_on.wait()
        self.log.append("ends")

    def tls_start_client(self, data: object) -> None:
        self.log.append("sync")


async def test_a_blocking_hook_holds_its_layer_and_nothing_else() -> None:
    slow = Slow()
    flow = tflow.tflow()

    def step(event: events.Event) -> Iterator[commands.Command]:
        if isinstance(event, events.DataReceived):
            slow.log.append(event.data.decode())
            yield HttpRequestHook(flow)
            yield TlsStartClientHook(flow)  # type: ignore[arg-type]
            yield commands.SendData(event.connection, event.data)
        elif isinstance(event, events.ConnectionClosed):
            yield commands.CloseConnection(event.connection)

    async with serving(step, slow) as served:
        served.writer.write(b"1")
        while "begins" not in slow.log:
            await asyncio.sleep(0)
        served.writer.write(b"2")
        slow.go_on.set()
        assert await served.reader.readexactly(2) == b"12"
    assert slow.log == ["1", "begins", "ends", "sync", "2", "begins", "ends", "sync"]


async def test_a_hook_that_does_not_block_delays_nothing() -> None:
    slow = Slow()
    hook = HttpRequestHook(tflow.tflow())
    hook.blocking = False  # type: ignore[misc]

    def step(event: events.Event) -> Iterator[commands.Command]:
        if isinstance(event, events.DataReceived):
            yield hook
            yield commands.SendData(event.connection, event.data)
        elif isinstance(event, events.ConnectionClosed):
            yield commands.CloseConnection(event.connection)

    async with serving(step, slow) as served:
        served.writer.write(b"1")
        assert await served.reader.readexactly(1) == b"1"
        assert slow.log == ["begins"]
        slow.go_on.set()
        while slow.log != ["begins", "ends"]:
            await asyncio.sleep(0)


async def test_an_intercepted_flow_waits_until_it_is_resumed() -> None:
    flow = tflow.tflow()

    class Intercepting:
        def request(self, flow: Any) -> None:
            flow.intercept()

    def step(event: events.Event) -> Iterator[commands.Command]:
        if isinstance(event, events.DataReceived):
            yield HttpRequestHook(flow)
            yield commands.SendData(event.connection, b"resumed")
        elif isinstance(event, events.ConnectionClosed):
            yield commands.CloseConnection(event.connection)

    async with serving(step, Intercepting()) as served:
        served.writer.write(b"1")
        while not flow.intercepted:
            await asyncio.sleep(0)
        flow.resume()
        assert await served.reader.readexactly(7) == b"resumed"


async def test_a_wake_up_arrives_and_a_pending_one_is_cancelled_with_the_connection() -> None:
    woken: list[events.Event] = []

    def step(event: events.Event) -> Iterator[commands.Command]:
        if isinstance(event, events.Start):
            yield commands.RequestWakeup(0.01)
            yield commands.RequestWakeup(3600)
        elif isinstance(event, events.Wakeup):
            woken.append(event)
        elif isinstance(event, events.ConnectionClosed):
            yield commands.CloseConnection(event.connection)

    async with serving(step) as served:
        while not woken:
            await asyncio.sleep(0.001)
        pending = list(served.handler.wakeup_timer)
        assert len(pending) == 1
    assert pending[0].cancelled()


async def test_an_exception_of_a_layer_is_logged_and_the_handler_continues(caplog: pytest.LogCaptureFixture) -> None:
    class Nonsense(commands.Command):
        pass

    def step(event: events.Event) -> Iterator[commands.Command]:
        if isinstance(event, events.DataReceived):
            yield commands.Log(f"got {event.data!r}", logging.WARNING)
            if event.data == b"1":
                raise ValueError("on purpose")
            if event.data == b"2":
                yield Nonsense()
            yield commands.SendData(event.connection, b"fine")
        elif isinstance(event, events.ConnectionClosed):
            yield commands.CloseConnection(event.connection)

    async with serving(step) as served:
        for number, data in enumerate((b"1", b"2"), 1):
            served.writer.write(data)
            while caplog.text.count("mitmproxy has crashed!") < number:
                await asyncio.sleep(0)
        served.writer.write(b"3")
        assert await served.reader.readexactly(4) == b"fine"
    assert "on purpose" in caplog.text
    assert "Unexpected command" in caplog.text
    assert "got b'3'" in caplog.text


async def test_events_that_come_within_an_event_wait_for_its_end() -> None:
    order: list[str] = []

    def step(event: events.Event) -> Iterator[commands.Command]:
        if isinstance(event, events.DataReceived):
            order.append("begins")
            served.handler.handle(events.Wakeup(commands.RequestWakeup(0)))
            order.append("ends")
        elif isinstance(event, events.Wakeup):
            order.append("woken")
            yield commands.SendData(served.handler.client, b"x")
        elif isinstance(event, events.ConnectionClosed):
            yield commands.CloseConnection(event.connection)

    async with serving(step) as served:
        served.writer.write(b"1")
        await served.reader.readexactly(1)
    assert order == ["begins", "ends", "woken"]


async def test_a_client_that_does_not_read_holds_up_the_reading() -> None:
    size = 32 * 1024 * 1024
    got: list[bytes] = []

    def flood(event: events.Event) -> Iterator[commands.Command]:
        if isinstance(event, events.DataReceived):
            got.append(event.data)
            yield commands.SendData(event.connection, b"x" * size)
        elif isinstance(event, events.ConnectionClosed):
            yield commands.CloseConnection(event.connection)

    async with serving(flood) as served:
        transport = served.handler.transport_of(served.handler.client)
        assert transport is not None
        served.writer.write(b"1")
        while transport.get_write_buffer_size() == 0:
            await asyncio.sleep(0)
        served.writer.write(b"2")
        await asyncio.sleep(0.05)
        assert got == [b"1"]
        received = 0
        while received < 2 * size:
            received += len(await served.reader.read(1 << 20))
        assert got == [b"1", b"2"]
        served.writer.write(b"3")
        while transport.get_write_buffer_size() == 0:
            await asyncio.sleep(0)
        served.writer.transport.abort()
        await served.task
        assert served.handler.transport_of(served.handler.client) is None


async def test_a_socket_is_never_timed_out() -> None:
    async with serving(upper) as served:
        served.handler.disable_timeout()
        assert served.handler.timeout_watchdog.timeout > 1e8


def test_new_connections_get_our_handler_while_it_is_installed() -> None:
    stock = mode_servers.ProxyConnectionHandler
    handler.install()
    try:
        assert mode_servers.ProxyConnectionHandler is handler.GatewayConnectionHandler
    finally:
        handler.uninstall()
    assert mode_servers.ProxyConnectionHandler is stock
