"""One end of a relayed WebSocket: decodes its frames, runs the hooks, and forwards its messages to the other end."""

import asyncio
import logging
import time
from collections import deque
from collections.abc import Awaitable
from dataclasses import dataclass
from typing import Literal, Protocol

from mitmproxy import http
from mitmproxy.websocket import WebSocketMessage
from wsproto.frame_protocol import Opcode

from livegate.logs.context import about
from livegate.settings import FrameRateLimit, WebSocketLimits
from livegate.tasks import retain
from livegate.websocket import frames
from livegate.websocket.close_codes import INTERNAL_ERROR, ViolationError
from livegate.websocket.codec import Close, Control, Event, Message, MessageCodec
from livegate.websocket.deflate import Inflater, Parameters
from livegate.websocket.frame_rate import FrameRateLimiter
from livegate.websocket.history import MessageHistory
from livegate.websocket.transport import Hooks, PeerTransport

logger = logging.getLogger(__name__)

_OPCODES = {bits | opcode: opcode for bits in (0, frames.FIN) for opcode in (Opcode.TEXT, Opcode.BINARY)}
"""By the opcode, or by the first byte of a final frame."""
INJECTED = b""
"""`Message.wire` of an injected message, which has no frames."""


@dataclass(frozen=True, slots=True)
class ControlFrame:
    """A ping or pong, as the `websocket_control` hook gets it."""

    from_client: bool
    is_ping: bool
    payload: bytes


@dataclass(slots=True)
class PendingMessage:
    """A message that is waiting for its `websocket_message` hooks to finish."""

    event: Message
    message: WebSocketMessage
    hooks: Awaitable[None] | None


