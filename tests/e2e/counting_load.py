"""Clients and backends that do all that the gateway counts, and keep their own books of it."""

import asyncio
import contextlib
import json
from collections import Counter
from collections.abc import AsyncIterator, Awaitable, Callable, Iterable
from dataclasses import dataclass, field
from typing import Any

from socket_lab import break_off, frame, seen
from websockets.asyncio.client import ClientConnection, connect
from websockets.asyncio.server import Request, Response, ServerConnection, serve
from websockets.exceptions import ConnectionClosed, InvalidStatus

BODILESS = (204, 304)
TOPIC = "lv:phx-1"


@dataclass
class Books:
    """What the ends have sent and seen, under the labels that the gateway has for it."""

    requests: Counter[tuple[str, str, str]] = field(default_factory=Counter)
    """By route, method and status."""
    body_bytes: Counter[tuple[str, str]] = field(default_factory=Counter)
    """Of HTTP bodies, by route and direction."""
    answered: Counter[str] = field(default_factory=Counter)
    """Requests that a backend has answered."""
    rejected: Counter[tuple[str, str]] = field(default_factory=Counter)
    failures: Counter[tuple[str, str]] = field(default_factory=Counter)
    upgrades: Counter[tuple[str, str]] = field(default_factory=Counter)
    closes: Counter[tuple[str, str, str]] = field(default_factory=Counter)
    frames: Counter[tuple[str, str, str]] = field(default_factory=Counter)
    """By route, direction and type."""
    frame_bytes: Counter[tuple[str, str]] = field(default_factory=Counter)
    events: Counter[tuple[str, str]] = field(default_factory=Counter)
    """LiveView's, by route and event."""
    diff_bytes: Counter[tuple[str, str]] = field(default_factory=Counter)
    incidents: Counter[tuple[str, str]] = field(default_factory=Counter)

    def request(
        self, route: str, method: str, status: int, *, up: int = 0, down: int = 0, refused: str = "", failed: str = ""
    ) -> None:
        self.requests[route, method, str(status)] += 1
        self.body_bytes[route, "up"] += up
        self.body_bytes[route, "down"] += down
        if refused:
            self.rejected[route, refused] += 1
        if failed:
            self.failures[route, failed] += 1
        self.answered[route] += not refused and not failed

    def message(self, route: str, direction: str, data: str | bytes) -> None:
        self.frames[route, direction, "message"] += 1
        self.frame_bytes[route, direction] += len(data.encode() if isinstance(data, str) else data)


# HTTP


