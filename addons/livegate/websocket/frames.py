"""RFC 6455 frames: constants, masking and encoding. `codec` decodes them."""

import os
from collections.abc import Callable

CONTINUATION, TEXT, BINARY, CLOSE, PING, PONG = 0x0, 0x1, 0x2, 0x8, 0x9, 0xA
"""Opcodes (section 5.2)."""

FIN, RSV1, MASK = 0x80, 0x40, 0x80
MAX_CONTROL_BYTES = 125
"""Payload of a control frame (section 5.5)."""
MAX_SHORT, MAX_MEDIUM = 125, 0xFFFF
"""Largest payload lengths for a 7-bit and a 16-bit length field."""
KEY_BYTES = 4


def xor_mask(key: bytes, data: bytes) -> bytes:
    """Mask or unmask data with a key of 4 bytes (section 5.3)."""
    size = len(data)
    if not size:
        return b""
    repeated = (key * (size // KEY_BYTES + 1))[:size]
    return (int.from_bytes(data, "little") ^ int.from_bytes(repeated, "little")).to_bytes(size, "little")


def _fastest_mask() -> Callable[[bytes, bytes], bytes]:
    """Return Tornado's C implementation if its wheel has it, else `xor_mask`."""
    try:
        from tornado.speedups import websocket_mask
    except ImportError:  # pragma: no cover - depends on how tornado was built
        return xor_mask
    fast: Callable[[bytes, bytes], bytes] = websocket_mask
    return fast


apply_mask: Callable[[bytes, bytes], bytes] = _fastest_mask()
"""The fastest `xor_mask` of this machine. Takes key and data."""


def as_text(content: bytes) -> bytes:
    """Return content for a text message. Invalid UTF-8 is replaced, because the peer would fail the connection."""
    try:
        content.decode()
    except UnicodeDecodeError:
        return content.decode(errors="replace").encode()
    return content


def encode(opcode: int, payload: bytes, *, masked: bool) -> bytes:
    """Encode one final, uncompressed frame. Frames to a server are masked with a random key (section 5.3)."""
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
