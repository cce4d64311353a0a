"""Parser of Phoenix's long-poll transport: frames in HTTP bodies. The status is in the body; HTTP's is always 200.

Follows Phoenix.Transports.LongPoll and longpoll.js of phoenix.js, 1.7 and 1.8.
"""

import base64
import binascii
from dataclasses import dataclass
from typing import Literal
from urllib.parse import parse_qs

from livegate.phoenix.frames import Frame, NotPhoenix, Vsn, decode, parse_vsn, read_json

PATH_SUFFIX = "/longpoll"
"""Last segment of the path, which phoenix.js appends to that of the socket."""
CLOSED_GONE = 3410
"""Close code of phoenix.js's LongPoll when the server replies with status 410: the session no longer exists."""
MAX_LINES = 100
"""Frames per request body, the bound of Phoenix itself; further ones are ignored."""
MAX_MESSAGES = 10_000
"""Frames per response body; further ones are ignored."""
MAX_QUERY_FIELDS = 200
"""Query fields of a request; one with more is not a long-poll request."""


@dataclass(frozen=True, slots=True)
class PolledFrame:
    """One frame of a body, with its bytes as a WebSocket would carry them."""

    frame: Frame | NotPhoenix
    data: bytes
    text: bool = True


@dataclass(frozen=True, slots=True)
class PollRequest:
    """Request of a long-poll client."""

    verb: Literal["poll", "send"]
    has_token: bool
    vsn: Vsn | None
    frames: tuple[PolledFrame, ...] = ()


@dataclass(frozen=True, slots=True)
class PollResponse:
    """Response of the server."""

    status: int
    """200, 204 (no message in time), 403, 408, 410 (a new session, or the requested one no longer exists)."""
    token: str | None
    """Token of the session, which identifies its next requests; a secret."""
    frames: tuple[PolledFrame, ...] = ()


def is_longpoll(target: str) -> bool:
    """Return whether a request target (RFC 9112 section 3.2) is that of the long-poll transport."""
    return target.partition("?")[0].endswith(PATH_SUFFIX)


def parse_request(method: str, query: str, body: bytes, content_type: str | None) -> PollRequest | NotPhoenix:
    """Parse a request; never raises. `has_token` covers the query only, not a header."""
    try:
        fields = parse_qs(query, keep_blank_values=True, max_num_fields=MAX_QUERY_FIELDS)
    except ValueError:
        return NotPhoenix("a query has too many fields")
    vsn = parse_vsn(fields["vsn"][0] if "vsn" in fields else None)
    has_token = bool(fields.get("token", [""])[-1])
    if method == "GET":
        return PollRequest("poll", has_token, vsn)
    if method != "POST":
        return NotPhoenix(f"a {method[:20]} request")
    ndjson = (content_type or "").partition(";")[0].strip().lower() == "application/x-ndjson"
    lines = body.split(b"\n", MAX_LINES) if ndjson else [body]
    frames = tuple(_parse_frame(line, from_client=True, vsn=vsn or "2") for line in lines[:MAX_LINES] if line.strip())
    return PollRequest("send", has_token, vsn, frames)


def parse_response(body: bytes, vsn: Vsn = "2") -> PollResponse | NotPhoenix:
    """Parse a response; never raises."""
    try:
        value = read_json(body)
    except (ValueError, RecursionError):
        return NotPhoenix("not the JSON of a long-poll response")
    status = value.get("status") if isinstance(value, dict) else None
    if not isinstance(status, int) or isinstance(status, bool):
        return NotPhoenix("a response has no status in its body")
    token, messages = value.get("token"), value.get("messages")
    frames = tuple(
        _parse_frame(message.encode("utf-8", "surrogatepass"), from_client=False, vsn=vsn)
        for message in (messages[:MAX_MESSAGES] if isinstance(messages, list) else ())
        if isinstance(message, str)
    )
    return PollResponse(status, token if isinstance(token, str) else None, frames)


def _parse_frame(line: bytes, *, from_client: bool, vsn: Vsn) -> PolledFrame:
    """Parse one frame: text begins with a bracket or a brace, anything else is the base64 of a binary frame."""
    stripped = line.strip()
    if stripped[:1] in (b"[", b"{"):
        return PolledFrame(decode(stripped, text=True, from_client=from_client, vsn=vsn), stripped)
    try:
        data = base64.b64decode(stripped, validate=True)
    except (binascii.Error, ValueError):
        return PolledFrame(NotPhoenix("neither JSON nor base64"), stripped)
    return PolledFrame(decode(data, text=False, from_client=from_client, vsn=vsn), data, text=False)
