"""Recorder: decodes the frames and HTTP exchanges of flows with the tracker, and notifies listeners."""

import asyncio
import time
from collections import deque
from collections.abc import Callable
from functools import partial
from typing import Literal

from mitmproxy import http
from mitmproxy.net.http import status_codes
from mitmproxy.websocket import WebSocketMessage
from msgspec import Struct

from livegate.inspect.longpoll import LongPollExchange, LongPollTracker
from livegate.inspect.reading_thread import LARGE_BYTES, ReadingThread
from livegate.inspect.tabs import TabMatcher, host_of
from livegate.logs.context import FlowAttribute, set_session
from livegate.phoenix.frames import Frame, Vsn, decode
from livegate.phoenix.longpoll import PolledFrame
from livegate.phoenix.model import HttpExchange, Incident, PageLoad, Session, SessionLimits
from livegate.phoenix.page_html import path_of
from livegate.phoenix.sessions.frame_info import FrameInfo
from livegate.phoenix.sessions.preparation import PreparedFrame, prepare_decoded, prepare_frame
from livegate.phoenix.sessions.socket import SocketTracker
from livegate.phoenix.sessions.tracker import Tracker
from livegate.redaction.content_coding import decoded_body

FRAME_INFO = FlowAttribute[FrameInfo]("livegate_frame_info")
"""Of a WebSocket message: its meaning."""
MAX_UNDECODABLE = 8
"""Undecodable frames before the first join, per socket. Beyond, the socket is no longer decoded."""
DETAILED_FRAMES = 100
"""Last frames of a socket that keep payload and changes. Earlier frames keep only their summary."""
MAX_DETAILED_FRAMES = 5000
"""The same for all sockets together."""
MAX_DETAILED_BYTES = 4 * 1024 * 1024
"""Size of those frames on the wire. A decoded frame may take thirty times its size in memory."""
MAX_FRAME_BYTES = 4 * 1024 * 1024
"""Size of a text frame. Larger frames are not decoded, because one would block the event loop for too long."""
MAX_PAGE_BYTES = 2 * 1024 * 1024
"""Size of a decoded HTML page. Larger pages are not searched for LiveViews."""
MAX_JOIN_BYTES = 256 * 1024
"""Size of a first message that may be a join, which carries three tokens of up to 64 KiB."""
PAGE_MARKER = b"data-phx-session"


class ObservedFrame(Struct, frozen=True, gc=False):
    """Frame of a Phoenix socket."""

    flow: http.HTTPFlow
    """The WebSocket, or the long-poll exchange whose body has the frame."""
    socket: SocketTracker
    info: FrameInfo
    data: bytes
    text: bool


class ObservedExchange(Struct, frozen=True, gc=False):
    """HTTP exchange of a browser tab."""

    flow: http.HTTPFlow
    exchange: HttpExchange
    session: int | None
    """Number of the session; None while it is unknown."""
    page: PageLoad | None = None
    """Set for a page with LiveViews."""
    longpoll: LongPollExchange | None = None
    """Set for an exchange of the long-poll transport."""


class ObservedIncident(Struct, frozen=True, gc=False):
    """Incident that was just detected."""

    incident: Incident
    session: Session | None
    flow: http.HTTPFlow | None
    """The flow in whose frames, close or response it was detected; None for a request that never became a flow."""


class FlowTracking:
    """Decoding state of a WebSocket that carries Phoenix channels."""

    __slots__ = ("recent", "socket", "undecodable")

    def __init__(self, socket: SocketTracker) -> None:
        self.socket = socket
        self.recent: deque[FrameInfo] = deque(maxlen=DETAILED_FRAMES)
        self.undecodable = 0


TRACKING = FlowAttribute[FlowTracking | Literal[False]]("livegate_tracking")
"""Of a flow: its decoding state, or False for a socket that is not Phoenix's."""


