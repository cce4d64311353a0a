"""Scripted LiveView clients: what a browser tab says, without the browser; many fit into one process."""

import asyncio
import contextlib
import itertools
import json
import random
import re
import threading
from html import unescape
from types import TracebackType
from typing import Any, Self

import aiohttp

MAIN = re.compile(r"<[^>]*data-phx-main[^>]*>")
ATTRIBUTE = re.compile(r'([\w-]+)="([^"]*)"')
CSRF = re.compile(r'name="csrf-token" content="([^"]*)"|content="([^"]*)" name="csrf-token"')
TIMEOUT_S = 20


class Tab:
    """One tab on one path of an app behind the gateway."""

    def __init__(self, port: int, host: str, path: str, **join: Any) -> None:
        self.base, self.host, self.path = f"http://127.0.0.1:{port}", host, path
        self.join_with = join
        self.mounts = 0
        self.counted = itertools.count(4)
        self.pending: dict[str, asyncio.Future[Any]] = {}
        self.pushed: list[list[Any]] = []
        self.ended = asyncio.Event()
        self._arrived = asyncio.Event()
        self.code: int | None = None
        self._http = aiohttp.ClientSession(cookie_jar=aiohttp.CookieJar(unsafe=True), headers={"Host": host})

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        await self._http.close()

    async def load(self) -> Self:
        """Load the page, and remember what it says of its LiveView."""
        async with self._http.get(self.base + self.path) as answer:
            text = await answer.text()
        main = MAIN.search(text)
        assert main, text[:500]
        found = dict(ATTRIBUTE.findall(main[0]))
        self.topic = f"lv:{found['id']}"
        self.session = unescape(found["data-phx-session"])
        self.static = unescape(found.get("data-phx-static", ""))
        csrf = CSRF.search(text)
        self.csrf = next(filter(None, csrf.groups())) if csrf else ""
        return self

    async def connect(self, **headers: str) -> Self:
        params = {"_csrf_token": self.csrf, "_mounts": str(self.mounts), "vsn": "2.0.0"}
        self.ended.clear()
        self.socket: aiohttp.ClientWebSocketResponse = await self._http.ws_connect(
            f"{self.base}/live/websocket", params=params, origin=f"http://{self.host}", headers=headers
        )
        self._reading = asyncio.ensure_future(self._read())
        return self

    async def join(self) -> dict[str, Any]:
        self.join_ref = str(next(self.counted))
        params = {"_csrf_token": self.csrf, "_mounts": self.mounts}
        payload = {"url": f"http://{self.host}{self.path}", "params": params, "session": self.session}
        answer = await self._push("phx_join", {**payload, "static": self.static, **self.join_with}, ref=self.join_ref)
        self.mounts += 1
        return answer

    async def open(self) -> Self:
        await self.load()
        await self.connect()
        await self.join()
        return self

    async def event(self, name: str, value: Any = None, type_: str = "click") -> dict[str, Any]:
        return await self._push("event", {"type": type_, "event": name, "value": {} if value is None else value})

    async def tell(self, name: str) -> None:
        """Push an event without waiting for its answer."""
        payload = {"type": "click", "event": name, "value": {}}
        await self.socket.send_str(json.dumps([self.join_ref, str(next(self.counted)), self.topic, "event", payload]))

    async def pushes(self, event: str) -> None:
        """Wait until the server has pushed this event for the view as it was joined last."""
        async with asyncio.timeout(TIMEOUT_S):
            while not any(frame[0] == self.join_ref and frame[3] == event for frame in self.pushed):
                self._arrived.clear()
                await self._arrived.wait()

    async def crash(self, name: str = "crash") -> None:
        """Push an event that crashes the view; returns when the server has said so."""
        await self.tell(name)
        await self.pushes("phx_error")

    async def heartbeat(self) -> dict[str, Any]:
        ref = str(next(self.counted))
        return await self._send([None, ref, "phoenix", "heartbeat", {}], ref)

    async def close(self, code: int = 1000, reason: str = "") -> None:
        await self.socket.close(code=code, message=reason.encode())

    async def lose(self) -> None:
        """Cut the connection as a crashed browser does."""
        connection = self.socket._response.connection
        assert connection
        assert connection.transport
        connection.transport.abort()

    async def _push(self, event: str, payload: Any, ref: str | None = None) -> dict[str, Any]:
        ref = ref or str(next(self.counted))
        return await self._send([self.join_ref, ref, self.topic, event, payload], ref)

    async def _send(self, frame: list[Any], ref: str) -> dict[str, Any]:
        self.pending[ref] = answered = asyncio.get_running_loop().create_future()
        await self.socket.send_str(json.dumps(frame))
        async with asyncio.timeout(TIMEOUT_S):
            return await answered

    async def _read(self) -> None:
        async for message in self.socket:
            if message.type is not aiohttp.WSMsgType.TEXT:
                continue
            frame = json.loads(message.data)
            waiting = self.pending.pop(frame[1], None) if frame[3] == "phx_reply" else None
            if waiting is not None:
                if not waiting.done():
                    waiting.set_result(frame[4])
            else:
                self.pushed.append(frame)
                self._arrived.set()
        self.code = self.socket.close_code
        self.ended.set()


class Crowd:
    """Many tabs that live side by side in a thread of their own, until told to end."""

    PATHS = ("/count", "/stream", "/form", "/slow")
    FORM = "name=zed&email=z%40example.org&password=CANARYhunter2"

    def __init__(self, port: int, host: str, tabs: int = 20) -> None:
        self.port, self.host, self.tabs = port, host, tabs
        self.events = 0
        """That were answered."""
        self._ending = threading.Event()
        self._thread = threading.Thread(target=lambda: asyncio.run(self._run()), daemon=True)

    def __enter__(self) -> Self:
        self._thread.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._ending.set()
        self._thread.join(30)

    async def _run(self) -> None:
        tabs = [asyncio.ensure_future(self._live(number)) for number in range(self.tabs)]
        await asyncio.to_thread(self._ending.wait)
        for tab in tabs:
            tab.cancel()
        await asyncio.gather(*tabs, return_exceptions=True)

    async def _live(self, number: int) -> None:
        chance = random.Random(number)
        path = self.PATHS[number % len(self.PATHS)]
        while True:
            async with Tab(self.port, self.host, path) as tab:
                with contextlib.suppress(aiohttp.ClientError, TimeoutError, ConnectionError, AssertionError):
                    await tab.load()
                    while True:
                        await self._once(tab, chance)
            await asyncio.sleep(0.2)

    async def _once(self, tab: Tab, chance: random.Random) -> None:
        """From a socket's opening to its end, which is of one kind or another."""
        await tab.connect()
        await tab.join()
        for _ in range(chance.randint(5, 40)):
            await asyncio.sleep(chance.expovariate(3))
            await self._act(tab, chance)
            self.events += 1
        if chance.random() < 0.3:
            await tab.lose()
        else:
            await tab.close(chance.choice([1000, 1001]))
        await asyncio.sleep(0.2)

    async def _act(self, tab: Tab, chance: random.Random) -> None:
        match tab.path:
            case "/count":
                await tab.event(chance.choice(["inc", "inc", "dec"]))
            case "/stream":
                await tab.event(chance.choice(["add", "append"]))
            case "/form":
                await tab.event("check", self.FORM, "form")
            case _ if chance.random() < 0.2:
                await tab.crash()
                await tab.join()
            case _:
                await tab.event("slow")
        if chance.random() < 0.2:
            await tab.heartbeat()
