"""Rules for request heads, as pure functions. The transport applies them to raw heads, the guard to parsed ones."""

import re
from collections.abc import Iterable, Sequence

from livegate.http1.authority import DEFAULT_PORTS, split_authority
from livegate.http1.field_values import TOKEN, Fields, tokens, values
from livegate.http1.refusal import Refusal

ALLOWED_METHODS = "GET, HEAD, POST, PUT, PATCH, DELETE, OPTIONS"
MAX_LENGTH_DIGITS = 18
"""Digits of a Content-Length. More would not fit into 64 bits, in which other parsers count."""

_TARGET = re.compile(rb"[\x21\x22\x24-\x7e]+")
"""Visible ASCII without `#`: a fragment is never sent (RFC 9112 section 3.2)."""
_VALUE = re.compile(rb"[\t\x20-\x7e\x80-\xff]*")
_VERSIONS = (b"HTTP/1.1", b"HTTP/1.0")
_BLANK_LINES = ([b"\r", b""], [b"", b""])
"""Last two items of a complete head that is split at LF."""
_ABSOLUTE = re.compile(rb"(?i:https?)://[^/?]+([/?]|$)")


def _closing(message: str, reason: str, status: int = 400, headers: tuple[tuple[str, str], ...] = ()) -> Refusal:
    return Refusal(status, message, reason, headers, close=True)


TOO_LONG_LINE = _closing("The request line is too long.", "request-line-long", 414)
TOO_LARGE_HEAD = _closing("The request header fields are too large or too many.", "head-large", 431)


def unfinished_head_refusal(head: bytes, *, max_bytes: int, max_headers: int) -> Refusal | None:
    """Return 414 or 431 for an incomplete head that is too large already, so that no more of it is buffered."""
    line, _, rest = head.partition(b"\n")
    if len(line) > max_bytes:
        return TOO_LONG_LINE
    return TOO_LARGE_HEAD if len(head) > max_bytes or rest.count(b"\n") > max_headers else None


def request_target(head: bytes) -> str:
    """Return the target of a head that may be incomplete or malformed; "" if there is none."""
    words = head.partition(b"\n")[0].split()
    return words[1].decode("latin-1") if len(words) > 1 else ""


def head_refusal(head: bytes, *, max_bytes: int, max_headers: int) -> Refusal | None:
    """Return why a complete head, blank line included, is refused, or None (RFC 9112 sections 2.2, 3 and 5).

    Runs before any parser. A bare LF ends a line as CRLF does; a CR anywhere else is refused, as are folded lines.
    """
    line, _, rest = head.partition(b"\n")
    if len(line) > max_bytes:
        return TOO_LONG_LINE
    lines = rest.split(b"\n")
    if lines[-2:] not in _BLANK_LINES:  # else the last line would be taken for the blank one, and not be checked
        return _closing("The request head is incomplete.", "head-unfinished")
    del lines[-2:]
    if len(head) > max_bytes or len(lines) > max_headers:
        return TOO_LARGE_HEAD
    return _request_line_refusal(line.removesuffix(b"\r")) or _field_lines_refusal(lines)


def _request_line_refusal(line: bytes) -> Refusal | None:
    method, target, version, *more = [*line.split(b" "), b"", b""][: max(3, line.count(b" ") + 1)]
    if more or not version or not TOKEN.fullmatch(method):
        return _closing("The request line is malformed.", "request-line-malformed")
    if version not in _VERSIONS:
        return _closing("This HTTP version is not supported; use HTTP/1.1.", "version-unknown")
    return method_refusal(method) or _target_refusal(method, target)


def method_refusal(method: bytes) -> Refusal | None:
    """Return 405 for TRACE and CONNECT. TRACE reflects credentials, CONNECT would make the gateway a forward proxy."""
    if not TOKEN.fullmatch(method):
        return _closing("The request method is malformed.", "method-malformed")
    if method.upper() in (b"TRACE", b"CONNECT"):
        return _closing("This method is not allowed.", "method-not-allowed", 405, (("Allow", ALLOWED_METHODS),))
    return None


