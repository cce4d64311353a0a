"""WebSocket layer: moves a relay's bytes through mitmproxy's layers, or past them.

The relay starts with two transports that write through the layers. If both connections are plain TCP, they are replaced
by asyncio's own as soon as mitmproxy's readers are empty. With TLS they stay, because the layers encrypt.
"""

import asyncio
from dataclasses import dataclass

from mitmproxy import ctx, http
from mitmproxy.connection import Connection
from mitmproxy.proxy import commands, events, layer
from mitmproxy.proxy.context import Context
from mitmproxy.proxy.layers.websocket import WebSocketMessageInjected

from livegate.mitm.layers.detach import AsyncioTransport, can_detach
from livegate.mitm.layers.events import HttpConnection, RelayOutput
from livegate.mitm.layers.handler import GatewayConnectionHandler
from livegate.mitm.proxyserver import handler_of
from livegate.websocket.peer import Peer
from livegate.websocket.relay import WebSocketRelay

DETACH_RETRY_S = 0.02
"""Interval of attempts to detach while mitmproxy's readers are busy."""

type Commands = layer.CommandGenerator[None]


class LayerTransport:
    """`PeerTransport` through mitmproxy's layers."""

    peer: Peer

    def __init__(self, owner: "GatewayWebsocketLayer", connection: Connection) -> None:
        self.connection = connection
        self._owner = owner
        self._at_eof = False
        self._eof_sent = False

    @property
    def is_closing(self) -> bool:
        """Whether either direction has ended or is ending."""
        return self._at_eof or self._eof_sent

    def _close(self) -> None:
        """Close after both directions have ended. mitmproxy reports an end once only, so report it to the peer here."""
        self._owner.emit(commands.CloseConnection(self.connection))
        asyncio.get_running_loop().call_soon(self.peer.connection_lost)

    def write(self, data: bytes) -> None:
        if not self._eof_sent:
            self._owner.emit(commands.SendData(self.connection, data))

    def write_eof(self) -> None:
        if self._eof_sent:
            return
        self._eof_sent = True
        if self._at_eof:
            self._close()
        else:
            # Half-close only: data from the peer would reset a closed connection, and discard what was sent to it.
            self._owner.emit(HalfClose(self.connection))

    def abort(self) -> None:
        transport = self._owner.handler.transport_of(self.connection)
        if transport is not None:
            transport.abort()
        if self._at_eof and not self._eof_sent:
            self._close()
        self._eof_sent = True

    def pause_reading(self) -> None:
        transport = self._owner.handler.transport_of(self.connection)
        if transport is not None and not transport.is_closing():
            transport.pause_reading()

    def resume_reading(self) -> None:
        transport = self._owner.handler.transport_of(self.connection)
        if transport is not None and not transport.is_closing():
            transport.resume_reading()

    def eof_received(self) -> None:
        """Handle the end of stream that mitmproxy reports."""
        self._at_eof = True
        self.peer.eof_received()
        if self._eof_sent:
            self._owner.emit(commands.CloseConnection(self.connection))
            self.peer.connection_lost()


@dataclass(frozen=True, slots=True)
class HalfClose:
    """Command to half-close a connection. mitmproxy's HTTP layers would turn their own into a full close."""

    connection: Connection


class GatewayWebsocketLayer(layer.Layer):
    """Replacement for mitmproxy's WebsocketLayer."""

    KEPT_AFTER_CLOSE = frozenset({"handler", "_stream_id", "_output", "_in_event"})
    """A held message delays the end of its relay, which then still closes both transports."""

    def __init__(self, context: Context, flow: http.HTTPFlow, gateway: HttpConnection, stream_id: int) -> None:
        super().__init__(context)
        self.flow = flow
        self._gateway = gateway
        self._stream_id = stream_id
        self._output: list[commands.Command | HalfClose] = []
        self._in_event = False
        self._detached = False
        self._retry: asyncio.Handle | None = None
        """Pending attempt to detach; cancelled when either connection ends."""

    def _handle_event(self, event: events.Event) -> Commands:
        self._in_event = True
        try:
            match event:
                case events.DataReceived():
                    self._transport_for(event.connection).peer.data_received(bytes(event.data))
                case events.ConnectionClosed() if self._detached:
                    yield commands.CloseConnection(event.connection)  # only its task remains
                case events.ConnectionClosed():
                    self._cancel_retry()
                    self._transport_for(event.connection).eof_received()
                case WebSocketMessageInjected():
                    self.relay.inject(event.message)
                case events.Start():
                    self._start()
                case _:
                    pass  # RelayOutput: the output follows
        finally:
            self._in_event = False
        output, self._output = self._output, []
        for command in output:
            if not isinstance(command, HalfClose):
                yield command
            elif command.connection in self.handler.transports:
                self.handler.close_connection(command.connection, half_close=True)

    def emit(self, command: commands.Command | HalfClose) -> None:
        """Send a command with the current event, or with an event of its own."""
        self._output.append(command)
        if not self._in_event and len(self._output) == 1:
            self.handler.handle(RelayOutput(self._stream_id))

    def _transport_for(self, connection: Connection) -> LayerTransport:
        return self.client if connection is self.client.connection else self.backend

    def _start(self) -> None:
        handler = handler_of(self.context.client)
        assert isinstance(handler, GatewayConnectionHandler)
        self.handler = handler
        self.client = LayerTransport(self, self.context.client)
        self.backend = LayerTransport(self, self.context.server)
        self.relay: WebSocketRelay = self._gateway.policy.open_relay(self.flow, self.client, self.backend)
        self.client.peer, self.backend.peer = self.relay.client, self.relay.backend
        handler.disable_timeout()
        self.relay.start()
        plain = not self.context.client.tls and not self.context.server.tls
        if plain and ctx.options.gateway_hand_over:
            self._retry = asyncio.get_running_loop().call_soon(self._detach)

    def _cancel_retry(self) -> None:
        if self._retry is not None:
            self._retry.cancel()
            self._retry = None

    def _detach(self) -> None:
        """Replace the relay's transports by asyncio's, if nothing is buffered in mitmproxy's layers."""
        self._retry = None
        transports = (self.client, self.backend)
        if any(each.is_closing for each in transports):
            return
        if self._output or not all(can_detach(self.handler, each.connection) for each in transports):
            if all(self.handler.transport_of(each.connection) is not None for each in transports):
                self._retry = asyncio.get_running_loop().call_later(DETACH_RETRY_S, self._detach)
            return
        self._detached = True
        for each in transports:
            transport = self.handler.transport_of(each.connection)
            assert transport is not None
            each.peer.transport = AsyncioTransport(transport, each.peer)
