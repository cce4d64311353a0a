"""Session store: tabs, page loads, pushes and HTTP requests within bounds, and the tab that a socket belongs to."""

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
"""Sockets kept per session; the oldest are dropped."""
EVICTION_TARGET = 0.9
"""Share of `tree_bytes` that eviction leaves in use, so that not every following frame has to evict again."""
MAX_REPLIED_KINDS = 2000
"""Kinds of pushes to plain channels that are remembered because they got a reply."""
EVIDENCE_PER_TAB = 8
"""Pieces of evidence kept per session and page load, on average."""


class SessionStore:
    """All sessions of a process, within `SessionLimits`."""

    def __init__(self, limits: SessionLimits | None = None) -> None:
        self.limits = limits or SessionLimits()
        self.sessions: OrderedDict[int, Session] = OrderedDict()
        """By number, in the order of their last frames."""
        self.evicted = 0
        """Number of evicted sessions."""
        self.tree_bytes = 0
        self.modules = ModuleIndex()
        self.incidents = IncidentLog()
        self.on_merged: list[Callable[[Session, Session], None]] = []
        """Called with a provisional session and the one that it was merged into."""
        self._evidence = EvidenceIndex(
            EVIDENCE_PER_TAB * (self.limits.sessions + self.limits.page_loads), self._is_known
        )
        self._page_loads: OrderedDict[int, PageLoad] = OrderedDict()
        """Page loads that are not part of a session yet, by number."""
        self._last_number = 0
        self._replied_kinds: OrderedDict[tuple[str, str, str], None] = OrderedDict()
        self._pushes: deque[Push] = deque()
        """Pushes of all sessions, oldest first; a session may have dropped some already."""
        self._push_owners: deque[Session] = deque()
        """Session of each push. A deque of pairs would cost the garbage collector time for each pair."""
        self._exchanges: deque[HttpExchange] = deque()
        self._exchange_owners: deque[deque[HttpExchange]] = deque()

    def set_session_limit(self, sessions: int) -> None:
        """Change the limit on sessions, and that on page loads to the same number."""
        self.limits = replace(self.limits, sessions=sessions, page_loads=sessions)
        self._evidence.limit = EVIDENCE_PER_TAB * 2 * sessions
        self._evict_sessions()

    # Which tab a page, a socket or a view belongs to

    def add_page_load(self, html: str, load: PageLoad) -> bool:
        """Add a page that was sent to a browser, with a session number; return False if it has no LiveViews."""
        markup = read_page(html)
        load.topics = markup.topics
        if not load.topics:
            return False
        self._last_number += 1
        load.number = self._last_number
        self._page_loads[load.number] = load
        while len(self._page_loads) > self.limits.page_loads:
            self._page_loads.popitem(last=False)
        of = self._evidence.key
        keys = [of(load.host, "topic", topic) for topic in markup.topics if topic.startswith(RANDOM_TOPIC)]
        keys += [of(load.host, "token", token) for token in markup.tokens if is_signed(token)]
        keys += [of(load.host, "csrf", markup.csrf)] if markup.csrf else []
        self._evidence.claim(load.number, keys)
        return True

    def page_load_or_session(self, url: str, host: str) -> PageLoad | Session | None:
        """Return the page load whose CSRF token a socket's URL has, or the session that it became; None if unknown."""
        number = self.number_by_csrf(url, host)
        return None if number is None else self._page_loads.get(number) or self.sessions.get(number)

    def number_by_csrf(self, url: str, host: str) -> int | None:
        """Return the number of the tab whose page has the CSRF token of a socket's URL."""
        token = csrf_of_url(url)
        return self._evidence.owner(self._evidence.key(host, "csrf", token)) if token else None

    def _is_known(self, number: int) -> bool:
        return number in self.sessions or number in self._page_loads

    def number_by_view(self, topic: str, token: str | None, csrf: int | None, host: str) -> int | None:
        """Return the number of the tab in which a LiveView is joined; None if unknown.

        A random topic identifies its tab, and an unknown one is not in a tab that has another random topic. Otherwise
        the `session` token decides, which is signed for one page load, then the CSRF token of the socket (`csrf`).
        """
        of = self._evidence.key
        random = topic.startswith(RANDOM_TOPIC)
        if random:
            number = self._evidence.owner(of(host, "topic", topic))
        else:
            number = self._evidence.owner(of(host, "token", token)) if token else None
        if number is None and csrf is not None and not (random and self._has_other_random_topics(csrf, topic)):
            number = csrf
        return number

    def _has_other_random_topics(self, number: int, topic: str) -> bool:
        """Return whether a tab has views with random topics, in its page or joined, but not this one."""
        session, load = self.sessions.get(number), self._page_loads.get(number)
        load = session.page_load if session is not None else load
        topics = [*(load.topics if load is not None else ()), *(session.views if session is not None else ())]
        return topic not in topics and any(each.startswith(RANDOM_TOPIC) for each in topics)

    def claim_view(self, session: Session, topic: str, token: str | None) -> None:
        """Add the topic and token of a LiveView to the evidence for its session."""
        of = self._evidence.key
        keys = [of(session.host, "topic", topic)] if topic.startswith(RANDOM_TOPIC) else []
        keys += [of(session.host, "token", token)] if token and is_signed(token) else []
        self._evidence.claim(session.number, keys)

    def csrf_key(self, url: str, host: str) -> Key | None:
        """Return the evidence key of the CSRF token in a socket's URL; None without a token."""
        token = csrf_of_url(url)
        return self._evidence.key(host, "csrf", token) if token else None

    def claim_csrf(self, session: Session, url: str) -> None:
        """Add the CSRF token of a socket's URL to the evidence for its session."""
        key = self.csrf_key(url, session.host)
        session.csrf = key
        if key is not None:
            self._evidence.claim(session.number, [key])

    def get_or_open(self, number: int, at: float) -> Session:
        """Return the session of a number found by evidence; if it is still a page load, turn it into a session."""
        session = self.sessions.get(number)
        if session is not None:
            return session
        load = self._page_loads.pop(number)
        opened = Session(number, "", load.at, at, host=load.host, page_load=load, exchanges=load.exchanges)
        return self._add(opened)

    def new_session(self, id_: str, at: float, host: str, *, channels: bool = False) -> Session:
        """Add a session without a page load; `channels` for a socket without a LiveView."""
        self._last_number += 1
        return self._add(Session(self._last_number, id_, at, at, kind="channels" if channels else "tab", host=host))

    def _add(self, session: Session) -> Session:
        self.sessions[session.number] = session
        self._evict_sessions()
        return session

    def touch(self, session: Session) -> None:
        """Make a session the last to be evicted."""
        if session.is_stored:
            self.sessions.move_to_end(session.number)

    # Kinds of pushes that get replies

    def remember_reply(self, host: str, topic: str, event: str) -> None:
        """Remember that pushes of this kind to a plain channel get replies."""
        key = (host, topic.partition(":")[0], event)
        self._replied_kinds[key] = None
        if len(self._replied_kinds) > MAX_REPLIED_KINDS:
            self._replied_kinds.popitem(last=False)

    def is_replied_to(self, host: str, topic: str, event: str) -> bool:
        """Return whether any push of this kind got a reply."""
        return (host, topic.partition(":")[0], event) in self._replied_kinds

    # Content of a session

    def add_socket(self, session: Session, info: SocketInfo, connect_info: ConnectInfo) -> None:
        """Add a socket to a session; beyond MAX_SOCKETS the oldest is dropped."""
        session.sockets.append(info)
        session.connect_info = connect_info
        del session.sockets[:-MAX_SOCKETS]

    def add_push(self, session: Session, push: Push) -> None:
        """Add a push to a session; beyond the limits its oldest push is dropped, and the oldest of all sessions."""
        session.pushes.append(push)
        if len(session.pushes) > self.limits.pushes:
            session.pushes.popleft()
            session.pushes_dropped += 1
        self._pushes.append(push)
        self._push_owners.append(session)
        if len(self._pushes) > self.limits.all_pushes:
            owner, oldest = self._push_owners.popleft(), self._pushes.popleft()
            if owner.pushes and owner.pushes[0] is oldest:
                owner.pushes.popleft()
                owner.pushes_dropped += 1

    def add_exchange(self, exchanges: deque[HttpExchange], exchange: HttpExchange) -> None:
        """Add an HTTP request to those of a page load or session; beyond the limit the oldest of all is dropped."""
        exchanges.append(exchange)
        self._exchanges.append(exchange)
        self._exchange_owners.append(exchanges)
        if len(self._exchanges) > self.limits.exchanges:
            owner, oldest = self._exchange_owners.popleft(), self._exchanges.popleft()
            if owner and owner[0] is oldest:
                owner.popleft()

    def merge_session(self, provisional: Session, session: Session) -> None:
        """Move the content of a provisional session to the one that its socket belongs to."""
        self.sessions.pop(provisional.number, None)
        provisional.is_stored = False
        session.sockets += provisional.sockets
        session.connect_info = provisional.connect_info
        session.pushes += provisional.pushes
        session.event_count += provisional.event_count
        session.round_trips += provisional.round_trips
        for topic in provisional.views.keys() & session.views.keys():
            self.drop_tree(provisional.views[topic], "its session has a newer view of this topic")
        session.views = {**provisional.views, **session.views}
        session.diff_bytes += provisional.diff_bytes
        session.bytes_in += provisional.bytes_in
        session.bytes_out += provisional.bytes_out
        session.unanswered += provisional.unanswered
        for incident in provisional.incidents:
            incident.session = session.number
        session.incidents += provisional.incidents
        del session.sockets[:-MAX_SOCKETS]
        for listener in self.on_merged:
            listener(provisional, session)

    def add_tree_bytes(self, session: Session, view: View, size: int) -> None:
        """Account for a join or diff of `size` bytes; beyond `tree_bytes` the trees of idle sessions are evicted."""
        tree = view.tree
        if tree is None:
            return
        tree.add_size(size)
        self.tree_bytes += tree.size - view.tree_bytes
        view.tree_bytes = tree.size
        if not session.is_stored:
            self.drop_tree(view, "too many sessions are open")
        elif self.tree_bytes > self.limits.tree_bytes:
            self._evict_idle_trees(session)

    def _evict_idle_trees(self, active: Session) -> None:
        """Evict trees down to EVICTION_TARGET, longest idle session first; that of the active session comes last."""
        limit = self.limits.tree_bytes
        reason = f"all pages together exceeded {size_text(limit)} and this session was idle longest"
        for session in [each for each in self.sessions.values() if each is not active]:
            for view in session.views.values():
                self.drop_tree(view, f"{reason}; the next join restores it")
            if self.tree_bytes <= limit * EVICTION_TARGET:
                return
        if self.tree_bytes > limit:
            for view in active.views.values():
                self.drop_tree(view, f"it exceeds {size_text(limit)} alone")

    def drop_tree(self, view: View, problem: str) -> None:
        """Drop the tree of a view; `problem` is the reason, as a text for people."""
        if view.tree is not None:
            self.tree_bytes -= view.tree_bytes
            view.tree, view.tree_bytes, view.tree_problem = None, 0, problem

    def _evict_sessions(self) -> None:
        while len(self.sessions) > self.limits.sessions:
            _, session = self.sessions.popitem(last=False)
            self.evicted += 1
            session.is_stored = False
            for view in session.views.values():
                self.drop_tree(view, "too many sessions are open")
