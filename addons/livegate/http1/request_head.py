"""What makes a request unacceptable, as pure rules; the transport asks them of raw heads, the guard of parsed ones."""

import base64
import binascii
import functools
import re
from collections.abc import Iterable, Sequence
from ipaddress import IPv6Address

from livegate.http1.refusal import Refusal

MAX_NAME_CHARACTERS = 253
MAX_AUTHORITY_CHARACTERS = MAX_NAME_CHARACTERS + len(".:65535")
MAX_LABEL_CHARACTERS = 63
MAX_PORT = 65535
WEBSOCKET_KEY_BYTES = 16
ALLOWED_METHODS = "GET, HEAD, POST, PUT, PATCH, DELETE, OPTIONS"

TOKEN = re.compile(rb"[!#$%&'*+\-.^_`|~0-9A-Za-z]+")
"""RFC 9110 section 5.6.2."""
_TARGET = re.compile(rb"[\x21\x22\x24-\x7e]+")
"""Visible ASCII without `#`: a fragment is never sent (RFC 9112 section 3.2)."""
_VALUE = re.compile(rb"[\t\x20-\x7e\x80-\xff]*")
_VERSIONS = (b"HTTP/1.1", b"HTTP/1.0")
_BLANK_LINES = ([b"\r", b""], [b"", b""])
"""How the lines of a head end when it is split at LF."""
_ABSOLUTE = re.compile(rb"(?i:https?)://[^/?]+([/?]|$)")
_HOST_CHARACTERS = re.compile(r"[A-Za-z0-9_.-]+")
_DEFAULT_PORTS = {"http": 80, "https": 443}

type Fields = Sequence[tuple[bytes, bytes]]


def _bad(message: str, reason: str, status: int = 400, headers: tuple[tuple[str, str], ...] = ()) -> Refusal:
    return Refusal(status, message, reason, headers, close=True)


TOO_LONG_LINE = _bad("The request line is too long.", "request-line-long", 414)
TOO_LARGE_HEAD = _bad("The request's header fields are too large or too many.", "head-large", 431)


def unfinished_head_refusal(head: bytes, *, max_bytes: int, max_headers: int) -> Refusal | None:
    """Judge a head that has not ended yet, so that a large one is turned away before it is gathered: 414 or 431."""
    line, _, rest = head.partition(b"\n")
    if len(line) > max_bytes:
        return TOO_LONG_LINE
    return TOO_LARGE_HEAD if len(head) > max_bytes or rest.count(b"\n") > max_headers else None


def target_of(head: bytes) -> str:
    """What a request asks for, of a head that may be unfinished or malformed: "" where that cannot be told."""
    words = head.partition(b"\n")[0].split()
    return words[1].decode("latin-1") if len(words) > 1 else ""


def head_refusal(head: bytes, *, max_bytes: int, max_headers: int) -> Refusal | None:
    """Judge a whole head, its blank line included, before any parser has seen it (RFC 9112 sections 2.2, 3 and 5).

    A bare LF ends a line as CRLF does; a CR anywhere else is refused, as are folded lines.
    """
    line, _, rest = head.partition(b"\n")
    if len(line) > max_bytes:
        return TOO_LONG_LINE
    lines = rest.split(b"\n")
    if lines[-2:] not in _BLANK_LINES:  # else the last line would be taken for the blank one, and go unjudged
        return _bad("The request's head has no end.", "head-unfinished")
    del lines[-2:]
    if len(head) > max_bytes or len(lines) > max_headers:
        return TOO_LARGE_HEAD
    return _request_line_refusal(line.removesuffix(b"\r")) or _field_lines_refusal(lines)


def _request_line_refusal(line: bytes) -> Refusal | None:
    method, target, version, *more = [*line.split(b" "), b"", b""][: max(3, line.count(b" ") + 1)]
    if more or not version or not TOKEN.fullmatch(method):
        return _bad("The request line is malformed.", "request-line-malformed")
    if version not in _VERSIONS:
        return _bad("The HTTP version is not known here; use HTTP/1.1.", "version-unknown")
    return method_refusal(method) or _target_refusal(method, target)


def method_refusal(method: bytes) -> Refusal | None:
    """405 for TRACE, which reflects credentials, and for CONNECT, which would make a forward proxy of the gateway."""
    if not TOKEN.fullmatch(method):
        return _bad("The request's method is malformed.", "method-malformed")
    if method.upper() in (b"TRACE", b"CONNECT"):
        return _bad("This method is not allowed here.", "method-not-allowed", 405, (("Allow", ALLOWED_METHODS),))
    return None


def _target_refusal(method: bytes, target: bytes) -> Refusal | None:
    known_form = target.startswith(b"/") or _ABSOLUTE.match(target) or (target == b"*" and method == b"OPTIONS")
    if not known_form or not _TARGET.fullmatch(target):
        return _bad("The request's target is malformed.", "target-malformed")
    return None


def _field_lines_refusal(lines: Iterable[bytes]) -> Refusal | None:
    for line in lines:
        if line.startswith((b" ", b"\t")):
            return _bad("A header field is folded over several lines.", "field-folded")
        name, colon, value = line.removesuffix(b"\r").partition(b":")
        if not colon:
            return _bad("A header line has no colon.", "field-malformed")
        if (refusal := _field_refusal(name, value)) is not None:
            return refusal
    return None


def _field_refusal(name: bytes, value: bytes) -> Refusal | None:
    if not TOKEN.fullmatch(name):
        return _bad("A header field's name is malformed.", "field-malformed")
    if not _VALUE.fullmatch(value):
        return _bad("A header field's value has control characters.", "field-malformed")
    return None


