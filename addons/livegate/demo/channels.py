"""Phoenix channels for the demo's socket: several views at a time, with crashes, refused joins and rejoins.

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
"""Frames per view; the socket is not read while so many are pending."""
MAX_CHANNELS = 100
"""Channels per socket; further joins are refused, as in Phoenix 1.8.9."""

type Frame = list[Any]
"""join_ref, ref, topic, event, payload."""
type Send = Callable[[Frame], Awaitable[None]]


class Channel:
    """Channel of one view; PyView uses it as its WebSocket."""

    def __init__(self, topic: str, join_ref: str, send: Send) -> None:
        self.topic, self.join_ref = topic, join_ref
        self.joined = False
        """Whether the view has replied to its join."""
        self.refusal: dict[str, Any] | None = None
        """Response with which the view refuses its join."""
        self.task: asyncio.Task[None] | None = None
        self._send = send
        self._pending: asyncio.Queue[dict[str, Any]] = asyncio.Queue(MAX_PENDING_FRAMES)

    async def put(self, message: dict[str, Any]) -> None:
        """Queue a frame for the view; wait while the queue is full."""
        await self._pending.put(message)

    async def end(self) -> None:
        """Stop the view."""
        if self.task is not None:
            self.task.cancel()
            await asyncio.wait({self.task})

    async def accept(self) -> None:
        """Do nothing, because the socket is already open."""

    async def receive(self) -> dict[str, Any]:
        """Return the next ASGI message."""
        return await self._pending.get()

    async def receive_text(self) -> str:
        """Return the first message, which PyView treats as the join."""
        text: str = (await self._pending.get())["text"]
        return text

    async def send_text(self, text: str) -> None:
        """Send a frame from PyView, and add the join_ref that its pushes lack."""
        join_ref, ref, topic, event, payload = json.loads(text)
        self.joined = True
        await self._send([join_ref or self.join_ref, ref, topic, event, payload])

    async def close(self, code: int = 1000, reason: str | None = None) -> None:
        """Do nothing: PyView refuses a view by closing, but `_run` replies with an error and keeps the socket."""


class PhoenixSocket:
    """Channels of one browser tab's socket, over any transport."""

    def __init__(self, handler: LiveSocketHandler, send: Send) -> None:
        self._handler, self._send = handler, send
        self._channels: dict[str, Channel] = {}
        """Channels by topic; an upload's topic maps to the channel of its view."""
        self._live_sessions: dict[str, str] = {}

    async def receive(self, message: dict[str, Any]) -> None:
        """Process an ASGI message. Raises ValueError for an invalid frame, which closes the socket."""
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
        elif topic.startswith("lvu:") or channel.join_ref == join_ref:  # any other belongs to an earlier join
            if event == "allow_upload":
                self._channels.update(dict.fromkeys((f"lvu:{each['ref']}" for each in payload["entries"]), channel))
            await channel.put(message)

    async def close(self) -> None:
        """Stop all views, because the transport was closed."""
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
        """Return whether a join stays within the live_session of the socket; other pages must be loaded."""
        path = urlsplit(str(payload.get("redirect") or payload.get("url") or "")).path
        target = views.live_session_at(path)
        known = self._live_sessions.setdefault(topic, target)
        return "redirect" not in payload or known == target

    async def _run(self, channel: Channel, ref: str) -> None:
        """Serve a view until it ends, and report how it ended."""
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
        """Stop a view, which sends `phx_close` before the reply, or an upload, which sends it after."""
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
        """Remove a channel and its uploads."""
        for topic in [topic for topic, each in self._channels.items() if each is channel]:
            del self._channels[topic]


def _child_join(topic: str, payload: dict[str, Any]) -> dict[str, Any]:
    """Return the join payload of a nested or sticky view with the URL and the CSRF token that PyView requires.

    PyView checks the signed session, which only this page or this socket can have received.
    """
    path = views.CHILDREN.get(topic.removeprefix("lv:"))
    if path is None:
        return payload
    params = {**payload["params"], "_csrf_token": generate_csrf_token(topic)}
    return {**payload, "redirect": None, "url": path, "params": params}