def _target_refusal(method: bytes, target: bytes) -> Refusal | None:
    known_form = target.startswith(b"/") or _ABSOLUTE.match(target) or (target == b"*" and method == b"OPTIONS")
    if not known_form or not _TARGET.fullmatch(target):
        return _closing("The request target is malformed.", "target-malformed")
    return None


def _field_lines_refusal(lines: Iterable[bytes]) -> Refusal | None:
    for line in lines:
        if line.startswith((b" ", b"\t")):
            return _closing("A header field is folded over several lines.", "field-folded")
        name, colon, value = line.removesuffix(b"\r").partition(b":")
        if not colon:
            return _closing("A header line has no colon.", "field-malformed")
        if (refusal := _field_refusal(name, value)) is not None:
            return refusal
    return None


def _field_refusal(name: bytes, value: bytes) -> Refusal | None:
    if not TOKEN.fullmatch(name):
        return _closing("A header field name is malformed.", "field-malformed")
    if not _VALUE.fullmatch(value):
        return _closing("A header field value contains control characters.", "field-malformed")
    return None


def parsed_head_refusal(
    *, method: bytes, target: bytes, version: bytes, fields: Fields, max_headers: int
) -> Refusal | None:
    """Apply the rules of `head_refusal` to a parsed request whose raw bytes the gateway never saw."""
    if len(fields) > max_headers:
        return TOO_LARGE_HEAD
    if version not in _VERSIONS:
        return _closing("This HTTP version is not supported; use HTTP/1.1.", "version-unknown")
    refusal = method_refusal(method) or _target_refusal(method, target)
    return refusal or next(filter(None, (_field_refusal(name, value) for name, value in fields)), None)


def message_refusal(*, authority: bytes, scheme: bytes, fields: Fields) -> Refusal | None:
    """Return why Host, body framing or expectation of a parsed head is refused, or None (RFC 9112 sections 3.2 and 6).

    `authority` and `scheme` are those of an absolute-form target, else empty.
    """
    return (
        _host_refusal(values(fields, b"host"), authority, scheme)
        or _framing_refusal(fields)
        or _expectation_refusal(values(fields, b"expect"))
    )


def _host_refusal(hosts: Sequence[bytes], authority: bytes, scheme: bytes) -> Refusal | None:
    if len(hosts) != 1:
        return _closing(
            "A request needs exactly one Host header field.", "host-missing" if not hosts else "host-repeated"
        )
    host = split_authority(hosts[0].decode("latin-1"))
    if host is None:
        return _closing("The Host header field is malformed.", "host-malformed")
    if not authority:
        return None
    target = split_authority(authority.decode("latin-1"))
    port = DEFAULT_PORTS.get(scheme.decode("latin-1").lower())
    if target is None or (host[0], host[1] or port) != (target[0], target[1] or port):
        return _closing("The request target and the Host header field differ.", "host-differs")
    return None


def _framing_refusal(fields: Fields) -> Refusal | None:
    codings, lengths = values(fields, b"transfer-encoding"), values(fields, b"content-length")
    if codings and (len(codings) > 1 or codings[0].lower() != b"chunked"):
        return _closing("The only transfer coding allowed in a request is chunked.", "framing-malformed")
    if codings and lengths:
        return _closing("A request must not have both Transfer-Encoding and Content-Length.", "framing-malformed")
    if len(lengths) > 1 or not all(length.isdigit() and len(length) <= MAX_LENGTH_DIGITS for length in lengths):
        return _closing("The Content-Length header field is malformed.", "framing-malformed")
    if "chunked" in tokens(values(fields, b"te")):
        return _closing("TE must not name chunked.", "framing-malformed")
    return None


def _expectation_refusal(expectations: Sequence[bytes]) -> Refusal | None:
    if expectations and [value.lower() for value in expectations] != [b"100-continue"]:
        return Refusal(417, "The only supported expectation is 100-continue.", "expectation-unknown", close=True)
    return None