async def http_backend(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
    """Answers `/status/size` with so many bytes; `/hang` never."""
    with contextlib.suppress(OSError, asyncio.IncompleteReadError):
        while True:
            head = await reader.readuntil(b"\r\n\r\n")
            method, path, _ = head.split(b" ", 2)
            await reader.readexactly(_length(head))
            if path == b"/hang":
                await reader.read()
                break
            status, size = (int(part) for part in path.strip(b"/").split(b"/"))
            answer = f"HTTP/1.1 {status} X\r\n" + (f"Content-Length: {size}\r\n" if status not in BODILESS else "")
            writer.write(f"{answer}\r\n".encode() + (b"" if method == b"HEAD" or status in BODILESS else b"x" * size))
    writer.close()


def _length(head: bytes) -> int:
    _, found, rest = head.lower().partition(b"\r\ncontent-length:")
    return int(rest.partition(b"\r\n")[0]) if found else 0


class HttpClient:
    """One keep-alive connection; a new one when the gateway has closed it."""

    def __init__(self, port: int) -> None:
        self._port = port
        self._streams: tuple[asyncio.StreamReader, asyncio.StreamWriter] | None = None

    async def ask(self, host: str, method: str, path: str, body: bytes = b"") -> tuple[int, int]:
        """Status, and the size of the body that came."""
        length = f"Content-Length: {len(body)}\r\n" if body else ""
        return await self.send(f"{method} {path} HTTP/1.1\r\nHost: {host}\r\n{length}\r\n".encode() + body)

    async def send(self, data: bytes) -> tuple[int, int]:
        if self._streams is None:
            self._streams = await asyncio.open_connection("127.0.0.1", self._port)
        reader, writer = self._streams
        writer.write(data)
        head = await asyncio.wait_for(reader.readuntil(b"\r\n\r\n"), 30)
        status = int(head.split(b" ", 2)[1])
        has_body = status not in BODILESS and not data.startswith(b"HEAD ")
        body = await reader.readexactly(_length(head)) if has_body else b""
        if b"\r\nconnection: close" in head.lower():
            self.close()
        return status, len(body)

    def close(self) -> None:
        if self._streams is not None:
            self._streams[1].close()
        self._streams = None


KINDS: tuple[tuple[str, str, str, int], ...] = (
    ("app.test", "GET", "/200/100", 0),
    ("app.test", "POST", "/201/50", 300),
    ("app.test", "GET", "/404/20", 0),
    ("app.test", "HEAD", "/200/500", 0),
    ("app.test", "PUT", "/204/0", 7),
    ("app.test", "DELETE", "/500/10", 0),
    ("app.test", "PATCH", "/503/10", 1),
    ("app.test", "OPTIONS", "/200/0", 0),
    ("app.test", "PROPFIND", "/200/5", 0),
    ("two.test", "GET", "/304/0", 0),
    ("two.test", "GET", "/200/2000", 0),
    ("nobody.test", "GET", "/", 0),
    ("nobody.test", "HEAD", "/", 0),
)
"""Host, method, path, size of the body."""


async def many_requests(books: Books, port: int, count: int, connections: int = 16) -> None:
    numbers = iter(range(count))

    async def ask_on() -> None:
        client = HttpClient(port)
        for number in numbers:
            host, method, path, size = KINDS[number % len(KINDS)]
            status, down = await client.ask(host, method, path, b"u" * size)
            label = "other" if method == "PROPFIND" else method
            unmapped = host == "nobody.test"
            assert status == (404 if unmapped else int(path.split("/")[1]))
            refused = "unmapped-host" if unmapped else ""
            books.request("_unmapped" if unmapped else host, label, status, up=size, down=down, refused=refused)
        client.close()

    async with asyncio.TaskGroup() as group:
        for _ in range(connections):
            group.create_task(ask_on())


async def special_requests(books: Books, port: int) -> Counter[str]:
    """Requests that the gateway or the network turns down; returns the decisions of the rate limiter."""
    client = HttpClient(port)
    decisions: Counter[str] = Counter()
    for _ in range(40):
        status, down = await client.ask("limited.test", "GET", "/200/10")
        assert status in (200, 429)
        books.request("limited.test", "GET", status, down=down, refused="rate-limit-ip" if status == 429 else "")
        decisions["refused" if status == 429 else "allowed"] += 1
    for _ in range(25):
        status, down = await client.ask("dead.test", "GET", "/")
        assert status == 502
        books.request("dead.test", "GET", status, down=down, failed="backend-unreachable")
    for _ in range(3):
        status, down = await client.ask("slow.test", "GET", "/hang")
        assert status == 504
        books.request("slow.test", "GET", status, down=down, failed="timeout-response")
    client.close()
    for start, status, reason in (
        ("GET /" + "a" * 40_000, 414, "request-line-long"),
        ("GET / HTTP/1.1\r\nHost: app.test\r\nX: " + "a" * 40_000, 431, "head-large"),
        ("GET / HTTP/1.1\r\nHost: app.test\r\nno colon", 400, "field-malformed"),
        ("TRACE / HTTP/1.1\r\nHost: app.test", 405, "method-not-allowed"),
        ("GET / HTTP/3.0\r\nHost: app.test", 400, "version-unknown"),
        ("GET http://[::1 HTTP/1.1\r\nHost: app.test", 400, "request-malformed"),
    ):
        for _ in range(4):
            fresh = HttpClient(port)
            found, down = await fresh.send(f"{start}\r\n\r\n".encode())
            assert found == status
            fresh.close()
            books.request("_unmapped", "other", status, down=down, refused=reason)
    fresh = HttpClient(port)
    status, down = await fresh.send(b"GET / HTTP/1.1\r\nHost: app.test\r\nContent-Length: abc\r\n\r\n")
    fresh.close()
    books.request("_unmapped", "GET", status, down=down, failed="request-malformed")
    status, down = await client.send(b"GET / HTTP/1.1\r\nX: y\r\n\r\n")
    books.request("_unmapped", "GET", status, down=down, refused="host-missing")
    status, down = await client.send(b"POST / HTTP/1.1\r\nHost: app.test\r\nContent-Length: 99999999999\r\n\r\n")
    assert status == 413
    books.request("app.test", "POST", status, down=down, refused="body-too-large")
    client.close()
    return decisions


async def leave_early(books: Books, port: int, under_way: Any) -> None:
    """Clients that go away before they are answered."""
    writers = []
    for _ in range(6):
        _, writer = await asyncio.open_connection("127.0.0.1", port)
        writer.write(b"GET /hang HTTP/1.1\r\nHost: app.test\r\n\r\n")
        writers.append(writer)
    await under_way(6)
    for writer in writers:
        writer.close()
        books.request("app.test", "GET", 499, failed="client-gone")


# WebSockets


class Sockets:
    """Clients and a server of WebSockets, the `websockets` library's."""

    def __init__(self, books: Books, port: int) -> None:
        self.books = books
        self.port = port
        self._at_server: dict[str, asyncio.Future[ServerConnection]] = {}
        self._over = asyncio.Event()
        self._serial = 0

    @contextlib.asynccontextmanager
    async def serving(self, port: int) -> AsyncIterator[None]:
        options: dict[str, Any] = {"compression": None, "ping_interval": None, "close_timeout": 3}
        async with serve(self._serve, "127.0.0.1", port, process_request=_turn_down, max_size=None, **options):
            yield
            self._over.set()

    async def _serve(self, server: ServerConnection) -> None:
        assert server.request
        path = server.request.path
        with contextlib.suppress(ConnectionClosed):
            if path.startswith("/live/"):
                await self._live(server)
            elif path.startswith("/echo/"):
                await self._echo(server, path.split("/")[2])
            else:
                message = await server.recv()
                self.books.message(path.split("/")[2], "up", message)
                await server.send(message)
                self._at_server[path].set_result(server)
                await self._over.wait()

    async def _echo(self, server: ServerConnection, route: str) -> None:
        count = 0
        async for message in server:
            count += 1
            self.books.message(route, "up", message)
            with contextlib.suppress(ConnectionClosed):  # what came before the close frame is still to be read
                await server.send(message)
            if count % 50 == 0:
                await (await server.ping())
                self._ping(route)

    def _ping(self, route: str) -> None:
        """A ping and its pong."""
        for direction in ("up", "down"):
            self.books.frames[route, direction, "control"] += 1

    async def connect(self, route: str, path: str, **options: Any) -> ClientConnection:
        given = {"compression": None, "ping_interval": None, "close_timeout": 3, "max_size": None, **options}
        uri = f"ws://{route}:{self.port}{path}"
        client = await connect(uri, host="127.0.0.1", port=self.port, proxy=None, **given)
        self.books.request(route, "GET", 101)
        self.books.upgrades[route, "opened"] += 1
        return client

    async def refused(
        self, route: str, path: str = "/echo/x", *, reason: str = "", failed: str = "", **more: Any
    ) -> None:
        try:
            await self.connect(route, path, **more)
        except InvalidStatus as error:
            answer = error.response
            self.books.request(
                route, "GET", answer.status_code, down=len(answer.body or b""), refused=reason, failed=failed
            )
            self.books.upgrades[route, "refused" if reason else "failed"] += 1
        else:
            raise AssertionError("it was opened")

    def closed(self, route: str, code: int | None, by: str) -> None:
        assert code is not None
        label = f"{code // 1000}xxx" if code >= 3000 else str(code)
        self.books.closes[route, label, by] += 1

    async def many_messages(self, route: str, sockets: int, messages: int) -> None:
        async with asyncio.TaskGroup() as group:
            for _ in range(sockets):
                group.create_task(self._talk(route, messages))

    async def _talk(self, route: str, messages: int) -> None:
        client = await self.connect(route, f"/echo/{route}")
        for number in range(messages):
            size = (number * 37) % 2000
            message: str | bytes = "é" * size if number % 2 else b"x" * size
            await client.send(message if number % 10 else [message[: size // 2], message[size // 2 :]])
            answer = await client.recv()
            assert answer == message
            self.books.message(route, "down", answer)
            if number % 25 == 24:
                await (await client.ping())
                self._ping(route)
        await client.close(1001)
        self.closed(route, 1001, "client")

    async def one(self, route: str) -> tuple[ClientConnection, ServerConnection]:
        """A socket on which one message has gone up and one down, and its end at the server."""
        self._serial += 1
        path = f"/one/{route}/{self._serial}"
        self._at_server[path] = asyncio.get_running_loop().create_future()
        client = await self.connect(route, path)
        await client.send("hello")
        self.books.message(route, "down", await client.recv())
        return client, await asyncio.wait_for(self._at_server[path], 60)

    async def end_by_each_fault(self, route: str, faults: Iterable[str]) -> None:
        for fault in faults:
            for by in ("client", "backend"):
                client, server = await self.one(route)
                breaking, other = (client, server) if by == "client" else (server, client)
                await break_off(breaking, fault)
                code, _ = await seen(other)
                self.closed(route, 1005 if fault == "none" else code, by)
                assert (code == 1006) == (fault in ("rst", "eof"))
                await seen(breaking)

    async def ended_by_gateway(self, route: str, data: bytes = b"") -> None:
        """The gateway closes it, by itself or because of some bytes that its client sends."""
        client, server = await self.one(route)
        client.transport.write(data)
        code, _ = await seen(client)
        await seen(server)
        self.closed(route, code, "gateway")

    async def too_many_frames(self, route: str) -> None:
        client = await self.connect(route, f"/echo/{route}")
        with contextlib.suppress(ConnectionClosed):
            for _ in range(20):
                await client.send("quick")
        with contextlib.suppress(ConnectionClosed):
            while True:
                self.books.message(route, "down", await client.recv())
        self.closed(route, (await seen(client))[0], "gateway")

    # LiveView

    async def _live(self, server: ServerConnection) -> None:
        async for message in server:
            join_ref, ref, topic, event, payload = json.loads(message)
            self.books.message("live.test", "up", message)
            response: Any = {"rendered": {"s": ["<p>", "</p>"], "0": "0"}}
            if event == "event":
                response = {"diff": {"0": ref}}
            if event == "event" and payload["event"] == "boom":
                answer = [join_ref, join_ref, topic, "phx_error", {}]
            else:
                answer = [join_ref, ref, topic, "phx_reply", {"status": "ok", "response": response}]
            await server.send(json.dumps(answer, separators=(",", ":")))

    async def live_session(self, events: int, half_way: Callable[[], Awaitable[None]]) -> None:
        route = "live.test"
        client = await self.connect(route, "/live/websocket?vsn=2.0.0")

        async def push(join_ref: str, ref: str, event: str, payload: Any) -> None:
            await client.send(json.dumps([join_ref, ref, TOPIC, event, payload], separators=(",", ":")))
            self.books.message(route, "down", await client.recv())

        join = {"url": "http://live.test/count", "params": {}}
        await push("4", "4", "phx_join", join)
        for number in range(events):
            if number == events // 2:
                await half_way()
            name = ("inc", "dec", "validate-form", "/not/a/name")[number % 4]
            ref = str(100 + number)
            await push("4", ref, "event", {"type": "click", "event": name, "value": {}})
            label = name if name.isidentifier() or "-" in name else "_other"
            self.books.events[route, label] += 1
            self.books.diff_bytes[route, label] += len(json.dumps({"0": ref}, separators=(",", ":")))
        await push("4", "9000", "event", {"type": "click", "event": "boom", "value": {}})
        self.books.incidents[route, "crash"] += 1
        await push("9001", "9001", "phx_join", join)
        self.books.incidents[route, "rejoin"] += 1
        self.books.events[route, "_join"] += 2
        await client.close(1000)
        self.closed(route, 1000, "client")


def _turn_down(server: ServerConnection, request: Request) -> Response | None:
    return server.respond(403, "not here\n") if request.path == "/refuse" else None


INVALID_TEXT = frame(1, b"\xff\xfe", masked=True)
RESERVED_BIT = frame(1, b"x", masked=True, rsv=0x40)
TOO_BIG = frame(2, b"x" * 100_000, masked=True)
