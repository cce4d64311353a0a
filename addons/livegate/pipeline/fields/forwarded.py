"""The header fields by which a proxy says for whom it asks: X-Forwarded-*, Forwarded (RFC 7239), traceparent."""

import re
from collections.abc import Iterable, Sequence

from livegate.http1.authority import DEFAULT_PORTS, split_authority
from livegate.pipeline.identifiers import random_hex

MAX_HOPS = 64
"""How many entries that a trusted proxy sent are passed on, from the right."""

_TRACEPARENT = re.compile(r"00-(?!0{32})[0-9a-f]{32}-(?!0{16})[0-9a-f]{16}-[0-9a-f]{2}")
_TOKEN = re.compile(r"[!#$%&'*+\-.^_`|~0-9A-Za-z]+")
_LIST = re.compile(r'(?:[^"]|"(?:[^"\\]|\\.)*+")*+')
"""A text all of whose quoted strings end."""
_ELEMENT = re.compile(r'(?:[^",]|"(?:[^"\\]|\\.)*+")*+')
"""What stands between two commas of a Forwarded field; commas in a quoted string do not count."""


def appended(given: Sequence[str], mine: str) -> str:
    """X-Forwarded-For with one entry more, after at most MAX_HOPS of those given."""
    return _joined([entry for line in given for entry in line.split(",")], mine) if given else mine


def forwarded(given: Sequence[str], mine: str) -> str:
    """Forwarded with one element more, after at most MAX_HOPS of those given (RFC 7239 section 4).

    A list with a quote that does not end is dropped: it would make our own element a part of that quoted string.
    """
    return _joined(_elements(", ".join(given)), mine) if given else mine


def _elements(text: str) -> list[str]:
    return _ELEMENT.findall(text) if _LIST.fullmatch(text) else []


def _joined(entries: Iterable[str], mine: str) -> str:
    hops = [hop for hop in (entry.strip() for entry in entries) if hop]
    return ", ".join([*hops[-MAX_HOPS:], mine])


def forwarded_element(peer: str, host: str, scheme: str) -> str:
    """One element of the Forwarded field; IPv6 addresses and hosts with a port are quoted (RFC 7239 section 6)."""
    source = f'"[{peer}]"' if ":" in peer else peer
    quoted = host if _TOKEN.fullmatch(host) else f'"{host}"'
    return f"for={source};host={quoted};proto={scheme}"


def port_of(authority: str, scheme: str) -> str:
    """The port that a client used: the one in its Host, else the scheme's own."""
    parts = split_authority(authority)
    port = parts[1] if parts else None
    return str(port or DEFAULT_PORTS[scheme])


def valid_host(given: Sequence[str]) -> str | None:
    """X-Forwarded-Host of a trusted proxy when it is one well-formed host, else None."""
    return given[0] if len(given) == 1 and split_authority(given[0]) is not None else None


def valid_port(given: Sequence[str]) -> str | None:
    """X-Forwarded-Port of a trusted proxy when it is one well-formed port, else None."""
    return given[0] if len(given) == 1 and split_authority(f"h:{given[0]}") is not None else None


def valid_trace(given: Sequence[str]) -> bool:
    """Whether there is exactly one well-formed traceparent (W3C Trace Context section 3.2, version 00)."""
    return len(given) == 1 and _TRACEPARENT.fullmatch(given[0]) is not None


def new_traceparent() -> str:
    """Begin a trace. The sampled flag is not set: whether to record is the backends' choice."""
    return f"00-{random_hex(16)}-{random_hex(8)}-00"