def parsed_head_refusal(
    *, method: bytes, target: bytes, version: bytes, fields: Fields, max_headers: int
) -> Refusal | None:
    """The rules of `head_refusal` that can still be asked of a parsed request, where its raw bytes were never seen."""
    if len(fields) > max_headers:
        return TOO_LARGE_HEAD
    if version not in _VERSIONS:
        return _bad("The HTTP version is not known here; use HTTP/1.1.", "version-unknown")
    refusal = method_refusal(method) or _target_refusal(method, target)
    return refusal or next(filter(None, (_field_refusal(name, value) for name, value in fields)), None)


def message_refusal(*, authority: bytes, scheme: bytes, fields: Fields) -> Refusal | None:
    """Judge what a parsed head says: whose it is, and how its body is framed (RFC 9112 sections 3.2.2 and 6).

    `authority` and `scheme` are those of an absolute-form target, else empty.
    """
    return (
        _host_refusal(values(fields, b"host"), authority, scheme)
        or _framing_refusal(fields)
        or _expectation_refusal(values(fields, b"expect"))
    )


def _host_refusal(hosts: Sequence[bytes], authority: bytes, scheme: bytes) -> Refusal | None:
    if len(hosts) != 1:
        return _bad("A request needs exactly one Host header field.", "host-missing" if not hosts else "host-repeated")
    host = split_authority(hosts[0].decode("latin-1"))
    if host is None:
        return _bad("The Host header field is malformed.", "host-malformed")
    if not authority:
        return None
    target = split_authority(authority.decode("latin-1"))
    port = _DEFAULT_PORTS.get(scheme.decode("latin-1").lower())
    if target is None or (host[0], host[1] or port) != (target[0], target[1] or port):
        return _bad("The request's target and its Host header field differ.", "host-differs")
    return None


def _framing_refusal(fields: Fields) -> Refusal | None:
    codings, lengths = values(fields, b"transfer-encoding"), values(fields, b"content-length")
    if codings and (len(codings) > 1 or codings[0].lower() != b"chunked"):
        return _bad("The only transfer coding that a request may have is chunked.", "framing-malformed")
    if codings and lengths:
        return _bad("A request cannot have both Transfer-Encoding and Content-Length.", "framing-malformed")
    if len(lengths) > 1 or not all(length.isdigit() and len(length) <= 18 for length in lengths):  # noqa: PLR2004 - 64 bit
        return _bad("The Content-Length header field is malformed.", "framing-malformed")
    if "chunked" in tokens(values(fields, b"te")):
        return _bad("TE must not name chunked.", "framing-malformed")
    return None


def _expectation_refusal(expectations: Sequence[bytes]) -> Refusal | None:
    if expectations and [value.lower() for value in expectations] != [b"100-continue"]:
        return Refusal(417, "The only expectation that can be met is 100-continue.", "expectation-unknown", close=True)
    return None


def is_upgrade(fields: Fields) -> bool:
    """Whether a request wants to become a WebSocket. Other protocols to upgrade to are no business of the gateway."""
    return "websocket" in tokens(values(fields, b"upgrade"))


def upgrade_refusal(*, method: bytes, version: bytes, fields: Fields) -> Refusal | None:
    """Judge a WebSocket opening handshake (RFC 6455 section 4.2.1); 426 names what is needed."""
    keys = values(fields, b"sec-websocket-key")
    has_body = values(fields, b"transfer-encoding") or any(n.strip(b"0") for n in values(fields, b"content-length"))
    good = (
        method == b"GET"
        and version == b"HTTP/1.1"
        and tokens(values(fields, b"upgrade")) == {"websocket"}
        and "upgrade" in tokens(values(fields, b"connection"))
        and values(fields, b"sec-websocket-version") == [b"13"]
        and len(keys) == 1
        and _is_websocket_key(keys[0])
        and not has_body
    )
    if good:
        return None
    needed = "A WebSocket is opened by GET over HTTP/1.1 with version 13, a valid key and no body."
    return Refusal(
        426, needed, "upgrade-malformed", (("Upgrade", "websocket"), ("Sec-WebSocket-Version", "13")), close=True
    )


def _is_websocket_key(key: bytes) -> bool:
    try:
        return len(base64.b64decode(key, validate=True)) == WEBSOCKET_KEY_BYTES
    except binascii.Error:
        return False


def split_authority(text: str) -> tuple[str, int | None] | None:
    """Host (lower case, no trailing dot, IPv6 in brackets) and port of a Host field; None when it is malformed.

    RFC 3986 section 3.2.2, without user information, IPv6 zones and the characters of reg-name that no host has.
    """
    return _split_authority(text) if len(text) <= MAX_AUTHORITY_CHARACTERS else None


@functools.lru_cache(maxsize=1024)
def _split_authority(text: str) -> tuple[str, int | None] | None:
    host, colon, port_text = text.rpartition(":") if not text.endswith("]") else (text, "", "")
    if not colon:
        host = text
    port = int(port_text) if port_text.isascii() and port_text.isdigit() and len(port_text) <= 5 else None  # noqa: PLR2004
    if colon and (port is None or not 0 < port <= MAX_PORT):
        return None
    name = _ipv6(host) if host.startswith("[") else _reg_name(host)
    return None if name is None else (name, port)


def _ipv6(host: str) -> str | None:
    if not host.endswith("]") or "%" in host:  # IPv6Address takes any text at all for a zone: `[::1%"; for=a, b]`
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


def values(fields: Fields, name: bytes) -> list[bytes]:
    """All values of a field, in order; `name` in lower case."""
    return [value.strip(b" \t") for field, value in fields if field.lower() == name]


def tokens(lines: Iterable[bytes]) -> set[str]:
    """The members of a comma-separated list field in lower case, parameters cut off."""
    return {
        item.partition(b";")[0].strip().lower().decode("latin-1") for line in lines for item in line.split(b",") if item
    }
