"""Plays a recorded scene through the real gateway: a client and a server that say in turn what was said, and nothing else.

Each step is through before the next begins: what one side sends the other has received, byte for byte. Times are not those of the
recording; nobody waits. Each tab letter is a browser with a cookie of its own; all have one address and one User-Agent, as two
profiles on one machine do.
"""

import asyncio
import json
from collections.abc import Awaitable, Callable
from types import TracebackType
from typing import Any, Self

import aiohttp
from aiohttp import WSMsgType, web
from gateway_process import TIMEOUT_S

from scenes.in_process import cookie_of
from scenes.recording import SESSION_COOKIE, USER_AGENT, Step

MAX_MESSAGE_BYTES = 16 * 1024 * 1024


class ScriptedServer:
    """The server of a scene: what is asked of it is put into queues, and what it answers is taken from the steps."""

    def __init__(self, port: int) -> None:
        self.port = port
        self.asked: asyncio.Queue[tuple[web.Request, bytes, asyncio.Future[Step]]] = asyncio.Queue()
        self.opened: asyncio.Queue[web.WebSocketResponse] = asyncio.Queue()
        self.received: dict[web.WebSocketResponse, asyncio.Queue[bytes | int | None]] = {}
        """Of each socket: messages, and last the close code."""

    async def __aenter__(self) -> Self:
        app = web.Application(client_max_size=MAX_MESSAGE_BYTES)
        app.router.add_route("*", "/{path:.*}", self._any)
        self._runner = web.AppRunner(app, shutdown_timeout=0.2, handler_cancellation=True)
        await self._runner.setup()
        await web.TCPSite(self._runner, "127.0.0.1", self.port).start()
        return self

    async def __aexit__(self, *_: object) -> None:
        await self._runner.cleanup()

    async def _any(self, request: web.Request) -> web.StreamResponse:
        if "upgrade" in request.headers:
            return await self._socket(request)
        answer: asyncio.Future[Step] = asyncio.get_running_loop().create_future()
        await self.asked.put((request, await request.read(), answer))
        step = await answer
        headers = {"content-type": step.content_type, "x-request-id": f"GO-{step.number}"}
        if step.kind == "page" and SESSION_COOKIE not in request.cookies:
            headers["set-cookie"] = f"{SESSION_COOKIE}={cookie_of(step.tab)}; path=/; HttpOnly; SameSite=Lax"
        return web.Response(status=step.status, body=step.data, headers=headers)

    async def _socket(self, request: web.Request) -> web.WebSocketResponse:
        socket = web.WebSocketResponse(compress=False, max_msg_size=MAX_MESSAGE_BYTES)
        await socket.prepare(request)
        received = self.received[socket] = asyncio.Queue()
        await self.opened.put(socket)
        async for message in socket:
            await received.put(message.data.encode() if message.type is WSMsgType.TEXT else message.data)
        await received.put(socket.close_code)
        return socket


class ScenePlayer:
    """The client of a scene, and who makes client and server take turns."""

    def __init__(self, port: int, server: ScriptedServer) -> None:
        self._base, self._server = f"http://127.0.0.1:{port}", server
        self._browsers: dict[str, aiohttp.ClientSession] = {}
        self._cookies: dict[str, str] = {}
        self._sockets: dict[int, tuple[aiohttp.ClientWebSocketResponse, web.WebSocketResponse]] = {}
        self._under_way: dict[int, tuple[asyncio.Task[tuple[int, bytes]], asyncio.Future[Step]]] = {}

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        for task, _ in self._under_way.values():
            task.cancel()
        for browser in self._browsers.values():
            await browser.close()

    async def play(self, step: Step) -> None:
        """Do one step. Raises TimeoutError when one side does not get what the other has sent."""
        steps: dict[str, Callable[[Step], Awaitable[None]]] = {
            "page": self._page,
            "open": self._open,
            "frame": self._frame,
            "close": self._close,
            "ask": self._ask,
            "answer": self._answer,
        }
        if step.kind in steps:
            async with asyncio.timeout(TIMEOUT_S):
                await steps[step.kind](step)

    async def leave(self) -> None:
        """Close all tabs: sockets with 1001, polls by hanging up."""
        for conn in list(self._sockets):
            await self._close(Step(0, 0, "", "close", conn=conn, code=1001))
        for task, _ in self._under_way.values():
            task.cancel()
        await asyncio.gather(*(task for task, _ in self._under_way.values()), return_exceptions=True)
        self._under_way.clear()

    def _browser(self, tab: str) -> aiohttp.ClientSession:
        if tab not in self._browsers:
            jar, connector = aiohttp.DummyCookieJar(), aiohttp.TCPConnector(limit=0)
            agent = {"User-Agent": USER_AGENT}
            self._browsers[tab] = aiohttp.ClientSession(cookie_jar=jar, connector=connector, headers=agent)
        return self._browsers[tab]

    def _headers(self, step: Step) -> dict[str, str]:
        headers = {"Host": step.host}
        if step.referer:
            headers["Referer"] = step.referer
        if step.tab in self._cookies:
            headers["Cookie"] = self._cookies[step.tab]
        if step.kind == "ask" and step.content_type:
            headers["Content-Type"] = step.content_type
        return headers

    def _url(self, step: Step) -> Any:
        return aiohttp.client.URL(self._base + step.path, encoded=True)

    async def _page(self, step: Step) -> None:
        asking = asyncio.ensure_future(self._request(step, b""))
        request, _, answer = await self._server.asked.get()
        assert request.raw_path == step.path
        answer.set_result(step)
        assert await asking == (step.status, step.data)

    async def _request(self, step: Step, body: bytes) -> tuple[int, bytes]:
        browser, headers = self._browser(step.tab), self._headers(step)
        async with browser.request(step.method, self._url(step), data=body or None, headers=headers) as response:
            if "set-cookie" in response.headers:
                self._cookies[step.tab] = response.headers["set-cookie"].partition(";")[0]
            return response.status, await response.read()

    async def _ask(self, step: Step) -> None:
        asking = asyncio.ensure_future(self._request(step, step.data))
        request, body, answer = await self._server.asked.get()
        assert (request.raw_path, body) == (step.path, step.data)
        self._under_way[step.number] = asking, answer

    async def _answer(self, step: Step) -> None:
        asking, answer = self._under_way.pop(step.asked)
        answer.set_result(step)
        assert await asking == (step.status, step.data)

    async def _open(self, step: Step) -> None:
        browser = self._browser(step.tab)
        client = await browser.ws_connect(
            self._url(step), headers=self._headers(step), origin=f"http://{step.host}", max_msg_size=MAX_MESSAGE_BYTES
        )
        self._sockets[step.conn] = client, await self._server.opened.get()

    async def _frame(self, step: Step) -> None:
        client, server = self._sockets[step.conn]
        sender: Any = client if step.up else server
        await (sender.send_str(step.data.decode()) if step.text else sender.send_bytes(step.data))
        if step.up:
            assert await self._server.received[server].get() == step.data
            return
        message = await client.receive()
        data = message.data.encode() if message.type is WSMsgType.TEXT else message.data
        assert data == step.data

    async def _close(self, step: Step) -> None:
        client, server = self._sockets.pop(step.conn)
        await client.close(code=step.code)
        assert await self._server.received[server].get() == step.code


def head_of(frame: str | bytes) -> tuple[Any, ...]:
    """What tells a frame from others: join_ref, ref, topic and event."""
    return tuple(json.loads(frame)[:4])
