"""One end of a WebSocket: reads its frames, shows its messages to the hooks, and passes them on to the other end."""

import asyncio
import logging
import time
from collections import deque
from dataclasses import dataclass
from typing import Any, Literal, Protocol

from mitmproxy import http
from mitmproxy.websocket import WebSocketMessage
from wsproto.frame_protocol import Opcode

from livegate.logs.context import about
from livegate.settings import FrameRateLimit, WebSocketLimits
from livegate.tasks import retain
from livegate.websocket import frames
from livegate.websocket.close_codes import INTERNAL_ERROR, POLICY, ViolationError
from livegate.websocket.codec import Close, Control, Event, Lane, Message
from livegate.websocket.deflate import Inflater, Parameters
from livegate.websocket.history import History
from livegate.websocket.transport import Hooks, PeerTransport

logger = logging.getLogger(__name__)

_OPCODES = {bits | opcode: opcode for bits in (0, frames.FIN) for opcode in (Opcode.TEXT, Opcode.BINARY)}
"""By the opcode, or by the first byte of a final frame."""
LOCAL = b""
"""Stands for the frames of a message that nobody has sent: an injected one."""


@dataclass(frozen=True, slots=True)
class ControlFrame:
    """A ping or a pong on its way, as the `websocket_control` hook sees it."""

    from_client: bool
    is_ping: bool
    payload: bytes


@dataclass(slots=True)
class Shown:
    """A message whose hooks are not through yet."""

    event: Message
    message: WebSocketMessage
    pending: Any


class RelayEvents(Protocol):
    """The relay as its two peers see it: shared state, and the events that they report."""

    flow: http.HTTPFlow
    hooks: Hooks
    history: History
    closing: bool

    def fail(self, culprit: "Peer", error: ViolationError) -> None:
        """A peer violated the protocol or a limit, or a hook raised."""

    def close_frame_received(self, peer: "Peer", event: Close) -> None:
        """A peer sent a close frame."""

    def propagate_end(self) -> None:
        """A peer's stream has ended, and all that it sent has been forwarded."""

    def peer_disconnected(self) -> None:
        """A peer's connection has closed."""

    def start_close_timer(self) -> None:
        """A peer was sent the end of the stream."""


