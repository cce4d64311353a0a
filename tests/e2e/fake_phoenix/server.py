"""Serves the fake app over HTTP: documents, WebSockets and long-poll, on a thread of its own."""

import asyncio
import base64
import json
import secrets
import subprocess
from pathlib import Path
from typing import Any

from aiohttp import WSMsgType, web
from backends import Backend

from fake_phoenix.app import App, Frame, Socket, encoded

HERE = Path(__file__).parent
NPM_FOLDER = HERE.parents[1] / "oracle"
WINDOW_S = 10.0
"""How long a poll waits, if a test says nothing else."""
PARKED_S = 1.0
"""How long at most the answer to a POST waits for that of the poll which brings its replies."""
SENT_S = 0.02
"""After that, so that its bytes have left."""
LIVE_RELOAD = """<html><head><script src="/client.js"></script></head><body></body></html>"""


def bundled(folder: Path) -> Path:
    """`client.js` with the genuine clients in it, as one file."""
    out = folder / "client.js"
    modules = NPM_FOLDER / "node_modules"
    command = [str(modules / ".bin" / "esbuild"), str(HERE / "client.js"), "--bundle", "--format=iife"]
    environ = {"NODE_PATH": str(modules), "PATH": "/usr/local/bin:/usr/bin:/bin"}
    subprocess.run([*command, f"--outfile={out}", "--log-level=error"], check=True, timeout=60, env=environ)
    return out


class Polls:
    """A long-poll session: what waits to be fetched."""

    def __init__(self, app: App) -> None:
        self.socket = Socket(app, self._send)
        self.waiting: list[str] = []
        self.some = asyncio.Event()
        self.fetched = asyncio.Event()
        self.parked = 0

    def _send(self, frame: Frame) -> None:
        self.waiting.append(encoded(frame))
        self.some.set()


class FakePhoenix(Backend):
    """Backend with the fake app, at `/live`, `/socket` and `/phoenix/live_reload/socket`."""

    def __init__(self, script: Path | None = None, port: int = 0, *, window_s: float = WINDOW_S) -> None:
        super().__init__(port=port)
        self.phoenix = App()
        self._script, self._window_s = script, window_s
        self._polls: dict[str, Polls] = {}
        self._open: set[web.WebSocketResponse] = set()
        self.app = web.Application(client_max_size=1 << 24)
        for path in ("/live", "/socket", "/phoenix/live_reload/socket"):
            self.app.router.add_get(f"{path}/websocket", self._websocket_)
            if "live_reload" not in path:
                self.app.router.add_get(f"{path}/longpoll", self._poll)
                self.app.router.add_post(f"{path}/longpoll", self._push)
        self.app.router.add_get("/phoenix/live_reload/frame", self._frame)
        self.app.router.add_get("/client.js", self._client)
        self.app.router.add_get("/{path:.*}", self._page)

    @property
    def parked(self) -> int:
        """How many polls wait for something to tell."""
        return sum(polls.parked for polls in self._polls.values())

    def drop(self) -> None:
        """Cut all WebSockets, as a crash of the network does."""
        self._loop.call_soon_threadsafe(self._drop)

    def _drop(self) -> None:
        for socket in self._open:
            if socket._req is not None and socket._req.transport is not None:
                socket._req.transport.abort()

    async def _page(self, request: web.Request) -> web.Response:
        text = self.phoenix.page(request.path, request.query_string)
        if text is None:
            return web.Response(status=404, text="Not Found")
        response = web.Response(text=text, content_type="text/html")
        if "_demo_key" not in request.cookies:
            response.set_cookie("_demo_key", f"SFMyNTY.{secrets.token_urlsafe(24)}.c2ln", path="/", httponly=True)
        return response

    async def _frame(self, request: web.Request) -> web.Response:
        return web.Response(text=LIVE_RELOAD, content_type="text/html")

    async def _client(self, request: web.Request) -> web.StreamResponse:
        return web.FileResponse(self._script) if self._script else web.Response(status=404)

    async def _websocket_(self, request: web.Request) -> web.WebSocketResponse:
        opened = web.WebSocketResponse(protocols=("phoenix",), compress=False)
        await opened.prepare(request)
        outgoing: asyncio.Queue[Frame] = asyncio.Queue()
        socket = Socket(self.phoenix, outgoing.put_nowait)
        sending = asyncio.ensure_future(_send_all(opened, outgoing))
        self._open.add(opened)
        try:
            async for message in opened:
                if message.type is WSMsgType.TEXT:
                    socket.receive(tuple(json.loads(message.data)))
        finally:
            self._open.discard(opened)
            sending.cancel()
            socket.close()
        return opened

    def _token(self, request: web.Request) -> str:
        return request.headers.get("X-Phoenix-Longpoll-Token", request.query.getall("token", [""])[-1])

    async def _poll(self, request: web.Request) -> web.Response:
        polls = self._polls.get(token := self._token(request))
        if polls is None:
            token = f"SFMyNTY.{secrets.token_urlsafe(24)}.{secrets.token_urlsafe(24)}"
            self._polls[token] = Polls(self.phoenix)
            return _answer({"messages": [], "status": 410, "token": token})
        polls.parked += 1
        polls.fetched.clear()
        try:
            async with asyncio.timeout(self._window_s):
                await polls.some.wait()
        except TimeoutError:
            return _answer({"messages": [], "status": 204, "token": token})
        finally:
            polls.parked -= 1
            polls.fetched.set()
        polls.some.clear()
        messages, polls.waiting = polls.waiting, []
        return _answer({"messages": messages, "status": 200, "token": token})

    async def _push(self, request: web.Request) -> web.Response:
        polls = self._polls.get(self._token(request))
        if polls is None:
            return _answer({"status": 410})
        for line in (await request.text()).split("\n"):
            data = line if line.startswith("[") else base64.b64decode(line).decode()
            polls.socket.receive(tuple(json.loads(data)))
        if polls.parked and polls.waiting:  # as with Phoenix, the poll is usually answered first
            await asyncio.wait_for(polls.fetched.wait(), PARKED_S)
            await asyncio.sleep(SENT_S)
        return _answer({"status": 200})


def _answer(value: dict[str, Any]) -> web.Response:
    headers = {"access-control-allow-origin": "*", "cache-control": "max-age=0, private, must-revalidate"}
    return web.json_response(value, headers=headers, dumps=lambda each: json.dumps(each, separators=(",", ":")))


async def _send_all(socket: web.WebSocketResponse, outgoing: asyncio.Queue[Frame]) -> None:
    while True:
        await socket.send_str(encoded(await outgoing.get()))
