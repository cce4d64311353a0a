"""Connection handler with less work for each event than mitmproxy's.

Sync hooks run without a task, wake-ups are timers, and only full writers are drained. The events of one connection are
handled one at a time, as in mitmproxy.
"""

import asyncio
import dataclasses
import logging
import traceback
from collections import deque
from typing import Any

from mitmproxy import flow
from mitmproxy.connection import Connection
from mitmproxy.proxy import commands, events, mode_servers, server
from mitmproxy.utils import asyncio_utils

from livegate.mitm.hook_table import table_of
from livegate.mitm.layers.teardown import break_cycles

DRAIN_ABOVE_BYTES = 64 * 1024
"""Per writer; with more in its buffer, it is drained before the next read."""
NEVER_S = 10 * 365 * 24 * 3600


class _Arguments(dict[type[commands.StartHook], tuple[str, ...]]):
    """Cache of the names of a hook's arguments by its class, because `Hook.args` is slow."""

    def __missing__(self, kind: Any) -> tuple[str, ...]:
        names = self[kind] = tuple(field.name for field in dataclasses.fields(kind))
        return names


async def _nothing_to_end() -> None:
    """Replace the watchdog's callback after its connection has closed."""


_ARGUMENT = _Arguments()
_STOCK = mode_servers.ProxyConnectionHandler


