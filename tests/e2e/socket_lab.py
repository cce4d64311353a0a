"""WebSockets through the gateway by every way it has, between a client and a server that we did not write."""

import asyncio
import contextlib
import json
import socket
import ssl
import struct
from collections.abc import AsyncIterator, Awaitable, Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from gateway_process import TIMEOUT_S, Gateway, free_port
from websockets.asyncio.client import ClientConnection, connect
from websockets.asyncio.server import ServerConnection, serve
from websockets.exceptions import ConnectionClosed

from certificates import Authority

type Connection = ClientConnection | ServerConnection
type Handler = Callable[[ServerConnection], Awaitable[None]]

INSIDE = Path(__file__).with_name("inside.py")
MEDDLER = Path(__file__).with_name("meddler.py")
WAYS = ("raw", "layer", "client-tls", "backend-tls")
"""On the transports; through mitmproxy's layers; with TLS towards the client; with TLS towards the backend."""


@dataclass(slots=True)
class Lab:
    """Two gateways, of which one hands nothing over to the transports, and the ports of two backends."""

    gateway: Gateway
    layered: Gateway
    authority: Authority
    port: int
    tls_port: int
    backend_pem: Path

    def gateway_of(self, way: str) -> Gateway:
        return self.layered if way == "layer" else self.gateway

    def url(self, way: str, path: str = "/") -> str:
        gateway = self.gateway_of(way)
        scheme, host = ("wss", "app.test") if way == "client-tls" else ("ws", "app.test")
        host = "tls.test" if way == "backend-tls" else host
        return f"{scheme}://{host}:{gateway.port}{path}"

    def direct(self, path: str = "/") -> str:
        return f"ws://127.0.0.1:{self.port}{path}"

    @contextlib.asynccontextmanager
    async def serving(self, handler: Handler, **options: Any) -> AsyncIterator[None]:
        """Both backends, for as long as a test needs them."""
        tls = ssl.create_default_context(ssl.Purpose.CLIENT_AUTH)
        tls.load_cert_chain(self.backend_pem)
        given = {"compression": None, "close_timeout": 3, "ping_interval": None, "max_size": None, **options}
        async with (
            serve(handler, "127.0.0.1", self.port, **given),
            serve(handler, "127.0.0.1", self.tls_port, ssl=tls, **given),
        ):
            yield

    def client_tls(self) -> ssl.SSLContext:
        """Trusts the lab's authority."""
        return ssl.create_default_context(cadata=self.authority.pem.decode())

    async def connect(self, url: str, **options: Any) -> ClientConnection:
        """A client, whatever host the URL names."""
        given = {"compression": None, "close_timeout": 3, "ping_interval": None, "max_size": None, **options}
        if url.startswith("wss:"):
            given["ssl"] = self.client_tls()
        port = int(url.split(":")[2].partition("/")[0])
        return await connect(url, host="127.0.0.1", port=port, proxy=None, **given)


def make_lab(folder: Path, **settings: Any) -> Lab:
    """A lab; its gateways are to be started and ended by whoever asks for it."""
    authority = Authority()
    authority.write(folder / "app.pem", "app.test")
    authority.write(folder / "backend.pem", "backend.test")
    (folder / "ca.pem").write_bytes(authority.pem)
    port, tls_port = free_port(), free_port()
    given = {
        "services": {
            "app.test": f"http://127.0.0.1:{port}",
            "localhost": f"http://127.0.0.1:{port}",
            "tls.test": {
                "backend": f"https://127.0.0.1:{tls_port}",
                "tls": {"ca_file": "ca.pem", "server_name": "backend.test"},
            },
        },
        "tls": {"certificates": {"app.test": "app.pem"}},
        "rate_limit": {"user": None, "ip": None},
        **settings,
    }
    gateways = []
    for name, arguments in (("handing", ()), ("layered", ("--set", "gateway_hand_over=false"))):
        place = folder / name
        place.mkdir()
        for pem in ("app.pem", "ca.pem"):
            (place / pem).write_bytes((folder / pem).read_bytes())
        gateway = Gateway(place, given, "-s", str(MEDDLER), *arguments)
        gateway.command[1:1] = ["-s", str(INSIDE)]  # it answers before the gateway looks at the request
        gateways.append(gateway)
    return Lab(gateways[0], gateways[1], authority, port, tls_port, folder / "backend.pem")


async def inside(gateway: Gateway, action: str, query: str = "") -> Any:
    """Ask the process itself."""
    reader, writer = await asyncio.open_connection("127.0.0.1", gateway.port)
    try:
        writer.write(f"GET /{action}?{query} HTTP/1.1\r\nHost: inside.test\r\nConnection: close\r\n\r\n".encode())
        answer = await asyncio.wait_for(reader.read(), TIMEOUT_S)
    finally:
        writer.close()
    assert answer.startswith(b"HTTP/1.1 200 "), (answer, gateway.output.text)
    return json.loads(answer.partition(b"\r\n\r\n")[2])


async def until(condition: Callable[[], Awaitable[bool]], *, seconds: float = TIMEOUT_S) -> None:
    """Wait for a condition, looking again and again."""
    async with asyncio.timeout(seconds):
        while not await condition():
            await asyncio.sleep(0.02)


def frame(opcode: int, payload: bytes = b"", *, masked: bool, fin: bool = True, rsv: int = 0) -> bytes:
    """A frame as this test wants it, legal or not."""
    first = (0x80 if fin else 0) | rsv | opcode
    size = len(payload)
    mask = 0x80 if masked else 0
    if size < 126:
        head = bytes([first, mask | size])
    elif size < 65536:
        head = bytes([first, mask | 126]) + struct.pack("!H", size)
    else:
        head = bytes([first, mask | 127]) + struct.pack("!Q", size)
    if not masked:
        return head + payload
    key = b"\x11\x22\x33\x44"
    masked_payload = int.from_bytes(payload) ^ int.from_bytes((key * (size // 4 + 1))[:size])
    return head + key + masked_payload.to_bytes(size)


async def break_off(connection: Connection, fault: str) -> None:
    """End a connection: a close code, `none` (a close frame without one), `rst` or `eof`."""
    if fault.isdigit():
        await connection.close(int(fault), "the reason, ünïcödé")
    elif fault == "none":
        is_client = isinstance(connection, ClientConnection)
        connection.transport.write(frame(8, masked=is_client))
        with contextlib.suppress(ConnectionClosed):
            await asyncio.wait_for(connection.recv(), TIMEOUT_S)
    elif fault == "rst":
        raw = connection.transport.get_extra_info("socket")
        raw.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
        connection.transport.abort()
    else:
        assert fault == "eof"
        connection.transport.close()


async def seen(connection: Connection) -> tuple[int | None, str | None]:
    """The close code and reason that an end has seen, once it is closed."""
    await asyncio.wait_for(connection.wait_closed(), TIMEOUT_S)
    received = connection.protocol.close_rcvd
    if received is None:
        return 1006, None
    return received.code, received.reason
