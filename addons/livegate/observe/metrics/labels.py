"""Label values, each from a bounded set whatever a client sends. Used by metrics and tracing."""

import functools
import re
import unicodedata
from collections import Counter
from collections.abc import Container

from livegate.redaction.redactor import holds_token

OTHER = "_other"
UNMAPPED = "_unmapped"
"""Route of a request whose Host no service has."""
METHODS = frozenset({"GET", "HEAD", "POST", "PUT", "PATCH", "DELETE", "OPTIONS"})
MAX_EVENT_CHARACTERS = 64
_PUNCTUATION = frozenset("_.?!:-")
"""Punctuation allowed in event names, besides letters, marks and digits of every script."""
_MODULE = re.compile(r"[A-Z][A-Za-z0-9_]{0,63}(\.[A-Z][A-Za-z0-9_]{0,63}){0,9}")
_SLUG = re.compile(r"[a-z][a-z0-9-]{0,39}")
_FIRST_STATUS, _LAST_STATUS = 100, 599
_FIRST_CODE, _LAST_CODE = 1000, 1015
_LIBRARY_CODES, _APPLICATION_CODES, _END_OF_CODES = 3000, 4000, 5000


def method_label(method: str) -> str:
    """Return a request's method; `other` for an unknown one."""
    return method if method in METHODS else "other"


def status_label(status: int) -> str:
    """Return an HTTP status; `0` without a response."""
    return str(status) if _FIRST_STATUS <= status <= _LAST_STATUS else "0"


def close_label(code: int | None) -> str:
    """Return a close code; `3xxx` or `4xxx` for those that libraries and applications choose freely."""
    if code is None:
        return "1006"
    if _FIRST_CODE <= code <= _LAST_CODE:
        return str(code)
    if _LIBRARY_CODES <= code < _END_OF_CODES:
        return "3xxx" if code < _APPLICATION_CODES else "4xxx"
    return OTHER


def reason_label(slug: str) -> str:
    """Return the slug of a refusal or failure; all are constants of the code."""
    return slug if _SLUG.fullmatch(slug) else OTHER


@functools.lru_cache(1024)
def view_label(module: str | None) -> str:
    """Return the module of a LiveView; `_other` unless it has the form of one, because a client can forge the token."""
    return module if module is not None and _MODULE.fullmatch(module) else OTHER


@functools.lru_cache(4096)
def event_label(kind: str, name: str) -> str:
    """Return an event's name; for others, such as a patch, whose path is unbounded, the kind."""
    if kind == "event":
        return name if _is_event_name(name) else OTHER
    return f"_{kind}"


def _is_event_name(name: str) -> bool:
    """Return whether a text is a name in any language: no blanks, controls, invisible characters or tokens."""
    if not 0 < len(name) <= MAX_EVENT_CHARACTERS or not (name[0] == "_" or name[0].isalpha()):
        return False
    if holds_token(name):
        return False
    return all(each in _PUNCTUATION or unicodedata.category(each)[0] in "LMN" for each in name)


class LabelSets:
    """Bounded set of the combinations of route, view and event.

    A view has at most `per_view` events, so that a client that invents names for one view leaves room for others.
    """

    def __init__(self, limit: int, per_view: int) -> None:
        self._limit = limit
        self._per_view = per_view
        self._known: set[tuple[str, str, str]] = set()
        self._events: Counter[tuple[str, str]] = Counter()

    def __len__(self) -> int:
        return len(self._known)

    def bounded(self, route: str, view: str, event: str, *, may_grow: bool) -> tuple[str, str, str]:
        """Return these labels if they are known or there is room, otherwise with `_other` for the event or for both.

        A new combination is only added if `may_grow`, which is for events that a backend has accepted.
        """
        key = (route, view, event)
        if key in self._known:
            return key
        events = self._events.get((route, view), 0)
        if may_grow and len(self._known) < self._limit and events < self._per_view:
            self._known.add(key)
            self._events[route, view] += 1
            return key
        return (route, view if events else OTHER, OTHER)

    def keep_routes(self, routes: Container[str]) -> None:
        """Remove the combinations of all other routes."""
        self._known = {key for key in self._known if key[0] in routes}
        self._events = Counter((route, view) for route, view, _ in self._known)
