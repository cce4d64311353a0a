"""RFC 6455 frames as bytes: how they are masked and written. Reading them is `lane`'s."""

import os
from collections.abc import Callable

CONTINUATION, TEXT, BINARY, CLOSE, PING, PONG = 0x0, 0x1, 0x2, 0x8, 0x9, 0xA
"""Opcodes (section 5.2)."""

FIN, RSV1, MASK = 0x80, 0x40, 0x80
MAX_CONTROL_BYTES = 125
"""Payload of a control frame (section 5.5)."""
MAX_SHORT, MAX_MEDIUM = 125, 0xFFFF
"""Largest lengths in 7 and in 16 bits."""
KEY_BYTES = 4


def xor_mask(key: bytes, data: bytes) -> bytes:
    """Apply a masking key of 4 bytes (section 5.3); applying it twice gives the data back."""
    size = len(data)
    if not size:
        return b""
    repeated = (key * (size // KEY_BYTES + 1))[:size]
    return (int.from_bytes(data, "little") ^ int.from_bytes(repeated, "little")).to_bytes(size, "little")


def _fastest_mask() -> Callable[[bytes, bytes], bytes]:
    """Tornado, which mitmproxy brings along, does the same in C where its wheel was built with it."""
    try:
        from tornado.speedups import websocket_mask
    except ImportError:  # pragma: no cover - depends on how tornado was built
        return xor_mask
    fast: Callable[[bytes, bytes], bytes] = websocket_mask
    return fast


apply_mask: Callable[[bytes, bytes], bytes] = _fastest_mask()
"""`xor_mask`, by the fastest means that this machine has. Takes key and data."""


def as_text(content: bytes) -> bytes:
    """Content for a text message: bytes that are no UTF-8, which the peer would have to refuse, are replaced."""
    try:
        content.decode()
    except UnicodeDecodeError:
        return content.decode(errors="replace").encode()
    return content


def encode(opcode: int, payload: bytes, *, masked: bool) -> bytes:
    """One final frame, uncompressed; masked, with a fresh random key, when it goes to a server (section 5.3)."""
    size = len(payload)
    mask_bit = MASK if masked else 0
    if size <= MAX_SHORT:
        head = bytes((FIN | opcode, mask_bit | size))
    elif size <= MAX_MEDIUM:
        head = bytes((FIN | opcode, mask_bit | 126)) + size.to_bytes(2)
    else:
        head = bytes((FIN | opcode, mask_bit | 127)) + size.to_bytes(8)
    if not masked:
        return head + payload
    key = os.urandom(KEY_BYTES)
    return head + key + apply_mask(key, payload)
