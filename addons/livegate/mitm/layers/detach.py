"""Detaches a WebSocket's connections from mitmproxy, to relay directly between their asyncio transports."""

import asyncio
import os
from typing import Any

from mitmproxy.connection import Connection

from livegate.mitm.layers.handler import GatewayConnectionHandler
from livegate.websocket.peer import Peer


def can_detach(handler: GatewayConnectionHandler, connection: Connection) -> bool:
    """Return whether the connection can be detached: its reader is empty and its read task is waiting.

    Otherwise bytes would stay in the reader, or the task, already woken, would take an empty read for the end.
    """
    io = handler.transports.get(connection)
    transport = handler.transport_of(connection)
    if io is None or transport is None or transport.is_closing() or not isinstance(io.reader, asyncio.StreamReader):
        return False
    reader: Any = io.reader
    waiter = getattr(reader, "_waiter", None)
    waits = waiter is not None and not waiter.done()
    empty = not getattr(reader, "_buffer", True) and not getattr(reader, "_eof", True)
    return waits and empty and isinstance(transport.get_protocol(), asyncio.StreamReaderProtocol)


class AsyncioTransport(asyncio.Protocol):
    """`PeerTransport` over asyncio. mitmproxy's own protocol is notified when the connection closes."""

    def __init__(self, transport: asyncio.Transport, peer: Peer) -> None:
        self._transport = transport
        self._peer = peer
        self._stock: Any = transport.get_protocol()
        self._at_eof = False
        self._eof_sent = False
        self._descriptor: int = transport.get_extra_info("socket").fileno()
        self.data_received = peer.data_received  # type: ignore[method-assign]  # saves a call for each read
        transport.set_protocol(self)

    def write(self, data: bytes) -> None:
        """Send bytes, at once if the socket takes them.

        uvloop would buffer them until the end of its iteration, and asyncio is slower; it saves a sixth of the time of
        a message. The descriptor of a closing transport may be in use by another connection.
        """
        transport = self._transport
        if transport.is_closing():
            return
        if transport.get_write_buffer_size():
            transport.write(data)
            return
        try:
            sent = os.write(self._descriptor, data)
        except BlockingIOError:
            sent = 0
        except OSError:
            return  # the transport reports it
        if sent < len(data):
            transport.write(data[sent:])

    def write_eof(self) -> None:
        if self._eof_sent:
            return
        self._eof_sent = True
        if self._at_eof or not self._transport.can_write_eof():
            self._transport.close()
        elif not self._transport.is_closing():
            self._send_eof()

    def _send_eof(self) -> None:
        try:
            self._transport.write_eof()
        except OSError:  # a reset that asyncio has not noticed yet
            self._transport.abort()
        else:
            self.resume_reading()

    def abort(self) -> None:
        self._eof_sent = True
        self._transport.abort()

    def pause_reading(self) -> None:
        if not self._transport.is_closing():
            self._transport.pause_reading()

    def resume_reading(self) -> None:
        if not self._transport.is_closing():
            self._transport.resume_reading()

    def eof_received(self) -> bool:
        self._at_eof = True
        self._peer.eof_received()
        return not self._eof_sent  # true keeps it open for writing

    def connection_lost(self, error: Exception | None) -> None:
        self._stock.connection_lost(error)  # first, because mitmproxy's task must end even if the relay raises
        self._peer.connection_lost()

    def pause_writing(self) -> None:
        self._peer.pause_writing()

    def resume_writing(self) -> None:
        self._peer.resume_writing()
