"""W3C Trace Context: parser and writer of `traceparent` and `tracestate`, and the sampler. Section numbers are its own.

`pipeline.headers` passes a trace on, `observe.tracing` records it.
"""

import os
import re
from collections.abc import Callable, Sequence
from dataclasses import dataclass

TRACE_ID_BYTES, SPAN_ID_BYTES = 16, 8
MAX_MEMBERS = 32
"""Members of a tracestate (section 3.3.1.1)."""
SAMPLED, RANDOM = 1, 2
"""Flags of a traceparent (section 3.2.2.5; `RANDOM` is of level 2)."""

_TRACEPARENT = re.compile(
    r"(?!ff)(?P<version>[0-9a-f]{2})-(?!0{32})(?P<trace>[0-9a-f]{32})-(?!0{16})(?P<span>[0-9a-f]{16})"
    r"-(?P<flags>[0-9a-f]{2})(?P<more>-[ -~]*)?"
)
_MEMBER = re.compile(
    r"(?P<key>[a-z0-9][a-z0-9_\-*/@]{0,255})=[ -+\--<>-~]{0,255}[!-+\--<>-~]"  # section 3.3.1.3, keys as in level 2
)

type RandomHex = Callable[[int], str]
"""Returns that many random bytes as lower-case hexadecimal digits."""


def random_hex(size: int) -> str:
    """Return `size` random bytes as lower-case hexadecimal digits."""
    return os.urandom(size).hex()


@dataclass(frozen=True, slots=True)
class SpanContext:
    """A span in its trace. Both identifiers are lower-case hexadecimal digits."""

    trace_id: str
    span_id: str
    flags: int = SAMPLED

    @property
    def sampled(self) -> bool:
        """Return whether the span's creator records the trace."""
        return bool(self.flags & SAMPLED)

    @property
    def traceparent(self) -> str:
        """Return the value of the traceparent field, version 00."""
        return f"00-{self.trace_id}-{self.span_id}-{self.flags & (SAMPLED | RANDOM):02x}"


def read_traceparent(lines: Sequence[str]) -> SpanContext | None:
    """Return the span that sent a request, or None unless there is exactly one well-formed traceparent.

    A version above 00 may have more parts, which are ignored; version ff is invalid (sections 3.2.2.1 and 4.3).
    """
    found = _TRACEPARENT.fullmatch(lines[0]) if len(lines) == 1 else None
    if found is None or (found["version"] == "00" and found["more"] is not None):
        return None
    return SpanContext(found["trace"], found["span"], int(found["flags"], 16))


def new_traceparent() -> str:
    """Return the traceparent of a new trace. It is not sampled, because recording is the backend's decision."""
    digits = random_hex(TRACE_ID_BYTES + SPAN_ID_BYTES)  # one system call
    return f"00-{digits[: 2 * TRACE_ID_BYTES]}-{digits[2 * TRACE_ID_BYTES :]}-00"


def read_tracestate(lines: Sequence[str]) -> str:
    """Return all tracestate fields as one list in order; empty if any member is malformed or occurs twice."""
    members = [member.strip(" \t") for line in lines for member in line.split(",")]
    members = [member for member in members if member]
    found = [_MEMBER.fullmatch(member) for member in members[: MAX_MEMBERS + 1]]
    keys = {match["key"] for match in found if match is not None}
    return ",".join(members) if len(keys) == len(members) <= MAX_MEMBERS else ""


def is_sampled(trace_id: str, ratio: float, salt: int = 0) -> bool:
    """Return whether a trace is in the sampled share, as OpenTelemetry's TraceIdRatioBased decides.

    `salt` (64 bits) makes the decision unpredictable for a client that chooses the trace id.
    """
    return (int(trace_id[16:], 16) ^ salt) < round(ratio * (1 << 64))


@dataclass(frozen=True, slots=True)
class RequestTrace:
    """Trace context of one request: the span that will be recorded for it, and its parent."""

    context: SpanContext
    parent: SpanContext | None
    """Span that the client sent."""
    tracestate: str = ""
    """The client's tracestate, which the backend gets."""

    @property
    def recorded(self) -> bool:
        """Return whether the span is exported."""
        return self.context.sampled


class Sampler:
    """Chooses the trace of each request, and whether it is recorded."""

    def __init__(self, ratio: float, random_hex: RandomHex = random_hex) -> None:
        self.ratio = ratio
        self._random_hex = random_hex
        self._salt = int(random_hex(SPAN_ID_BYTES), 16)

    def request(self, parents: Sequence[str], states: Sequence[str], *, trusted: bool) -> RequestTrace:
        """Return the trace context of a new request, from its traceparent and tracestate fields.

        A trusted client's sampled flag is obeyed. Other clients' traces are continued too, but the salted ratio
        decides about recording, because such a client could choose a trace id that is always sampled.
        """
        parent = read_traceparent(parents)
        if parent is None:
            return RequestTrace(self.new_trace(), None)
        sampled = parent.sampled if trusted else is_sampled(parent.trace_id, self.ratio, self._salt)
        flags = (parent.flags & RANDOM) | (SAMPLED if sampled else 0)
        own = SpanContext(parent.trace_id, self.span_id(), flags)
        return RequestTrace(own, parent, read_tracestate(states))

    def new_trace(self) -> SpanContext:
        """Return the first span of a new trace."""
        trace_id = self._random_hex(TRACE_ID_BYTES)
        return SpanContext(trace_id, self.span_id(), SAMPLED if is_sampled(trace_id, self.ratio) else 0)

    def span_id(self) -> str:
        """Return the identifier of a new span."""
        return self._random_hex(SPAN_ID_BYTES)
