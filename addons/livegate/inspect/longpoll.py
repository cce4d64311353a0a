"""Tracker of Phoenix's long-poll transport: which HTTP exchanges belong to one socket, and when it times out.

Frames of the client are read with the request, frames of the server with the response, so that they stay in order.
"""

import hashlib
import os
import time
from collections import OrderedDict
from dataclasses import dataclass
from urllib.parse import urlsplit

from mitmproxy import http
from mitmproxy.net.http import status_codes

from livegate.inspect.tabs import host_of
from livegate.logs.context import FlowAttribute
from livegate.phoenix.longpoll import (
    CLOSED_GONE,
    PolledFrame,
    PollRequest,
    PollResponse,
    is_longpoll,
    parse_request,
    parse_response,
)
from livegate.phoenix.sessions.socket import SocketTracker
from livegate.phoenix.sessions.tracker import Tracker
from livegate.redaction.content_coding import decoded_body

MAX_LONGPOLLS = 1000
"""Long-poll sockets. Beyond, the one that was idle longest is closed."""
MAX_BODY_BYTES = 8 * 1024 * 1024
"""Size of a decoded body. Larger bodies are not parsed."""
IDLE_TIMEOUT_S = 15.0
"""Time without a request after which Phoenix ends a session: 1.5 times `window_ms`, which is 10 s by default."""


@dataclass(slots=True, eq=False)
class LongPollSocket:
    """Long-poll socket."""

    tracker: SocketTracker
    last_at: float
    """Time when a request last started or ended."""
    in_flight: int = 0


@dataclass(frozen=True, slots=True)
class LongPollRequest:
    """Request of a long-poll client."""

    poll: PollRequest
    socket: LongPollSocket | None
    """None without a token, or with an unknown one."""
    at: float


REQUEST = FlowAttribute[LongPollRequest]("livegate_longpoll_request")
"""Of a flow: the request, which was read when it arrived."""


@dataclass(frozen=True, slots=True)
class LongPollExchange:
    """Finished exchange of a long-poll socket."""

    socket: SocketTracker
    frames: tuple[PolledFrame, ...]
    """Frames of the response."""
    at: float
    status: int
    """Status in the response's body."""
    opened: bool = False
    """Whether the exchange opened the socket."""
    replaced: SocketTracker | None = None
    """The previous socket, when the server had ended it."""
    request_frames: tuple[PolledFrame, ...] = ()
    """Frames of the request, when they were not read before the response."""


class LongPollTracker:
    """Open long-poll sockets by the hash of the server's token."""

    def __init__(self, tracker: Tracker) -> None:
        self._tracker = tracker
        self._secret = os.urandom(16)
        self._by_token: OrderedDict[bytes, LongPollSocket] = OrderedDict()

    def request(self, flow: http.HTTPFlow) -> LongPollRequest | None:
        """Parse a request with its body; return None when it is not of this transport."""
        earlier = REQUEST.get(flow)
        if earlier is not None:
            return earlier
        request = flow.request
        parts = urlsplit(request.path)
        if not is_longpoll(request.path):
            return None
        body = decoded_body(request, MAX_BODY_BYTES) or b""
        poll = parse_request(request.method, parts.query, body, request.headers.get("content-type"))
        if not isinstance(poll, PollRequest):
            return None
        at = request.timestamp_end or request.timestamp_start
        socket = self._by_token.get(self._key(_token(request)))
        longpoll_request = LongPollRequest(poll, socket, at)
        REQUEST.set(flow, longpoll_request)
        if socket is not None:
            self._by_token.move_to_end(self._key(_token(request)))
            socket.in_flight += 1
            socket.last_at = max(socket.last_at, at)
        return longpoll_request

    def response(self, flow: http.HTTPFlow) -> LongPollExchange | None:
        """Parse the response to a request, if there is one; return None when it belongs to no known socket."""
        was_read = REQUEST.get(flow) is not None
        request = self.request(flow)
        if request is None:
            return None
        response, socket = flow.response, request.socket
        at = (response.timestamp_end or response.timestamp_start if response is not None else None) or time.time()
        if socket is not None:
            socket.in_flight -= 1
            socket.last_at = max(socket.last_at, at)
        unread = request.poll.frames if not was_read else ()
        body = decoded_body(response, MAX_BODY_BYTES) if response is not None else None
        poll = parse_response(body or b"", request.poll.vsn or "2") if response is not None else None
        if not isinstance(poll, PollResponse):
            return None
        if poll.status == status_codes.GONE and poll.token is not None:
            return self._open_session(flow, poll, at)
        if socket is None and poll.status in (status_codes.OK, status_codes.NO_CONTENT) and request.poll.has_token:
            socket = self._open_socket(flow, _token(flow.request), at)  # it was opened before livegate started
            unread = request.poll.frames
        if socket is None:
            return None
        self._apply_status(socket, request, poll.status)
        return LongPollExchange(socket.tracker, poll.frames, at, poll.status, request_frames=unread)

    def _open_session(self, flow: http.HTTPFlow, poll: PollResponse, at: float) -> LongPollExchange:
        """Open a session, which may replace one that the server has ended."""
        previous = self._by_token.pop(self._key(_token(flow.request)), None)
        replaced = previous.tracker if previous is not None and previous.tracker.info.closed_at is None else None
        if replaced is not None:
            replaced.close(CLOSED_GONE, "the long-poll session is gone", "backend", at)
        socket = self._open_socket(flow, poll.token or "", at)
        return LongPollExchange(socket.tracker, poll.frames, at, poll.status, opened=True, replaced=replaced)

    def _apply_status(self, socket: LongPollSocket, request: LongPollRequest, status: int) -> None:
        tracker = socket.tracker
        if status in (status_codes.OK, status_codes.NO_CONTENT):
            if tracker.info.closed_at is not None:
                tracker.reopen()
            if request.poll.verb == "send":
                tracker.info.refused_status = None
        elif status == status_codes.FORBIDDEN:
            tracker.info.refused_status = status

    def expire(self, now: float) -> list[SocketTracker]:
        """Close the sockets that had no request for IDLE_TIMEOUT_S, as Phoenix does; return them."""
        expired = [
            socket.tracker
            for socket in self._by_token.values()
            if socket.in_flight <= 0 and now - socket.last_at > IDLE_TIMEOUT_S and socket.tracker.info.closed_at is None
        ]
        for tracker in expired:
            tracker.close(None, f"no request for {IDLE_TIMEOUT_S:g} s", "client", now)
        return expired

    def _open_socket(self, flow: http.HTTPFlow, token: str, at: float) -> LongPollSocket:
        request = flow.request
        tracker = self._tracker.open(
            request.path,
            request.timestamp_start,
            "longpoll",
            flow.id,
            cookie="cookie" in request.headers,
            host=host_of(flow),
        )
        socket = self._by_token[self._key(token)] = LongPollSocket(tracker, at)
        if len(self._by_token) > MAX_LONGPOLLS:
            _, oldest = self._by_token.popitem(last=False)
            oldest.tracker.close(None, "evicted", "gateway", at)
        return socket

    def _key(self, token: str) -> bytes:
        """Return the keyed hash of a token, because the token itself is a secret."""
        return hashlib.blake2b(token.encode("utf-8", "surrogateescape"), digest_size=16, key=self._secret).digest()


def _token(request: http.Request) -> str:
    tokens = request.query.get_all("token")  # the transport's is the last one, because an app may have its own
    return str(request.headers.get("x-phoenix-longpoll-token") or (tokens[-1] if tokens else ""))
