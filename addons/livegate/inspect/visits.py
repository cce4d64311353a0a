"""Which browser tab an HTTP request is of: the one that shows the page that the request names as its referrer."""

from collections import OrderedDict, deque
from urllib.parse import urlsplit

from mitmproxy import http

from livegate.phoenix.model import PageLoad
from livegate.phoenix.tracker import Tracker

MAX_BROWSERS = 1000
MAX_PAGES = 20
"""Of one browser at one host."""

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
        self._pages.setdefault(browser, deque(maxlen=MAX_PAGES)).append(load)
        self._pages.move_to_end(browser)
        if len(self._pages) > MAX_BROWSERS:
            self._pages.popitem(last=False)

    def of(self, flow: http.HTTPFlow) -> PageLoad | None:
        """The page that a request came from; of several the one that was loaded last."""
        referrer = flow.request.headers.get("referer")
        if not referrer:
            return None
        try:
            path = urlsplit(referrer).path or "/"
        except ValueError:
            return None
        pages = self._pages.get(_browser(flow), ())
        return next((load for load in reversed(pages) if path in (load.path, self._path_now(load))), None)

    def _path_now(self, load: PageLoad) -> str | None:
        """Where the tab is now, without having loaded a page again."""
        sessions = (self._tracker.sessions.get(topic) for topic in load.topics)
        main = next((session.main for session in sessions if session is not None), None)
        return main.path if main is not None else None


def _browser(flow: http.HTTPFlow) -> Browser:
    """Whose request it is. A gateway in front, this one included, says in its own fields who and what was asked for."""
    headers, peer = flow.request.headers, flow.client_conn.peername
    client = headers.get("x-forwarded-for") or (peer[0] if peer else "")
    host = headers.get("x-forwarded-host") or headers.get("host") or flow.request.host
    return client, headers.get("user-agent", ""), host
