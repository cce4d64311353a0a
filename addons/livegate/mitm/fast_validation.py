"""mitmproxy checks the type of every field of every request and response; the same check, done quickly.

It takes a tenth of a request's time otherwise. Whatever is not exactly of the usual types goes to mitmproxy's own.
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
"""By data class: its fields, and the types that their values nearly always have."""

_stock: Any = vars(http.MessageData).get("__post_init__")


def _check(data: http.MessageData) -> None:
    for name, usual in USUAL_TYPES.get(type(data), ((None, frozenset()),)):
        if name is None or type(getattr(data, name)) not in usual:
            _stock(data)
            return


def install() -> None:
    """Check quickly from now on; nothing to do when Python runs with -O, where mitmproxy does not check at all."""
    if _stock is not None:
        http.MessageData.__post_init__ = _check  # type: ignore[method-assign]


def uninstall() -> None:
    """Give the check back to mitmproxy."""
    if _stock is not None:
        http.MessageData.__post_init__ = _stock  # type: ignore[method-assign]
