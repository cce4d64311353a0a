"""Phoenix's channels for the demo's socket: several views at a time, which crash, are refused and join again.

PyView serves one view on a WebSocket, and an exception in the view ends both. Phoenix has a process for each view, and
the socket outlives them all. So each view gets a PyView handler of its own on a stand-in for the WebSocket; what
Phoenix and LiveView do between them is done here: `phx_error` and `phx_close`, refused joins, nested and sticky views,
uploads beside their view, and frames of an old join that are dropped. Transports (`live`, `longpoll`) bring the frames.
"""

import asyncio
import json
from collections.abc import Awaitable, Callable
from typing import Any
from urllib.parse import urlsplit

from pyview.csrf import generate_csrf_token
from pyview.phx_message import parse_message
from pyview.ws_handler import LiveSocketHandler

from livegate.demo import views

MAX_PENDING_FRAMES = 100
"""Of one view; the socket is read no further while so many wait."""
MAX_CHANNELS = 100
"""Of one socket, as in Phoenix 1.8.9."""

type Frame = list[Any]
"""join_ref, ref, topic, event, payload."""
type Send = Callable[[Frame], Awaitable[None]]


class Channel:
    """One view that is joined or about to be; to PyView it is the WebSocket, and has the methods of one."""

    def __init__(self, topic: str, join_ref: str, send: Send) -> None:
        self.topic, self.join_ref = topic, join_ref
        self.joined = False
        """Whether its join was answered."""
        self.refusal: dict[str, Any] | None = None
        """What the view has to say to its join when it does not want it."""
        self.task: asyncio.Task[None] | None = None
        self._send = send
        self._pending: asyncio.Queue[dict[str, Any]] = asyncio.Queue(MAX_PENDING_FRAMES)

    async def put(self, message: dict[str, Any]) -> None:
        """Give the view a frame; waits while too many wait already."""
        await self._pending.put(message)

    async def end(self) -> None:
        """Stop the view."""
        if self.task is not None:
            self.task.cancel()
            await asyncio.wait({self.task})

    async def accept(self) -> None:
        """The socket is open long since."""

    async def receive(self) -> dict[str, Any]:
        """Return the next message, as ASGI has it."""
        return await self._pending.get()

    async def receive_text(self) -> str:
        """Return the first message; PyView takes it for the join."""
        text: str = (await self._pending.get())["text"]
        return text

    async def send_text(self, text: str) -> None:
        """Send a frame of PyView's, whose pushes lack the join_ref that Phoenix gives them."""
        join_ref, ref, topic, event, payload = json.loads(text)
        self.joined = True
        await self._send([join_ref or self.join_ref, ref, topic, event, payload])

    async def close(self, code: int = 1000, reason: str | None = None) -> None:
        """PyView refuses a view by closing; here the join is answered with an error, and the socket stays."""


class PhoenixSocket:
    """The channels of one browser tab's socket, whatever transport it has."""

    def __init__(self, handler: LiveSocketHandler, send: Send) -> None:
        self._handler, self._send = handler, send
        self._channels: dict[str, Channel] = {}
        """By topic; an upload's leads to that of its view."""
        self._live_sessions: dict[str, str] = {}

    async def receive(self, message: dict[str, Any]) -> None:
        """Take a message, as ASGI has it. Raises ValueError for one that is no frame; that ends a socket."""
        join_ref, ref, topic, event, payload = parse_message(message)
        channel = self._channels.get(topic)
        if topic == "phoenix":
            await self._reply(None, ref, topic, {})
        elif event == "phx_join" and topic.startswith("lv:"):
            await self._join(join_ref, ref, topic, payload)
        elif event == "phx_leave":
            await self._leave(join_ref, ref, topic)
        elif channel is None:
            await self._reply(None, ref, topic, {"reason": "unmatched topic"}, "error")
        elif topic.startswith("lvu:") or channel.join_ref == join_ref:  # any other is of a join that has gone
            if event == "allow_upload":
                self._channels.update(dict.fromkeys((f"lvu:{each['ref']}" for each in payload["entries"]), channel))
            await channel.put(message)

    async def close(self) -> None:
        """The transport has ended; so do all views."""
        for channel in list(self._channels.values()):
            await channel.end()
        self._channels.clear()

    async def _reply(self, join_ref: str | None, ref: str, topic: str, response: Any, status: str = "ok") -> None:
        await self._send([join_ref, ref, topic, "phx_reply", {"response": response, "status": status}])

    # Joins

    async def _join(self, join_ref: str, ref: str, topic: str, payload: dict[str, Any]) -> None:
        before = self._channels.get(topic)
        if before is not None:
            await self._end(before)
            await self._send([before.join_ref, before.join_ref, topic, "phx_close", {}])
        if len(self._channels) >= MAX_CHANNELS:
            await self._reply(join_ref, ref, topic, {"reason": "too many channels joined"}, "error")
            return
        if not self._same_live_session(topic, payload):
            await self._reply(join_ref, ref, topic, {"reason": "unauthorized"}, "error")
            return
        channel = self._channels[topic] = Channel(topic, join_ref, self._send)
        frame = [join_ref, ref, topic, "phx_join", _child_join(topic, payload)]
        await channel.put({"type": "websocket.receive", "text": json.dumps(frame)})
        channel.task = asyncio.create_task(self._run(channel, ref))

    def _same_live_session(self, topic: str, payload: dict[str, Any]) -> bool:
        """Whether a page may be navigated to on the socket: only within one live_session."""
        path = urlsplit(str(payload.get("redirect") or payload.get("url") or "")).path
        wanted = views.live_session_at(path)
        known = self._live_sessions.setdefault(topic, wanted)
        return "redirect" not in payload or known == wanted

    async def _run(self, channel: Channel, ref: str) -> None:
        """Serve a view until it ends, and say how it ended."""
        crashed = False
        try:
            await self._handler.handle(channel)
        except Exception:  # noqa: BLE001 - whatever the view raised; PyView has logged it
            crashed = True
        self._remove(channel)
        join_ref, topic = channel.join_ref, channel.topic
        if not channel.joined:
            refusal = channel.refusal or {"reason": "join crashed" if crashed else "stale"}
            await self._reply(join_ref, ref, topic, refusal, "error")
        elif crashed:
            await self._send([join_ref, join_ref, topic, "phx_error", {"reason": "channel_crash"}])

    async def _leave(self, join_ref: str, ref: str, topic: str) -> None:
        """End a view, which says `phx_close` before the reply, or an upload, which says it after."""
        channel = self._channels.pop(topic, None)
        closing = [join_ref, join_ref, topic, "phx_close", {}]
        if channel is not None and channel.topic == topic:
            await self._end(channel)
            await self._send(closing)
        await self._reply(join_ref, ref, topic, {})
        if channel is not None and channel.topic != topic:
            await self._send(closing)

    async def _end(self, channel: Channel) -> None:
        await channel.end()
        self._remove(channel)

    def _remove(self, channel: Channel) -> None:
        """A view has ended, and with it the uploads beside it."""
        for topic in [topic for topic, each in self._channels.items() if each is channel]:
            del self._channels[topic]


def _child_join(topic: str, payload: dict[str, Any]) -> dict[str, Any]:
    """The join of a nested or sticky view as PyView wants it: with an address, and with a CSRF token of its own.

    Its signed session, which PyView checks, was in the page or came on this socket: so no foreign page can have it.
    """
    path = views.CHILDREN.get(topic.removeprefix("lv:"))
    if path is None:
        return payload
    params = {**payload["params"], "_csrf_token": generate_csrf_token(topic)}
    return {**payload, "redirect": None, "url": path, "params": params}