class Peer:
    """What one end sends. A message reaches the other end when all hooks have seen it; the order is kept."""

    other: "Peer"

    def __init__(
        self,
        relay: RelayEvents,
        leg: PeerTransport,
        limits: WebSocketLimits,
        deflate: Parameters | None,
        *,
        from_client: bool,
    ) -> None:
        self.leg = leg
        self.from_client = from_client
        self.name: Literal["client", "backend"] = "client" if from_client else "backend"
        self.held = False
        """Whether a hook holds back what this end sends."""
        self.close_received = False
        self.close_sent = False
        """Whether a close frame was sent to this end."""
        self.listens = True
        """Whether this end may still be sent something: not after a close frame, nor after the end of the stream."""
        self.ended = False
        """Whether this end will send no more."""
        self.lost_for_good = False
        self.messages = 0
        self.bytes = 0
        self.pings = 0
        self.pongs = 0
        self.pong_due: float | None = None
        self.last_activity = time.monotonic()
        """When the last bytes arrived."""
        self._ping_key = b""
        self._relay = relay
        self._flow = relay.flow
        self._hooks = relay.hooks
        self._kept = relay.history.messages
        self._lane = Lane(
            masked=from_client, max_message=limits.max_message, inflater=_inflater(deflate, from_client=from_client)
        )
        self._whole = self._lane.whole
        self._history = relay.history
        self._rate = FrameRate(limits.frame_rate) if from_client and limits.frame_rate != FrameRateLimit() else None
        self._injected: deque[WebSocketMessage] = deque()
        self._busy = False
        self._finished = False
        self._blocked = False
        """Whether the other end does not take what it is sent."""

    def receive(self, data: bytes) -> None:
        """Bytes from this end."""
        if self._finished or self.close_received:
            return  # after a close frame nothing more is to be said (RFC 6455 section 5.5.1)
        self.last_activity = time.monotonic()
        flow = self._flow
        if self._busy or self.held or self._relay.closing or flow.intercepted or self._rate is not None:
            payload = None
        else:
            payload = self._whole(data)
        if payload is None:
            self._lane.receive(data)
            if not self._busy and not self.held:
                self._run()
            return
        # Nearly all messages: one frame, and nothing else is under way. What follows is `_take` for these.
        shown: Shown | None = None
        self._busy = True
        try:
            message = RelayedMessage(_OPCODES[data[0]], self.from_client, payload)
            self._kept.append(message)
            pending = self._hooks.run("websocket_message", flow)
            if pending is not None or flow.intercepted:
                shown = Shown(Message(message.type, payload, data), message, pending)
            elif message.content is payload and not message.dropped:
                self._count(len(payload))
            else:
                data = self._through(Message(message.type, payload, data), message)
        except Exception as error:  # noqa: BLE001 - it is logged and ends the socket
            self._busy = False
            self._relay.fail(self, _fault(error, self._flow))
            return
        self._busy = False
        if shown is None and data and self.other.listens:
            self.other.leg.write(data)
        if shown is not None or self._injected or self.ended:
            self._go_on(shown)

    def end_of_stream(self) -> None:
        """Nothing more will come from here; what has come goes on first."""
        self.ended = True
        if not self._busy and not self.held:
            self._relay.propagate_end()

    def lost(self) -> None:
        """The connection is over."""
        self.lost_for_good = True
        self._finished = True
        self.listens = False
        if not self.ended:
            self.end_of_stream()
        self._relay.peer_disconnected()

    def leave(self) -> None:
        """The socket is over for all: refer to nothing that refers back, which only Python's collector could free."""
        del self.leg, self.other, self._relay

    def block_writing(self, *, blocked: bool) -> None:
        """Tell whether this end is behind with taking what it is sent: the other end has to wait then."""
        self.other.wait_for_other(blocked=blocked)

    def wait_for_other(self, *, blocked: bool) -> None:
        """Read nothing from here while the other end does not take what it was sent."""
        self._blocked = blocked
        self._read_or_not()

    def hold(self) -> None:
        """Keep what this end sends until `let_go`."""
        self.held = True
        self._read_or_not()

    def let_go(self) -> None:
        """Go on with what was held back."""
        self.held = False
        self._read_or_not()
        self._run()

    def inject(self, message: WebSocketMessage) -> None:
        """Send a message in this end's name, after the one that is under way."""
        message.injected = True
        self._injected.append(message)
        if not self._busy and not self.held:
            self._run()

    def send_close(self, wire: bytes) -> None:
        """Send a close frame to this end."""
        if self.listens:
            self.leg.write(wire)
        self.close_sent = True
        self.listens = False

    def ping(self, key: bytes, pong_due: float) -> None:
        """Send a ping of the gateway's own to this end; its pong goes no further."""
        if self.listens:
            self._ping_key, self.pong_due = key, pong_due
            self.leg.write(frames.encode(frames.PING, key, masked=not self.from_client))

    def finish(self) -> None:
        """Send this end the end of the stream; what it still sends is ignored."""
        if not self._finished:
            self._finished = True
            self.listens = False
            self.leg.write_eof()
            self._relay.start_close_timer()

    def abort(self) -> None:
        """End the connection to this end at once."""
        self._finished = True
        self.listens = False
        if not self.lost_for_good:
            self.leg.abort()

    def _read_or_not(self) -> None:
        if self.held or self._blocked:
            self.leg.pause_reading()
        else:
            self.leg.resume_reading()

    def _run(self) -> None:
        """Handle all that came, up to a message that a hook holds back."""
        self._go_on(self._work())

    def _go_on(self, shown: Shown | None) -> None:
        if shown is not None:
            self.hold()
            retain(asyncio.ensure_future(self._wait(shown)))
        elif self._injected:
            self._run()
        elif self.ended:
            self._relay.propagate_end()

    async def _wait(self, shown: Shown | None) -> None:
        while shown is not None:
            if shown.pending is not None:
                await shown.pending
            await self._flow.wait_for_resume()
            if not self._relay.closing:
                self._pass_on(shown)
            shown = self._work()
        self.held = False
        self._read_or_not()
        if self.ended:
            self._relay.propagate_end()

    def _pass_on(self, shown: Shown) -> None:
        """A message that was held back goes on."""
        try:
            data = self._through(shown.event, shown.message)
        except Exception as error:  # noqa: BLE001 - it is logged and ends the socket
            self._relay.fail(self, _fault(error, self._flow))
            return
        if data and self.other.listens:
            self.other.leg.write(data)

    def _work(self) -> Shown | None:
        """Take what came, message by message; returns the one that has to wait for its hooks."""
        output: list[bytes] = []
        outcome: Shown | Close | None = None
        problem: ViolationError | None = None
        self._busy = True
        try:
            outcome = self._take(output)
        except ViolationError as error:
            problem = error
        except Exception as error:  # noqa: BLE001 - it is logged and ends the socket
            problem = _fault(error, self._flow)
        self._busy = False
        if output and self.other.listens:
            self.other.leg.write(output[0] if len(output) == 1 else b"".join(output))
        if problem is not None:
            self._relay.fail(self, problem)
        elif isinstance(outcome, Close):
            self.close_received = True
            self._relay.close_frame_received(self, outcome)
        return outcome if isinstance(outcome, Shown) else None

    def _take(self, output: list[bytes]) -> Shown | Close | None:
        lane, relay = self._lane, self._relay
        while not self._finished:
            if self._injected:
                message = self._injected.popleft()
                event: Event | None = Message(int(message.type), message.content, LOCAL)
            else:
                event = lane.next()
                if event is None:
                    return None
                if self._rate is not None:
                    self._rate.count(len(event.wire), time.monotonic())
                if type(event) is Message:
                    message = RelayedMessage(_OPCODES[event.opcode], self.from_client, event.payload)
            if type(event) is Close:
                return event
            if relay.closing:
                continue  # both ends were told already that this is over
            if type(event) is Control:
                output.append(self._pass_control(event))
            elif type(event) is Message:
                shown = self._show(event, message)
                if shown is not None:
                    return shown
                output.append(self._through(event, message))
        return None

    def _show(self, event: Message, message: WebSocketMessage) -> Shown | None:
        """Let the hooks see a message; returns it when they are not through with it yet."""
        self._kept.append(message)
        flow = self._flow
        held = flow.intercepted  # by a message of the other direction, which is not to hold back this one
        if held:
            flow.intercepted = False
        pending = self._hooks.run("websocket_message", flow)
        if pending is not None or flow.intercepted:
            return Shown(event, message, pending)
        if held:
            flow.intercepted = True
        return None

    def _count(self, size: int) -> None:
        """A message that all hooks have seen."""
        self.messages += 1
        self.bytes += size
        self._history.added(size)
        if self._hooks.has_ui:
            self._hooks.update(self._flow)

    def _through(self, event: Message, message: WebSocketMessage) -> bytes:
        self._count(len(message.content))
        return self._output(event, message)

    def _output(self, event: Message, message: WebSocketMessage) -> bytes:
        """What the other end gets of a message."""
        content = None if message.dropped else message.content
        if event.wire:
            return self._lane.forward(event, content)
        return b"" if content is None else frames.encode(event.opcode, content, masked=self.from_client)

    def _pass_control(self, event: Control) -> bytes:
        is_ping = event.opcode == frames.PING
        if is_ping:
            self.pings += 1
        elif self._ping_key and event.payload == self._ping_key:
            self._ping_key, self.pong_due = b"", None
            return b""
        else:
            self.pongs += 1
        pending = self._hooks.run(
            "websocket_control", self._flow, ControlFrame(self.from_client, is_ping, event.payload)
        )
        if pending is not None:
            retain(asyncio.ensure_future(pending))
        return event.wire


