"""permessage-deflate (RFC 7692): what may be offered and accepted, and the inflater that shows messages to hooks.

The gateway never compresses: frames pass as they came, and a message that a hook changed is sent uncompressed, which
section 6 allows on every such socket.
"""

import re
import zlib
from collections.abc import Iterable
from dataclasses import dataclass

from livegate.websocket.close_codes import INVALID_DATA, TOO_BIG, ViolationError

NAME = "permessage-deflate"
MIN_WINDOW_BITS, MAX_WINDOW_BITS = 8, 15
TAIL = b"\x00\x00\xff\xff"
"""What a sender has cut off the end of each message (section 7.2.1)."""

PIECE_BYTES = 64 * 1024
"""What is inflated at a time: zlib copies what it leaves of a piece each time that a final block ends in it."""
MAX_FINAL_BLOCKS = 1000
"""In one message. Senders that use them end a message or a fragment with one; each costs a new state of zlib."""

_WORD = r"[!#$%&'*+\-.^_`|~0-9A-Za-z]+"
_PARAMETER = re.compile(rf'\s*;\s*({_WORD})\s*(?:=\s*(?:"({_WORD})"|({_WORD})))?\s*')
_ELEMENT = re.compile(rf"\s*({_WORD})\s*((?:;[^,]*)?)")


@dataclass(frozen=True, slots=True)
class Parameters:
    """One element of Sec-WebSocket-Extensions for permessage-deflate (section 7.1)."""

    server_no_context_takeover: bool = False
    client_no_context_takeover: bool = False
    server_max_window_bits: int | None = None
    client_max_window_bits: int | None = None
    """0 when an offer names it without a value (section 7.1.2.2)."""


def parse(values: Iterable[str]) -> list[Parameters] | None:
    """The permessage-deflate elements of header values, in order; None when a value cannot be read.

    Other extensions, and elements with unknown, repeated or impossible parameters, are left out (section 5.1).
    """
    found: list[Parameters] = []
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
                    found.append(parameters)
    return found


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
    impossible = given or any(flags.values()) or -1 in bits.values() or bits["server_max_window_bits"] == 0
    if impossible:
        return None
    return Parameters(
        server_no_context_takeover=flags["server_no_context_takeover"] is not None,
        client_no_context_takeover=flags["client_no_context_takeover"] is not None,
        server_max_window_bits=bits["server_max_window_bits"],
        client_max_window_bits=bits["client_max_window_bits"],
    )


def _bits(text: str | None) -> int | None:
    """Window bits: None when not given, 0 when given without a value, -1 when impossible."""
    if not text:
        return None if text is None else 0
    valid = re.fullmatch(r"[89]|1[0-5]", text)
    return int(text) if valid else -1


def offer(values: Iterable[str]) -> str | None:
    """The offer of a client as the backend gets it: its permessage-deflate elements and nothing else, or None."""
    elements = parse(values)
    return ", ".join(map(render, elements)) if elements else None


def render(parameters: Parameters) -> str:
    """An element of Sec-WebSocket-Extensions."""
    words = [NAME]
    words += [
        name for name in ("server_no_context_takeover", "client_no_context_takeover") if getattr(parameters, name)
    ]
    for name in ("server_max_window_bits", "client_max_window_bits"):
        bits = getattr(parameters, name)
        if bits is not None:
            words.append(f"{name}={bits}" if bits else name)
    return "; ".join(words)


def accepted(response: Iterable[str], request: Iterable[str]) -> tuple[Parameters | None, str | None]:
    """What a backend has agreed to, or what is wrong with it (sections 5.1 and 7.1): (parameters, problem)."""
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
    if not any(_fits(chosen, offered) for offered in parse(request) or ()):
        return None, "chose an extension, or parameters of it, that were not offered"
    return chosen, None


def _fits(chosen: Parameters, offered: Parameters) -> bool:
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
    """Shows what the compressed messages of one direction say. Its window takes about 40 KiB once it is used."""

    def __init__(self, *, takeover: bool) -> None:
        self.takeover = takeover
        """Whether messages may refer to earlier ones (no `..._no_context_takeover` was agreed for this direction)."""
        self._zlib: zlib._Decompress | None = None

    def inflate(self, compressed: bytes, max_bytes: int) -> bytes:
        """The message that was compressed, in time linear in its length.

        Raises ViolationError: 1007 when it cannot be inflated, 1009 past `max_bytes` or `MAX_FINAL_BLOCKS`.
        """
        engine = self._zlib or zlib.decompressobj(-MAX_WINDOW_BITS)
        source = memoryview(compressed + TAIL)
        message = bytearray()
        position = final_blocks = 0
        try:
            while position < len(source):
                piece = source[position : position + PIECE_BYTES]
                message += engine.decompress(piece, max_bytes + 1 - len(message))
                if len(message) > max_bytes:
                    raise ViolationError(TOO_BIG, "message too big")
                position += len(piece) - len(engine.unused_data) - len(engine.unconsumed_tail)
                if engine.eof:  # a final block (section 7.2.3.4): what follows starts anew
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
