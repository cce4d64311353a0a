"""Finds the session that a socket is of, from what is joined on it; the rules are those of docs/sessions.md."""

from typing import Any

from livegate.phoenix.model import ConnectInfo, Session, SocketInfo
from livegate.phoenix.sessions.store import SessionStore
from livegate.phoenix.topics import LIVE_TOPIC, RANDOM_TOPIC, UPLOAD_TOPIC, is_live


class Membership:
    """The session of one socket: unknown at first, then guessed or found."""

    def __init__(self, store: SessionStore, info: SocketInfo, connect_info: ConnectInfo, url: str, host: str) -> None:
        self.session: Session | None = None
        self.host = host
        self._store = store
        self._info = info
        self._connect_info = connect_info
        self._url = url
        self._guessed = False
        """Whether the session is only one of its own for want of evidence: a later join may tell whose it is."""

    def session_for_join(self, topic: str, payload: dict[str, Any], at: float) -> Session:
        """Return the session of a socket on which a channel is joined."""
        if not is_live(topic):
            return self.session_for_push(topic, at) or self._begin(topic, at, channels=True)
        if self.session is None or self._guessed:
            self._found(topic, payload, at)
        session = self._own
        token = payload.get("session")
        self._store.claim_view(session, topic, token if isinstance(token, str) else None)
        return session

    def session_for_push(self, topic: str, at: float) -> Session | None:
        """Return the session of a socket on which something is sent; None when only a join can tell.

        The channel of an upload is never alone: its socket is one of the tab whose CSRF token it was opened with.
        """
        if self.session is None and (is_live(topic) or topic.startswith(UPLOAD_TOPIC)):
            number = self._store.number_by_csrf(self._url, self.host)
            if number is not None:
                self._attach(self._store.get_or_open(number, at), guessed=True)
        return self.session

    def session_for_frame(self, topic: str, at: float) -> Session:
        """Return the session of a socket whose joins were not seen."""
        return self.session_for_push(topic, at) or self._begin(topic, at, channels=not is_live(topic))

    def _found(self, topic: str, payload: dict[str, Any], at: float) -> None:
        """A LiveView tells whose socket it is; what came before it, such as a plain channel, belongs there too."""
        guessed, store = self.session, self._store
        token = payload.get("session")
        csrf = store.number_by_csrf(self._url, self.host)
        number = store.number_by_view(topic, token if isinstance(token, str) else None, csrf, self.host)
        if number is not None and self._is_anothers(store.get_or_open(number, at), topic, payload):
            number = None
        certain = number is not None or topic.startswith(RANDOM_TOPIC)
        if number is None:
            if guessed is not None and guessed.kind == "tab" and not topic.startswith(RANDOM_TOPIC):
                return  # another view of the tab that is not known yet
            session = store.new_session(topic.removeprefix(LIVE_TOPIC), at, self.host)
        else:
            session = store.get_or_open(number, at)
        session.id = session.id or topic.removeprefix(LIVE_TOPIC)
        store.claim_csrf(session, self._url)
        if guessed is session:
            self._guessed = not certain
            return
        if guessed is None:
            self._attach(session, guessed=not certain)
            return
        self.session, self._guessed = session, not certain
        if len(guessed.sockets) == 1:
            store.merge_session(guessed, session)
            session.connect_info = self._connect_info
        else:  # it had sockets before this one, which were found by better evidence than a guess
            guessed.sockets.remove(self._info)
            store.add_socket(session, self._info, self._connect_info)

    def _is_anothers(self, session: Session, topic: str, payload: dict[str, Any]) -> bool:
        """Whether a socket is not of the tab that its view's topic or token names.

        A tab opens all its sockets with one CSRF token: who has another, or none, has only info what the tab shows.
        """
        other = session.csrf is not None and session.csrf != self._store.csrf_key(self._url, self.host)
        return other or self._is_another_tab(session, topic, payload)

    def _is_another_tab(self, session: Session, topic: str, payload: dict[str, Any]) -> bool:
        """Whether a view mounts for the first time that this session has had up on a socket that is still open.

        So it is when a page comes twice from a cache: both tabs have its ids and tokens. A client counts its mounts
        in `_mounts`, from 0 (phoenix_live_view.js, all versions), and `url` is given by a page load only.
        """
        params = payload.get("params")
        first = isinstance(params, dict) and params.get("_mounts") == 0 and "url" in payload
        view = session.views.get(topic)
        if not first or view is None or view.joins == 0:
            return False
        return any(socket.closed_at is None and socket is not self._info for socket in session.sockets)

    def _begin(self, topic: str, at: float, *, channels: bool) -> Session:
        session = self._store.new_session(topic.removeprefix(LIVE_TOPIC), at, self.host, channels=channels)
        return self._attach(session, guessed=True)

    def _attach(self, session: Session, *, guessed: bool) -> Session:
        self.session, self._guessed = session, guessed
        self._store.add_socket(session, self._info, self._connect_info)
        return session

    @property
    def _own(self) -> Session:
        if self.session is None:
            raise RuntimeError("a join finds or begins a session")
        return self.session
