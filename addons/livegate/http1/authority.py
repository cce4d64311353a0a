"""Host and port of a Host field, an absolute-form target or an X-Forwarded-Host (RFC 3986 section 3.2)."""

import functools
import re
from ipaddress import IPv6Address

DEFAULT_PORTS = {"http": 80, "https": 443}
MAX_PORT = 65535
MAX_NAME_CHARACTERS = 253
MAX_LABEL_CHARACTERS = 63
MAX_AUTHORITY_CHARACTERS = MAX_NAME_CHARACTERS + len(".:65535")

_PORT = re.compile(r"[0-9]{1,5}")
_HOST_CHARACTERS = re.compile(r"[A-Za-z0-9_.-]+")


def split_authority(text: str) -> tuple[str, int | None] | None:
    """Return host (lower case, no trailing dot, IPv6 in brackets) and port, or None for a malformed authority.

    Stricter than RFC 3986 section 3.2.2: no user information, no IPv6 zone, only characters that occur in host names.
    """
    return _split_authority(text) if len(text) <= MAX_AUTHORITY_CHARACTERS else None


@functools.lru_cache(maxsize=1024)
def _split_authority(text: str) -> tuple[str, int | None] | None:
    host, colon, port_text = text.rpartition(":") if not text.endswith("]") else (text, "", "")
    if not colon:
        host = text
    port = int(port_text) if _PORT.fullmatch(port_text) else None
    if colon and (port is None or not 0 < port <= MAX_PORT):
        return None
    name = _ipv6(host) if host.startswith("[") else _reg_name(host)
    return None if name is None else (name, port)


def _ipv6(host: str) -> str | None:
    if not host.endswith("]") or "%" in host:  # IPv6Address accepts any text as a zone: `[::1%"; for=a, b]`
        return None
    try:
        return f"[{IPv6Address(host[1:-1])}]"
    except ValueError:
        return None


def _reg_name(host: str) -> str | None:
    name = host.removesuffix(".")
    if len(name) > MAX_NAME_CHARACTERS or not _HOST_CHARACTERS.fullmatch(name):
        return None
    labels = name.split(".")
    return name.lower() if all(0 < len(label) <= MAX_LABEL_CHARACTERS for label in labels) else None
