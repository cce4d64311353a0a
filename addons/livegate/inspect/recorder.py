"""Gives the frames of mitmproxy's flows to the tracker and remembers what each one meant, for as long as it is kept."""

import time
from collections import OrderedDict, deque
from collections.abc import Callable
from typing import Literal
from urllib.parse import urlsplit

from mitmproxy import http
from mitmproxy.net.http import status_codes
from mitmproxy.websocket import WebSocketMessage

from livegate.phoenix.channel import Channels
from livegate.phoenix.longpoll import Answer, Poll, parse_answer, parse_request
from livegate.phoenix.model import Limits, PageLoad
from livegate.phoenix.note import Note
from livegate.phoenix.pages import path_of
from livegate.phoenix.tracker import Tracker

NOTE = "livegate_note"
"""Attribute of a WebSocketMessage: what it meant."""
FOLLOWING = "livegate_following"
"""Attribute of a flow: a Following, or False for a socket that is not Phoenix's."""
STRANGE_FRAMES = 8
"""So many frames at the start that are none of Phoenix's, and the socket is taken for another's."""
FULL_NOTES = 100
"""Of one socket: so many of the last frames keep all that they changed, those before only their sentence."""
MAX_PAGE_BYTES = 2 * 1024 * 1024
MAX_LONGPOLLS = 1000
PAGE_MARK = b"data-phx-session"

type Listener = Callable[[http.HTTPFlow, Note], None]


class Following:
    """A flow whose frames are understood."""

    __slots__ = ("channels", "recent", "strange")

    def __init__(self, channels: Channels) -> None:
        self.channels = channels
        self.recent: deque[Note] = deque(maxlen=FULL_NOTES)
        self.strange = 0


class Recorder:
    """Knows which flows speak Phoenix; tells listeners of every frame."""

    def __init__(self, limits: Limits | None = None) -> None:
        self.tracker = Tracker(limits)
        self.listeners: list[Listener] = []
        self._longpolls: OrderedDict[str, Channels] = OrderedDict()

    def page(self, flow: http.HTTPFlow) -> bool:
        """An answer went by; returns whether it was a page with LiveViews."""
        response = flow.response
        if response is None or "html" not in response.headers.get("content-type", ""):
            return False
        raw = response.raw_content
        if not raw or len(raw) > MAX_PAGE_BYTES:
            return False
        content = response.get_content(strict=False) or b""
        if PAGE_MARK not in content or len(content) > MAX_PAGE_BYTES:
            return False
        began = flow.request.timestamp_start
        at = response.timestamp_end or response.timestamp_start or time.time()
        path = path_of(flow.request.path) or "/"
        self.tracker.page(content.decode("utf-8", "replace"), PageLoad(path, response.status_code, began, at - began))
        return True

    def message(self, flow: http.HTTPFlow, message: WebSocketMessage) -> Note | None:
        """A message went by; returns what it meant, or None on a socket that is not Phoenix's."""
        following = vars(flow).get(FOLLOWING)
        if following is None:
            following = self._first(flow)
        if not following:
            return None
        channels, recent = following.channels, following.recent
        note: Note = channels.frame(
            message.content, text=message.is_text, from_client=message.from_client, at=message.timestamp
        )
        if note.what == "broken" and channels.session is None:
            following.strange += 1
            if following.strange >= STRANGE_FRAMES:
                setattr(flow, FOLLOWING, False)  # whoever speaks there, it is not Phoenix
        if len(recent) == FULL_NOTES:
            recent[0].shorten()
        recent.append(note)
        setattr(message, NOTE, note)
        for listener in self.listeners:
            listener(flow, note)
        return note

    def _first(self, flow: http.HTTPFlow) -> Following | Literal[False]:
        """The first message of a socket: only now is it worth any memory."""
        following: Following | Literal[False] = False
        if is_phoenix(flow):
            following = Following(self.tracker.open(flow.request.path, _opened_at(flow)))
        setattr(flow, FOLLOWING, following)
        return following

    def closed(self, flow: http.HTTPFlow) -> Channels | None:
        """A WebSocket has ended."""
        channels, websocket = channels_of(flow), flow.websocket
        if channels is None or websocket is None:
            return None
        by = "client" if websocket.closed_by_client else "server"
        at = websocket.timestamp_end or time.time()
        channels.close(websocket.close_code, websocket.close_reason or "", by, at)
        return channels

    # Long-poll

    def longpoll(self, flow: http.HTTPFlow) -> list[Note]:
        """An exchange with an answer that may be one of Phoenix's long-poll transport."""
        request, response = flow.request, flow.response
        parts = urlsplit(request.path)
        if response is None or not parts.path.endswith("/longpoll"):
            return []
        body = request.get_content(strict=False) or b""
        poll = parse_request(request.method, parts.query, body, request.headers.get("content-type"))
        if not isinstance(poll, Poll):
            return []
        answer = parse_answer(response.get_content(strict=False) or b"", poll.vsn or "2")
        if not isinstance(answer, Answer):
            return []
        at = response.timestamp_end or response.timestamp_start or time.time()
        given = request.query.get_all("token")  # the last one is the transport's; the app may have a `token` of its own
        token = str(request.headers.get("x-phoenix-longpoll-token") or (given[-1] if given else ""))
        if answer.status == status_codes.GONE and answer.token is not None:  # a session begins, or has to begin again
            gone = self._longpolls.pop(token, None)
            if gone is not None:
                gone.close(3410, "the long-poll session is gone", "server", at)
            token = answer.token
            self._longpolls[token] = self.tracker.open(request.path, request.timestamp_start, "longpoll")
            if len(self._longpolls) > MAX_LONGPOLLS:
                _, oldest = self._longpolls.popitem(last=False)
                oldest.close(None, "forgotten", "gateway", at)
        channels = self._longpolls.get(token)
        if channels is None:
            return []
        self._longpolls.move_to_end(token)
        return self._exchanged(flow, channels, poll, answer, at)

    def _exchanged(self, flow: http.HTTPFlow, channels: Channels, poll: Poll, answer: Answer, at: float) -> list[Note]:
        sent_at = flow.request.timestamp_end or flow.request.timestamp_start
        notes = [channels.message(frame, size=size, from_client=True, at=sent_at) for frame, size in poll.frames]
        notes += [channels.message(frame, size=size, from_client=False, at=at) for frame, size in answer.frames]
        for note in notes:
            for listener in self.listeners:
                listener(flow, note)
        return notes


def is_phoenix(flow: http.HTTPFlow) -> bool:
    """Whether a WebSocket can be one of Phoenix's, by where it was asked for."""
    return flow.request.path.partition("?")[0].endswith("/websocket")


def channels_of(flow: http.HTTPFlow) -> Channels | None:
    """The channels of a flow that is being recorded."""
    following = vars(flow).get(FOLLOWING)
    return following.channels if following else None


def note_of(message: WebSocketMessage) -> Note | None:
    """What a message meant, if that is known."""
    return vars(message).get(NOTE)


def replay(flow: http.HTTPFlow) -> Recorder:
    """Go through a saved flow, so that its messages have notes."""
    recorder = Recorder()
    if flow.websocket is not None:
        for message in flow.websocket.messages:
            recorder.message(flow, message)
        recorder.closed(flow)
    return recorder


def _opened_at(flow: http.HTTPFlow) -> float:
    response = flow.response
    return (response.timestamp_end if response is not None else None) or flow.request.timestamp_start
