"""Reads LiveView's traces in HTTP: the LiveViews in a page's HTML, and the parameters in a socket's URL.

Follows Phoenix.LiveView.Static and the connection parameters of phoenix.js and phoenix_live_view.js, 0.18 to 1.2.
"""

import html as html_text
import re
from dataclasses import dataclass
from typing import Literal
from urllib.parse import parse_qs, urlsplit

from livegate.phoenix.frames import Vsn, parse_vsn
from livegate.phoenix.topics import LIVE_TOPIC

type ClientGeneration = Literal["", "1.0", "1.2"]
"""LiveView's JavaScript: unknown, 1.0 or 1.1, 1.2 or later."""

MAX_VIEWS = 100
"""LiveViews read per page; further ones are ignored."""
_TAG = re.compile(r"<[a-zA-Z][^<>]{0,65536}\bdata-phx-session=[^<>]*>")
_ID = re.compile(r"""\sid=["']?([^"'\s>]{1,200})""")
_SESSION = re.compile(r"""\bdata-phx-session=["']?([^"'\s>]{1,65536})""")
_META = re.compile(r"<meta\s[^<>]{0,4096}>", re.IGNORECASE)
_CSRF_NAME = re.compile(r"""\sname=["']?csrf-token["'\s>/]""")
_CONTENT = re.compile(r"""\scontent=(?:"([^"]{1,1024})"|'([^']{1,1024})'|([^"'\s>]{1,1024}))""")
MAX_METAS = 200
"""`<meta>` tags searched per page for the CSRF token."""
MAX_QUERY_FIELDS = 200
"""Query fields of a URL; one with more counts as without a query."""


@dataclass(frozen=True, slots=True)
class PageMarkup:
    """LiveViews in the HTML of a page."""

    topics: tuple[str, ...] = ()
    """Topics in the order of the page, nested views included."""
    tokens: tuple[str, ...] = ()
    """Signed `session` of each."""
    csrf: str = ""
    """CSRF token that the page's JavaScript opens its socket with (`<meta name="csrf-token">`); empty for none."""


def read_page(html: str) -> PageMarkup:
    """Return the LiveViews of a page, at most MAX_VIEWS. O(len(html))."""
    topics, tokens = [], []
    for match in _TAG.finditer(html):
        tag = match.group()
        name, token = _ID.search(tag), _SESSION.search(tag)
        if name is not None:
            topics.append(f"{LIVE_TOPIC}{html_text.unescape(name.group(1))}")
            tokens.append(html_text.unescape(token.group(1)) if token is not None else "")
        if len(topics) == MAX_VIEWS:
            break
    return PageMarkup(tuple(topics), tuple(tokens), _csrf(html) if topics else "")


def _csrf(html: str) -> str:
    for count, match in enumerate(_META.finditer(html)):
        tag = match.group()
        if count == MAX_METAS:
            break
        content = _CONTENT.search(tag) if _CSRF_NAME.search(tag) else None
        if content is not None:
            return html_text.unescape(next(filter(None, content.groups())))
    return ""


def vsn_of_url(url: str) -> Vsn | None:
    """Return the serializer that a socket's URL requests; None if Phoenix would refuse it."""
    query = _query(url)
    return parse_vsn(query["vsn"][0] if "vsn" in query else None) if query is not None else None


def csrf_of_url(url: str) -> str:
    """Return the CSRF token of a socket's URL, which Phoenix requires to read the user's session; empty for none."""
    return next(filter(None, (_query(url) or {}).get("_csrf_token", ())), "")


def client_of_url(url: str) -> ClientGeneration:
    """Return the generation of the LiveView client that opened a socket; empty for any other client.

    `_mount_attempts` is sent from 1.0 on; `_live_referer` is sent even without a value up to 1.1, and omitted from 1.2
    on (phoenix_live_view.js, `params`).
    """
    query = _query(url) or {}
    if "_mount_attempts" not in query:
        return ""
    return "1.0" if "_live_referer" in query else "1.2"


def is_socket_url(url: str) -> bool:
    """Return whether phoenix.js opens a WebSocket at this URL: it always sends `vsn`."""
    return url.partition("?")[0].endswith("/websocket") and "vsn" in (_query(url) or {})


def _query(url: str) -> dict[str, list[str]] | None:
    try:
        return parse_qs(urlsplit(url).query, keep_blank_values=True, max_num_fields=MAX_QUERY_FIELDS)
    except ValueError:
        return None


def place_of(url: object) -> str | None:
    """Return the path of a URL with its query, for a text that is redacted before it is shown."""
    path = path_of(url)
    if path is None or not isinstance(url, str):
        return None
    query = urlsplit(url).query
    return f"{path}?{query}" if query else path


def path_of(url: object) -> str | None:
    """Return the path of a URL or relative reference. The query is left out, because it may contain secrets."""
    if not isinstance(url, str):
        return None
    try:
        return urlsplit(url).path or "/"
    except ValueError:
        return None
