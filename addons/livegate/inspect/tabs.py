"""Which browser tab an HTTP request is of: the one that shows the page that the request names as its referrer.

Two browsers behind one address are told apart by their cookies. Where more than one tab may have asked, none has.
"""

import hashlib
import os
from collections import OrderedDict, deque
from dataclasses import dataclass, field
from urllib.parse import urlsplit

from mitmproxy import http
from mitmproxy.net.http import status_codes

from livegate.phoenix.incidents.detection import link_reload
from livegate.phoenix.model import PageLoad, Session
from livegate.phoenix.page_html import is_socket_url
from livegate.phoenix.sessions.tracker import Tracker

MAX_CLIENTS = 1000
MAX_BROWSERS = 50
"""At one address with one User-Agent."""
MAX_PAGES = 20
"""Of one browser at one host."""
MAX_COOKIES = 50
MAX_COOKIE_VALUES = 3
RELOAD_LOOP_S = 60.0
"""Page loads that follow each other so soon may be a loop; LiveView waits up to 30 s between them."""
ASSETS_S = 10.0
"""A page that was loaded so recently is the one whose scripts, styles and sockets are asked for now."""
CLOSED_S = 60.0
"""So long after its last socket has ended a tab may still ask for something; LiveView reconnects within 10 s."""

type ClientKey = tuple[str, str, str]
"""Address, User-Agent, host."""
type Cookies = dict[str, bytes]
"""Their values as keyed hashes."""

_SECRET = os.urandom(16)


@dataclass(slots=True)
class Browser:
    """One browser at one host, as far as its cookies tell it from others at its address."""

    cookies: dict[str, tuple[bytes, ...]] = field(default_factory=dict)
    """The last values of each: one that an answer sets may be refused, as `Secure` is over plain http."""
    pages: deque[PageLoad] = field(default_factory=lambda: deque(maxlen=MAX_PAGES))


class TabMatcher:
    """Remembers who has loaded which page."""

    def __init__(self, tracker: Tracker) -> None:
        self._tracker = tracker
        self._browsers: OrderedDict[ClientKey, list[Browser]] = OrderedDict()

    def page_loaded(self, flow: http.HTTPFlow, load: PageLoad) -> None:
        """Note that a page with LiveViews went to a browser."""
        place, cookies = _client_key(flow), _cookies(flow)
        browsers = self._browsers.setdefault(place, [])
        browser = next((each for each in browsers if _is_same_browser(each.cookies, cookies)), None)
        if browser is None:
            browser = Browser()
            browsers.append(browser)
            del browsers[:-MAX_BROWSERS]
        _set_cookies(browser, flow)
        if browser.pages:
            self._link(browser.pages[-1], load)
        browser.pages.append(load)
        self._browsers.move_to_end(place)
        if len(self._browsers) > MAX_CLIENTS:
            self._browsers.popitem(last=False)

    def _link(self, before: PageLoad, load: PageLoad) -> None:
        """What the page that a browser loaded just before tells of this one."""
        session = self._session(before)
        if session is None:
            return
        main = session.main
        if (
            main is not None
            and main.state == "refused"
            and before.path == load.path
            and load.at - before.at < RELOAD_LOOP_S
        ):
            load.refused_loads_before = before.refused_loads_before + 1
        if load.path in (before.path, self._current_path(before)):
            link_reload(session, load)
        load.websocket_failed = before.websocket_failed and session.sockets[-1].transport == "longpoll"

    def page_load_for(self, flow: http.HTTPFlow) -> PageLoad | None:
        """Return the page that a request came from; None when none is known, or more than one may be."""
        if is_socket_url(flow.request.path):
            return self._page_load_of_upgrade(flow)
        browsers = self._browsers.get(_client_key(flow))
        if browsers is None:
            return None
        cookies = _cookies(flow)
        same = [each for each in browsers if _is_same_browser(each.cookies, cookies)]
        for each in same[:1]:
            _set_cookies(each, flow)
        path = _referrer(flow)
        if path is None:
            return None
        candidates = same or ([] if cookies else browsers)  # a request without credentials has no cookie to tell by
        at = flow.request.timestamp_start
        return _unambiguous(
            [
                load
                for each in candidates
                for load in each.pages
                if path in (load.path, self._current_path(load)) and self._may_be_open(load, at)
            ],
            at,
        )

    def _page_load_of_upgrade(self, flow: http.HTTPFlow) -> PageLoad | None:
        """The page whose WebSocket failed: browsers name no referrer there, but its CSRF token is in the URL."""
        if flow.response is not None and flow.response.status_code == status_codes.SWITCHING:
            return None  # one that came about is told of by its frames
        found = self._tracker.page_load_or_session(flow.request.path, host_of(flow))
        load = found.page_load if isinstance(found, Session) else found
        if load is None:
            cookies, at = _cookies(flow), flow.request.timestamp_start
            browsers = [
                each for each in self._browsers.get(_client_key(flow), ()) if _is_same_browser(each.cookies, cookies)
            ]
            load = _unambiguous([page for each in browsers for page in each.pages if self._may_be_open(page, at)], at)
        if load is not None:
            load.websocket_failed = True
        return load

    def _session(self, load: PageLoad) -> Session | None:
        return self._tracker.sessions.get(load.number)

    def _may_be_open(self, load: PageLoad, at: float) -> bool:
        """Whether the tab that loaded a page can still show it."""
        session = self._session(load)
        if session is None or not session.sockets or session.is_open:
            return load.at <= at
        return at - max(socket.closed_at or 0.0 for socket in session.sockets) < CLOSED_S

    def _current_path(self, load: PageLoad) -> str | None:
        """Where the tab is now, without having loaded a page again."""
        session = self._session(load)
        return session.main.path if session is not None and session.main is not None else None


