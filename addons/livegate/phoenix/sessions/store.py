"""Sessions and their bounds: tabs, page loads, pushes and requests that are kept, and the tab of each socket."""

from collections import OrderedDict, deque
from collections.abc import Callable
from dataclasses import replace

from livegate.phoenix.formatting import size_text
from livegate.phoenix.incidents.log import IncidentLog
from livegate.phoenix.model import ConnectInfo, HttpExchange, PageLoad, Push, Session, SessionLimits, SocketInfo, View
from livegate.phoenix.page_html import csrf_of_url, read_page
from livegate.phoenix.sessions.evidence import EvidenceIndex, Key
from livegate.phoenix.sessions.modules import ModuleIndex
from livegate.phoenix.tokens import is_signed
from livegate.phoenix.topics import RANDOM_TOPIC

MAX_SOCKETS = 100
"""Of one session."""
ROOM = 0.9
"""When pages have to go, so much of what they may take stays in use: that they go one by one would cost each frame."""
MAX_REPLIED_KINDS = 2000
"""Kinds of pushes on plain channels that were seen to be answered."""
EVIDENCE_EACH = 8
"""Pieces of evidence that are kept, on average, for each session and page load."""


class SessionStore:
    """All sessions of a process, with the bounds of `Limits`."""

    def __init__(self, limits: SessionLimits | None = None) -> None:
        self.limits = limits or SessionLimits()
        self.sessions: OrderedDict[int, Session] = OrderedDict()
        """By number, the one with the latest frame at the end."""
        self.evicted = 0
        """Sessions that are no longer kept."""
        self.tree_bytes = 0
        self.modules = ModuleIndex()
        self.incidents = IncidentLog()
        self.on_merged: list[Callable[[Session, Session], None]] = []
        """Called with a session that turned out to be part of another one, and that other one."""
        self._identities = EvidenceIndex(
            EVIDENCE_EACH * (self.limits.sessions + self.limits.page_loads), self._is_known
        )
        self._pages: OrderedDict[int, PageLoad] = OrderedDict()
        """By number; those that no session has claimed yet."""
        self._numbered = 0
        self._answered: OrderedDict[tuple[str, str, str], None] = OrderedDict()
        self._events: deque[Push] = deque()
        """Of all sessions, in the order of their coming; some are no longer kept by their session."""
        self._events_of: deque[Session] = deque()
        """Whose they are. No pairs: what refers to others costs Python's collector time."""
        self._exchanges: deque[HttpExchange] = deque()
        self._exchanges_of: deque[deque[HttpExchange]] = deque()

    def set_session_limit(self, sessions: int) -> None:
        """Change how many sessions are kept, and as many page loads that no session has claimed yet."""
        self.limits = replace(self.limits, sessions=sessions, page_loads=sessions)
        self._identities.limit = EVIDENCE_EACH * 2 * sessions
        self._bound()

    # Whose a page, a socket or a view is

    def add_page_load(self, html: str, load: PageLoad) -> bool:
        """Note a page that went to a browser; return whether LiveViews are in it: then it gets a session's number."""
        markup = read_page(html)
        load.topics = markup.topics
        if not load.topics:
            return False
        self._numbered += 1
        load.number = self._numbered
        self._pages[load.number] = load
        while len(self._pages) > self.limits.page_loads:
            self._pages.popitem(last=False)
        of = self._identities.key
        keys = [of(load.host, "topic", topic) for topic in markup.topics if topic.startswith(RANDOM_TOPIC)]
        keys += [of(load.host, "token", token) for token in markup.tokens if is_signed(token)]
        keys += [of(load.host, "csrf", markup.csrf)] if markup.csrf else []
        self._identities.claim(load.number, keys)
        return True

    def page_load_or_session(self, url: str, host: str) -> PageLoad | Session | None:
        """The page load, or the session it has become, whose CSRF token a socket's URL has; None when none is known."""
        number = self.number_by_csrf(url, host)
        return None if number is None else self._pages.get(number) or self.sessions.get(number)

    def number_by_csrf(self, url: str, host: str) -> int | None:
        """The number of the tab whose page has the CSRF token of a socket's URL."""
        token = csrf_of_url(url)
        return self._identities.owner(self._identities.key(host, "csrf", token)) if token else None

    def _is_known(self, number: int) -> bool:
        return number in self.sessions or number in self._pages

    def number_by_view(self, topic: str, token: str | None, csrf: int | None, host: str) -> int | None:
        """Return the number of the tab that a LiveView joins in, or None.

        A random topic is the only one of its kind; one that is not known is not of a tab that has another one already.
        Else the `session` token tells, which is signed for one page load, then the CSRF token of the socket.
        """
        of = self._identities.key
        random = topic.startswith(RANDOM_TOPIC)
        if random:
            number = self._identities.owner(of(host, "topic", topic))
        else:
            number = self._identities.owner(of(host, "token", token)) if token else None
        if number is None and csrf is not None and not (random and self._shows_another(csrf, topic)):
            number = csrf
        return number

    def _shows_another(self, number: int, topic: str) -> bool:
        """Whether a tab has shown views with random topics, in its page or by joining them, and not this one."""
        session, load = self.sessions.get(number), self._pages.get(number)
        load = session.page_load if session is not None else load
        topics = [*(load.topics if load is not None else ()), *(session.views if session is not None else ())]
        return topic not in topics and any(each.startswith(RANDOM_TOPIC) for each in topics)

    def claim_view(self, session: Session, topic: str, token: str | None) -> None:
        """A LiveView has joined in a session: what it has shown finds that session from now on."""
        of = self._identities.key
        keys = [of(session.host, "topic", topic)] if topic.startswith(RANDOM_TOPIC) else []
        keys += [of(session.host, "token", token)] if token and is_signed(token) else []
        self._identities.claim(session.number, keys)

    def csrf_key(self, url: str, host: str) -> Key | None:
        """The CSRF token of a socket's URL as a piece of evidence; None when it has none."""
        token = csrf_of_url(url)
        return self._identities.key(host, "csrf", token) if token else None

    def claim_csrf(self, session: Session, url: str) -> None:
        """A socket with this URL is one of a session."""
        key = self.csrf_key(url, session.host)
        session.csrf = key
        if key is not None:
            self._identities.claim(session.number, [key])

    def get_or_open(self, number: int, at: float) -> Session:
        """The session of a number that evidence has found; its page load becomes it when it was none yet."""
        session = self.sessions.get(number)
        if session is not None:
            return session
        load = self._pages.pop(number)
        opened = Session(number, "", load.at, at, host=load.host, page_load=load, exchanges=load.exchanges)
        return self._keep(opened)

    def new_session(self, id_: str, at: float, host: str, *, channels: bool = False) -> Session:
        """A session of which no page load is known; `channels` for a socket that has no LiveView."""
        self._numbered += 1
        return self._keep(Session(self._numbered, id_, at, at, kind="channels" if channels else "tab", host=host))

    def _keep(self, session: Session) -> Session:
        self.sessions[session.number] = session
        self._bound()
        return session

    def touch(self, session: Session) -> None:
        """A session had a frame."""
        if session.is_stored:
            self.sessions.move_to_end(session.number)

    # What kinds of pushes are answered

    def remember_reply(self, host: str, topic: str, event: str) -> None:
        """A push of this kind on a plain channel had an answer."""
        key = (host, topic.partition(":")[0], event)
        self._answered[key] = None
        if len(self._answered) > MAX_REPLIED_KINDS:
            self._answered.popitem(last=False)

    def is_replied_to(self, host: str, topic: str, event: str) -> bool:
        """Whether any push of this kind was."""
        return (host, topic.partition(":")[0], event) in self._answered

    # What belongs to a session

    def add_socket(self, session: Session, info: SocketInfo, connect_info: ConnectInfo) -> None:
        """A socket is one of this session."""
        session.sockets.append(info)
        session.connect_info = connect_info
        del session.sockets[:-MAX_SOCKETS]

    def add_push(self, session: Session, event: Push) -> None:
        """A session has one more event; the oldest go, of this session and of all."""
        session.pushes.append(event)
        if len(session.pushes) > self.limits.pushes:
            session.pushes.popleft()
            session.pushes_dropped += 1
        self._events.append(event)
        self._events_of.append(session)
        if len(self._events) > self.limits.all_pushes:
            owner, oldest = self._events_of.popleft(), self._events.popleft()
            if owner.pushes and owner.pushes[0] is oldest:
                owner.pushes.popleft()
                owner.pushes_dropped += 1

    def add_exchange(self, exchanges: deque[HttpExchange], exchange: HttpExchange) -> None:
        """A page or a session has one more HTTP request; the oldest of all go."""
        exchanges.append(exchange)
        self._exchanges.append(exchange)
        self._exchanges_of.append(exchanges)
        if len(self._exchanges) > self.limits.exchanges:
            owner, oldest = self._exchanges_of.popleft(), self._exchanges.popleft()
            if owner and owner[0] is oldest:
                owner.popleft()

    def merge_session(self, guessed: Session, found: Session) -> None:
        """What was taken for a session of its own turned out to be part of another one."""
        self.sessions.pop(guessed.number, None)
        guessed.is_stored = False
        found.sockets += guessed.sockets
        found.connect_info = guessed.connect_info
        found.pushes += guessed.pushes
        found.event_count += guessed.event_count
        found.round_trips += guessed.round_trips
        for topic in guessed.views.keys() & found.views.keys():
            self.drop_tree(guessed.views[topic], "its session is known by a later one")
        found.views = {**guessed.views, **found.views}
        found.diff_bytes += guessed.diff_bytes
        found.bytes_in += guessed.bytes_in
        found.bytes_out += guessed.bytes_out
        found.unanswered += guessed.unanswered
        for incident in guessed.incidents:
            incident.session = found.number
        found.incidents += guessed.incidents
        del found.sockets[:-MAX_SOCKETS]
        for listener in self.on_merged:
            listener(guessed, found)

    def add_tree_bytes(self, session: Session, view: View, size: int) -> None:
        """So many bytes went into the page of a view; pages of the sessions that are idle longest may have to go."""
        tree = view.tree
        if tree is None:
            return
        tree.add_size(size)
        self.tree_bytes += tree.size - view.tree_bytes
        view.tree_bytes = tree.size
        if not session.is_stored:
            self.drop_tree(view, "too many sessions are open")
        elif self.tree_bytes > self.limits.tree_bytes:
            self._forget_idle_pages(session)

    def _forget_idle_pages(self, active: Session) -> None:
        """Drop pages until there is some room again; that of the session with the latest frame last of all."""
        most, room = self.limits.tree_bytes, size_text(self.limits.tree_bytes)
        idle = f"all pages together took more than {room}, and this session was idle longest"
        for session in [each for each in self.sessions.values() if each is not active]:
            for view in session.views.values():
                self.drop_tree(view, f"{idle}; it is known again after the next join")
            if self.tree_bytes <= most * ROOM:
                return
        if self.tree_bytes > most:
            for view in active.views.values():
                self.drop_tree(view, f"it alone takes more than {room}")

    def drop_tree(self, view: View, problem: str) -> None:
        """Keep the page of a view no longer, and say why."""
        if view.tree is not None:
            self.tree_bytes -= view.tree_bytes
            view.tree, view.tree_bytes, view.tree_problem = None, 0, problem

    def _bound(self) -> None:
        while len(self.sessions) > self.limits.sessions:
            _, gone = self.sessions.popitem(last=False)
            self.evicted += 1
            gone.is_stored = False
            for view in gone.views.values():
                self.drop_tree(view, "too many sessions are open")
