"""A LiveView app, written from the protocol, that does what it is told to do wrong: by the page's path, or by an event."""

import itertools
import json
from collections.abc import Mapping
from typing import Any

from aiohttp import WSMsgType, web
from backends import Backend

PAGE = """<!doctype html><html><head><meta name="csrf-token" content="a-csrf-token"></head>
<body><div id="phx-{id}" data-phx-main data-phx-session="e30" data-phx-static="">{path}</div></body></html>"""
OK: Mapping[str, Any] = {"rendered": {"s": ["<p>here</p>"]}}
REFUSED = {
    "/stale": {"reason": "stale"},
    "/unauthorized": {"reason": "unauthorized"},
    "/reload": {"reason": "reload", "status": 404},
    "/join-crashed": {"reason": "join crashed"},
    "/unmatched": {"reason": "unmatched topic"},
    "/too-many": {"reason": "too many channels joined"},
}
MASKED_FRAME = b"\x81\x81\x01\x02\x03\x04\x60"
BROKEN_TEXT = b"\x81\x02\xff\xfe"


class FaultyApp(Backend):
    """`/live/websocket`, `/live/longpoll`, a page at any other path below `/p/`, and `/status/{n}` for upgrades."""

    def __init__(self) -> None:
        super().__init__()
        self.refuse_upgrades = 0
        """The status with which the next upgrades at `/live/websocket` are refused; 0 for none."""
        self._ids = itertools.count(1)
        self._polls: dict[str, list[str]] = {}
        router = self.app.router
        router.add_get("/p/{name}", self._page)
        router.add_get("/status/{status}/websocket", self._status)
        router.add_get("/live/websocket", self._live)
        router.add_get("/live/longpoll", self._poll)
        router.add_post("/live/longpoll", self._polled)

    async def _page(self, request: web.Request) -> web.Response:
        page = PAGE.format(id=f"F{next(self._ids)}", path=request.path)
        response = web.Response(text=page, content_type="text/html")
        response.set_cookie("_app_key", "a-session")
        return response

    async def _status(self, request: web.Request) -> web.Response:
        status = int(request.match_info["status"])
        return web.Response(status=status, headers={"Location": "https://a.test/"} if status < 400 else {})

    async def _live(self, request: web.Request) -> web.StreamResponse:
        if self.refuse_upgrades:
            return web.Response(status=self.refuse_upgrades)
        if "upgrade" not in request.headers:
            return web.Response(status=400)
        socket = web.WebSocketResponse(max_msg_size=64 * 1024)
        await socket.prepare(request)
        async for message in socket:
            if message.type is WSMsgType.TEXT:
                await self._frame(request, socket, json.loads(message.data))
        return socket

    async def _frame(self, request: web.Request, socket: web.WebSocketResponse, frame: list[Any]) -> None:
        join_ref, _, topic, _, payload = frame
        name = payload.get("event", "")
        verb, _, argument = str(name).partition(" ")
        transport = request.transport
        assert transport is not None
        match verb:
            case "kill":
                transport.abort()
            case "silence":
                pass
            case "close":
                await socket.close(code=int(argument))
            case "say":
                await socket.close(code=1002, message=argument.encode())
            case "raw":
                transport.write({"masked": MASKED_FRAME, "text": BROKEN_TEXT}[argument])  # type: ignore[attr-defined]
            case "big":
                await socket.send_str(json.dumps([join_ref, None, topic, "diff", {"0": "x" * 70_000}]))
            case "crash":
                await socket.send_str(json.dumps([join_ref, join_ref, topic, "phx_error", {}]))
            case _:
                await socket.send_str(json.dumps(answer(frame)))

    async def _poll(self, request: web.Request) -> web.Response:
        token = request.query.get("token", "")
        if token not in self._polls:
            token = f"poll-{next(self._ids)}"
            self._polls[token] = []
            return web.json_response({"messages": [], "status": 410, "token": token})
        messages, self._polls[token] = self._polls[token], []
        return web.json_response({"messages": messages, "status": 200, "token": token})

    async def _polled(self, request: web.Request) -> web.Response:
        token = request.query["token"]
        if token not in self._polls:
            return web.json_response({"status": 410})
        for line in (await request.text()).splitlines():
            self._polls[token].append(json.dumps(answer(json.loads(line))))
        return web.json_response({"status": 200})

    def forget_polls(self) -> None:
        """As a restart does."""
        self._loop.call_soon_threadsafe(self._polls.clear)


def answer(frame: list[Any]) -> list[Any]:
    """The reply to a frame, good or as the page's path asks for."""
    join_ref, ref, topic, event, payload = frame
    response: Mapping[str, Any] = {}
    path = "/" + str(payload.get("url") or "").rpartition("/")[2]
    if event == "phx_join":
        response = REFUSED.get(path) or (OK | {"liveview_version": "0.20.17"} if path == "/old-server" else OK)
    status = "error" if response in REFUSED.values() else "ok"
    return [join_ref, ref, topic, "phx_reply", {"status": status, "response": response}]
