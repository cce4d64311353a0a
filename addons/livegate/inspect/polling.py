"""Finds Phoenix's long-poll transport among HTTP exchanges: which of them are of one socket."""

import time
from collections import OrderedDict
from dataclasses import dataclass
from urllib.parse import urlsplit

from mitmproxy import http
from mitmproxy.net.http import status_codes

from livegate.inspect.content import content_of
from livegate.phoenix.channel import Channels
from livegate.phoenix.longpoll import Answer, Poll, parse_answer, parse_request
from livegate.phoenix.tracker import Tracker

MAX_LONGPOLLS = 1000
MAX_BODY_BYTES = 8 * 1024 * 1024
"""Of one exchange, inflated; a longer one is not understood."""
CLOSED_GONE = 3410
"""What phoenix.js takes the end of a long-poll session for."""


@dataclass(frozen=True, slots=True)
class Polled:
    """An exchange of a long-poll socket."""

    channels: Channels
    poll: Poll
    answer: Answer
    at: float
    """When the answer was there."""
    opened: bool = False
    """Whether the socket began with it."""
    ended: Channels | None = None
    """The socket before, which was gone."""


class LongPolls:
    """The long-poll sockets that are open, by the token that the server gave them."""

    def __init__(self, tracker: Tracker) -> None:
        self._tracker = tracker
        self._by_token: OrderedDict[str, Channels] = OrderedDict()

    def exchange(self, flow: http.HTTPFlow) -> Polled | None:
        """An exchange with an answer; returns None when it is none of this transport."""
        request, response = flow.request, flow.response
        parts = urlsplit(request.path)
        if response is None or not parts.path.endswith("/longpoll"):
            return None
        body = content_of(request, MAX_BODY_BYTES) or b""
        poll = parse_request(request.method, parts.query, body, request.headers.get("content-type"))
        if not isinstance(poll, Poll):
            return None
        answer = parse_answer(content_of(response, MAX_BODY_BYTES) or b"", poll.vsn or "2")
        if not isinstance(answer, Answer):
            return None
        at = response.timestamp_end or response.timestamp_start or time.time()
        token = _token(request)
        if answer.status == status_codes.GONE and answer.token is not None:  # a session begins, or has to begin again
            ended = self._by_token.pop(token, None)
            if ended is not None:
                ended.close(CLOSED_GONE, "the long-poll session is gone", "backend", at)
            return Polled(self._begin(flow, answer.token, at), poll, answer, at, opened=True, ended=ended)
        channels = self._by_token.get(token)
        if channels is None:
            return None
        self._by_token.move_to_end(token)
        return Polled(channels, poll, answer, at)

    def _begin(self, flow: http.HTTPFlow, token: str, at: float) -> Channels:
        request = flow.request
        cookie = "cookie" in request.headers
        channels = self._tracker.open(request.path, request.timestamp_start, "longpoll", flow.id, cookie=cookie)
        self._by_token[token] = channels
        if len(self._by_token) > MAX_LONGPOLLS:
            _, oldest = self._by_token.popitem(last=False)
            oldest.close(None, "forgotten", "gateway", at)
        return channels


def _token(request: http.Request) -> str:
    given = request.query.get_all("token")  # the last one is the transport's; the app may have a `token` of its own
    return str(request.headers.get("x-phoenix-longpoll-token") or (given[-1] if given else ""))
