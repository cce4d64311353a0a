"""Description of changed header fields, for the log at level debug. Values are shown of a few safe fields only."""

from livegate.http1.field_values import Fields
from livegate.redaction.printable import printable

SHOWN = frozenset({b"host", b"origin"})
"""Fields, besides X-Forwarded-*, whose values are shown. Of all others only the name is, because they hold secrets."""
SHOWN_PREFIX = b"x-forwarded-"
MAX_VALUE_CHARACTERS = 300
MAX_NAMES = 100


def describe(before: Fields, after: Fields) -> str:
    """Return which fields were removed, added and changed, by lower-case name; empty if none were."""
    old, new = _by_name(before), _by_name(after)
    parts = (
        ("removed", [_name(name) for name in old if name not in new]),
        ("added", [_shown(name, values) for name, values in new.items() if name not in old]),
        ("changed", [_shown(name, values) for name, values in new.items() if name in old and values != old[name]]),
    )
    return "; ".join(f"{word} {', '.join(names[:MAX_NAMES])}" for word, names in parts if names)


def _by_name(fields: Fields) -> dict[bytes, list[bytes]]:
    values: dict[bytes, list[bytes]] = {}
    for name, value in fields:
        values.setdefault(name.lower(), []).append(value)
    return values


def _name(name: bytes) -> str:
    return printable(name.decode("latin-1"), MAX_VALUE_CHARACTERS)


def _shown(name: bytes, values: list[bytes]) -> str:
    if name not in SHOWN and not name.startswith(SHOWN_PREFIX):
        return _name(name)
    value = printable(", ".join(value.decode("latin-1") for value in values), MAX_VALUE_CHARACTERS)
    return f"{_name(name)}: {value}"
