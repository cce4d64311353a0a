"""Fast type check of requests and responses. mitmproxy's own takes a tenth of the time of a request.

Anything that has not exactly the usual types is left to mitmproxy's check.
"""

from typing import Any

from mitmproxy import http

from livegate.mitm.fast_headers import FastHeaders

type Types = frozenset[Any]

_BYTES: Types = frozenset({bytes})
_TEXT: Types = frozenset({str})
_NUMBER: Types = frozenset({int})
_MAYBE_BYTES: Types = frozenset({bytes, type(None)})
_HEADERS: Types = frozenset({http.Headers, FastHeaders})
_MAYBE_HEADERS: Types = frozenset({http.Headers, FastHeaders, type(None)})
_TIME: Types = frozenset({float})
_MAYBE_TIME: Types = frozenset({float, type(None)})
_COMMON: tuple[tuple[str, Types], ...] = (
    ("http_version", _BYTES),
    ("headers", _HEADERS),
    ("content", _MAYBE_BYTES),
    ("trailers", _MAYBE_HEADERS),
    ("timestamp_start", _TIME),
    ("timestamp_end", _MAYBE_TIME),
)
USUAL_TYPES: dict[type, tuple[tuple[str, Types], ...]] = {
    http.RequestData: (
        *_COMMON,
        ("host", _TEXT),
        ("port", _NUMBER),
        ("method", _BYTES),
        ("scheme", _BYTES),
        ("authority", _BYTES),
        ("path", _BYTES),
    ),
    http.ResponseData: (*_COMMON, ("status_code", _NUMBER), ("reason", _BYTES)),
}
"""Fields by data class, with the types that their values nearly always have."""

_stock: Any = vars(http.MessageData).get("__post_init__")


def _check(data: http.MessageData) -> None:
    for name, usual in USUAL_TYPES.get(type(data), ((None, frozenset()),)):
        if name is None or type(getattr(data, name)) not in usual:
            _stock(data)
            return


def install() -> None:
    """Install the fast check. Does nothing under `python -O`, where mitmproxy has no check."""
    if _stock is not None:
        http.MessageData.__post_init__ = _check  # type: ignore[method-assign]


def uninstall() -> None:
    """Restore mitmproxy's check."""
    if _stock is not None:
        http.MessageData.__post_init__ = _stock  # type: ignore[method-assign]
