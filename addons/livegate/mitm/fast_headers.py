"""Fast `Headers`: mitmproxy's own convert all field names for each of some thirty look-ups per request."""

from collections.abc import Iterable
from functools import lru_cache
from typing import Any

from mitmproxy import http
from mitmproxy.utils import strutils

_NAMES_KEPT = 512


@lru_cache(maxsize=_NAMES_KEPT)
def _folded(name: str | bytes) -> bytes:
    """Return a field name in lower case. Raises TypeError for anything but text and bytes."""
    return strutils.always_bytes(name, "utf-8", "surrogateescape").lower()


class FastHeaders(http.Headers):
    """Equal to `Headers`, but compares the raw fields."""

    def __contains__(self, name: str | bytes) -> bool:  # type: ignore[override]  # a Mapping takes any key
        lower = _folded(name)
        for field, _ in self.fields:  # noqa: SIM110 - a generator is slower than the look-up
            if field.lower() == lower:
                return True
        return False

    def __getitem__(self, name: str | bytes) -> str:
        joined = self.get(name)
        if joined is None:
            raise KeyError(name)
        return joined  # type: ignore[no-any-return]  # Mapping.get is not annotated in mitmproxy

    def get(self, name: str | bytes, default: Any = None) -> Any:
        lower = _folded(name)
        joined: bytes | None = None
        for field, value in self.fields:
            if field.lower() == lower:
                joined = value if joined is None else joined + b", " + value
        return default if joined is None else joined.decode("utf-8", "surrogateescape")

    def get_all(self, name: str | bytes) -> list[str]:
        lower = _folded(name)
        return [value.decode("utf-8", "surrogateescape") for field, value in self.fields if field.lower() == lower]


def make_fast_headers(fields: Iterable[tuple[bytes, bytes]]) -> FastHeaders:
    """Make headers of fields that are known to be bytes."""
    headers = FastHeaders.__new__(FastHeaders)
    headers.fields = tuple(fields)
    return headers


def use_fast_headers(message: http.Message) -> None:
    """Replace the headers of a parsed message by fast ones."""
    message.data.headers = make_fast_headers(message.data.headers.fields)
