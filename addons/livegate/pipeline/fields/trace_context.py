"""W3C Trace Context: reads and writes `traceparent` and `tracestate`; decides what is told. For observe.tracing."""

import re
from collections.abc import Callable, Sequence
from dataclasses import dataclass

TRACE_ID_BYTES, SPAN_ID_BYTES = 16, 8
MAX_MEMBERS = 32
"""Of a tracestate (section 3.3.1.1)."""
SAMPLED, RANDOM = 1, 2
"""Flags of a traceparent (section 3.2.2.5; the second by level 2)."""

_TRACEPARENT = re.compile(
    r"(?!ff)(?P<version>[0-9a-f]{2})-(?!0{32})(?P<trace>[0-9a-f]{32})-(?!0{16})(?P<span>[0-9a-f]{16})"
    r"-(?P<flags>[0-9a-f]{2})(?P<more>-[ -~]*)?"
)
_MEMBER = re.compile(
    r"(?P<key>[a-z0-9][a-z0-9_\-*/@]{0,255})=[ -+\--<>-~]{0,255}[!-+\--<>-~]"  # section 3.3.1.3, keys as in level 2
)

type RandomHex = Callable[[int], str]
"""Makes twice as many random hexadecimal digits as it is told."""


@dataclass(frozen=True, slots=True)
class Context:
    """A span in its trace: the identifiers in lower-case hexadecimal digits."""

    trace_id: str
    span_id: str
    flags: int = SAMPLED

    @property
    def sampled(self) -> bool:
        """Whether whoever made it records the trace."""
        return bool(self.flags & SAMPLED)

    @property
    def traceparent(self) -> str:
        """As the header field is written, version 00."""
        return f"00-{self.trace_id}-{self.span_id}-{self.flags & (SAMPLED | RANDOM):02x}"


def read_traceparent(given: Sequence[str]) -> Context | None:
    """The context of a request by its traceparent fields; None when there is not exactly one that is well-formed.

    A version above 00 may have more parts, which are not looked at; ff is none (section 3.2.2.1, 4.3).
    """
    found = _TRACEPARENT.fullmatch(given[0]) if len(given) == 1 else None
    if found is None or (found["version"] == "00" and found["more"] is not None):
        return None
    return Context(found["trace"], found["span"], int(found["flags"], 16))


def read_tracestate(given: Sequence[str]) -> str:
    """All tracestate fields as one list, in their order; empty when any member is not well-formed, or twice there."""
    members = [member.strip(" \t") for line in given for member in line.split(",")]
    members = [member for member in members if member]
    found = [_MEMBER.fullmatch(member) for member in members[: MAX_MEMBERS + 1]]
    keys = {match["key"] for match in found if match is not None}
    return ",".join(members) if len(keys) == len(members) <= MAX_MEMBERS else ""


def is_sampled(trace_id: str, ratio: float, salt: int = 0) -> bool:
    """Whether a trace is among the part of all traces that is told, as OpenTelemetry's TraceIdRatioBased decides it.

    `salt` (64 bits) makes the decision one that whoever chose the trace id cannot foresee.
    """
    return (int(trace_id[16:], 16) ^ salt) < round(ratio * (1 << 64))


@dataclass(frozen=True, slots=True)
class Request:
    """The span of a request to be, and where it belongs."""

    own: Context
    parent: Context | None
    """What the client sent."""
    tracestate: str = ""
    """For the backend; what the client sent."""

    @property
    def recorded(self) -> bool:
        """Whether it is told."""
        return self.own.sampled


class Sampler:
    """Decides for each request which trace it belongs to, and whether that is told."""

    def __init__(self, ratio: float, random_hex: RandomHex) -> None:
        self.ratio = ratio
        self._random_hex = random_hex
        self._salt = int(random_hex(SPAN_ID_BYTES), 16)

    def request(self, parents: Sequence[str], states: Sequence[str], *, trusted: bool) -> Request:
        """The context of a new request, by its header fields.

        A trusted client's sampled flag is honoured. Of others the trace is continued, but whether it is told is
        decided here, by a draw that choosing the trace id does not help with.
        """
        parent = read_traceparent(parents)
        if parent is None:
            return Request(self.begin(), None)
        told = parent.sampled if trusted else is_sampled(parent.trace_id, self.ratio, self._salt)
        flags = (parent.flags & RANDOM) | (SAMPLED if told else 0)
        own = Context(parent.trace_id, self.span_id(), flags)
        return Request(own, parent, read_tracestate(states))

    def begin(self) -> Context:
        """A new trace and its first span."""
        trace_id = self._random_hex(TRACE_ID_BYTES)
        return Context(trace_id, self.span_id(), SAMPLED if is_sampled(trace_id, self.ratio) else 0)

    def span_id(self) -> str:
        """A new span's."""
        return self._random_hex(SPAN_ID_BYTES)
