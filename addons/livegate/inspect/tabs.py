"""Matcher of HTTP requests to browser tabs: a request belongs to the tab whose page it names as its referrer.

Cookies distinguish browsers behind one address. A request that may belong to several tabs is assigned to none.
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
"""Client keys that are remembered. Beyond, the one whose last page load is oldest is evicted."""
MAX_BROWSERS = 50
"""Browsers per client key. Beyond, the oldest is evicted."""
MAX_PAGES = 20
"""Page loads per browser. Beyond, the oldest is evicted."""
MAX_COOKIES = 50
"""Cookies per browser. Further cookies are ignored."""
MAX_COOKIE_VALUES = 3
"""Last values per cookie."""
RELOAD_LOOP_S = 60.0
"""Time between two page loads of a reload loop, at most; LiveView waits up to 30 s between them."""
ASSETS_S = 10.0
"""Time after a page load in which the browser requests scripts, styles and sockets of the page."""
CLOSED_S = 60.0
"""Time after its last close in which a tab may still send requests; LiveView reconnects within 10 s."""

type ClientKey = tuple[str, str, str]
"""Address, User-Agent, host."""
type Cookies = dict[str, bytes]
"""Their values as keyed hashes."""

_SECRET = os.urandom(16)


@dataclass(slots=True)
class Browser:
    """Browser at one host, as its cookies distinguish it from others with the same client key."""

    cookies: dict[str, tuple[bytes, ...]] = field(default_factory=dict)
    """Hashes of the last values of each, because a browser may reject a new one, such as `Secure` over plain http."""
    pages: deque[PageLoad] = field(default_factory=lambda: deque(maxlen=MAX_PAGES))


class TabMatcher:
    """Matches requests to the page loads of browsers."""

    def __init__(self, tracker: Tracker) -> None:
        self._tracker = tracker
        self._browsers: OrderedDict[ClientKey, list[Browser]] = OrderedDict()

    def page_loaded(self, flow: http.HTTPFlow, load: PageLoad) -> None:
        """Remember that a browser has loaded a page with LiveViews."""
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

    def _link(self, previous: PageLoad, load: PageLoad) -> None:
        """Link a page load to the one before it, which may be a refused join, a reload, or a failed WebSocket."""
        session = self._session(previous)
        if session is None:
            return
        main = session.main
        if (
            main is not None
            and main.state == "refused"
            and previous.path == load.path
            and load.at - previous.at < RELOAD_LOOP_S
        ):
            load.refused_loads_before = previous.refused_loads_before + 1
        if load.path in (previous.path, self._current_path(previous)):
            link_reload(session, load)
        load.websocket_failed = previous.websocket_failed and session.sockets[-1].transport == "longpoll"

    def page_load_for(self, flow: http.HTTPFlow) -> PageLoad | None:
        """Return the page that a request came from; None when no page matches, or more than one."""
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
        candidates = same or ([] if cookies else browsers)  # requests without credentials carry no cookies
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
        """Return the page of a failed upgrade by the CSRF token in its URL, because upgrades have no referrer."""
        if flow.response is not None and flow.response.status_code == status_codes.SWITCHING:
            return None  # the frames of an open socket identify its tab
        owner = self._tracker.page_load_or_session(flow.request.path, host_of(flow))
        load = owner.page_load if isinstance(owner, Session) else owner
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
        """Return whether the tab that loaded a page may still show it."""
        session = self._session(load)
        if session is None or not session.sockets or session.is_open:
            return load.at <= at
        return at - max(socket.closed_at or 0.0 for socket in session.sockets) < CLOSED_S

    def _current_path(self, load: PageLoad) -> str | None:
        """Return the path to which the tab has navigated without a page load."""
        session = self._session(load)
        return session.main.path if session is not None and session.main is not None else None


def _unambiguous(loads: list[PageLoad], at: float) -> PageLoad | None:
    """Return the only page load, or the latest one when it is recent; otherwise None."""
    latest = max(loads, key=lambda load: load.at, default=None)
    if latest is None or len(loads) == 1 or at - latest.at < ASSETS_S:
        return latest
    return None


def host_of(flow: http.HTTPFlow) -> str:
    """Return the host that the browser sent, with its port unless it is the scheme's default.

    A gateway in front, including livegate, forwards it.
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
    """Return the cookies of a request (RFC 6265 section 4.2.1)."""
    pairs = "; ".join(flow.request.headers.get_all("cookie")).split(";")
    return dict(_cookie(pair) for pair in pairs[:MAX_COOKIES] if "=" in pair)


def _cookie(pair: str) -> tuple[str, bytes]:
    name, _, value = pair.partition("=")
    text = value.strip().encode("utf-8", "surrogateescape")
    return name.strip(), hashlib.blake2b(text, digest_size=8, key=_SECRET).digest()


def _set_cookies(browser: Browser, flow: http.HTTPFlow) -> None:
    """Update a browser's cookies from a request and its response."""
    set_cookies = flow.response.headers.get_all("set-cookie") if flow.response is not None else []
    for name, value in [
        *_cookies(flow).items(),
        *(_cookie(each.partition(";")[0]) for each in set_cookies[:MAX_COOKIES]),
    ]:
        values = browser.cookies.get(name, ())
        if values[-1:] != (value,) and (values or len(browser.cookies) < MAX_COOKIES):
            browser.cookies[name] = (*(each for each in values if each != value), value)[-MAX_COOKIE_VALUES:]


def _is_same_browser(known: dict[str, tuple[bytes, ...]], sent: Cookies) -> bool:
    """Return whether cookies match a browser: one is equal, and no session cookie differs. Scripts change others."""
    if not known and not sent:
        return True
    shared = known.keys() & sent.keys()
    equal = {name for name in shared if sent[name] in known[name]}
    return bool(equal) and all(name in equal for name in shared if _is_session_cookie(name))


def _is_session_cookie(name: str) -> bool:
    """Return whether a cookie has a name that apps use for a user's session."""
    lower = name.lower()
    return lower.endswith(("_session", "sessionid", "session_id")) or (lower.startswith("_") and lower.endswith("_key"))
