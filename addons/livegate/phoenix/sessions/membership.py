"""Finds the session of a socket from the channels that are joined on it. The rules stand in docs/topics/sessions.md."""

from typing import Any

from livegate.phoenix.model import ConnectInfo, Session, SocketInfo
from livegate.phoenix.sessions.store import SessionStore
from livegate.phoenix.topics import LIVE_TOPIC, RANDOM_TOPIC, UPLOAD_TOPIC, is_live


class Membership:
    """Session of one socket: unknown at first, then provisional or certain."""

    def __init__(self, store: SessionStore, info: SocketInfo, connect_info: ConnectInfo, url: str, host: str) -> None:
        self.session: Session | None = None
        self.host = host
        self._store = store
        self._info = info
        self._connect_info = connect_info
        self._url = url
        self._provisional = False
        """Whether the session rests on weak evidence, so that a later join may move the socket to another one."""

    def session_for_join(self, topic: str, payload: dict[str, Any], at: float) -> Session:
        """Return the session, given a join on the socket."""
        if not is_live(topic):
            return self.session_for_push(topic, at) or self._begin(topic, at, channels=True)
        if self.session is None or self._provisional:
            self._identify(topic, payload, at)
        session = self._known_session
        token = payload.get("session")
        self._store.claim_view(session, topic, token if isinstance(token, str) else None)
        return session

    def session_for_push(self, topic: str, at: float) -> Session | None:
        """Return the session, given a push on the socket; None if a join has to decide.

        A socket with a view or an upload belongs to the tab whose CSRF token it was opened with.
        """
        if self.session is None and (is_live(topic) or topic.startswith(UPLOAD_TOPIC)):
            number = self._store.number_by_csrf(self._url, self.host)
            if number is not None:
                self._attach(self._store.get_or_open(number, at), provisional=True)
        return self.session

    def session_for_frame(self, topic: str, at: float) -> Session:
        """Return the session of a socket whose joins the gateway has not seen."""
        return self.session_for_push(topic, at) or self._begin(topic, at, channels=not is_live(topic))

    def _identify(self, topic: str, payload: dict[str, Any], at: float) -> None:
        """Find the session by the join of a LiveView, and move what a provisional session has already to it."""
        before, store = self.session, self._store
        token = payload.get("session")
        csrf = store.number_by_csrf(self._url, self.host)
        number = store.number_by_view(topic, token if isinstance(token, str) else None, csrf, self.host)
        if number is not None and self._is_of_another_tab(store.get_or_open(number, at), topic, payload):
            number = None
        certain = number is not None or topic.startswith(RANDOM_TOPIC)
        if number is None:
            if before is not None and before.kind == "tab" and not topic.startswith(RANDOM_TOPIC):
                return  # another view of the same unknown tab
            session = store.new_session(topic.removeprefix(LIVE_TOPIC), at, self.host)
        else:
            session = store.get_or_open(number, at)
        session.id = session.id or topic.removeprefix(LIVE_TOPIC)
        store.claim_csrf(session, self._url)
        if before is session:
            self._provisional = not certain
            return
        if before is None:
            self._attach(session, provisional=not certain)
            return
        self.session, self._provisional = session, not certain
        if len(before.sockets) == 1:
            store.merge_session(before, session)
            session.connect_info = self._connect_info
        else:  # its other sockets belong to it by better evidence
            before.sockets.remove(self._info)
            store.add_socket(session, self._info, self._connect_info)

    def _is_of_another_tab(self, session: Session, topic: str, payload: dict[str, Any]) -> bool:
        """Return whether the socket does not belong to the tab that its view's topic or token identifies.

        A tab opens all its sockets with one CSRF token. A socket with another token, or none, belongs to a client that
        has only seen what the tab shows.
        """
        other = session.csrf is not None and session.csrf != self._store.csrf_key(self._url, self.host)
        return other or self._is_duplicate_tab(session, topic, payload)

    def _is_duplicate_tab(self, session: Session, topic: str, payload: dict[str, Any]) -> bool:
        """Return whether a view mounts for the first time although the session has joined it on another open socket.

        This happens when two tabs show the same cached page with its ids and tokens. The client counts its mounts in
        `_mounts`, from 0 (phoenix_live_view.js, 0.18 to 1.2), and sends `url` only after a page load.
        """
        params = payload.get("params")
        first = isinstance(params, dict) and params.get("_mounts") == 0 and "url" in payload
        view = session.views.get(topic)
        if not first or view is None or view.joins == 0:
            return False
        return any(socket.closed_at is None and socket is not self._info for socket in session.sockets)

    def _begin(self, topic: str, at: float, *, channels: bool) -> Session:
        session = self._store.new_session(topic.removeprefix(LIVE_TOPIC), at, self.host, channels=channels)
        return self._attach(session, provisional=True)

    def _attach(self, session: Session, *, provisional: bool) -> Session:
        self.session, self._provisional = session, provisional
        self._store.add_socket(session, self._info, self._connect_info)
        return session

    @property
    def _known_session(self) -> Session:
        if self.session is None:
            raise RuntimeError("a join has found or added a session")
        return self.session
