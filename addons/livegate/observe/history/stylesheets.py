"""Cache of an app's stylesheets, so that the admin page can show past pages in their style."""

import re
from collections import OrderedDict
from typing import Any
from urllib.parse import urljoin, urlsplit

from mitmproxy import http

from livegate.phoenix.page_html import path_of
from livegate.redaction.content_coding import decoded_body

MAX_SHEET_BYTES = 512 * 1024
"""Bytes per stylesheet, as sent and as decoded; larger ones are not kept."""
MAX_SHEETS_BYTES = 8 * 1024 * 1024
MAX_PAGES = 5000
MAX_LINKS = 10
HEAD_BYTES = 64 * 1024
"""Bytes at the start of a page that are searched for links and opening tags."""

_LINK = re.compile(rb"<link\b[^>]{0,1000}>", re.IGNORECASE)
_OPENING = {name: re.compile(rb"<%b\b([^>]{0,2000})>" % name.encode(), re.IGNORECASE) for name in ("html", "body")}
_ATTRIBUTE = re.compile(rb"""([\w-]{1,40})\s*=\s*(?:"([^"]{0,500})"|'([^']{0,500})')""")
_STYLE_ATTRIBUTES = frozenset({"class", "data-theme", "dir", "lang", "style"})
"""Attributes of a page's html and body elements that stylesheets select by."""

type Attributes = dict[str, str]
type Key = tuple[str, str]
"""Service, and path without query."""


class StylesheetCache:
    """Stylesheets by address, and the links of each session's page. For the event loop only."""

    def __init__(self) -> None:
        self._sheets: OrderedDict[Key, http.Response] = OrderedDict()
        self._size = 0
        self._pages: OrderedDict[int, tuple[tuple[Key, ...], Attributes, Attributes]] = OrderedDict()

    def add_stylesheet(self, service: str, path: str, response: http.Response) -> None:
        """Keep a stylesheet as it was sent; evict the oldest beyond the budget."""
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
        """Keep the stylesheet links and the root attributes of a session's page."""
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
        """Return the known stylesheets of a session's page, and the attributes of its html and body elements."""
        links, html, body = self._pages.get(number, ((), {}, {}))
        return [self._sheets[key] for key in links if key in self._sheets], html, body

    def _evict(self, key: Key) -> None:
        evicted = self._sheets.pop(key, None)
        if evicted is not None:
            self._size -= len(evicted.raw_content or b"")


def page_style(sheets: list[http.Response], html: Attributes, body: Attributes) -> dict[str, Any]:
    """Decode the result of `StylesheetCache.get`; for a thread, because inflating takes time."""
    texts = [decoded_body(sheet, MAX_SHEET_BYTES) or b"" for sheet in sheets]
    return {"css": b"\n".join(texts).decode("utf-8", "replace"), "html": html, "body": body}


def _attributes(tag: bytes) -> Attributes:
    found = _ATTRIBUTE.findall(tag)
    return {name.decode().lower(): (double or single).decode("utf-8", "replace") for name, double, single in found}
