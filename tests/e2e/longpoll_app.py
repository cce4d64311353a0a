"""An app with Phoenix channels in a process of its own, for WebSocket and long-poll, that can be told to fail.

A client's `id` says how: `PHASE/FAULT/...`, see `fault_of`. Run as `python longpoll_app.py PORT`.
"""

import asyncio
import contextlib
import json
import secrets
import sys
from collections import Counter
from pathlib import Path
from typing import Any

from aiohttp import WSMsgType, web
from refusing import fault_of

WINDOW_S = 1.0
"""How long a poll waits for a message; Phoenix's own default is 10 s."""
PAGE = """<!doctype html><html><head><meta name="csrf-token" content="x"></head><body>
<div id="phx-{name}" data-phx-main data-phx-session="s" data-phx-static="t"></div>
<script src="/phoenix.js"></script><script src="/phoenix_live_view.js"></script>
<script>
const options = {{longpoll: {{transport: Phoenix.LongPoll}}, fallback: {{longPollFallbackMs: 1000}}, websocket: {{}}}}["{name}"]
window.socket = new LiveView.LiveSocket("/live", Phoenix.Socket, {{params: {{_csrf_token: "x"}}, ...options}})
socket.connect()
</script></body></html>"""
RENDERED = {"s": ['<button id="inc" phx-click="inc">', "</button>"], "0": "0"}
CLIENTS = Path(__file__).parents[1] / "clients" / "node_modules"


class App:
    """Sockets at `/live`, LiveView's own client at `/tab/longpoll`, `/tab/fallback` and `/tab/websocket`."""

    def __init__(self) -> None:
        self._polls: dict[str, asyncio.Queue[str]] = {}
        self._counts: Counter[str] = Counter()
        self._clicks = 0

    def routes(self) -> web.Application:
        app = web.Application()
        app.router.add_get("/live/websocket", self._websocket)
        app.router.add_get("/live/longpoll", self._poll)
        app.router.add_post("/live/longpoll", self._send)
        app.router.add_get("/tab/{name}", self._page)
        app.router.add_get("/phoenix.js", self._script("phoenix-1.8-last"))
        app.router.add_get("/phoenix_live_view.js", self._script("phoenix_live_view"))
        return app

    def _script(self, package: str) -> Any:
        name = "phoenix_live_view" if package == "phoenix_live_view" else "phoenix"

        async def script(_: web.Request) -> web.FileResponse:
            return web.FileResponse(CLIENTS / package / "priv" / "static" / f"{name}.js")

        return script

    async def _page(self, request: web.Request) -> web.Response:
        return web.Response(text=PAGE.format(name=request.match_info["name"]), content_type="text/html")

    async def _fail(self, request: web.Request) -> None:
        """Fail as the client's id asks for: end the connection, answer nonsense, or never answer."""
        fault = fault_of(request.path, request.method, dict(request.query), self._counts)
        if fault is None or request.transport is None:
            return
        if fault == "hang":
            await asyncio.sleep(3600)
        elif fault == "garbage":
            request.transport.write(b"HTTP/1.1 nonsense\r\n\r\n")  # type: ignore[attr-defined]
        elif fault == "die":
            request.transport.write(b"HTTP/1.1 200")  # type: ignore[attr-defined]  # else a GET would be sent again
        else:
            return  # the gateway's part
        if request.transport is not None:
            request.transport.close()
        raise asyncio.CancelledError

    def _answers(self, data: str) -> list[str]:
        join_ref, ref, topic, event, payload = json.loads(data)
        response: Any = {}
        if event == "phx_join" and topic.startswith("lv:"):
            response = {"rendered": RENDERED, "liveview_version": "1.2.10"}
        elif event == "event":
            self._clicks += 1
            response = {"diff": {"0": str(self._clicks)}}
        del payload
        return [json.dumps([join_ref, ref, topic, "phx_reply", {"status": "ok", "response": response}])]

    async def _websocket(self, request: web.Request) -> web.WebSocketResponse:
        await self._fail(request)
        socket = web.WebSocketResponse(max_msg_size=0)
        await socket.prepare(request)
        with contextlib.suppress(ConnectionError):
            async for message in socket:
                if message.type is WSMsgType.TEXT:
                    for answer in self._answers(message.data):
                        await socket.send_str(answer)
        return socket

    async def _poll(self, request: web.Request) -> web.Response:
        await self._fail(request)
        token = request.query.getall("token", [""])[-1]
        if token not in self._polls:
            token = f"SFMyNTY.{secrets.token_urlsafe(20)}"
            self._polls[token] = asyncio.Queue()
            return web.json_response({"messages": [], "status": 410, "token": token})
        queue = self._polls[token]
        try:
            messages = [await asyncio.wait_for(queue.get(), WINDOW_S)]
        except TimeoutError:
            return web.json_response({"messages": [], "status": 204, "token": token})
        while not queue.empty():
            messages.append(queue.get_nowait())
        return web.json_response({"messages": messages, "status": 200, "token": token})

    async def _send(self, request: web.Request) -> web.Response:
        await self._fail(request)
        queue = self._polls.get(request.query.getall("token", [""])[-1])
        if queue is None:
            return web.json_response({"status": 410})
        for line in (await request.text()).splitlines():
            for answer in self._answers(line):
                queue.put_nowait(answer)
        return web.json_response({"status": 200})


async def main(port: int) -> None:
    runner = web.AppRunner(App().routes(), access_log=None, shutdown_timeout=0.2)
    await runner.setup()
    await web.TCPSite(runner, "127.0.0.1", port, reuse_address=True).start()
    print("listening", flush=True)
    await asyncio.Event().wait()


if __name__ == "__main__":
    asyncio.run(main(int(sys.argv[1])))