class GatewayConnectionHandler(_STOCK):
    """Serves one client's connection and its backend connections."""

    def __init__(self, *args: Any) -> None:
        super().__init__(*args)  # type: ignore[no-untyped-call]  # it is not annotated
        self._events: deque[events.Event] = deque()
        self._handling = False
        self._unsent: dict[Connection, list[bytes]] = {}
        self._timers: dict[commands.RequestWakeup, asyncio.TimerHandle] = {}
        self._pending_hooks = 0
        """Number of async hooks in progress."""
        self._closed = False
        self._table = table_of(self.master.addons)

    async def handle_client(self) -> None:
        """Serve the client until its connection and those to backends have closed."""
        try:
            await super().handle_client()
        finally:
            self._closed = True
            self._break_cycles()

    def _break_cycles(self) -> None:
        """Break reference cycles once the connection is closed and no hook is pending."""
        if self._closed and not self._pending_hooks:
            break_cycles(self.layer)
            self._timers.clear()
            self.timeout_watchdog.callback = _nothing_to_end

    async def handle_connection(self, connection: Connection) -> None:
        """Read from a connection until it closes, and break the cycle of an error and its stack frames."""
        reader = self.transports[connection].reader
        try:
            await super().handle_connection(connection)
        except asyncio.CancelledError as error:
            traceback.clear_frames(error.__traceback__)
            raise
        finally:
            if isinstance(reader, asyncio.StreamReader) and (broken := reader.exception()) is not None:
                broken.__traceback__ = None

    def disable_timeout(self) -> None:
        """Disable mitmproxy's inactivity timeout, because a WebSocket has limits of its own."""
        self.timeout_watchdog.timeout = NEVER_S

    async def handle_hook(self, hook: commands.StartHook) -> None:
        pending = self._start_hook(hook)
        if pending is not None:
            await pending

    def _start_hook(self, hook: commands.StartHook) -> Any:
        """Run a hook. Returns None if it has finished, else an awaitable."""
        (name,) = _ARGUMENT[type(hook)]
        data = getattr(hook, name)
        pending = self._table.lifecycle(hook.name, data)
        intercepted = isinstance(data, flow.Flow) and data.intercepted
        return self._finish_hook(pending, data) if pending is not None or intercepted else None

    async def _finish_hook(self, pending: Any, data: Any) -> None:
        with self.timeout_watchdog.disarm():
            if pending is not None:
                await pending
            if isinstance(data, flow.Flow):
                await data.wait_for_resume()

    async def _complete_hook(self, hook: commands.StartHook, pending: Any) -> None:
        try:
            await pending
            if hook.blocking:
                self.handle(events.HookCompleted(hook))
        finally:
            self._pending_hooks -= 1
            self._break_cycles()

    async def server_event(self, event: events.Event) -> None:
        self.handle(event)

    def handle(self, event: events.Event) -> None:
        """Handle an event now, or after the current one. Never awaits.

        An event can arrive during another one, because tasks start eagerly.
        """
        self._events.append(event)
        if self._handling:
            return
        self._handling = True
        self.timeout_watchdog.register_activity()
        while self._events:
            try:
                for command in self.layer.handle_event(self._events.popleft()):
                    self._execute(command)
            except Exception:  # noqa: BLE001 - it affects this connection only, as in mitmproxy
                self.log("mitmproxy has crashed!", logging.ERROR, exc_info=True)
        self._flush()
        self._handling = False

    def _flush(self) -> None:
        """Write the output of the handled events, so that a head and its body leave in one packet."""
        unsent, self._unsent = self._unsent, {}
        for connection, pieces in unsent.items():
            io = self.transports.get(connection)
            if io is not None and io.writer is not None and not io.writer.is_closing():
                io.writer.write(pieces[0] if len(pieces) == 1 else b"".join(pieces))

    def close_connection(self, connection: Connection, half_close: bool = False) -> None:
        """Close a connection, or its write side, after its pending output."""
        self._flush()
        super().close_connection(connection, half_close)

    def _execute(self, command: commands.Command) -> None:
        match command:
            case commands.SendData():
                self._unsent.setdefault(command.connection, []).append(command.data)
            case commands.StartHook():
                self._hook(command)
            case commands.OpenConnection():
                self._open(command)
            case commands.RequestWakeup():
                self._wake_up_later(command)
            case commands.Log():
                self.log(command.message, command.level)
            case commands.ConnectionCommand() if command.connection not in self.transports:
                pass  # already closed
            case commands.CloseTcpConnection():
                self.close_connection(command.connection, command.half_close)
            case commands.CloseConnection():
                self.close_connection(command.connection)
            case _:
                raise RuntimeError(f"Unexpected command: {command}")

    def _hook(self, command: commands.StartHook) -> None:
        pending = self._start_hook(command)
        if pending is None:
            if command.blocking:
                self._events.append(events.HookCompleted(command))
            return
        self._pending_hooks += 1
        asyncio_utils.create_task(
            self._complete_hook(command, pending),
            name=f"handle_hook({command.name})",
            keep_ref=True,
            client=self.client.peername,
        )

    def _open(self, command: commands.OpenConnection) -> None:
        assert command.connection not in self.transports
        task = asyncio_utils.create_task(
            self.open_connection(command),
            name=f"server connection handler {command.connection.address}",
            keep_ref=False,
            client=self.client.peername,
        )
        self.transports[command.connection] = server.ConnectionIO(handler=task)

    def _wake_up_later(self, command: commands.RequestWakeup) -> None:
        timer = asyncio.get_running_loop().call_later(command.delay, self._wake_up, command)
        timers: set[Any] = self.wakeup_timer  # cancelled with the connection
        timers.add(timer)
        self._timers[command] = timer

    def _wake_up(self, command: commands.RequestWakeup) -> None:
        timers: set[Any] = self.wakeup_timer
        timers.discard(self._timers.pop(command))
        self.handle(events.Wakeup(command))

    def transport_of(self, connection: Connection) -> asyncio.Transport | None:
        """Return the TCP transport of a connection; None when it has closed or is not asyncio's."""
        io = self.transports.get(connection)
        if io is None or not isinstance(io.writer, asyncio.StreamWriter):
            return None
        transport: Any = io.writer.transport
        return transport  # type: ignore[no-any-return]

    async def drain_writers(self) -> None:
        for io in list(self.transports.values()):
            writer = io.writer
            if not isinstance(writer, asyncio.StreamWriter):
                continue
            if writer.transport.get_write_buffer_size() > DRAIN_ABOVE_BYTES:
                try:
                    await writer.drain()
                except OSError as error:
                    if io.handler is not None:
                        io.handler.cancel(f"Error sending data: {error}")


def install() -> None:
    """Serve new connections with the gateway's handler."""
    mode_servers.ProxyConnectionHandler = GatewayConnectionHandler  # type: ignore[misc]  # where mitmproxy looks it up


def uninstall() -> None:
    """Serve new connections with mitmproxy's own handler."""
    mode_servers.ProxyConnectionHandler = _STOCK  # type: ignore[misc]
