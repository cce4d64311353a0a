"""Finds Phoenix's long-poll transport among HTTP exchanges: which of them are of one socket, and when that has ended.

What the client sends is read when it asks, what the server says when it has answered: so frames come in their order.
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
from livegate.phoenix.longpoll import PolledFrame, PollRequest, PollResponse, is_longpoll, parse_request, parse_response
from livegate.phoenix.sessions.socket import SocketTracker
from livegate.phoenix.sessions.tracker import Tracker
from livegate.redaction.content_coding import decoded_body

MAX_LONGPOLLS = 1000
MAX_BODY_BYTES = 8 * 1024 * 1024
"""Of one exchange, inflated; a longer one is not understood."""
CLOSED_GONE = 3410
"""What phoenix.js takes the end of a long-poll session for."""
IDLE_TIMEOUT_S = 15.0
"""So long without a request Phoenix keeps a long-poll session: 1.5 times `window_ms`, which is 10 s by default."""


@dataclass(slots=True, eq=False)
class LongPollSocket:
    """One long-poll socket."""

    tracker: SocketTracker
    last_at: float
    """When a request last began or ended."""
    in_flight: int = 0


@dataclass(frozen=True, slots=True)
class LongPollRequest:
    """A request of a long-poll client."""

    poll: PollRequest
    socket: LongPollSocket | None
    """None when it has no token, or one that is not known."""
    at: float


REQUEST = FlowAttribute[LongPollRequest]("livegate_longpoll_request")
"""Of a flow: the request as it was read when it arrived."""


@dataclass(frozen=True, slots=True)
class LongPollExchange:
    """An exchange of a long-poll socket that is over."""

    socket: SocketTracker
    frames: tuple[PolledFrame, ...]
    """What the server said."""
    at: float
    status: int
    """That stands in the answer's body."""
    opened: bool = False
    """Whether the socket began with it."""
    replaced: SocketTracker | None = None
    """The socket before, which was gone."""
    request_frames: tuple[PolledFrame, ...] = ()
    """What the client sent, where the request could not be read before its answer came."""


class LongPollTracker:
    """The long-poll sockets that are open, by the token that the server gave them."""

    def __init__(self, tracker: Tracker) -> None:
        self._tracker = tracker
        self._secret = os.urandom(16)
        self._by_token: OrderedDict[bytes, LongPollSocket] = OrderedDict()

    def request(self, flow: http.HTTPFlow) -> LongPollRequest | None:
        """Read a request with its body; None when it is none of this transport."""
        known = REQUEST.get(flow)
        if known is not None:
            return known
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
        found = LongPollRequest(poll, socket, at)
        REQUEST.set(flow, found)
        if socket is not None:
            self._by_token.move_to_end(self._key(_token(request)))
            socket.in_flight += 1
            socket.last_at = max(socket.last_at, at)
        return found

    def response(self, flow: http.HTTPFlow) -> LongPollExchange | None:
        """Read the answer to a request, or note that there was none; None when it is of no socket that is known."""
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
        answer = (
            parse_response(decoded_body(response, MAX_BODY_BYTES) or b"", request.poll.vsn or "2") if response else None
        )
        if not isinstance(answer, PollResponse):
            return None
        if answer.status == status_codes.GONE and answer.token is not None:
            return self._open_session(flow, answer, at)
        if socket is None and answer.status in (status_codes.OK, status_codes.NO_CONTENT) and request.poll.has_token:
            socket = self._open_socket(flow, _token(flow.request), at)  # it was opened before anybody looked
            unread = request.poll.frames
        if socket is None:
            return None
        self._apply_status(socket, request, answer.status)
        return LongPollExchange(socket.tracker, answer.frames, at, answer.status, request_frames=unread)

    def _open_session(self, flow: http.HTTPFlow, answer: PollResponse, at: float) -> LongPollExchange:
        """A session begins, or has to begin again."""
        before = self._by_token.pop(self._key(_token(flow.request)), None)
        ended = before.tracker if before is not None and before.tracker.info.closed_at is None else None
        if ended is not None:
            ended.close(CLOSED_GONE, "the long-poll session is gone", "backend", at)
        socket = self._open_socket(flow, answer.token or "", at)
        return LongPollExchange(socket.tracker, answer.frames, at, answer.status, opened=True, replaced=ended)

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
        """End the sockets that had no request for QUIET_S, as Phoenix does; return them."""
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
            oldest.tracker.close(None, "forgotten", "gateway", at)
        return socket

    def _key(self, token: str) -> bytes:
        """A token is a secret: it is known again by its hash."""
        return hashlib.blake2b(token.encode("utf-8", "surrogateescape"), digest_size=16, key=self._secret).digest()


def _token(request: http.Request) -> str:
    given = request.query.get_all("token")  # the last one is the transport's; the app may have a `token` of its own
    return str(request.headers.get("x-phoenix-longpoll-token") or (given[-1] if given else ""))
