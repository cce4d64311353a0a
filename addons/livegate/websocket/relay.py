"""One WebSocket through the gateway: two peers, the hooks between them, its bounds, and how it ends.

The session decides; bytes come and go by the legs that `mitm` provides, raw transports or mitmproxy's layers.
"""

import asyncio
import logging
import os
import time
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, Literal

from mitmproxy import http
from mitmproxy.websocket import WebSocketData, WebSocketMessage

from livegate.logs.context import about
from livegate.settings import MessageHistoryLimits, WebSocketLimits
from livegate.tasks import retain
from livegate.websocket import close_codes, frames
from livegate.websocket.codec import Close
from livegate.websocket.deflate import Parameters
from livegate.websocket.history import History, Shelf
from livegate.websocket.peer import Peer
from livegate.websocket.transport import Hooks, PeerTransport

logger = logging.getLogger(__name__)

CLOSE_WITHIN_S = 5.0
"""How long a peer may take to answer a close frame, or to end its connection."""
PONG_WITHIN_S = 20.0
PING_KEY_BYTES = 8

type Side = Literal["client", "backend", "gateway"]


@dataclass(frozen=True, slots=True)
class Ending:
    """Why a socket ended, as it was first known."""

    code: int
    """Of the close frame; 1005 when it had none, 1006 when there was no close frame."""
    reason: str
    by: Side


def _websocket_of(flow: http.HTTPFlow) -> WebSocketData:
    if flow.websocket is None:
        raise ValueError("not the flow of a WebSocket")
    return flow.websocket


