"""What the HTTP side tells of LiveView: the views that a page asks for, and the URL that a socket was opened with."""

import re
from urllib.parse import parse_qs, urlsplit

from livegate.phoenix.frames import Vsn, vsn_of

MAX_VIEWS_OF_A_PAGE = 100
_TAG = re.compile(r"<[a-zA-Z][^<>]{0,65536}\bdata-phx-session=[^<>]*>")
_ID = re.compile(r"""\sid=["']?([^"'\s>]{1,200})""")
MAX_QUERY_FIELDS = 200


def topics_of(html: str) -> tuple[str, ...]:
    """The topics of the LiveViews in a page, in its order; the first is that of the page itself."""
    found: list[str] = []
    for tag in _TAG.finditer(html):
        name = _ID.search(tag.group())
        if name is not None:
            found.append(f"lv:{name.group(1)}")
        if len(found) == MAX_VIEWS_OF_A_PAGE:
            break
    return tuple(found)


def vsn_of_url(url: str) -> Vsn | None:
    """The serializer that a socket's URL asks for; None for one that Phoenix would refuse."""
    query = _query(url)
    return vsn_of(query["vsn"][0] if "vsn" in query else None) if query is not None else None


def brings_csrf(url: str) -> bool:
    """Whether a socket's URL has a CSRF token, without which Phoenix does not look for the user's session."""
    return any((_query(url) or {}).get("_csrf_token", ()))


def is_socket_url(url: str) -> bool:
    """Whether phoenix.js asks for a WebSocket at this URL: it always tells the `vsn`."""
    return url.partition("?")[0].endswith("/websocket") and "vsn" in (_query(url) or {})


def _query(url: str) -> dict[str, list[str]] | None:
    try:
        return parse_qs(urlsplit(url).query, keep_blank_values=True, max_num_fields=MAX_QUERY_FIELDS)
    except ValueError:
        return None


def path_of(url: object) -> str | None:
    """The path of a URL or of a reference to one; its query may hold anything, and stays out."""
    if not isinstance(url, str):
        return None
    try:
        return urlsplit(url).path or "/"
    except ValueError:
        return None
