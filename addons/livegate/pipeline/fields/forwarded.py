"""X-Forwarded-* and Forwarded (RFC 7239): validation of a trusted proxy's values, and the gateway's own entries."""

import re
from collections.abc import Iterable, Sequence

from livegate.http1.authority import DEFAULT_PORTS, split_authority
from livegate.http1.field_values import TOKEN

MAX_HOPS = 64
"""Entries per field that are read and passed on. Beyond, the left-most are dropped, to bound time and size."""

_LIST = re.compile(r'(?:[^"]|"(?:[^"\\]|\\.)*+")*+')
"""Text in which every quoted string ends."""
_ELEMENT = re.compile(r'(?:[^",]|"(?:[^"\\]|\\.)*+")*+')
"""One element of a Forwarded field; commas in a quoted string do not end it."""


def appended(lines: Sequence[str], own: str) -> str:
    """Return X-Forwarded-For with the gateway's own entry after at most MAX_HOPS received ones."""
    return _joined([entry for line in lines for entry in line.split(",")], own) if lines else own


def forwarded(lines: Sequence[str], own: str) -> str:
    """Return Forwarded with the gateway's own element after at most MAX_HOPS received ones (RFC 7239 section 4).

    A list with an unterminated quote is dropped, because our own element would become part of that quoted string.
    """
    return _joined(_elements(", ".join(lines)), own) if lines else own


def _elements(text: str) -> list[str]:
    return _ELEMENT.findall(text) if _LIST.fullmatch(text) else []


def _joined(entries: Iterable[str], own: str) -> str:
    hops = [hop for hop in (entry.strip() for entry in entries) if hop]
    return ", ".join([*hops[-MAX_HOPS:], own])


def forwarded_element(peer: str, host: str, scheme: str) -> str:
    """Return one element of Forwarded. IPv6 addresses and hosts with a port are quoted (RFC 7239 section 6)."""
    source = f'"[{peer}]"' if ":" in peer else peer
    quoted = host if TOKEN.fullmatch(host.encode()) else f'"{host}"'
    return f"for={source};host={quoted};proto={scheme}"


def port_of(authority: str, scheme: str) -> str:
    """Return the port that a client used: the one of an authority, else the scheme's default."""
    parts = split_authority(authority)
    port = parts[1] if parts else None
    return str(port or DEFAULT_PORTS[scheme])


def valid_host(lines: Sequence[str]) -> str | None:
    """Return a trusted proxy's X-Forwarded-Host if it is one well-formed authority, else None."""
    return lines[0] if len(lines) == 1 and split_authority(lines[0]) is not None else None


def valid_port(lines: Sequence[str]) -> str | None:
    """Return a trusted proxy's X-Forwarded-Port if it is one well-formed port, else None."""
    return lines[0] if len(lines) == 1 and split_authority(f"h:{lines[0]}") is not None else None
