"""Phoenix's long-poll transport: frames in HTTP bodies, with a status of its own inside answers that all say 200.

Sources: Phoenix.Transports.LongPoll and phoenix.js's LongPoll, 1.7 and 1.8.
"""

import base64
import binascii
from dataclasses import dataclass
from typing import Literal
from urllib.parse import parse_qs

from livegate.phoenix.frames import Frame, NotPhoenix, Vsn, decode, parse_vsn, read_json

PATH_SUFFIX = "/longpoll"
"""What phoenix.js always puts after the path of the socket."""
CLOSED_GONE = 3410
"""Close code that phoenix.js uses when a long-poll session is gone."""
MAX_LINES = 100
"""Of a request's body, as Phoenix bounds it."""
MAX_MESSAGES = 10_000
MAX_QUERY_FIELDS = 200


@dataclass(frozen=True, slots=True)
class PolledFrame:
    """A frame in a body, and its bytes as a WebSocket would have carried them."""

    frame: Frame | NotPhoenix
    data: bytes
    text: bool = True


@dataclass(frozen=True, slots=True)
class PollRequest:
    """A request of a long-poll client."""

    verb: Literal["poll", "send"]
    has_token: bool
    vsn: Vsn | None
    frames: tuple[PolledFrame, ...] = ()


@dataclass(frozen=True, slots=True)
class PollResponse:
    """What the server said to it."""

    status: int
    """200, 204 (nothing in time), 403, 408, 410 (a new session, or the one asked for is gone)."""
    token: str | None
    """Of a session; it names whose the next requests are, and is a secret."""
    frames: tuple[PolledFrame, ...] = ()


def is_longpoll(target: str) -> bool:
    """Whether a request target (RFC 9112 section 3.2) is that of the long-poll transport."""
    return target.partition("?")[0].endswith(PATH_SUFFIX)


def parse_request(method: str, query: str, body: bytes, content_type: str | None) -> PollRequest | NotPhoenix:
    """Read a request; never raises. A token in a header is not seen here."""
    try:
        fields = parse_qs(query, keep_blank_values=True, max_num_fields=MAX_QUERY_FIELDS)
    except ValueError:
        return NotPhoenix("a query of too many fields")
    vsn = parse_vsn(fields["vsn"][0] if "vsn" in fields else None)
    has_token = bool(fields.get("token", [""])[-1])
    if method == "GET":
        return PollRequest("poll", has_token, vsn)
    if method != "POST":
        return NotPhoenix(f"a {method[:20]} request")
    ndjson = (content_type or "").partition(";")[0].strip().lower() == "application/x-ndjson"
    lines = body.split(b"\n", MAX_LINES) if ndjson else [body]
    frames = tuple(_line(line, from_client=True, vsn=vsn or "2") for line in lines[:MAX_LINES] if line.strip())
    return PollRequest("send", has_token, vsn, frames)


def parse_response(body: bytes, vsn: Vsn = "2") -> PollResponse | NotPhoenix:
    """Read an answer; never raises."""
    try:
        value = read_json(body)
    except (ValueError, RecursionError):
        return NotPhoenix("not the JSON of a long-poll answer")
    status = value.get("status") if isinstance(value, dict) else None
    if not isinstance(status, int) or isinstance(status, bool):
        return NotPhoenix("an answer without a status in its body")
    token, messages = value.get("token"), value.get("messages")
    frames = tuple(
        _line(message.encode("utf-8", "surrogatepass"), from_client=False, vsn=vsn)
        for message in (messages[:MAX_MESSAGES] if isinstance(messages, list) else ())
        if isinstance(message, str)
    )
    return PollResponse(status, token if isinstance(token, str) else None, frames)


def _line(line: bytes, *, from_client: bool, vsn: Vsn) -> PolledFrame:
    """One frame: text begins with a bracket or a brace, all else is the base64 of a binary one."""
    stripped = line.strip()
    if stripped[:1] in (b"[", b"{"):
        return PolledFrame(decode(stripped, text=True, from_client=from_client, vsn=vsn), stripped)
    try:
        data = base64.b64decode(stripped, validate=True)
    except (binascii.Error, ValueError):
        return PolledFrame(NotPhoenix("neither JSON nor base64"), stripped)
    return PolledFrame(decode(data, text=False, from_client=from_client, vsn=vsn), data, text=False)
