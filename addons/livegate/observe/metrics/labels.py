"""Values of metric labels: from a bounded set each, whatever a client sends. Used by the metrics."""

import functools
import re
import unicodedata
from collections import Counter
from collections.abc import Container

from livegate.redaction.redactor import holds_token

OTHER = "_other"
UNMAPPED = "_unmapped"
"""The route of a request whose Host no service has."""
METHODS = frozenset({"GET", "HEAD", "POST", "PUT", "PATCH", "DELETE", "OPTIONS"})
MAX_EVENT_CHARACTERS = 64
_PUNCTUATION = frozenset("_.?!:-")
"""What may stand in an event's name beside letters, their marks and digits of every script."""
_MODULE = re.compile(r"[A-Z][A-Za-z0-9_]{0,63}(\.[A-Z][A-Za-z0-9_]{0,63}){0,9}")
_SLUG = re.compile(r"[a-z][a-z0-9-]{0,39}")
_FIRST_STATUS, _LAST_STATUS = 100, 599
_FIRST_CODE, _LAST_CODE = 1000, 1015
_LIBRARY_CODES, _APPLICATION_CODES, _END_OF_CODES = 3000, 4000, 5000


def method_label(method: str) -> str:
    """A request's method; unknown ones are `other`."""
    return method if method in METHODS else "other"


def status_label(status: int) -> str:
    """An HTTP status; `0` when no answer came."""
    return str(status) if _FIRST_STATUS <= status <= _LAST_STATUS else "0"


def close_label(code: int | None) -> str:
    """A close code; those that applications choose as they like are counted together, as `3xxx` or `4xxx`."""
    if code is None:
        return "1006"
    if _FIRST_CODE <= code <= _LAST_CODE:
        return str(code)
    if _LIBRARY_CODES <= code < _END_OF_CODES:
        return "3xxx" if code < _APPLICATION_CODES else "4xxx"
    return OTHER


def reason_label(slug: str) -> str:
    """The slug of a refusal or a failure; all are fixed texts of the code."""
    return slug if _SLUG.fullmatch(slug) else OTHER


@functools.lru_cache(1024)
def view_label(module: str | None) -> str:
    """The module of a LiveView, as the app has signed it, though anybody can write such a text."""
    return module if module is not None and _MODULE.fullmatch(module) else OTHER


@functools.lru_cache(4096)
def event_label(kind: str, name: str) -> str:
    """An event's name; what is not one, such as the path of a patch, is told by its kind."""
    if kind == "event":
        return name if _is_event_name(name) else OTHER
    return f"_{kind}"


def _is_event_name(name: str) -> bool:
    """Whether it looks like a name in any language: no blanks, controls, invisible characters or surrogates."""
    if not 0 < len(name) <= MAX_EVENT_CHARACTERS or not (name[0] == "_" or name[0].isalpha()):
        return False
    if holds_token(name):
        return False
    return all(each in _PUNCTUATION or unicodedata.category(each)[0] in "LMN" for each in name)


class LabelSets:
    """The combinations of route, view and event that metrics have; past the limits new ones are counted together.

    Of one view there are at most `per_view` events, so that a client that makes up names for one view leaves room for
    the others.
    """

    def __init__(self, limit: int, per_view: int) -> None:
        self._limit = limit
        self._per_view = per_view
        self._known: set[tuple[str, str, str]] = set()
        self._events: Counter[tuple[str, str]] = Counter()

    def __len__(self) -> int:
        return len(self._known)

    def bounded(self, route: str, view: str, event: str, *, may_grow: bool) -> tuple[str, str, str]:
        """These labels while there is room for them, else with `_other` for the event, else for the view as well.

        A new combination is only taken in when `may_grow`, which is for what a backend has confirmed.
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
        """Forget the combinations of all other routes."""
        self._known = {key for key in self._known if key[0] in routes}
        self._events = Counter((route, view) for route, view, _ in self._known)
