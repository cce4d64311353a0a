"""Relay of one WebSocket: two peers, the hooks between them, its limits and timers, and how it closes.

It does no I/O. `mitm.layers` provides the transports: asyncio's own, or ones that write through mitmproxy's layers.
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
from livegate.websocket.history import HistoryBudget, MessageHistory
from livegate.websocket.peer import Peer
from livegate.websocket.transport import Hooks, PeerTransport

logger = logging.getLogger(__name__)

CLOSE_TIMEOUT_S = 5.0
"""Per relay, from the first close frame or end of stream on. Connections still open after it are aborted."""
PONG_TIMEOUT_S = 20.0
"""Per ping of the gateway. Without a pong within it, the relay is aborted."""
PING_RANDOM_BYTES = 8

type Side = Literal["client", "backend", "gateway"]


@dataclass(frozen=True, slots=True)
class CloseInfo:
    """Why a relay closed. The first cause wins."""

    code: int
    """Code of the close frame; 1005 for a frame without one, 1006 for no frame (RFC 6455 section 7.1.5)."""
    reason: str
    by: Side


def _websocket_of(flow: http.HTTPFlow) -> WebSocketData:
    if flow.websocket is None:
        raise ValueError("the flow has no WebSocket")
    return flow.websocket


class WebSocketRelay:
    """One proxied WebSocket: relays the messages of both peers and closes both connections."""

    def __init__(
        self,
        flow: http.HTTPFlow,
        hooks: Hooks,
        limits: WebSocketLimits,
        *,
        client: PeerTransport,
        backend: PeerTransport,
        deflate: Parameters | None,
        on_closed: Callable[["WebSocketRelay"], None],
        budget: HistoryBudget,
        kept_after_close: MessageHistoryLimits | None,
    ) -> None:
        self.flow = flow
        self.websocket = _websocket_of(flow)
        self.hooks = hooks
        self.limits = limits
        self.history = MessageHistory(flow, self.websocket.messages, limits.history, budget)
        self.client = Peer(self, client, limits, deflate, from_client=True)
        self.backend = Peer(self, backend, limits, deflate, from_client=False)
        self.client.other, self.backend.other = self.backend, self.client
        self.close_info: CloseInfo | None = None
        self.closed = False
        self.closing = False
        """Whether the gateway has sent close frames of its own to both peers."""
        self._opened_at = self.client.last_activity
        self._abort_at: float | None = None
        self._ping_at = self._opened_at + limits.ping_every if limits.ping_every else None
        self._timer: asyncio.TimerHandle | None = None
        self._timer_at = 0.0
        self._on_closed = on_closed
        self._kept_after_close = kept_after_close

    @property
    def last_activity(self) -> float:
        """Time of the last bytes from either peer, by `time.monotonic`."""
        return max(self.client.last_activity, self.backend.last_activity)

    def start(self) -> None:
        """Run the `websocket_start` hooks, then relay. An async hook holds back both directions."""
        self.flow.kill = self.kill  # type: ignore[method-assign]  # mitmproxy's own leaves a WebSocket open
        pending = self.hooks.lifecycle("websocket_start", self.flow)
        if pending is not None or self.flow.intercepted:
            for peer in (self.client, self.backend):
                peer.hold()
            retain(asyncio.ensure_future(self._start_after_hooks(pending)))
        self._schedule(time.monotonic())

    async def _start_after_hooks(self, pending: Any) -> None:
        if pending is not None:
            await pending
        await self.flow.wait_for_resume()
        for peer in (self.client, self.backend):
            peer.release()

    def inject(self, message: WebSocketMessage) -> None:
        """Send a message in the name of a peer (`message.from_client`), between two of its own. Its hooks run too."""
        peer = self.client if message.from_client else self.backend
        if self.closing or peer.close_received or peer.at_eof:
            logger.warning("an injected message was not sent: its WebSocket is closing", extra=about(self.flow))
            return
        peer.inject(message)

    def kill(self) -> None:
        """Replace `flow.kill()`: close both connections at once, without a close frame."""
        type(self.flow).kill(self.flow)
        self.abort("killed")

    def abort(self, reason: str) -> None:
        """Close both connections at once, without a close frame. `reason` is logged only."""
        self.set_close_info(close_codes.ABNORMAL, reason, "gateway")
        self._abort_transports()

    def close(self, code: int, reason: str) -> None:
        """Start the close handshake with both peers (RFC 6455 section 7.1.2)."""
        self.set_close_info(code, reason, "gateway")
        if self.closing or self.closed:
            return
        self.closing = True
        frame = close_codes.close_payload(code, reason)
        for peer in (self.client, self.backend):
            if not peer.close_sent:
                peer.send_close(frames.encode(frames.CLOSE, frame, masked=peer is self.backend))
            if peer.close_received or peer.at_eof:
                peer.write_eof()
        self.start_close_timer()

    def fail(self, culprit: Peer, error: close_codes.ViolationError) -> None:
        """Fail the WebSocket connection because of a peer (RFC 6455 section 7.1.7)."""
        if error.code != close_codes.INTERNAL_ERROR:
            logger.info(
                "WebSocket closed with %d because of the %s: %s",
                error.code,
                culprit.name,
                error.reason,
                extra=about(self.flow),
            )
        self.close(error.code, error.reason)
        culprit.write_eof()

    def close_frame_received(self, peer: Peer, event: Close) -> None:
        """Forward a close frame unchanged to the other peer."""
        self.set_close_info(event.code, event.reason, peer.name)
        if not peer.other.close_sent:
            peer.other.send_close(event.wire)
        self.start_close_timer()
        if self.closing:
            peer.write_eof()
        else:
            self.propagate_end()

    def propagate_end(self) -> None:
        """Propagate an end of stream or a completed close handshake to the other peer."""
        client, backend = self.client, self.backend
        handshake_done = client.close_received and backend.close_received
        for peer in (client, backend):
            if not peer.at_eof:
                continue
            if self.closing:
                peer.write_eof()
            elif handshake_done or not peer.close_received or peer.other.at_eof:
                if not peer.close_received:
                    self.set_close_info(close_codes.ABNORMAL, "", peer.name)
                client.write_eof()
                backend.write_eof()

    def peer_disconnected(self) -> None:
        """Finish once both connections have closed."""
        if self.client.disconnected and self.backend.disconnected and not self.closed:
            self.closed = True
            self._finish()

    def set_close_info(self, code: int, reason: str, by: Side) -> None:
        """Record why the relay closes, unless that is known already."""
        if self.close_info is None:
            self.close_info = CloseInfo(code, reason, by)

    def start_close_timer(self) -> None:
        """Give the peers `CLOSE_TIMEOUT_S` to close their connections."""
        if self._abort_at is None and not self.closed:
            now = time.monotonic()
            self._abort_at = now + CLOSE_TIMEOUT_S
            self._schedule(now)

    def _abort_transports(self) -> None:
        for peer in (self.client, self.backend):
            peer.abort()

    def _finish(self) -> None:
        if self._timer is not None:
            self._timer.cancel()
        info = self.close_info or CloseInfo(close_codes.ABNORMAL, "", "gateway")
        websocket = self.websocket
        websocket.timestamp_end = time.time()
        websocket.closed_by_client = info.by == "client"
        websocket.close_code, websocket.close_reason = info.code, info.reason
        vars(self.flow).pop("kill", None)
        self._on_closed(self)
        pending = self.hooks.run("websocket_end", self.flow)
        if pending is None:
            self._release_flow()
        else:
            retain(asyncio.ensure_future(self._finish_after_hooks(pending)))

    async def _finish_after_hooks(self, pending: Any) -> None:
        await pending
        self._release_flow()

    def _release_flow(self) -> None:
        self.flow.live = False
        self.hooks.update(self.flow)
        # Later, because addons that save flows need the whole history while `websocket_end` runs.
        asyncio.get_running_loop().call_soon(self._break_cycles)

    def _break_cycles(self) -> None:
        self.history.release(self._kept_after_close)
        if not self.client.held_by_hook and not self.backend.held_by_hook:  # a hook that holds a message needs them
            self.client.break_cycles()
            self.backend.break_cycles()

    def _schedule(self, now: float) -> None:
        """Keep one timer pending, not later than the first deadline."""
        due = self._next_deadline(now)
        if due is None or (self._timer is not None and self._timer_at <= due):
            return
        if self._timer is not None:
            self._timer.cancel()
        self._timer_at = due
        self._timer = asyncio.get_running_loop().call_later(max(0.0, due - now), self._on_timer)

    def _next_deadline(self, now: float) -> float | None:
        if self._abort_at is not None:
            return self._abort_at
        limits = self.limits
        due = [peer.pong_due for peer in (self.client, self.backend) if peer.pong_due is not None]
        if limits.idle is not None:
            due.append(max(self.last_activity + limits.idle, now + 0.01))
        if limits.max_age is not None:
            due.append(self._opened_at + limits.max_age)
        if self._ping_at is not None:
            due.append(self._ping_at)
        return min(due, default=None)

    def _time_out(self, reason: str, problem: str) -> None:
        logger.warning("WebSocket aborted: %s", problem, extra=about(self.flow, reason))
        self.abort(reason)

    def _on_timer(self) -> None:
        self._timer = None
        if self.closed:
            return
        now = time.monotonic()
        try:
            self._run_timers(now)
        finally:
            if not self.closed:
                self._schedule(now)

    def _run_timers(self, now: float) -> None:
        limits = self.limits
        if self._abort_at is not None:
            if now >= self._abort_at:
                self._abort_at = now + CLOSE_TIMEOUT_S
                self._abort_transports()
            return
        held = self.client.held_by_hook or self.backend.held_by_hook
        if limits.max_age is not None and now >= self._opened_at + limits.max_age:
            self.close(close_codes.SERVICE_RESTART, "open for as long as allowed")
        elif held:
            self.client.last_activity = now  # a message that a hook or a person holds is no idleness
        elif limits.idle is not None and now >= self.last_activity + limits.idle:
            self._time_out("idle", f"no data for {limits.idle:g} s")
        elif any(peer.pong_due is not None and now >= peer.pong_due for peer in (self.client, self.backend)):
            self._time_out("no pong", f"no pong within {PONG_TIMEOUT_S:g} s")
        elif self._ping_at is not None and now >= self._ping_at:
            self._ping_at = now + (limits.ping_every or 0)
            payload = b"livegate" + os.urandom(PING_RANDOM_BYTES)
            for peer in (self.client, self.backend):
                peer.ping(payload, now + PONG_TIMEOUT_S)
