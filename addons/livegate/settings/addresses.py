"""Host names, service patterns, backend URLs and listen addresses: read once, at load, into one canonical form."""

import re
from ipaddress import IPv4Address, IPv6Address, ip_address
from urllib.parse import urlsplit

import idna

from livegate.settings.model import Backend, Listen

DEFAULT = "default"
DEFAULT_ALIASES = frozenset({DEFAULT, "default_any"})
MAX_NAME_CHARACTERS = 253
MAX_PORT = 65535

PATTERN_ALLOWED = "a host name such as app.example.com, a wildcard such as *.example.com, an IP address, or default"
BACKEND_ALLOWED = "an http:// or https:// URL such as http://127.0.0.1:4000, without path, query or credentials"
ORIGIN_ALLOWED = "an origin such as https://app.example.com or https://*.example.com, or null"
COLLECTOR_ALLOWED = (
    "an http:// or https:// URL such as http://127.0.0.1:4318, without query or credentials (use headers)"
)
TRACES_PATH = "/v1/traces"
"""Where OTLP over HTTP takes spans, below a collector's URL."""
LISTEN_ALLOWED = "an address and port such as 127.0.0.1:8080, [::1]:8080, or :8080 for every address"

_LABEL = re.compile(r"[a-z0-9_]([a-z0-9_-]{0,61}[a-z0-9_])?")
_DEFAULT_PORTS = {"http": 80, "https": 443}


def service_pattern(text: object) -> str:
    """The canonical form of a service's name. Raises ValueError with what is allowed."""
    if not isinstance(text, str):
        raise ValueError(PATTERN_ALLOWED)  # noqa: TRY004 - the parsers of settings raise only this
    name = text.strip().lower().removesuffix(".")
    if name in DEFAULT_ALIASES:
        return DEFAULT
    if name.startswith("*."):
        return f"*.{host_name(name[2:], PATTERN_ALLOWED)}"
    return host_name(name, PATTERN_ALLOWED)


def host_name(text: str, allowed: str) -> str:
    """A host name in lower case and A-labels, or an IP address (IPv6 in brackets). Raises ValueError(allowed)."""
    address = _address(text)
    if address is not None:
        return f"[{address}]" if isinstance(address, IPv6Address) else str(address)
    try:
        name = text if text.isascii() else idna.encode(text, uts46=True).decode("ascii")
    except idna.IDNAError:
        raise ValueError(allowed) from None
    labels = name.lower().split(".")
    looks_like_an_address = labels[-1].isdigit()
    if len(name) > MAX_NAME_CHARACTERS or looks_like_an_address or not all(map(_LABEL.fullmatch, labels)):
        raise ValueError(allowed)
    return name.lower()


def backend(text: object) -> Backend:
    """A backend from its URL. Raises ValueError with what is allowed."""
    if not isinstance(text, str) or re.search(r"[\s\\\x00-\x1f\x7f]", text):
        raise ValueError(BACKEND_ALLOWED)
    try:
        url = urlsplit(text)
        port = url.port
    except ValueError:
        raise ValueError(BACKEND_ALLOWED) from None
    has_more = url.path not in ("", "/") or url.query or url.fragment or "@" in url.netloc or "?" in text or "#" in text
    if url.scheme not in _DEFAULT_PORTS or not url.hostname or has_more or port == 0 or url.netloc.endswith(":"):
        raise ValueError(BACKEND_ALLOWED)
    host = host_name(url.hostname, BACKEND_ALLOWED).strip("[]")
    address = _address(host)
    if address is not None and (getattr(address, "ipv4_mapped", None) or address).is_link_local:
        raise ValueError(f"{BACKEND_ALLOWED}; link-local addresses (cloud metadata) are never a backend")
    return Backend("https" if url.scheme == "https" else "http", host, port or _DEFAULT_PORTS[url.scheme])


def collector(text: object) -> str:
    """The URL to which spans are sent, from that of a collector. Raises ValueError with what is allowed."""
    if not isinstance(text, str) or not re.fullmatch(r"https?://[!-~]+", text) or re.search(r"[?#@\\]", text):
        raise ValueError(COLLECTOR_ALLOWED)
    scheme, _, rest = text.partition("://")
    authority, _, path = rest.partition("/")
    try:
        place = backend(f"{scheme}://{authority}")
    except ValueError:
        raise ValueError(COLLECTOR_ALLOWED) from None
    below = f"/{path}".rstrip("/").removesuffix(TRACES_PATH)
    return f"{place.url}{below}{TRACES_PATH}"


def origin(text: object) -> str:
    """An origin in its canonical form (RFC 6454 section 6.2); `*.` stands for any subdomain. Raises ValueError."""
    if text in ("null", None):
        return "null"
    try:
        scheme, separator, rest = str(text).partition("://")
        wildcard = "*." if rest.startswith("*.") else ""
        place = backend(f"{scheme}{separator}{rest.removeprefix('*.')}")
    except ValueError:
        raise ValueError(ORIGIN_ALLOWED) from None
    if str(text).endswith("/"):
        raise ValueError(ORIGIN_ALLOWED)
    return f"{place.scheme}://{wildcard}{place.authority}"


def listen(text: object) -> Listen:
    """A listen address. Raises ValueError with what is allowed."""
    if not isinstance(text, str):
        raise ValueError(LISTEN_ALLOWED)  # noqa: TRY004 - the parsers of settings raise only this
    host, colon, port = text.rpartition(":")
    bracketed = host.startswith("[") and host.endswith("]")
    if not colon or not port.isascii() or not port.isdigit() or not 0 < int(port[:6]) <= MAX_PORT:
        raise ValueError(LISTEN_ALLOWED)
    if host == "":
        return Listen("", int(port))
    name = host_name(host[1:-1] if bracketed else host, LISTEN_ALLOWED)
    if name.startswith("[") != bracketed:
        raise ValueError(LISTEN_ALLOWED)
    return Listen(name.strip("[]"), int(port))


def _address(text: str) -> IPv4Address | IPv6Address | None:
    if "%" in text:
        return None  # Python takes any text for a zone; there is no use for one here
    try:
        return ip_address(text.removeprefix("[").removesuffix("]"))
    except ValueError:
        return None


def same_place(host: str, other: str) -> bool:
    """Whether two hosts of one machine may be the same listener: equal, both loopback, or one of them every address."""
    return host == other or (_is_here(host) and _is_here(other))


def listeners_clash(host: str, other: str) -> bool:
    """Whether two listeners with one port are in each other's way: the same place, or one takes every address."""
    return same_place(host, other) or _is_every_address(host) or _is_every_address(other)


def is_loopback(host: str) -> bool:
    """Whether nobody but this machine can reach a listener at this host."""
    address = _unmapped(host)
    return host == "localhost" or (address is not None and address.is_loopback)


def _is_here(host: str) -> bool:
    """Names below localhost are of this machine (RFC 6761 section 6.3), and so are those that most systems add."""
    name = host.lower().removesuffix(".")
    named = name.endswith(".localhost") or name in ("localhost", "localhost.localdomain", "ip6-localhost")
    return named or is_loopback(name) or _is_every_address(name)


def _is_every_address(host: str) -> bool:
    address = _unmapped(host)
    return host == "" or (address is not None and address.is_unspecified)


def _unmapped(host: str) -> IPv4Address | IPv6Address | None:
    address = _address(host)
    return getattr(address, "ipv4_mapped", None) or address
