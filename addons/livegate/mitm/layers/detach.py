"""Takes connections out of mitmproxy's hands: raw legs of a WebSocket on the asyncio transports themselves."""

import asyncio
import os
from typing import Any

from mitmproxy.connection import Connection

from livegate.mitm.layers.handler import GatewayConnectionHandler
from livegate.websocket.peer import Peer


def can_detach(handler: GatewayConnectionHandler, connection: Connection) -> bool:
    """Whether mitmproxy waits for this connection with nothing in hand.

    Otherwise bytes would be left behind in its reader, or its task, already woken, would take an empty read for an end.
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
    """One connection of a socket, on its transport. mitmproxy's own protocol gets it back when it has ended."""

    def __init__(self, transport: asyncio.Transport, peer: Peer) -> None:
        self._transport = transport
        self._peer = peer
        self._stock: Any = transport.get_protocol()
        self._at_eof = False
        self._eof_sent = False
        self._descriptor: int = transport.get_extra_info("socket").fileno()
        self.data_received = peer.data_received  # type: ignore[method-assign]  # one call less for every piece of data
        transport.set_protocol(self)

    def write(self, data: bytes) -> None:
        """Send bytes, at once if the socket takes them.

        uvloop would gather them until the end of its turn, asyncio takes longer for the same; it is a sixth of the time
        of a message. A transport that is closing may have given its descriptor away already.
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
            return  # the transport will notice, and tell
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
        except OSError:  # the other end has reset the connection, and asyncio has not noticed yet
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
        return not self._eof_sent  # true keeps it open for what is still to be sent

    def connection_lost(self, error: Exception | None) -> None:
        self._stock.connection_lost(error)  # first: mitmproxy's task must end, whatever the session makes of this
        self._peer.connection_lost()

    def pause_writing(self) -> None:
        self._peer.pause_writing()

    def resume_writing(self) -> None:
        self._peer.resume_writing()
