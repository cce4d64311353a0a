"""Sockets that end as soon as they have begun, by either side in every way, leave nothing behind: no timer, no error."""

import asyncio
import contextlib
import socket
import ssl
import struct
from base64 import b64encode
from collections.abc import AsyncIterator
from hashlib import sha1
from pathlib import Path

import pytest
from gateway_process import Gateway
from socket_lab import Lab, frame, inside, make_lab, until

from livegate.websocket.frames import encode

pytestmark = pytest.mark.unmeasured

REPEATED = 25
HALF_A_FRAME = b"\x81\x7e\x01\x00begin"
TEXT = {True: frame(1, b"hello", masked=True), False: frame(1, b"hello", masked=False)}
CLOSE = {True: frame(8, b"\x03\xe8", masked=True), False: frame(8, b"\x03\xe8", masked=False)}
LONG = {side: encode(2, b"x" * 300_000, masked=side) for side in (True, False)}
ENDS = ("fin", "rst", "half-close", "close", "close-fin", "text-fin", "text-rst", "long-rst", "half-frame", "garbage")
"""How one side ends a socket; the other side then ends when it sees that."""

QUICK = [(f"/backend-{end}", "half-close") for end in ("fin", "rst", "text-fin", "text-rst")]
QUICK += [(path, end) for path in ("/quiet", "/busy-client") for end in ("fin", "rst", "text-rst")]


def _say(writer: asyncio.StreamWriter, end: str, *, masked: bool) -> None:
    if end.startswith("close"):
        writer.write(CLOSE[masked])
    elif end.startswith("text"):
        writer.write(TEXT[masked] * 20)
    elif end.startswith("long"):
        writer.write(LONG[masked])
    elif end == "half-frame":
        writer.write(HALF_A_FRAME)
    elif end == "garbage":
        writer.write(b"\xff" * 100)
    if end.endswith("rst"):
        raw = writer.get_extra_info("socket")
        raw.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
        writer.transport.abort()
    elif end == "half-close" and writer.can_write_eof():
        writer.write_eof()
    elif end not in ("close", "garbage"):
        writer.close()


async def _until_closed(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
    with contextlib.suppress(OSError, ssl.SSLError):
        while await reader.read(1 << 16):
            pass
    writer.close()
    with contextlib.suppress(OSError, ssl.SSLError):
        await writer.wait_closed()


class Backend:
    """Switches to WebSocket; the path says how it ends, or that it waits for the client's end."""

    async def __call__(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        with contextlib.suppress(OSError, ssl.SSLError, asyncio.IncompleteReadError):
            head = (await reader.readuntil(b"\r\n\r\n")).decode()
            path = head.split(" ")[1]
            fields = dict(line.lower().partition(": ")[::2] for line in head.split("\r\n"))
            assert fields["upgrade"] == "websocket"
            key = head[head.lower().index("sec-websocket-key: ") + 19 :].partition("\r\n")[0]
            writer.write(_switching(key))
            if path.startswith("/backend-"):
                _say(writer, path.removeprefix("/backend-"), masked=False)
            elif path.startswith("/busy-"):
                writer.write(LONG[False] * 40)  # the gateway has something in hand when it would hand over
        await _until_closed(reader, writer)


def _switching(key: str) -> bytes:
    accept = b64encode(sha1(key.encode() + b"258EAFA5-E914-47DA-95CA-C5AB0DC85B11").digest()).decode()
    return (
        "HTTP/1.1 101 Switching Protocols\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n"
        f"Sec-WebSocket-Accept: {accept}\r\n\r\n"
    ).encode()


async def _one(gateway: Gateway, host: str, path: str, end: str, tls: ssl.SSLContext | None) -> None:
    reader, writer = await asyncio.open_connection(
        "127.0.0.1", gateway.port, ssl=tls, server_hostname=host if tls else None
    )
    with contextlib.suppress(OSError, ssl.SSLError, asyncio.IncompleteReadError):
        writer.write(
            f"GET {path} HTTP/1.1\r\nHost: {host}\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n"
            "Sec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\nSec-WebSocket-Version: 13\r\n\r\n".encode()
        )
        if end != "blind":  # ends before it has seen the 101
            await reader.readuntil(b"\r\n\r\n")
        _say(writer, "fin" if end == "blind" else end, masked=True)
    await _until_closed(reader, writer)


@pytest.fixture
async def lab(tmp_path: Path) -> AsyncIterator[Lab]:
    lab = make_lab(tmp_path)
    tls = ssl.create_default_context(ssl.Purpose.CLIENT_AUTH)
    tls.load_cert_chain(lab.backend_pem)
    backend = Backend()
    plain = await asyncio.start_server(backend, "127.0.0.1", lab.port, backlog=500)
    secret = await asyncio.start_server(backend, "127.0.0.1", lab.tls_port, ssl=tls, backlog=500)
    async with plain, secret:
        with lab.gateway, lab.layered:
            yield lab


async def test_a_socket_that_ends_at_once_leaves_no_error_behind(lab: Lab) -> None:
    cases = [("/quiet", end) for end in (*ENDS, "blind")] + [("/busy-client", end) for end in ENDS]
    cases += [(f"/backend-{end}", wait) for end in ENDS for wait in ("half-close", "text-fin")]
    ways = (
        (lab.gateway, "app.test", None),
        (lab.layered, "app.test", None),
        (lab.gateway, "app.test", lab.client_tls()),
        (lab.gateway, "tls.test", None),
    )
    async with asyncio.timeout(120):
        # Many at once, of which some have to be cut because nobody ends them.
        together = [_one(gateway, host, *case, tls) for gateway, host, tls in ways for case in cases]
        await asyncio.gather(*together)
        for case in QUICK * REPEATED:  # one after the other, so that each is over before anything that it began is due
            await _one(lab.gateway, "app.test", *case, None)
    for gateway in (lab.gateway, lab.layered):
        await until(lambda gateway=gateway: _nothing_left(gateway))
        for line in gateway.output.lines:
            found = [word for word in ("error in task", "traceback", "crashed", "exception") if word in line.lower()]
            assert not found, line


async def _nothing_left(gateway: Gateway) -> bool:
    return await inside(gateway, "transports") == []