def _unambiguous(loads: list[PageLoad], at: float) -> PageLoad | None:
    """The only one of several page loads, or the one that was a moment ago."""
    latest = max(loads, key=lambda load: load.at, default=None)
    if latest is None or len(loads) == 1 or at - latest.at < ASSETS_S:
        return latest
    return None


def host_of(flow: http.HTTPFlow) -> str:
    """Return the host that the browser named, with its port unless that is the scheme's own.

    A gateway in front, this one included, hands it on.
    """
    headers = flow.request.headers
    named: str = headers.get("x-forwarded-host") or headers.get("host") or flow.request.host
    host = named.strip().lower()
    return host.removesuffix(":80") if host.endswith(":80") else host.removesuffix(":443")


def _client_key(flow: http.HTTPFlow) -> ClientKey:
    headers, peer = flow.request.headers, flow.client_conn.peername
    client = headers.get("x-forwarded-for") or (peer[0] if peer else "")
    return client, headers.get("user-agent", ""), host_of(flow)


def _referrer(flow: http.HTTPFlow) -> str | None:
    referrer = flow.request.headers.get("referer")
    if not referrer:
        return None
    try:
        return urlsplit(referrer).path or "/"
    except ValueError:
        return None


def _cookies(flow: http.HTTPFlow) -> Cookies:
    """The cookies of a request (RFC 6265 section 4.2.1)."""
    pairs = "; ".join(flow.request.headers.get_all("cookie")).split(";")
    return dict(_cookie(pair) for pair in pairs[:MAX_COOKIES] if "=" in pair)


def _cookie(pair: str) -> tuple[str, bytes]:
    name, _, value = pair.partition("=")
    text = value.strip().encode("utf-8", "surrogateescape")
    return name.strip(), hashlib.blake2b(text, digest_size=8, key=_SECRET).digest()


def _set_cookies(browser: Browser, flow: http.HTTPFlow) -> None:
    """A browser has what its request brought and its answer set."""
    given = flow.response.headers.get_all("set-cookie") if flow.response is not None else []
    for name, value in [*_cookies(flow).items(), *(_cookie(each.partition(";")[0]) for each in given[:MAX_COOKIES])]:
        before = browser.cookies.get(name, ())
        if before[-1:] != (value,) and (before or len(browser.cookies) < MAX_COOKIES):
            browser.cookies[name] = (*(each for each in before if each != value), value)[-MAX_COOKIE_VALUES:]


def _is_same_browser(known: dict[str, tuple[bytes, ...]], shown: Cookies) -> bool:
    """Whether cookies can be those of a browser: it sends what it has; what a page's own script sets may change."""
    if not known and not shown:
        return True
    shared = known.keys() & shown.keys()
    equal = {name for name in shared if shown[name] in known[name]}
    return bool(equal) and all(name in equal for name in shared if _is_session_cookie(name))


def _is_session_cookie(name: str) -> bool:
    """Whether a cookie is one that apps know a user's session by."""
    lower = name.lower()
    return lower.endswith(("_session", "sessionid", "session_id")) or (lower.startswith("_") and lower.endswith("_key"))
