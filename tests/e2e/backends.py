"""Backends that the tests control: an aiohttp app in a thread, and a canary that counts connections."""

import asyncio
import queue
import socket
import ssl
import threading
from collections.abc import Awaitable, Callable
from types import TracebackType
from typing import Any, Self

from aiohttp import WSMsgType, web


class Scripted:
    """A backend of raw bytes: every connection is given to a function, together with its number."""

    def __init__(self, script: Callable[[socket.socket, int], None]) -> None:
        self.script = script
        self.socket = socket.create_server(("127.0.0.1", 0))
        self.socket.settimeout(0.2)
        self.port = self.socket.getsockname()[1]
        self.url = f"http://127.0.0.1:{self.port}"
        self.connections = 0
        self._stop = threading.Event()
        self._threads = [threading.Thread(target=self._accept, daemon=True)]

    def _accept(self) -> None:
        while not self._stop.is_set():
            try:
                conn, _ = self.socket.accept()
            except TimeoutError:
                continue
            self.connections += 1
            thread = threading.Thread(target=self._run, args=(conn, self.connections), daemon=True)
            self._threads.append(thread)
            thread.start()

    def _run(self, conn: socket.socket, number: int) -> None:
        conn.settimeout(20)
        with conn:
            try:
                self.script(conn, number)
            except OSError:
                return

    def use(self, script: Callable[[socket.socket, int], None]) -> None:
        """Give the connections from now on to another function, and count them anew."""
        self.script = script
        self.connections = 0

    def __enter__(self) -> Self:
        self._threads[0].start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._stop.set()
        self._threads[0].join()
        self.socket.close()


def read_request(conn: socket.socket) -> bytes:
    """Read one request head; b"" when the connection ends first."""
    head = b""
    while b"\r\n\r\n" not in head:
        data = conn.recv(65536)
        if not data:
            return b""
        head += data
    return head


Handler = Callable[[web.Request], Awaitable[web.StreamResponse]]


class Canary:
    """A listener that counts who connects, for asserting that nobody did."""

    def __init__(self) -> None:
        self.socket = socket.create_server(("127.0.0.1", 0))
        self.socket.settimeout(0.2)
        self.port = self.socket.getsockname()[1]
        self.connections = 0
        self._stop = threading.Event()
        self._thread = threading.Thread(target=self._accept, daemon=True)

    def _accept(self) -> None:
        while not self._stop.is_set():
            try:
                conn, _ = self.socket.accept()
            except TimeoutError:
                continue
            self.connections += 1
            conn.close()

    def __enter__(self) -> Self:
        self._thread.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._stop.set()
        self._thread.join()
        self.socket.close()