class Session:
    """Both directions of a socket."""

    def __init__(
        self,
        flow: http.HTTPFlow,
        hooks: Hooks,
        limits: WebSocketLimits,
        *,
        client: PeerTransport,
        server: PeerTransport,
        deflate: Parameters | None,
        ended: Callable[["Session"], None],
        shelf: Shelf,
        keep_after_end: MessageHistoryLimits | None,
    ) -> None:
        self.flow = flow
        self.websocket = _websocket_of(flow)
        self.hooks = hooks
        self.limits = limits
        self.history = History(flow, self.websocket.messages, limits.history, shelf)
        self.client = Peer(self, client, limits, deflate, from_client=True)
        self.server = Peer(self, server, limits, deflate, from_client=False)
        self.client.other, self.server.other = self.server, self.client
        self.ending: Ending | None = None
        self.over = False
        self.closing = False
        """Whether the gateway itself has sent close frames to both peers."""
        self._began = self.client.last_activity
        self._cut_at: float | None = None
        self._ping_at = self._began + limits.ping_every if limits.ping_every else None
        self._timer: asyncio.TimerHandle | None = None
        self._timer_at = 0.0
        self._ended = ended
        self._keep_after_end = keep_after_end

    def start(self) -> None:
        """Begin; `websocket_start` comes first, and an async one holds back both directions."""
        self.flow.kill = self.kill  # type: ignore[method-assign]  # mitmproxy's own does nothing to a live socket
        pending = self.hooks.lifecycle("websocket_start", self.flow)
        if pending is not None or self.flow.intercepted:
            for peer in (self.client, self.server):
                peer.hold()
            retain(asyncio.ensure_future(self._begin(pending)))
        self._schedule(time.monotonic())

    async def _begin(self, pending: Any) -> None:
        if pending is not None:
            await pending
        await self.flow.wait_for_resume()
        for peer in (self.client, self.server):
            peer.let_go()

    def inject(self, message: WebSocketMessage) -> None:
        """Send a message in the name of a peer, between two of its own; the hooks see it too."""
        peer = self.client if message.from_client else self.server
        if self.closing or peer.close_received or peer.ended:
            logger.warning(
                "a message was injected into a WebSocket that is closing: it is not sent", extra=about(self.flow)
            )
            return
        peer.inject(message)

    def kill(self) -> None:
        """Stands in for `flow.kill()`: end both connections at once, without a close frame."""
        type(self.flow).kill(self.flow)
        self.cut("killed")

    def cut(self, reason: str) -> None:
        """End both connections without a close frame, on the gateway's own initiative."""
        self.note(close_codes.ABNORMAL, reason, "gateway")
        self._abort()

    def close(self, code: int, reason: str) -> None:
        """Close the socket on the gateway's own initiative: both peers get a close frame and a while to answer it."""
        self.note(code, reason, "gateway")
        if self.closing or self.over:
            return
        self.closing = True
        frame = close_codes.close_payload(code, reason)
        for peer in (self.client, self.server):
            if not peer.close_sent:
                peer.send_close(frames.encode(frames.CLOSE, frame, masked=peer is self.server))
            if peer.close_received or peer.ended:
                peer.finish()
        self.start_close_timer()

    def fail(self, culprit: Peer, error: close_codes.ViolationError) -> None:
        """A peer broke the protocol or a bound."""
        if error.code != close_codes.INTERNAL_ERROR:
            logger.info(
                "WebSocket closed with %d because of the %s: %s",
                error.code,
                culprit.name,
                error.reason,
                extra=about(self.flow),
            )
        self.close(error.code, error.reason)
        culprit.finish()

    def close_frame_received(self, peer: Peer, event: Close) -> None:
        """A close frame came: the other peer gets it as it is."""
        self.note(event.code, event.reason, peer.name)
        if not peer.other.close_sent:
            peer.other.send_close(event.wire)
        self.start_close_timer()
        if self.closing:
            peer.finish()
        else:
            self.propagate_end()

    def propagate_end(self) -> None:
        """See whether what has ended on one side has to end on the other."""
        client, server = self.client, self.server
        handshake_done = client.close_received and server.close_received
        for peer in (client, server):
            if not peer.ended:
                continue
            if self.closing:
                peer.finish()
            elif handshake_done or not peer.close_received or peer.other.ended:
                if not peer.close_received:
                    self.note(close_codes.ABNORMAL, "", peer.name)
                client.finish()
                server.finish()

    def peer_disconnected(self) -> None:
        """One connection is over; when both are, the socket is."""
        if self.client.lost_for_good and self.server.lost_for_good and not self.over:
            self.over = True
            self._end()

    def note(self, code: int, reason: str, by: Side) -> None:
        """Remember why it ends; the first cause counts."""
        if self.ending is None:
            self.ending = Ending(code, reason, by)

    def start_close_timer(self) -> None:
        """From now on the peers have `CLOSE_WITHIN_S` to end their connections."""
        if self._cut_at is None and not self.over:
            now = time.monotonic()
            self._cut_at = now + CLOSE_WITHIN_S
            self._schedule(now)

    def _abort(self) -> None:
        for peer in (self.client, self.server):
            peer.abort()

    def _end(self) -> None:
        if self._timer is not None:
            self._timer.cancel()
        ending = self.ending or Ending(close_codes.ABNORMAL, "", "gateway")
        websocket = self.websocket
        websocket.timestamp_end = time.time()
        websocket.closed_by_client = ending.by == "client"
        websocket.close_code, websocket.close_reason = ending.code, ending.reason
        vars(self.flow).pop("kill", None)
        self._ended(self)
        pending = self.hooks.run("websocket_end", self.flow)
        if pending is None:
            self._ended_for_all()
        else:
            retain(asyncio.ensure_future(self._end_later(pending)))

    async def _end_later(self, pending: Any) -> None:
        await pending
        self._ended_for_all()

    def _ended_for_all(self) -> None:
        self.flow.live = False
        self.hooks.update(self.flow)
        # Not before whoever saves flows has seen the whole event.
        asyncio.get_running_loop().call_soon(self._leave)

    def _leave(self) -> None:
        self.history.ended(self._keep_after_end)
        if not self.client.held and not self.server.held:  # else a hook is still at a message
            self.client.leave()
            self.server.leave()

    def _schedule(self, now: float) -> None:
        """Keep one timer pending, not later than the first thing that is due."""
        due = self._next_due(now)
        if due is None or (self._timer is not None and self._timer_at <= due):
            return
        if self._timer is not None:
            self._timer.cancel()
        self._timer_at = due
        self._timer = asyncio.get_running_loop().call_later(max(0.0, due - now), self._on_timer)

    def _next_due(self, now: float) -> float | None:
        if self._cut_at is not None:
            return self._cut_at
        limits = self.limits
        due = [peer.pong_due for peer in (self.client, self.server) if peer.pong_due is not None]
        if limits.idle is not None:
            due.append(max(self.last_activity + limits.idle, now + 0.01))
        if limits.max_age is not None:
            due.append(self._began + limits.max_age)
        if self._ping_at is not None:
            due.append(self._ping_at)
        return min(due, default=None)

    @property
    def last_activity(self) -> float:
        """Time of the last bytes from either peer."""
        return max(self.client.last_activity, self.server.last_activity)

    def _time_out(self, reason: str, what: str) -> None:
        logger.warning("WebSocket cut, %s", what, extra=about(self.flow, reason))
        self.cut(reason)

    def _on_timer(self) -> None:
        self._timer = None
        if self.over:
            return
        now = time.monotonic()
        try:
            self._what_is_due(now)
        finally:
            if not self.over:
                self._schedule(now)

    def _what_is_due(self, now: float) -> None:
        limits = self.limits
        if self._cut_at is not None:
            if now >= self._cut_at:
                self._cut_at = now + CLOSE_WITHIN_S
                self._abort()
            return
        held = self.client.held or self.server.held
        if limits.max_age is not None and now >= self._began + limits.max_age:
            self.close(close_codes.SERVICE_RESTART, "open for as long as allowed")
        elif held:
            self.client.last_activity = now  # somebody is looking at a message: that is not idleness
        elif limits.idle is not None and now >= self.last_activity + limits.idle:
            self._time_out("idle", f"nothing was sent for {limits.idle:g} s")
        elif any(peer.pong_due is not None and now >= peer.pong_due for peer in (self.client, self.server)):
            self._time_out("no pong", f"a ping was not answered within {PONG_WITHIN_S:g} s")
        elif self._ping_at is not None and now >= self._ping_at:
            self._ping_at = now + (limits.ping_every or 0)
            key = b"livegate" + os.urandom(PING_KEY_BYTES)
            for peer in (self.client, self.server):
                peer.ping(key, now + PONG_WITHIN_S)
