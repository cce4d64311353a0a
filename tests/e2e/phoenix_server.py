"""A Phoenix endpoint for tests, written from the protocol: serializers V1 and V2, text and binary, WebSocket and long-poll."""

import asyncio
import base64
import json
import secrets
from typing import Any, Self

from aiohttp import WSMsgType, web

RENDERED = {
    "s": ["<ul>", "</ul>", ""],
    "0": {"s": ["<li>", "</li>"], "k": {"0": {"0": "a"}, "1": {"0": "b"}, "kc": 2}},
    "1": 1,
    "c": {"1": {"s": ["<i>", "</i>"], "0": "one"}},
}
DIFFS = {
    "swap": {"0": {"k": {"0": 1, "1": 0, "kc": 2, "km": True}}},
    "component": {"1": 2, "c": {"2": {"s": -1, "0": "two"}}},
}
type Frame = tuple[str | None, str | None, str, str, Any]


def binary_names(data: bytes) -> Frame:
    """A client's binary push."""
    sizes, at, names = data[1:5], 5, []
    for size in sizes:
        names.append(data[at : at + size].decode())
        at += size
    return names[0], names[1], names[2], names[3], data[at:]


def answers(frame: Frame) -> list[Frame]:
    """What the endpoint says to one frame."""
    join_ref, ref, topic, event, payload = frame

    def reply(response: Any, status: str = "ok") -> Frame:
        return join_ref, ref, topic, "phx_reply", {"status": status, "response": response}

    match topic.partition(":")[0], event:
        case "private", "phx_join":
            return [reply({"reason": "unauthorized"}, "error")]
        case "lv", "phx_join" if topic == "lv:phx-login":
            return [reply({"redirect": {"to": "/login", "flash": "SFMyNTY"}}, "error")]
        case "lv", "phx_join" if topic == "lv:phx-stale":
            return [reply({"reason": "stale"}, "error")]
        case "lv", "phx_join":
            return [reply({"rendered": RENDERED, "liveview_version": "1.1.0"})]
        case "lv", "phx_leave":
            return [(join_ref, join_ref, topic, "phx_close", {}), reply({})]
        case _, "phx_leave":
            return [reply({}), (join_ref, join_ref, topic, "phx_close", {})]
        case "lv", "event" if payload["event"] == "crash":
            return [(join_ref, join_ref, topic, "phx_error", {"reason": "channel_crash"})]
        case "lv", "event":
            return [reply({"diff": DIFFS[payload["event"]]})]
        case _, "echo":
            return [reply(payload)]
        case _, "tell":
            return [(None, None, topic, "news", {"n": 1}), reply({})]
        case _, "tell_binary":
            return [(join_ref, None, topic, "binary", b"\x00\xff"), reply({})]
        case _:
            return [reply({})]


def encoded(frame: Frame, vsn: str) -> str | bytes:
    join_ref, ref, topic, event, payload = frame
    if isinstance(payload, bytes):
        names = [(join_ref or "").encode(), topic.encode(), event.encode()]
        return bytes([0, *map(len, names)]) + b"".join(names) + payload
    if isinstance(payload, dict) and isinstance(payload.get("response"), bytes):
        names = [part.encode() for part in (join_ref or "", ref or "", topic, payload["status"])]
        return bytes([1, *map(len, names)]) + b"".join(names) + payload["response"]
    if vsn == "1.0.0":
        return _json({"event": event, "payload": payload, "ref": ref, "topic": topic})
    return _json([join_ref, ref, topic, event, payload])


def _json(value: Any) -> str:
    """As Elixir writes it: without spaces, the keys of small maps sorted, and letters as they are."""
    return json.dumps(value, separators=(",", ":"), sort_keys=True, ensure_ascii=False)


def decoded(data: str | bytes) -> Frame:
    if isinstance(data, bytes):
        return binary_names(data)
    value = json.loads(data)
    if isinstance(value, list):
        return tuple(value)
    return value.get("join_ref"), value["ref"], value["topic"], value["event"], value["payload"]


class PhoenixServer:
    """Serves `/socket/websocket` and `/socket/longpoll` on a port."""

    def __init__(self, port: int) -> None:
        self.port = port
        self.refuse_posts = False
        """Whether long-poll's POSTs are answered as `check_origin` does that refuses their origin."""
        self._polls: dict[str, asyncio.Queue[str]] = {}

    async def __aenter__(self) -> Self:
        app = web.Application()
        app.router.add_get("/socket/websocket", self._websocket)
        app.router.add_get("/socket/longpoll", self._poll)
        app.router.add_post("/socket/longpoll", self._send)
        self._runner = web.AppRunner(app, shutdown_timeout=0.2)
        await self._runner.setup()
        await web.TCPSite(self._runner, "127.0.0.1", self.port).start()
        return self

    async def __aexit__(self, *_: object) -> None:
        await self._runner.cleanup()

    async def _websocket(self, request: web.Request) -> web.WebSocketResponse:
        socket = web.WebSocketResponse(protocols=("phoenix",))
        await socket.prepare(request)
        vsn = request.query["vsn"]
        async for message in socket:
            if message.type not in (WSMsgType.TEXT, WSMsgType.BINARY):
                continue
            for frame in answers(decoded(message.data)):
                out = encoded(frame, vsn)
                await (socket.send_bytes(out) if isinstance(out, bytes) else socket.send_str(out))
        return socket

    def _token(self, request: web.Request) -> str:
        """The last one, as Plug takes it: before it there may be one of the app's own."""
        return request.headers.get("X-Phoenix-Longpoll-Token", request.query.getall("token", [""])[-1])

    async def _poll(self, request: web.Request) -> web.Response:
        token = self._token(request)
        if token not in self._polls:
            token = f"SFMyNTY.{secrets.token_urlsafe(20)}"
            self._polls[token] = asyncio.Queue()
            return web.json_response({"messages": [], "status": 410, "token": token})
        queue = self._polls[token]
        try:
            messages = [await asyncio.wait_for(queue.get(), 2)]
        except TimeoutError:
            return web.json_response({"messages": [], "status": 204, "token": token})
        while not queue.empty():
            messages.append(queue.get_nowait())
        return web.json_response({"messages": messages, "status": 200, "token": token})

    async def _send(self, request: web.Request) -> web.Response:
        token = self._token(request)
        if self.refuse_posts:
            return web.json_response({"status": 403})
        for line in (await request.text()).split("\n"):
            data = line if line[:1] in "[{" else base64.b64decode(line)
            for frame in answers(decoded(data)):
                out = encoded(frame, request.query["vsn"])
                assert isinstance(out, str)
                self._polls[token].put_nowait(out)
        return web.json_response({"status": 200})
