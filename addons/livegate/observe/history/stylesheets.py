"""How an app's pages look: its stylesheets, as they went by, so that a page of the past can be shown in them."""

import re
from collections import OrderedDict
from typing import Any
from urllib.parse import urljoin, urlsplit

from mitmproxy import http

from livegate.phoenix.page_html import path_of
from livegate.redaction.content_coding import decoded_body

MAX_SHEET_BYTES = 512 * 1024
"""Of one stylesheet as it is sent, and again as it is shown."""
MAX_SHEETS_BYTES = 8 * 1024 * 1024
MAX_PAGES = 5000
MAX_LINKS = 10
HEAD_BYTES = 64 * 1024
"""Where a page's links and opening tags are looked for."""

_LINK = re.compile(rb"<link\b[^>]{0,1000}>", re.IGNORECASE)
_OPENING = {name: re.compile(rb"<%b\b([^>]{0,2000})>" % name.encode(), re.IGNORECASE) for name in ("html", "body")}
_ATTRIBUTE = re.compile(rb"""([\w-]{1,40})\s*=\s*(?:"([^"]{0,500})"|'([^']{0,500})')""")
_STYLE_ATTRIBUTES = frozenset({"class", "data-theme", "dir", "lang", "style"})
"""Attributes of a page's outermost elements that stylesheets go by."""

type Attributes = dict[str, str]
type Key = tuple[str, str]
"""Service, and path without its query."""


class StylesheetCache:
    """Stylesheets by where they are, and which of them a session's page has. For the event loop, but for `dressed`."""

    def __init__(self) -> None:
        self._sheets: OrderedDict[Key, http.Response] = OrderedDict()
        self._size = 0
        self._pages: OrderedDict[int, tuple[tuple[Key, ...], Attributes, Attributes]] = OrderedDict()

    def add_stylesheet(self, service: str, path: str, response: http.Response) -> None:
        """A stylesheet went by; kept as it was sent, the oldest go."""
        raw = response.raw_content
        if not raw or len(raw) > MAX_SHEET_BYTES:
            return
        key = (service, path.partition("?")[0])
        self._evict(key)
        self._sheets[key] = response.copy()
        self._size += len(raw)
        while self._size > MAX_SHEETS_BYTES:
            self._evict(next(iter(self._sheets)))

    def add_page(self, number: int, service: str, url: str, html: bytes) -> None:
        """A session's page was loaded from a URL."""
        head = html[:HEAD_BYTES]
        links = []
        for tag in _LINK.findall(head):
            given = _attributes(tag)
            if "stylesheet" in given.get("rel", "").lower().split() and given.get("href"):
                links.append((service, path_of(urlsplit(urljoin(url, given["href"])).path) or "/"))
        tags = {name: _OPENING[name].search(head) for name in _OPENING}
        shell = {
            name: {key: value for key, value in _attributes(found[1]).items() if key in _STYLE_ATTRIBUTES}
            if found
            else {}
            for name, found in tags.items()
        }
        self._pages[number] = (tuple(links[:MAX_LINKS]), shell["html"], shell["body"])
        while len(self._pages) > MAX_PAGES:
            self._pages.popitem(last=False)

    def get(self, number: int) -> tuple[list[http.Response], Attributes, Attributes]:
        """The stylesheets of a session's page that are known, and the attributes of its html and body elements."""
        links, html, body = self._pages.get(number, ((), {}, {}))
        return [self._sheets[key] for key in links if key in self._sheets], html, body

    def _evict(self, key: Key) -> None:
        gone = self._sheets.pop(key, None)
        if gone is not None:
            self._size -= len(gone.raw_content or b"")


def page_style(sheets: list[http.Response], html: Attributes, body: Attributes) -> dict[str, Any]:
    """The same as plain values; takes as long as inflating the sheets takes."""
    texts = [decoded_body(sheet, MAX_SHEET_BYTES) or b"" for sheet in sheets]
    return {"css": b"\n".join(texts).decode("utf-8", "replace"), "html": html, "body": body}


def _attributes(tag: bytes) -> Attributes:
    found = _ATTRIBUTE.findall(tag)
    return {name.decode().lower(): (double or single).decode("utf-8", "replace") for name, double, single in found}