class RelayEvents(Protocol):
    """The relay as its two peers see it: shared state, and the events that they report."""

    flow: http.HTTPFlow
    hooks: Hooks
    history: MessageHistory
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
    """One end of a relayed WebSocket; its transport calls it like an `asyncio.Protocol`.

    A message reaches the other end after all its hooks have finished. The order of messages is kept.
    """

    other: "Peer"

    def __init__(
        self,
        relay: RelayEvents,
        transport: PeerTransport,
        limits: WebSocketLimits,
        deflate: Parameters | None,
        *,
        from_client: bool,
    ) -> None:
        self.transport = transport
        self.from_client = from_client
        self.name: Literal["client", "backend"] = "client" if from_client else "backend"
        self.held_by_hook = False
        """Whether a hook holds back what this end sends."""
        self.close_received = False
        self.close_sent = False
        """Whether a close frame was sent to this end."""
        self.writable = True
        """Whether this end may be sent data: false after a close frame or the end of the stream."""
        self.at_eof = False
        """Whether this end has ended its stream."""
        self.disconnected = False
        self.messages = 0
        self.bytes = 0
        self.pings = 0
        self.pongs = 0
        self.pong_due: float | None = None
        self.last_activity = time.monotonic()
        """When the last bytes arrived."""
        self._ping_payload = b""
        self._relay = relay
        self._flow = relay.flow
        self._hooks = relay.hooks
        self._flow_messages = relay.history.messages
        self._codec = MessageCodec(
            masked=from_client, max_message=limits.max_message, inflater=_inflater(deflate, from_client=from_client)
        )
        self._decode_single_frame = self._codec.decode_single_frame
        self._history = relay.history
        is_limited = from_client and limits.frame_rate != FrameRateLimit()
        self._rate_limiter = FrameRateLimiter(limits.frame_rate) if is_limited else None
        self._injected: deque[WebSocketMessage] = deque()
        self._busy = False
        """Whether a message is being processed; guards against re-entrance from hooks."""
        self._discards_input = False
        self._throttled = False
        """Whether the other end's write buffer is full."""

    def data_received(self, data: bytes) -> None:
        """Process bytes from this end. A single whole frame takes a fast path that equals `_process_events`."""
        if self._discards_input or self.close_received:
            return  # data after a close frame is ignored (RFC 6455 section 5.5.1)
        self.last_activity = time.monotonic()
        flow = self._flow
        if self._busy or self.held_by_hook or self._relay.closing or flow.intercepted or self._rate_limiter is not None:
            payload = None
        else:
            payload = self._decode_single_frame(data)
        if payload is None:
            self._codec.feed(data)
            if not self._busy and not self.held_by_hook:
                self._process_buffered()
            return
        pending: PendingMessage | None = None
        self._busy = True
        try:
            message = RelayedMessage(_OPCODES[data[0]], self.from_client, payload)
            self._flow_messages.append(message)
            hooks = self._hooks.run("websocket_message", flow)
            if hooks is not None or flow.intercepted:
                pending = PendingMessage(Message(message.type, payload, data), message, hooks)
            elif message.content is payload and not message.dropped:
                self._record_message(len(payload))
            else:
                data = self._finish(Message(message.type, payload, data), message)
        except Exception as error:  # noqa: BLE001 - logged, and closes the WebSocket
            self._busy = False
            self._relay.fail(self, _internal_error(error, self._flow))
            return
        self._busy = False
        if pending is None and data and self.other.writable:
            self.other.transport.write(data)
        if pending is not None or self._injected or self.at_eof:
            self._continue(pending)

    def eof_received(self) -> None:
        """Note the end of this end's stream. What is buffered is forwarded first."""
        self.at_eof = True
        if not self._busy and not self.held_by_hook:
            self._relay.propagate_end()

    def connection_lost(self) -> None:
        """Note that the connection has closed, both ways. Called once."""
        self.disconnected = True
        self._discards_input = True
        self.writable = False
        if not self.at_eof:
            self.eof_received()
        self._relay.peer_disconnected()

    def pause_writing(self) -> None:
        """Stop reading from the other end, because this end's write buffer is full."""
        self.other.throttle(throttled=True)

    def resume_writing(self) -> None:
        """Read from the other end again."""
        self.other.throttle(throttled=False)

    def throttle(self, *, throttled: bool) -> None:
        """Pause or resume reading from this end."""
        self._throttled = throttled
        self._update_reading()

    def break_cycles(self) -> None:
        """Drop the references that lead back here, so that reference counting frees the closed relay."""
        del self.transport, self.other, self._relay

    def hold(self) -> None:
        """Hold back what this end sends until `release`."""
        self.held_by_hook = True
        self._update_reading()

    def release(self) -> None:
        """Process what was held back."""
        self.held_by_hook = False
        self._update_reading()
        self._process_buffered()

    def inject(self, message: WebSocketMessage) -> None:
        """Send a message in this end's name, after the message in progress."""
        message.injected = True
        self._injected.append(message)
        if not self._busy and not self.held_by_hook:
            self._process_buffered()

    def send_close(self, wire: bytes) -> None:
        """Send a close frame to this end."""
        if self.writable:
            self.transport.write(wire)
        self.close_sent = True
        self.writable = False

    def ping(self, payload: bytes, pong_due: float) -> None:
        """Send this end a ping of the gateway's own. Its pong is not forwarded."""
        if self.writable:
            self._ping_payload, self.pong_due = payload, pong_due
            self.transport.write(frames.encode(frames.PING, payload, masked=not self.from_client))

    def write_eof(self) -> None:
        """Send this end the end of the stream, and discard what it still sends."""
        if not self._discards_input:
            self._discards_input = True
            self.writable = False
            self.transport.write_eof()
            self._relay.start_close_timer()

    def abort(self) -> None:
        """Close the connection to this end at once."""
        self._discards_input = True
        self.writable = False
        if not self.disconnected:
            self.transport.abort()

    def _update_reading(self) -> None:
        if self.held_by_hook or self._throttled:
            self.transport.pause_reading()
        else:
            self.transport.resume_reading()

    def _process_buffered(self) -> None:
        """Process what is buffered, up to a message that a hook holds back."""
        self._continue(self._process_batch())

    def _continue(self, pending: PendingMessage | None) -> None:
        if pending is not None:
            self.hold()
            retain(asyncio.ensure_future(self._await_hooks(pending)))
        elif self._injected:
            self._process_buffered()
        elif self.at_eof:
            self._relay.propagate_end()

    async def _await_hooks(self, pending: PendingMessage | None) -> None:
        while pending is not None:
            if pending.hooks is not None:
                await pending.hooks
            await self._flow.wait_for_resume()
            if not self._relay.closing:
                self._forward_pending(pending)
            pending = self._process_batch()
        self.held_by_hook = False
        self._update_reading()
        if self.at_eof:
            self._relay.propagate_end()

    def _forward_pending(self, pending: PendingMessage) -> None:
        try:
            data = self._finish(pending.event, pending.message)
        except Exception as error:  # noqa: BLE001 - logged, and closes the WebSocket
            self._relay.fail(self, _internal_error(error, self._flow))
            return
        if data and self.other.writable:
            self.other.transport.write(data)

    def _process_batch(self) -> PendingMessage | None:
        """Process buffered events and write their output in one call. Returns the message that waits for its hooks."""
        output: list[bytes] = []
        outcome: PendingMessage | Close | None = None
        problem: ViolationError | None = None
        self._busy = True
        try:
            outcome = self._process_events(output)
        except ViolationError as error:
            problem = error
        except Exception as error:  # noqa: BLE001 - logged, and closes the WebSocket
            problem = _internal_error(error, self._flow)
        self._busy = False
        if output and self.other.writable:
            self.other.transport.write(output[0] if len(output) == 1 else b"".join(output))
        if problem is not None:
            self._relay.fail(self, problem)
        elif isinstance(outcome, Close):
            self.close_received = True
            self._relay.close_frame_received(self, outcome)
        return outcome if isinstance(outcome, PendingMessage) else None

    def _process_events(self, output: list[bytes]) -> PendingMessage | Close | None:
        codec, relay = self._codec, self._relay
        while not self._discards_input:
            if self._injected:
                message = self._injected.popleft()
                event: Event | None = Message(int(message.type), message.content, INJECTED)
            else:
                event = codec.next_event()
                if event is None:
                    return None
                if self._rate_limiter is not None:
                    self._rate_limiter.count(len(event.wire), time.monotonic())
                if type(event) is Message:
                    message = RelayedMessage(_OPCODES[event.opcode], self.from_client, event.payload)
            if type(event) is Close:
                return event
            if relay.closing:
                continue  # both ends have been sent a close frame
            if type(event) is Control:
                output.append(self._forward_control(event))
            elif type(event) is Message:
                pending = self._run_hooks(event, message)
                if pending is not None:
                    return pending
                output.append(self._finish(event, message))
        return None

    def _run_hooks(self, event: Message, message: WebSocketMessage) -> PendingMessage | None:
        """Run a message's hooks. Returns it when they have not finished yet."""
        self._flow_messages.append(message)
        flow = self._flow
        intercepted_by_other = flow.intercepted  # a message of the other direction must not hold back this one
        if intercepted_by_other:
            flow.intercepted = False
        hooks = self._hooks.run("websocket_message", flow)
        if hooks is not None or flow.intercepted:
            return PendingMessage(event, message, hooks)
        if intercepted_by_other:
            flow.intercepted = True
        return None

    def _record_message(self, size: int) -> None:
        self.messages += 1
        self.bytes += size
        self._history.message_added(size)
        if self._hooks.has_ui:
            self._hooks.update(self._flow)

    def _finish(self, event: Message, message: WebSocketMessage) -> bytes:
        """Record a message whose hooks have finished, and return what the other end gets of it."""
        self._record_message(len(message.content))
        content = None if message.dropped else message.content
        if event.wire:
            return self._codec.encode_forwarded(event, content)
        return b"" if content is None else frames.encode(event.opcode, content, masked=self.from_client)

    def _forward_control(self, event: Control) -> bytes:
        is_ping = event.opcode == frames.PING
        if is_ping:
            self.pings += 1
        elif self._ping_payload and event.payload == self._ping_payload:
            self._ping_payload, self.pong_due = b"", None
            return b""
        else:
            self.pongs += 1
        hooks = self._hooks.run("websocket_control", self._flow, ControlFrame(self.from_client, is_ping, event.payload))
        if hooks is not None:
            retain(asyncio.ensure_future(hooks))
        return event.wire


class RelayedMessage(WebSocketMessage):
    """A received message. Skips the conversions of mitmproxy's constructor, because it runs for every message."""

    def __init__(self, opcode: Opcode, from_client: bool, content: bytes) -> None:
        self.from_client = from_client
        self.type = opcode
        self.content = content
        self.timestamp = time.time()
        self.dropped = False
        self.injected = False


def _internal_error(error: Exception, flow: http.HTTPFlow) -> ViolationError:
    """Log a fault of the gateway or of an addon, and return the error that closes both connections."""
    logger.error("a WebSocket is closed because the gateway failed", exc_info=error, extra=about(flow))
    return ViolationError(INTERNAL_ERROR, "the gateway failed")


def _inflater(deflate: Parameters | None, *, from_client: bool) -> Inflater | None:
    if deflate is None:
        return None
    return Inflater(
        takeover=not (deflate.client_no_context_takeover if from_client else deflate.server_no_context_takeover)
    )
