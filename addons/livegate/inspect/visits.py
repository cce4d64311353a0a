"""Which browser tab an HTTP request is of: the one that shows the page that the request names as its referrer."""

from collections import OrderedDict, deque
from urllib.parse import urlsplit

from mitmproxy import http
from mitmproxy.net.http import status_codes

from livegate.phoenix.model import PageLoad, Session
from livegate.phoenix.pages import is_socket_url
from livegate.phoenix.tracker import Tracker

MAX_BROWSERS = 1000
MAX_PAGES = 20
"""Of one browser at one host."""
LOOP_S = 60.0
"""Page loads that follow each other so soon may be a loop; LiveView waits up to 30 s between them."""

type Browser = tuple[str, str, str]
"""Address, User-Agent, host."""


class Visits:
    """Remembers who has loaded which page."""

    def __init__(self, tracker: Tracker) -> None:
        self._tracker = tracker
        self._pages: OrderedDict[Browser, deque[PageLoad]] = OrderedDict()

    def remember(self, flow: http.HTTPFlow, load: PageLoad) -> None:
        """A page with LiveViews went to a browser."""
        browser = _browser(flow)
        pages = self._pages.setdefault(browser, deque(maxlen=MAX_PAGES))
        if pages:
            self._follow(pages[-1], load)
        pages.append(load)
        self._pages.move_to_end(browser)
        if len(self._pages) > MAX_BROWSERS:
            self._pages.popitem(last=False)

    def _follow(self, before: PageLoad, load: PageLoad) -> None:
        """What the page that a browser loaded just before tells of this one."""
        session = self._session(before)
        if session is None:
            return
        if session.refusals and before.path == load.path and load.at - before.at < LOOP_S:
            load.refused_before = before.refused_before + 1
        load.websocket_failed = before.websocket_failed and session.sockets[-1].transport == "longpoll"

    def of(self, flow: http.HTTPFlow) -> PageLoad | None:
        """The page that a request came from; of several the one that was loaded last."""
        if is_socket_url(flow.request.path):
            return self._upgrading(flow)
        referrer = flow.request.headers.get("referer")
        if not referrer:
            return None
        try:
            path = urlsplit(referrer).path or "/"
        except ValueError:
            return None
        pages = self._pages.get(_browser(flow), ())
        return next((load for load in reversed(pages) if path == load.path or path == self._path_now(load)), None)

    def _upgrading(self, flow: http.HTTPFlow) -> PageLoad | None:
        """The page whose WebSocket failed: browsers name no referrer there, so it is the one that was loaded last."""
        pages = self._pages.get(_browser(flow))
        if not pages or (flow.response is not None and flow.response.status_code == status_codes.SWITCHING):
            return None  # one that came about is told of by its frames
        pages[-1].websocket_failed = True
        return pages[-1]

    def _session(self, load: PageLoad) -> Session | None:
        sessions = (self._tracker.sessions.get(topic) for topic in load.topics)
        return next((session for session in sessions if session is not None), None)

    def _path_now(self, load: PageLoad) -> str | None:
        """Where the tab is now, without having loaded a page again."""
        session = self._session(load)
        return session.main.path if session is not None and session.main is not None else None


def _browser(flow: http.HTTPFlow) -> Browser:
    """Whose request it is. A gateway in front, this one included, says in its own fields who and what was asked for."""
    headers, peer = flow.request.headers, flow.client_conn.peername
    client = headers.get("x-forwarded-for") or (peer[0] if peer else "")
    host = headers.get("x-forwarded-host") or headers.get("host") or flow.request.host
    return client, headers.get("user-agent", ""), host
