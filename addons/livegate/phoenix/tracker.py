"""Follows what browsers and LiveView servers say to each other: frames in, their meaning and the sessions out.

Whoever carries the frames calls it, with times of its own clock; it opens nothing, waits for nothing and never raises
because of what it was given.
"""

from collections import OrderedDict, deque
from dataclasses import replace

from livegate.phoenix.channel import Channels
from livegate.phoenix.incidents import IncidentLog
from livegate.phoenix.model import Event, Exchange, Limits, Opening, PageLoad, Session, SocketSeen, Transport, View
from livegate.phoenix.pages import brings_csrf, topics_of, vsn_of_url

MAX_SOCKETS_KEPT = 100
"""Of one session."""


class Tracker:
    """All sessions of a process."""

    def __init__(self, limits: Limits | None = None) -> None:
        self.limits = limits or Limits()
        self.sessions: OrderedDict[str, Session] = OrderedDict()
        """By id, the one that was heard of last at the end."""
        self.dropped = 0
        """Sessions that are no longer kept."""
        self.tree_bytes = 0
        self.incidents = IncidentLog()
        self._pages: OrderedDict[str, PageLoad] = OrderedDict()
        self._modules: OrderedDict[str, str] = OrderedDict()
        self._numbered = 0
        self._events: deque[Event] = deque()
        """Of all sessions, in the order of their coming; some are no longer kept by their session."""
        self._events_of: deque[Session] = deque()
        """Whose they are. No pairs: what refers to others costs Python's collector time."""
        self._exchanges: deque[Exchange] = deque()
        self._exchanges_of: deque[deque[Exchange]] = deque()

    def keep(self, sessions: int) -> None:
        """Change how many sessions are kept, and as many page loads that no session has claimed yet."""
        self.limits = replace(self.limits, sessions=sessions, pages=sessions)
        self._bound()

    def page(self, html: str, load: PageLoad) -> bool:
        """A page went to a browser; returns whether LiveViews are in it. Then the load gets a session's number."""
        load.topics = topics_of(html)
        if not load.topics:
            return False
        self._numbered += 1
        load.number = self._numbered
        for topic in load.topics:
            self._pages[topic] = load
        while len(self._pages) > self.limits.pages:
            self._pages.popitem(last=False)
        return True

    def learn(self, path: str | None, module: str | None) -> None:
        """The page at a path is made by this module."""
        if path is None or module is None:
            return
        self._modules[path] = module
        self._modules.move_to_end(path)
        if len(self._modules) > self.limits.pages:
            self._modules.popitem(last=False)

    def module_at(self, path: str | None) -> str | None:
        """The module of the page at a path, if any browser has loaded it before."""
        return self._modules.get(path or "")

    def open(
        self, url: str, at: float, transport: Transport = "websocket", id_: str = "", *, cookie: bool | None = None
    ) -> Channels:
        """A socket was opened by a request for this URL; what comes on it goes to the value that is returned.

        `cookie` is whether the request had any, if that is known.
        """
        vsn = vsn_of_url(url)
        seen = SocketSeen(transport, vsn or "?", at, id_)
        return Channels(self, seen, vsn, Opening(brings_csrf(url), cookie))

    def session_of(self, topic: str, at: float) -> Session:
        """The session of a root view's topic; a new one for a topic that was not seen yet."""
        session = self.sessions.get(topic)
        if session is None:
            session = self._begin(topic, at)
            self.sessions[topic] = session
            self._bound()
        self.sessions.move_to_end(topic)
        return session

    def _begin(self, topic: str, at: float) -> Session:
        load = self._pages.get(topic)
        if load is None:
            self._numbered += 1
            return Session(self._numbered, topic.removeprefix("lv:"), at, at)
        for each in load.topics:  # the page's other views belong to the same tab
            self._pages.pop(each, None)
        return Session(load.number, topic.removeprefix("lv:"), load.at, at, page=load, exchanges=load.exchanges)

    def attach(self, session: Session, seen: SocketSeen, opening: Opening) -> None:
        """A socket is one of this session."""
        session.sockets.append(seen)
        session.opening = opening
        del session.sockets[:-MAX_SOCKETS_KEPT]

    def keep_event(self, session: Session, event: Event) -> None:
        """A session has one more event; the oldest go, of this session and of all."""
        session.events.append(event)
        if len(session.events) > self.limits.events:
            session.events.popleft()
            session.events_dropped += 1
        self._events.append(event)
        self._events_of.append(session)
        if len(self._events) > self.limits.all_events:
            owner, oldest = self._events_of.popleft(), self._events.popleft()
            if owner.events and owner.events[0] is oldest:
                owner.events.popleft()
                owner.events_dropped += 1

    def keep_exchange(self, kept: deque[Exchange], exchange: Exchange) -> None:
        """A page or a session has one more HTTP request; the oldest of all go."""
        kept.append(exchange)
        self._exchanges.append(exchange)
        self._exchanges_of.append(kept)
        if len(self._exchanges) > self.limits.exchanges:
            owner, oldest = self._exchanges_of.popleft(), self._exchanges.popleft()
            if owner and owner[0] is oldest:
                owner.popleft()

    def adopt(self, guessed: Session, found: Session) -> None:
        """What was taken for a session of its own turned out to be part of another one."""
        for topic, session in list(self.sessions.items()):
            if session is guessed:
                del self.sessions[topic]
        found.sockets += guessed.sockets
        found.opening = guessed.opening
        found.events += guessed.events
        found.event_count += guessed.event_count
        found.trips += guessed.trips
        found.views = {**guessed.views, **found.views}
        found.diff_bytes += guessed.diff_bytes
        found.bytes_in += guessed.bytes_in
        found.bytes_out += guessed.bytes_out
        found.unanswered += guessed.unanswered
        found.incidents += guessed.incidents
        del found.sockets[:-MAX_SOCKETS_KEPT]

    def trees_grew(self, size: int) -> None:
        """Bytes of frames went into pages that are kept; of the oldest sessions the pages go when it is too much."""
        self.tree_bytes += size
        if self.tree_bytes <= self.limits.tree_bytes:
            return
        for session in self.sessions.values():
            for view in session.views.values():
                self.forget_page(view, "too much to keep; it is known again after the next join")
            if self.tree_bytes <= self.limits.tree_bytes:
                return

    def forget_page(self, view: View, problem: str) -> None:
        """Keep the page of a view no longer, and say why."""
        if view.tree is not None:
            self.tree_bytes -= view.tree_bytes
            view.tree, view.tree_bytes, view.tree_problem = None, 0, problem

    def _bound(self) -> None:
        while len(self.sessions) > self.limits.sessions:
            _, gone = self.sessions.popitem(last=False)
            self.dropped += 1
            gone.kept = False
            for view in gone.views.values():
                self.forget_page(view, "too many sessions are open")
