"""mitmproxy's `Headers`, asked quickly: each look-up of its own converts all names; there are some thirty a request."""

from collections.abc import Iterable
from functools import lru_cache
from typing import Any

from mitmproxy import http
from mitmproxy.utils import strutils

_NAMES_KEPT = 512


@lru_cache(maxsize=_NAMES_KEPT)
def _folded(name: str | bytes) -> bytes:
    """A field name as it is compared. Raises TypeError for what is neither text nor bytes."""
    return strutils.always_bytes(name, "utf-8", "surrogateescape").lower()


class FastHeaders(http.Headers):
    """The same answers as `Headers` gives, from the raw fields at once."""

    def __contains__(self, name: str | bytes) -> bool:  # type: ignore[override]  # a Mapping's may be anything
        wanted = _folded(name)
        for field, _ in self.fields:  # noqa: SIM110 - a generator would take longer than the rest
            if field.lower() == wanted:
                return True
        return False

    def __getitem__(self, name: str | bytes) -> str:
        found = self.get(name)
        if found is None:
            raise KeyError(name)
        return found  # type: ignore[no-any-return]  # Mapping.get is not annotated in mitmproxy

    def get(self, name: str | bytes, default: Any = None) -> Any:
        wanted = _folded(name)
        found: bytes | None = None
        for field, value in self.fields:
            if field.lower() == wanted:
                found = value if found is None else found + b", " + value
        return default if found is None else found.decode("utf-8", "surrogateescape")

    def get_all(self, name: str | bytes) -> list[str]:
        wanted = _folded(name)
        return [value.decode("utf-8", "surrogateescape") for field, value in self.fields if field.lower() == wanted]


def make_fast_headers(fields: Iterable[tuple[bytes, bytes]]) -> FastHeaders:
    """Headers of fields that are known to be bytes."""
    headers = FastHeaders.__new__(FastHeaders)
    headers.fields = tuple(fields)
    return headers


def use_fast_headers(message: http.Message) -> None:
    """Let a message that was just read answer quickly what its fields are."""
    message.data.headers = make_fast_headers(message.data.headers.fields)
