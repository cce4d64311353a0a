"""Header field values: repeated fields and comma-separated lists (RFC 9110 sections 5.3 and 5.6)."""

import re
from collections.abc import Iterable, Sequence

TOKEN = re.compile(rb"[!#$%&'*+\-.^_`|~0-9A-Za-z]+")
"""RFC 9110 section 5.6.2."""

type Fields = Sequence[tuple[bytes, bytes]]


def values(fields: Fields, name: bytes) -> list[bytes]:
    """Return all values of a field in order. `name` is in lower case."""
    return [value.strip(b" \t") for field, value in fields if field.lower() == name]


def members(lines: Iterable[bytes]) -> set[bytes]:
    """Return the members of a comma-separated list field, unchanged."""
    return {item.strip() for line in lines for item in line.split(b",")}


def tokens(lines: Iterable[bytes]) -> set[str]:
    """Return the members of a comma-separated list field in lower case, without parameters."""
    return {
        item.partition(b";")[0].strip().lower().decode("latin-1") for line in lines for item in line.split(b",") if item
    }