class Backend:
    """An aiohttp app in a thread of its own; records what it was asked."""

    def __init__(self, *, tls: ssl.SSLContext | None = None, keepalive_s: float = 75, port: int = 0) -> None:
        self.requests: list[dict[str, Any]] = []
        self.bodies: list[bytes] = []
        """The first 64 KiB of each."""
        self.open_sockets = 0
        self.closes: queue.SimpleQueue[int | None] = queue.SimpleQueue()
        self.port = port
        self._tls = tls
        self._keepalive_s = keepalive_s
        self._ready = threading.Event()
        self._loop = asyncio.new_event_loop()
        self._thread = threading.Thread(target=self._run, daemon=True)
        self.app = web.Application(client_max_size=1 << 30)
        self.app.router.add_get("/ws", self._websocket)
        self.app.router.add_get("/hang", self._hang)
        self.app.router.add_get("/slow", self._slow)
        self.app.router.add_get("/cookies", self._cookies)
        self.app.router.add_get("/refuse-ws", self._refuse)
        self.app.router.add_get("/refuse-empty", self._refuse_empty)
        self.app.router.add_get("/bad-101", self._bad_101)
        self.app.router.add_get("/hop", self._hop_by_hop)
        self.app.router.add_get("/cut", self._cut)
        self.app.router.add_get("/early-hints", self._early_hints)
        self.app.router.add_get("/chunked", self._chunked)
        self.app.router.add_get("/trickle", self._trickle)
        self.app.router.add_get("/own-limits", self._own_limits)
        self.app.router.add_route("*", "/{path:.*}", self._describe)

    @property
    def url(self) -> str:
        return f"{'https' if self._tls else 'http'}://127.0.0.1:{self.port}"

    def _run(self) -> None:
        asyncio.set_event_loop(self._loop)
        self._loop.run_until_complete(self._serve())

    async def _serve(self) -> None:
        self._stop = asyncio.Event()
        runner = web.AppRunner(self.app, keepalive_timeout=self._keepalive_s, shutdown_timeout=0.2)
        await runner.setup()
        site = web.TCPSite(runner, "127.0.0.1", self.port, ssl_context=self._tls)
        await site.start()
        assert site._server
        self.port = site._server.sockets[0].getsockname()[1]
        self._ready.set()
        await self._stop.wait()
        await runner.cleanup()

    def __enter__(self) -> Self:
        self._thread.start()
        assert self._ready.wait(60)
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._loop.call_soon_threadsafe(self._stop.set)
        self._thread.join(10)
        self._loop.close()

    async def _describe(self, request: web.Request) -> web.Response:
        size, body = 0, b""
        async for chunk in request.content.iter_any():
            size += len(chunk)
            body += chunk[: 65536 - len(body)]
        self.bodies.append(body)
        seen = {
            "method": request.method,
            "path": request.raw_path,
            "headers": [[name.decode("latin-1"), value.decode("latin-1")] for name, value in request.raw_headers],
            "bytes": size,
            "peer": request.transport.get_extra_info("peername")[1] if request.transport else None,
        }
        self.requests.append(seen)
        return web.json_response(seen)

    async def _websocket(self, request: web.Request) -> web.WebSocketResponse:
        self.requests.append(
            {
                "headers": [[n.decode("latin-1"), v.decode("latin-1")] for n, v in request.raw_headers],
                "path": request.raw_path,
            }
        )
        socket_ = web.WebSocketResponse(protocols=("phoenix", "echo.v1"))
        socket_.headers.add("Set-Cookie", "seen=1")
        await socket_.prepare(request)
        self.open_sockets += 1
        try:
            await self._echo(request, socket_)
        finally:
            self.open_sockets -= 1
        self.closes.put(socket_.close_code)
        return socket_

    async def _echo(self, request: web.Request, socket_: web.WebSocketResponse) -> None:
        async for message in socket_:
            if message.type is WSMsgType.BINARY:
                await socket_.send_bytes(message.data)
            elif message.data == "drop":
                assert request.transport
                request.transport.abort()
            elif str(message.data).startswith("close "):
                await socket_.close(code=int(message.data.split()[1]), message=b"as asked")
            else:
                await socket_.send_str(message.data)

    async def _hang(self, request: web.Request) -> web.Response:
        await asyncio.sleep(3600)
        return web.Response()

    async def _slow(self, request: web.Request) -> web.Response:
        await asyncio.sleep(float(request.query["s"]))
        return web.json_response({"waited": True})

    async def _cookies(self, request: web.Request) -> web.Response:
        response = web.Response(text="two")
        response.headers.add("Set-Cookie", "a=1; Path=/")
        response.headers.add("Set-Cookie", "b=2; HttpOnly")
        response.headers["Alt-Svc"] = 'h3=":443"'
        return response

    async def _refuse(self, request: web.Request) -> web.Response:
        return web.Response(status=403, text="origin not allowed here", headers={"X-Why": "check_origin"})

    async def _refuse_empty(self, request: web.Request) -> web.Response:
        return web.Response(status=403)

    async def _raw(self, request: web.Request, data: bytes) -> web.Response:
        assert request.transport
        request.transport.write(data)  # type: ignore[attr-defined]
        request.transport.close()
        raise asyncio.CancelledError

    async def _bad_101(self, request: web.Request) -> web.Response:
        accept = request.query.get("accept", "wrong")
        head = "HTTP/1.1 101 Switching Protocols\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n"
        return await self._raw(request, f"{head}Sec-WebSocket-Accept: {accept}\r\n\r\n".encode())

    async def _hop_by_hop(self, request: web.Request) -> web.Response:
        return await self._raw(
            request,
            b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\nConnection: X-Internal, keep-alive\r\nX-Internal: secret\r\n"
            b"Keep-Alive: timeout=5\r\nProxy-Authenticate: Basic\r\nServer: backend\r\n\r\nok",
        )

    async def _cut(self, request: web.Request) -> web.Response:
        return await self._raw(request, b"")

    async def _early_hints(self, request: web.Request) -> web.Response:
        return await self._raw(
            request,
            b"HTTP/1.1 103 Early Hints\r\nLink: </a.css>; rel=preload\r\n\r\n"
            b"HTTP/1.1 200 OK\r\nContent-Length: 5\r\n\r\nfinal",
        )

    async def _chunked(self, request: web.Request) -> web.Response:
        return await self._raw(request, b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n5\r\nquick\r\n0\r\n\r\n")

    async def _trickle(self, request: web.Request) -> web.StreamResponse:
        response = web.StreamResponse()
        response.enable_chunked_encoding()
        await response.prepare(request)
        await response.write(b"first\n")
        await asyncio.sleep(float(request.query.get("s", "3")))
        await response.write(b"second\n")
        return response

    async def _own_limits(self, request: web.Request) -> web.Response:
        return web.Response(text="x", headers={"X-RateLimit-Limit": "7", "RateLimit": '"app";r=1;t=1'})
