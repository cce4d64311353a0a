"""The load of new connections: TCP, upgrade, closing handshake, end of TCP, with as little work as can be.

picows would take longer to build and check a request than a fast proxy takes to pass it on. This client sends fixed
bytes, and looks only at what it must: the status of the answer, and the close frame that answers its own.
"""

import asyncio
import base64
import hashlib
from collections.abc import Callable
from typing import cast

from .configs import WEBSOCKET_HOST, WEBSOCKET_PATH
from .meter import LoadError, Meter

KEY = base64.b64encode(bytes(16))
ACCEPT = base64.b64encode(hashlib.sha1(KEY + b"258EAFA5-E914-47DA-95CA-C5AB0DC85B11", usedforsecurity=False).digest())
REQUEST = (
    f"GET {WEBSOCKET_PATH} HTTP/1.1\r\nHost: {WEBSOCKET_HOST}\r\nConnection: Upgrade\r\nUpgrade: websocket\r\n"
    f"Sec-WebSocket-Version: 13\r\nSec-WebSocket-Key: {KEY.decode()}\r\n\r\n"
).encode()
CLOSE = b"\x88\x82\x00\x00\x00\x00\x03\xe8"
"""Code 1000 under a mask of zeros."""
CLOSE_ANSWER = b"\x88\x02\x03\xe8"


class Handshake(asyncio.Protocol):
    """One connection from its beginning to its end; tells whether it went as it should."""

    def __init__(self, ended: Callable[[str], None]) -> None:
        self._ended = ended
        self._received = b""
        self._upgraded = False
        self._closed = False
        self._transport: asyncio.Transport

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self._transport = cast("asyncio.Transport", transport)  # uvloop's are no subclasses
        self._transport.write(REQUEST)

    def data_received(self, data: bytes) -> None:
        self._received += data
        if not self._upgraded:
            head, found, rest = self._received.partition(b"\r\n\r\n")
            if not found:
                return
            if not head.startswith(b"HTTP/1.1 101 ") or ACCEPT not in head:
                self._transport.abort()
                return
            self._upgraded, self._received = True, rest
            self._transport.write(CLOSE)
        if self._received == CLOSE_ANSWER:
            self._closed = True
            self._transport.close()

    def connection_lost(self, exc: Exception | None) -> None:
        self._ended("" if self._closed else f"a connection ended early: {exc or self._received[:80]!r}")


async def connects(port: int, meter: Meter, *, at_once: int, seconds: float) -> float:
    """Connections a second that were opened, upgraded and closed; that many at once, and a new one for each."""
    loop = asyncio.get_running_loop()
    done = 0

    async def one() -> None:
        ended: asyncio.Future[str] = loop.create_future()
        await loop.create_connection(lambda: Handshake(ended.set_result), "127.0.0.1", port)
        problem = await ended
        if problem:
            raise LoadError(problem)

    async def worker() -> None:
        nonlocal done
        while meter.so_far < seconds:
            await one()
            done += 1

    await one()
    with meter:
        await asyncio.gather(*(worker() for _ in range(at_once)))
    return done / meter.seconds
