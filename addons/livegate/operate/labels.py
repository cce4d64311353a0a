"""Values of metric labels: from a bounded set each, whatever a client sends."""

import re
from collections.abc import Hashable

OTHER = "_other"
UNMAPPED = "_unmapped"
"""The route of a request whose Host no service has."""
METHODS = frozenset({"GET", "HEAD", "POST", "PUT", "PATCH", "DELETE", "OPTIONS"})
_NAME = re.compile(r"[A-Za-z_][A-Za-z0-9_.?!:-]{0,63}")
_MODULE = re.compile(r"[A-Z][A-Za-z0-9_]{0,63}(\.[A-Z][A-Za-z0-9_]{0,63}){0,9}")
_FIRST_STATUS, _LAST_STATUS = 100, 599
_FIRST_CODE, _LAST_CODE = 1000, 1015


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
    return str(code) if _FIRST_CODE <= code <= _LAST_CODE else f"{code // 1000}xxx"


def view_label(module: str | None) -> str:
    """The module of a LiveView, as the app has signed it, though anybody can write such a text."""
    return module if module is not None and _MODULE.fullmatch(module) else OTHER


def event_label(kind: str, name: str) -> str:
    """An event's name; what is not one, such as the path of a patch, is told by its kind."""
    if kind == "event":
        return name if _NAME.fullmatch(name) else OTHER
    return f"_{kind}"


class LabelSets[Key: Hashable]:
    """The combinations of values that a metric has; when there are too many, new ones count as another."""

    def __init__(self, limit: int) -> None:
        self._limit = limit
        self._known: set[Key] = set()

    def allowed(self, key: Key, otherwise: Key) -> Key:
        """The key itself while there is room for it, else the other."""
        if key in self._known:
            return key
        if len(self._known) >= self._limit:
            return otherwise
        self._known.add(key)
        return key