class Recorder:
    """Decoder of flows. Listeners get each frame of a Phoenix socket, each exchange of a tab, and each incident."""

    def __init__(self, limits: SessionLimits | None = None) -> None:
        self.tracker = Tracker(limits)
        self.on_frame: list[Callable[[ObservedFrame], None]] = []
        self.on_exchange: list[Callable[[ObservedExchange], None]] = []
        self.on_longpoll_end: list[Callable[[SocketTracker], None]] = []
        """Called with each long-poll socket that timed out."""
        self.on_incident: list[Callable[[ObservedIncident], None]] = []
        self._flow: http.HTTPFlow | None = None
        """The flow that is being decoded, to which detected incidents belong."""
        self._reading = ReadingThread()
        self.tracker.incidents.on_incident.append(self._notify_incident)
        self._detailed: deque[FrameInfo] = deque()
        self._detailed_bytes = 0
        self._longpolls = LongPollTracker(self.tracker)
        self._tabs = TabMatcher(self.tracker)

    # Incidents

    def report(self, incident: Incident, session: Session | None, flow: http.HTTPFlow | None) -> None:
        """Report an incident that was found outside of frames."""
        self._flow = flow
        self.tracker.incidents.report(incident, session)
        self._flow = None

    def _notify_incident(self, incident: Incident, session: Session | None) -> None:
        observed = ObservedIncident(incident, session, self._flow)
        for listener in self.on_incident:
            listener(observed)

    # HTTP

    def exchange(self, flow: http.HTTPFlow) -> ObservedExchange | None:
        """Process a finished exchange, with a response or an error; return None when it belongs to no known tab."""
        self._flow = flow
        load = page = self._page(flow)
        longpoll = self._longpolls.response(flow) if page is None else None
        if longpoll is not None:
            self._read_longpoll_response(flow, longpoll)
        elif load is None:
            load = self._tabs.page_load_for(flow)
        session = longpoll.socket.session if longpoll is not None else None
        if load is None and longpoll is None:
            self._flow = None
            return None
        exchange = _http_exchange(flow)
        owner = session or load
        if owner is not None:
            self.tracker.add_exchange(owner.exchanges, exchange)
            set_session(flow, owner.number)
        observed = ObservedExchange(flow, exchange, owner.number if owner is not None else None, page, longpoll)
        for listener in self.on_exchange:
            listener(observed)
        self._flow = None  # a reference would keep the flow alive
        return observed

    def _page(self, flow: http.HTTPFlow) -> PageLoad | None:
        response = flow.response
        if response is None or "html" not in response.headers.get("content-type", ""):
            return None
        content = decoded_body(response, MAX_PAGE_BYTES)
        if content is None or PAGE_MARKER not in content:
            return None
        path = path_of(flow.request.path) or "/"
        load = PageLoad(path, response.status_code, flow.request.timestamp_start, _duration_s(flow), host=host_of(flow))
        if not self.tracker.add_page_load(content.decode("utf-8", "replace"), load):
            return None
        self._tabs.page_loaded(flow, load)
        return load

    def request(self, flow: http.HTTPFlow) -> None:
        """Decode the frames of a long-poll request now, because a pending poll may be answered before it."""
        self._flow = flow
        request = self._longpolls.request(flow)
        if request is not None and request.socket is not None:
            set_session(flow, request.socket.tracker)
            self._read_frames(flow, request.socket.tracker, request.poll.frames, request.at, from_client=True)
        self._flow = None

    def _read_longpoll_response(self, flow: http.HTTPFlow, longpoll: LongPollExchange) -> None:
        set_session(flow, longpoll.socket)
        sent_at = flow.request.timestamp_end or flow.request.timestamp_start
        self._read_frames(flow, longpoll.socket, longpoll.request_frames, sent_at, from_client=True)
        self._read_frames(flow, longpoll.socket, longpoll.frames, longpoll.at, from_client=False)
        if longpoll.status == status_codes.FORBIDDEN and flow.request.method == "POST":
            origin = flow.request.headers.get("origin", "")
            longpoll.socket.detector.posts_refused(longpoll.socket.session, origin, longpoll.at)

    def _read_frames(
        self,
        flow: http.HTTPFlow,
        socket: SocketTracker,
        frames: tuple[PolledFrame, ...],
        at: float,
        *,
        from_client: bool,
    ) -> None:
        for frame in frames:
            size, session = len(frame.data), socket.session
            large = size > LARGE_BYTES and not from_client and self._reading.accepts(size)
            read = partial(self._read_polled, flow, socket, frame, (at, from_client))
            if session is None or not (large or self._reading.has_pending(session)):
                read(None)
                continue
            decoded = partial(prepare_decoded, frame.frame)
            prepare = (lambda decoded=decoded: partial(decoded, socket.tree_snapshots())) if large else None
            self._reading.enqueue(session, size, prepare, read, read)

    def _read_polled(
        self,
        flow: http.HTTPFlow,
        socket: SocketTracker,
        frame: PolledFrame,
        origin: tuple[float, bool],
        prepared: PreparedFrame | None,
    ) -> None:
        """Process a frame of a long-poll body; `origin` is its time, and whether it is from the client."""
        at, from_client = origin
        info = socket.read_decoded(frame.frame, size=len(frame.data), from_client=from_client, at=at, prepared=prepared)
        self._notify_frame(ObservedFrame(flow, socket, info, frame.data, frame.text))

    def expire(self, now: float) -> None:
        """Close the long-poll sockets that have timed out."""
        for socket in self._longpolls.expire(now):
            for listener in self.on_longpoll_end:
                listener(socket)

    # WebSockets

    def message(self, flow: http.HTTPFlow, message: WebSocketMessage) -> FrameInfo | None:
        """Process a WebSocket message; return its meaning, or None when it is pending or not Phoenix's."""
        tracking = TRACKING.get(flow)
        if tracking is None:
            tracking = self._classify(flow, message)
        if not tracking:
            return None
        socket = tracking.socket
        size = len(message.content)
        if size > MAX_FRAME_BYTES and message.is_text and not self._reading.has_pending(socket.session):
            return self._skip(flow, socket, message)
        large = LARGE_BYTES < size <= MAX_FRAME_BYTES and message.is_text and not message.from_client
        large = large and self._reading.accepts(size)
        if socket.session is None or not (large or self._reading.has_pending(socket.session)):
            return self._read(flow, tracking, message, None)
        content, skip = message.content, lambda _: self._skip(flow, socket, message)
        self._reading.enqueue(
            socket.session,
            size,
            (lambda: partial(prepare_frame, content, socket.vsn, socket.tree_snapshots())) if large else None,
            skip if size > MAX_FRAME_BYTES else lambda prepared: self._read(flow, tracking, message, prepared),
            skip,
        )
        return None

    def _skip(self, flow: http.HTTPFlow, socket: SocketTracker, message: WebSocketMessage) -> FrameInfo:
        """Record a message that is not decoded, because it is too large or too many are pending."""
        info = socket.skip_frame(len(message.content), from_client=message.from_client, at=message.timestamp)
        FRAME_INFO.set(message, info)
        self._notify_frame(ObservedFrame(flow, socket, info, message.content, message.is_text))
        return info

    def pending_reads(self, flow: http.HTTPFlow) -> asyncio.Future[None] | None:
        """Return a future of the time when all messages of a socket are decoded; None when none is pending."""
        socket = socket_of(flow)
        return self._reading.drained(socket.session) if socket is not None else None

    def _read(
        self, flow: http.HTTPFlow, tracking: FlowTracking, message: WebSocketMessage, prepared: PreparedFrame | None
    ) -> FrameInfo:
        self._flow, socket, recent = flow, tracking.socket, tracking.recent
        info: FrameInfo = socket.read_frame(
            message.content,
            text=message.is_text,
            from_client=message.from_client,
            at=message.timestamp,
            prepared=prepared,
        )
        self._flow = None
        if info.kind == "broken" and socket.session is None:
            tracking.undecodable += 1
            if tracking.undecodable >= MAX_UNDECODABLE:
                TRACKING.set(flow, False)
        if len(recent) == DETAILED_FRAMES:
            recent[0].drop_details()
        recent.append(info)
        FRAME_INFO.set(message, info)
        self._notify_frame(ObservedFrame(flow, socket, info, message.content, message.is_text))
        return info

    def _classify(self, flow: http.HTTPFlow, message: WebSocketMessage) -> FlowTracking | Literal[False] | None:
        """Decide by one of its first messages whether a socket is Phoenix's; return None while it is undecided."""
        tracking: FlowTracking | Literal[False] = False
        vsn = vsn_of_join(message.content) if message.is_text and message.from_client else None
        if vsn is not None or is_phoenix(flow):
            cookie = "cookie" in flow.request.headers
            socket = self.tracker.open(
                flow.request.path, _opened_at(flow), id_=flow.id, cookie=cookie, host=host_of(flow), vsn=vsn
            )
            tracking = FlowTracking(socket)
            set_session(flow, socket)
        elif not message.from_client and flow.websocket is not None and len(flow.websocket.messages) < MAX_UNDECODABLE:
            return None  # a Phoenix client sends first, but other servers may send before it
        TRACKING.set(flow, tracking)
        return tracking

    def closed(self, flow: http.HTTPFlow) -> SocketTracker | None:
        """Close the Phoenix socket of a WebSocket that has ended, and return it."""
        socket, websocket = socket_of(flow), flow.websocket
        if socket is None or websocket is None:
            return None
        self._flow = flow
        by = "client" if websocket.closed_by_client else "server"
        at = websocket.timestamp_end or time.time()
        socket.close(websocket.close_code, websocket.close_reason or "", by, at)
        self._flow = None
        return socket

    @property
    def skipped(self) -> int:
        """Frames that were not decoded because too many were pending."""
        return self._reading.skipped

    def close(self) -> None:
        """Drop pending frames."""
        self._reading.close()

    def _notify_frame(self, observed: ObservedFrame) -> None:
        self._detailed.append(observed.info)
        self._detailed_bytes += observed.info.size
        while len(self._detailed) > MAX_DETAILED_FRAMES or (
            self._detailed_bytes > MAX_DETAILED_BYTES and self._detailed
        ):
            oldest = self._detailed.popleft()
            self._detailed_bytes -= oldest.size
            oldest.drop_details()
        for listener in self.on_frame:
            listener(observed)


