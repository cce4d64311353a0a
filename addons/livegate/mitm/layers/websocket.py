"""The gateway's WebSocket layer: carries a session's bytes through mitmproxy's layers, or past them.

A session knows two legs. They begin as this layer; when both connections are plain TCP, they are handed over to the
raw transports as soon as mitmproxy's readers have nothing left to deliver. TLS stays: it is done within those layers.
"""

import asyncio
from dataclasses import dataclass

from mitmproxy import ctx, http
from mitmproxy.connection import Connection
from mitmproxy.proxy import commands, events, layer
from mitmproxy.proxy.context import Context
from mitmproxy.proxy.layers.websocket import WebSocketMessageInjected

from livegate.mitm.layers.detach import RawLeg, is_ready
from livegate.mitm.layers.events import HttpConnection, SocketOutput
from livegate.mitm.layers.handler import GatewayConnectionHandler
from livegate.mitm.proxyserver import handler_of
from livegate.websocket.peer import Peer
from livegate.websocket.relay import Session

HAND_OVER_EVERY_S = 0.02
"""How often a hand-over is tried while mitmproxy's readers are busy."""

type Commands = layer.CommandGenerator[None]


class LayerLeg:
    """One connection of the socket, by way of mitmproxy's layers."""

    peer: Peer

    def __init__(self, owner: "GatewayWebsocketLayer", connection: Connection) -> None:
        self.connection = connection
        self._owner = owner
        self._ended = False
        self._finished = False

    @property
    def is_ending(self) -> bool:
        """Whether either way of the connection is over or about to be."""
        return self._ended or self._finished

    def _over(self) -> None:
        """Both ways are over, and mitmproxy has reported that already: it reports an end once only."""
        self._owner.emit(commands.CloseConnection(self.connection))
        asyncio.get_running_loop().call_soon(self.peer.lost)

    def write(self, data: bytes) -> None:
        if not self._finished:
            self._owner.emit(commands.SendData(self.connection, data))

    def write_eof(self) -> None:
        if self._finished:
            return
        self._finished = True
        if self._ended:
            self._over()
        else:
            # Not closed yet: what the peer still sends would reset the connection, and it would lose what it was sent.
            self._owner.emit(HalfClose(self.connection))

    def abort(self) -> None:
        transport = self._owner.handler.transport_of(self.connection)
        if transport is not None:
            transport.abort()
        if self._ended and not self._finished:
            self._over()
        self._finished = True

    def pause_reading(self) -> None:
        transport = self._owner.handler.transport_of(self.connection)
        if transport is not None and not transport.is_closing():
            transport.pause_reading()

    def resume_reading(self) -> None:
        transport = self._owner.handler.transport_of(self.connection)
        if transport is not None and not transport.is_closing():
            transport.resume_reading()

    def end(self) -> None:
        """The connection has ended, as mitmproxy reports it."""
        self._ended = True
        self.peer.end_of_stream()
        if self._finished:
            self._owner.emit(commands.CloseConnection(self.connection))
            self.peer.lost()


@dataclass(frozen=True, slots=True)
class HalfClose:
    """An order to end what is sent on a connection; mitmproxy's HTTP layers would make a full close of it."""

    connection: Connection


class GatewayWebsocketLayer(layer.Layer):
    """Stands in for mitmproxy's WebsocketLayer."""

    NEEDED_AFTER_END = frozenset({"handler", "_stream_id", "_output", "_in_event"})
    """A message that is held back holds back the end of its socket too, and both legs are told of that then."""

    def __init__(self, context: Context, flow: http.HTTPFlow, gateway: HttpConnection, stream_id: int) -> None:
        super().__init__(context)
        self.flow = flow
        self._gateway = gateway
        self._stream_id = stream_id
        self._output: list[commands.Command | HalfClose] = []
        self._in_event = False
        self._handed_over = False
        self._next_try: asyncio.Handle | None = None
        """Of handing over; ends with either connection."""

    def _handle_event(self, event: events.Event) -> Commands:
        self._in_event = True
        try:
            match event:
                case events.DataReceived():
                    self._leg(event.connection).peer.receive(bytes(event.data))
                case events.ConnectionClosed() if self._handed_over:
                    yield commands.CloseConnection(event.connection)  # its task is all that is left of it
                case events.ConnectionClosed():
                    self._stop_trying()
                    self._leg(event.connection).end()
                case WebSocketMessageInjected():
                    self.socket.inject(event.message)
                case events.Start():
                    self._start()
                case _:
                    pass  # SocketOutput: what is to be sent follows
        finally:
            self._in_event = False
        output, self._output = self._output, []
        for command in output:
            if not isinstance(command, HalfClose):
                yield command
            elif command.connection in self.handler.transports:
                self.handler.close_connection(command.connection, half_close=True)

    def emit(self, command: commands.Command | HalfClose) -> None:
        """Let a command go out with the event that is being handled, or with one of its own."""
        self._output.append(command)
        if not self._in_event and len(self._output) == 1:
            self.handler.handle(SocketOutput(self._stream_id))

    def _leg(self, connection: Connection) -> LayerLeg:
        return self.client if connection is self.client.connection else self.server

    def _start(self) -> None:
        handler = handler_of(self.context.client)
        assert isinstance(handler, GatewayConnectionHandler)
        self.handler = handler
        self.client = LayerLeg(self, self.context.client)
        self.server = LayerLeg(self, self.context.server)
        self.socket: Session = self._gateway.policy.open_socket(self.flow, self.client, self.server)
        self.client.peer, self.server.peer = self.socket.client, self.socket.server
        handler.never_time_out()
        self.socket.start()
        plain = not self.context.client.tls and not self.context.server.tls
        if plain and ctx.options.gateway_hand_over:
            self._next_try = asyncio.get_running_loop().call_soon(self._hand_over)

    def _stop_trying(self) -> None:
        if self._next_try is not None:
            self._next_try.cancel()
            self._next_try = None

    def _hand_over(self) -> None:
        """Let the session have the transports themselves, if nothing is on its way to or from mitmproxy's layers."""
        self._next_try = None
        legs = (self.client, self.server)
        if any(leg.is_ending for leg in legs):
            return
        if self._output or not all(is_ready(self.handler, leg.connection) for leg in legs):
            if all(self.handler.transport_of(leg.connection) is not None for leg in legs):
                self._next_try = asyncio.get_running_loop().call_later(HAND_OVER_EVERY_S, self._hand_over)
            return
        self._handed_over = True
        for leg in legs:
            transport = self.handler.transport_of(leg.connection)
            assert transport is not None
            leg.peer.leg = RawLeg(transport, leg.peer)
