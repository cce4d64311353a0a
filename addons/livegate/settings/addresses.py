"""Host names, backend URLs, origins and listen addresses, parsed into one canonical form when settings are loaded."""

import re
from dataclasses import dataclass
from ipaddress import IPv4Address, IPv6Address, ip_address
from typing import Literal
from urllib.parse import urlsplit

import idna

DEFAULT = "default"
DEFAULT_ALIASES = frozenset({DEFAULT, "default_any"})
DEFAULT_PORTS = {"http": 80, "https": 443}
MAX_NAME_CHARACTERS = 253
MAX_PORT = 65535

PATTERN_ALLOWED = "a host name such as app.example.com, a wildcard such as *.example.com, an IP address, or default"
BACKEND_ALLOWED = "an http:// or https:// URL such as http://127.0.0.1:4000, without path, query or credentials"
ORIGIN_ALLOWED = "an origin such as https://app.example.com or https://*.example.com, or null"
COLLECTOR_ALLOWED = (
    "an http:// or https:// URL such as http://127.0.0.1:4318, without query or credentials (use headers)"
)
TRACES_PATH = "/v1/traces"
"""Path of the OTLP/HTTP traces endpoint, relative to the collector's URL (OTLP specification, "OTLP/HTTP Request")."""
LISTEN_ALLOWED = "an address and port such as 127.0.0.1:8080 or [::1]:8080, or :8080 for every address"

_LABEL = re.compile(r"[a-z0-9_]([a-z0-9_-]{0,61}[a-z0-9_])?")


@dataclass(frozen=True, slots=True)
class Listen:
    """Address and port of a listener. An empty host means every address."""

    host: str
    port: int

    def __str__(self) -> str:
        return f"{_bracketed(self.host)}:{self.port}"


@dataclass(frozen=True, slots=True)
class Backend:
    """Scheme, host and port of one application behind the gateway."""

    scheme: Literal["http", "https"]
    host: str
    port: int

    @property
    def tls(self) -> bool:
        """Return whether the gateway connects with TLS."""
        return self.scheme == "https"

    @property
    def authority(self) -> str:
        """Return `host[:port]` for a Host field, without the scheme's default port (RFC 9110 section 4.2.3)."""
        host = _bracketed(self.host)
        return host if self.port == DEFAULT_PORTS[self.scheme] else f"{host}:{self.port}"

    @property
    def url(self) -> str:
        """Return scheme and authority, which is also the backend's origin (RFC 6454 section 6.2)."""
        return f"{self.scheme}://{self.authority}"


def service_pattern(text: object) -> str:
    """Return the canonical form of a key of `services`. Raise ValueError with the allowed forms."""
    if not isinstance(text, str):
        raise ValueError(PATTERN_ALLOWED)  # noqa: TRY004 - the schema turns only ValueError into a problem
    name = text.strip().lower().removesuffix(".")
    if name in DEFAULT_ALIASES:
        return DEFAULT
    if name.startswith("*."):
        return f"*.{host_name(name[2:], PATTERN_ALLOWED)}"
    return host_name(name, PATTERN_ALLOWED)


def host_name(text: str, allowed: str) -> str:
    """Return a host name as lower-case A-labels, or an IP address (IPv6 in brackets). Raise ValueError(allowed)."""
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
    """Return the backend that a URL names. Raise ValueError with the allowed form."""
    if not isinstance(text, str) or re.search(r"[\s\\\x00-\x1f\x7f]", text):
        raise ValueError(BACKEND_ALLOWED)
    try:
        url = urlsplit(text)
        port = url.port
    except ValueError:
        raise ValueError(BACKEND_ALLOWED) from None
    has_more = url.path not in ("", "/") or url.query or url.fragment or "@" in url.netloc or "?" in text or "#" in text
    if url.scheme not in DEFAULT_PORTS or not url.hostname or has_more or port == 0 or url.netloc.endswith(":"):
        raise ValueError(BACKEND_ALLOWED)
    host = host_name(url.hostname, BACKEND_ALLOWED).strip("[]")
    address = _address(host)
    if address is not None and (getattr(address, "ipv4_mapped", None) or address).is_link_local:
        raise ValueError(f"{BACKEND_ALLOWED}; link-local addresses are refused because cloud metadata is served there")
    return Backend("https" if url.scheme == "https" else "http", host, port or DEFAULT_PORTS[url.scheme])


def otlp_endpoint(text: object) -> str:
    """Return the OTLP/HTTP traces URL of a collector, with or without its path given. Raise ValueError."""
    if not isinstance(text, str) or not re.fullmatch(r"https?://[!-~]+", text) or re.search(r"[?#@\\]", text):
        raise ValueError(COLLECTOR_ALLOWED)
    scheme, _, rest = text.partition("://")
    authority, _, path = rest.partition("/")
    try:
        base = backend(f"{scheme}://{authority}").url
    except ValueError:
        raise ValueError(COLLECTOR_ALLOWED) from None
    prefix = f"/{path}".rstrip("/").removesuffix(TRACES_PATH)
    return f"{base}{prefix}{TRACES_PATH}"


def origin(text: object) -> str:
    """Return an origin in canonical form (RFC 6454 section 6.2). Raise ValueError with the allowed forms.

    A host that begins with `*.` stands for every subdomain.
    """
    if text in ("null", None):
        return "null"
    try:
        scheme, separator, rest = str(text).partition("://")
        wildcard = "*." if rest.startswith("*.") else ""
        parsed = backend(f"{scheme}{separator}{rest.removeprefix('*.')}")
    except ValueError:
        raise ValueError(ORIGIN_ALLOWED) from None
    if str(text).endswith("/"):
        raise ValueError(ORIGIN_ALLOWED)
    return f"{parsed.scheme}://{wildcard}{parsed.authority}"


def listen(text: object) -> Listen:
    """Return the listener that `address:port` names. Raise ValueError with the allowed forms."""
    if not isinstance(text, str):
        raise ValueError(LISTEN_ALLOWED)  # noqa: TRY004 - the schema turns only ValueError into a problem
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


def may_collide(host: str, other: str) -> bool:
    """Return whether two hosts can reach the same listener of this machine: they are equal, or both local."""
    return host == other or (_is_local(host) and _is_local(other))


def listeners_clash(host: str, other: str) -> bool:
    """Return whether two listeners cannot share a port: their hosts may collide, or one takes every address."""
    return may_collide(host, other) or _is_every_address(host) or _is_every_address(other)


def is_loopback(host: str) -> bool:
    """Return whether only this machine can reach a listener at this host."""
    address = _unmapped(host)
    return host == "localhost" or (address is not None and address.is_loopback)


def _is_local(host: str) -> bool:
    """Return whether a host is this machine: loopback, every address, or a localhost name (RFC 6761 section 6.3)."""
    name = host.lower().removesuffix(".")
    named = name.endswith(".localhost") or name in ("localhost", "localhost.localdomain", "ip6-localhost")
    return named or is_loopback(name) or _is_every_address(name)


def _is_every_address(host: str) -> bool:
    address = _unmapped(host)
    return host == "" or (address is not None and address.is_unspecified)


def _unmapped(host: str) -> IPv4Address | IPv6Address | None:
    address = _address(host)
    return getattr(address, "ipv4_mapped", None) or address


def _address(text: str) -> IPv4Address | IPv6Address | None:
    if "%" in text:
        return None  # `ip_address` accepts any text as a scope id, and no setting needs one
    try:
        return ip_address(text.removeprefix("[").removesuffix("]"))
    except ValueError:
        return None


def _bracketed(host: str) -> str:
    return f"[{host}]" if ":" in host else host