def vsn_of_join(data: bytes) -> Vsn | None:
    """Return the serializer of a join, or of the heartbeat with which phoenix.js probes a transport; otherwise None.

    A Phoenix socket is recognized by its join, because the app chooses its path.
    """
    if len(data) > MAX_JOIN_BYTES or (b'"phx_join"' not in data and b'"heartbeat"' not in data):
        return None
    vsn: Vsn = "2" if data.lstrip()[:1] == b"[" else "1"
    frame = decode(data, text=True, from_client=True, vsn=vsn)
    if not isinstance(frame, Frame):
        return None
    return vsn if frame.event == "phx_join" or (frame.topic, frame.event) == ("phoenix", "heartbeat") else None


def is_phoenix(flow: http.HTTPFlow) -> bool:
    """Return whether a WebSocket has the path that Phoenix gives to its sockets."""
    return flow.request.path.partition("?")[0].endswith("/websocket")


def is_classified(flow: http.HTTPFlow) -> bool:
    """Return whether the recorder has decided if a WebSocket is Phoenix's."""
    return TRACKING.get(flow) is not None


def socket_of(flow: http.HTTPFlow) -> SocketTracker | None:
    """Return the Phoenix socket of a WebSocket flow, or None."""
    tracking = TRACKING.get(flow)
    return tracking.socket if tracking else None


def frame_info_of(message: WebSocketMessage) -> FrameInfo | None:
    """Return the meaning of a message, or None when it was not decoded."""
    return FRAME_INFO.get(message)


def replay(flow: http.HTTPFlow) -> Recorder:
    """Decode the messages of a saved flow."""
    recorder = Recorder()
    if flow.websocket is not None:
        for message in flow.websocket.messages:
            recorder.message(flow, message)
        recorder.closed(flow)
    return recorder


def _duration_s(flow: http.HTTPFlow) -> float:
    response = flow.response
    ended = (response.timestamp_end or response.timestamp_start) if response is not None else None
    return max(0.0, (ended or time.time()) - flow.request.timestamp_start)


def _http_exchange(flow: http.HTTPFlow) -> HttpExchange:
    request, response = flow.request, flow.response
    status = response.status_code if response is not None else None
    size = len(response.raw_content or b"") if response is not None else 0
    path = path_of(request.path) or "/"
    return HttpExchange(flow.id, request.timestamp_start, request.method, path, status, _duration_s(flow), size)


def _opened_at(flow: http.HTTPFlow) -> float:
    response = flow.response
    return (response.timestamp_end if response is not None else None) or flow.request.timestamp_start
