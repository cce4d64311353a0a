"""permessage-deflate (RFC 7692): checks its negotiation, and inflates messages for the hooks.

The gateway never compresses. It forwards frames as received, and sends a message that a hook changed uncompressed,
which section 6 allows.
"""

import re
import zlib
from collections.abc import Iterable
from dataclasses import dataclass

from livegate.websocket.close_codes import INVALID_DATA, TOO_BIG, ViolationError

NAME = "permessage-deflate"
MIN_WINDOW_BITS, MAX_WINDOW_BITS = 8, 15
TAIL = b"\x00\x00\xff\xff"
"""Bytes that the sender removed from the end of each message (section 7.2.1)."""

CHUNK_BYTES = 64 * 1024
"""Input of one zlib call. It bounds the rest that zlib copies at each final block, which would be quadratic."""
MAX_FINAL_BLOCKS = 1000
"""Per message; beyond it the socket fails with 1009. Senders need one a fragment, and each costs a new zlib state."""

_NAME = r"[!#$%&'*+\-.^_`|~0-9A-Za-z]+"
_PARAMETER = re.compile(rf'\s*;\s*({_NAME})\s*(?:=\s*(?:"({_NAME})"|({_NAME})))?\s*')
_ELEMENT = re.compile(rf"\s*({_NAME})\s*((?:;[^,]*)?)")


@dataclass(frozen=True, slots=True)
class Parameters:
    """One element of Sec-WebSocket-Extensions for permessage-deflate (section 7.1)."""

    server_no_context_takeover: bool = False
    client_no_context_takeover: bool = False
    server_max_window_bits: int | None = None
    client_max_window_bits: int | None = None
    """0 for an offer without a value (section 7.1.2.2)."""


def parse(values: Iterable[str]) -> list[Parameters] | None:
    """Parse the permessage-deflate elements of header values, in order. Returns None if a value is malformed.

    Other extensions, and elements with unknown, repeated or invalid parameters, are skipped (section 5.1).
    """
    elements: list[Parameters] = []
    for value in values:
        for element in value.split(","):
            if not element.strip():
                continue
            match = _ELEMENT.fullmatch(element.strip())
            if match is None:
                return None
            if match[1].lower() == NAME:
                parameters = _parameters(match[2])
                if parameters is not None:
                    elements.append(parameters)
    return elements


def _parameters(text: str) -> Parameters | None:
    given: dict[str, str] = {}
    position = 0
    while position < len(text):
        match = _PARAMETER.match(text, position)
        if match is None or match[1].lower() in given:
            return None
        given[match[1].lower()] = match[2] or match[3] or ""
        position = match.end()
    flags = {name: given.pop(name, None) for name in ("server_no_context_takeover", "client_no_context_takeover")}
    bits = {name: _bits(given.pop(name, None)) for name in ("server_max_window_bits", "client_max_window_bits")}
    invalid = given or any(flags.values()) or -1 in bits.values() or bits["server_max_window_bits"] == 0
    if invalid:
        return None
    return Parameters(
        server_no_context_takeover=flags["server_no_context_takeover"] is not None,
        client_no_context_takeover=flags["client_no_context_takeover"] is not None,
        server_max_window_bits=bits["server_max_window_bits"],
        client_max_window_bits=bits["client_max_window_bits"],
    )


def _bits(text: str | None) -> int | None:
    """Parse window bits: None when absent, 0 without a value, -1 when invalid."""
    if not text:
        return None if text is None else 0
    valid = re.fullmatch(r"[89]|1[0-5]", text)
    return int(text) if valid else -1


def filter_offer(values: Iterable[str]) -> str | None:
    """Return a client's offer for the backend: its permessage-deflate elements only, or None."""
    elements = parse(values)
    return ", ".join(map(render, elements)) if elements else None


def render(parameters: Parameters) -> str:
    """Format an element of Sec-WebSocket-Extensions."""
    parts = [NAME]
    parts += [
        name for name in ("server_no_context_takeover", "client_no_context_takeover") if getattr(parameters, name)
    ]
    for name in ("server_max_window_bits", "client_max_window_bits"):
        bits = getattr(parameters, name)
        if bits is not None:
            parts.append(f"{name}={bits}" if bits else name)
    return "; ".join(parts)


def agreed_parameters(response: Iterable[str], request: Iterable[str]) -> tuple[Parameters | None, str | None]:
    """Return (parameters, problem) of a backend's response to the offer in `request` (sections 5.1 and 7.1)."""
    values = list(response)
    if not values:
        return None, None
    elements = parse(values)
    only = len([element for value in values for element in value.split(",") if element.strip()])
    if elements is None or len(elements) != 1 or only != 1:
        return None, "chose an extension that was not offered, or more than one"
    chosen = elements[0]
    if chosen.client_max_window_bits == 0:
        return None, "chose an extension with client_max_window_bits and no value"
    if not any(_matches_offer(chosen, offered) for offered in parse(request) or ()):
        return None, "chose an extension, or parameters of it, that were not offered"
    return chosen, None


def _matches_offer(chosen: Parameters, offered: Parameters) -> bool:
    if offered.server_no_context_takeover and not chosen.server_no_context_takeover:
        return False
    if offered.server_max_window_bits is not None:
        bits = chosen.server_max_window_bits
        if bits is None or bits > offered.server_max_window_bits:
            return False
    if chosen.client_max_window_bits is not None:
        limit = offered.client_max_window_bits
        return limit is not None and (limit == 0 or chosen.client_max_window_bits <= limit)
    return True


class Inflater:
    """Inflater of one direction's messages. Its window takes about 40 KiB from the first message on."""

    def __init__(self, *, takeover: bool) -> None:
        self.takeover = takeover
        """Whether messages may refer to earlier ones (context takeover, section 7.1.1)."""
        self._zlib: zlib._Decompress | None = None

    def inflate(self, compressed: bytes, max_bytes: int) -> bytes:
        """Inflate one message, in linear time.

        Raises ViolationError: 1007 for invalid data, 1009 beyond `max_bytes` or `MAX_FINAL_BLOCKS`.
        """
        engine = self._zlib or zlib.decompressobj(-MAX_WINDOW_BITS)
        source = memoryview(compressed + TAIL)
        message = bytearray()
        position = final_blocks = 0
        try:
            while position < len(source):
                chunk = source[position : position + CHUNK_BYTES]
                message += engine.decompress(chunk, max_bytes + 1 - len(message))
                if len(message) > max_bytes:
                    raise ViolationError(TOO_BIG, "message too big")
                position += len(chunk) - len(engine.unused_data) - len(engine.unconsumed_tail)
                if engine.eof:  # a final block (section 7.2.3.4); the rest needs a new state
                    final_blocks += 1
                    if final_blocks > MAX_FINAL_BLOCKS:
                        raise ViolationError(TOO_BIG, "message of too many final blocks")
                    engine = zlib.decompressobj(-MAX_WINDOW_BITS)
                    if len(source) - position == len(TAIL):
                        break
        except zlib.error:
            raise ViolationError(INVALID_DATA, "message that cannot be inflated") from None
        self._zlib = engine if self.takeover else None
        return bytes(message)