class RelayedMessage(WebSocketMessage):
    """A message that was just received, made with less ado than mitmproxy's own constructor takes."""

    def __init__(self, opcode: Opcode, from_client: bool, content: bytes) -> None:
        self.from_client = from_client
        self.type = opcode
        self.content = content
        self.timestamp = time.time()
        self.dropped = False
        self.injected = False


def _fault(error: Exception, flow: http.HTTPFlow) -> ViolationError:
    """Our own fault, or an addon's: neither end may hang, and the log must say so."""
    logger.error("a WebSocket is closed because the gateway failed", exc_info=error, extra=about(flow))
    return ViolationError(INTERNAL_ERROR, "the gateway failed")


class FrameRate:
    """Counts a client's frames and bytes in windows of one second."""

    def __init__(self, limits: FrameRateLimit) -> None:
        self._limits = limits
        self._window_ends = 0.0
        self._frames = 0
        self._bytes = 0

    def count(self, size: int, now: float) -> None:
        """One frame, or one message of several, of so many bytes. Raises ViolationError (1008) past the limit."""
        if now >= self._window_ends:
            self._window_ends = now + 1
            self._frames = self._bytes = 0
        self._frames += 1
        self._bytes += size
        limits = self._limits
        too_many = limits.messages is not None and self._frames > limits.messages
        if too_many or (limits.bytes is not None and self._bytes > limits.bytes):
            raise ViolationError(POLICY, "too many frames" if too_many else "too many bytes")


def _inflater(deflate: Parameters | None, *, from_client: bool) -> Inflater | None:
    if deflate is None:
        return None
    return Inflater(
        takeover=not (deflate.client_no_context_takeover if from_client else deflate.server_no_context_takeover)
    )
