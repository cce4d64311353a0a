"""Both halves of the WebSocket opening handshake (RFC 6455 section 4). The guard and the policy apply them."""

import base64
import binascii
import hashlib

from livegate.http1.field_values import Fields, members, tokens, values
from livegate.http1.refusal import Refusal

KEY_BYTES = 16
GUID = b"258EAFA5-E914-47DA-95CA-C5AB0DC85B11"
"""RFC 6455 section 1.3."""


def is_upgrade(fields: Fields) -> bool:
    """Return whether a request asks for a WebSocket. Requests for other protocols pass as plain HTTP."""
    return "websocket" in tokens(values(fields, b"upgrade"))


def upgrade_refusal(*, method: bytes, version: bytes, fields: Fields) -> Refusal | None:
    """Return 426 for a malformed opening handshake (RFC 6455 section 4.2.1), with the fields that it needs."""
    keys = values(fields, b"sec-websocket-key")
    has_body = values(fields, b"transfer-encoding") or any(n.strip(b"0") for n in values(fields, b"content-length"))
    good = (
        method == b"GET"
        and version == b"HTTP/1.1"
        and tokens(values(fields, b"upgrade")) == {"websocket"}
        and "upgrade" in tokens(values(fields, b"connection"))
        and values(fields, b"sec-websocket-version") == [b"13"]
        and len(keys) == 1
        and _is_key(keys[0])
        and not has_body
    )
    if good:
        return None
    message = "A WebSocket handshake needs GET over HTTP/1.1, version 13, a valid key and no body."
    required = (("Upgrade", "websocket"), ("Sec-WebSocket-Version", "13"))
    return Refusal(426, message, "upgrade-malformed", required, close=True)


def _is_key(key: bytes) -> bool:
    try:
        return len(base64.b64decode(key, validate=True)) == KEY_BYTES
    except binascii.Error:
        return False


def response_problem(request: Fields, response: Fields) -> str | None:
    """Return why a 101 is unacceptable, or None (RFC 6455 section 4.1, items 2 to 6).

    The text continues "The app ..."; `observe.causes` recognizes it by its first words.
    """
    key = b"".join(values(request, b"sec-websocket-key"))
    accept = base64.b64encode(hashlib.sha1(key + GUID, usedforsecurity=False).digest())
    if {item.lower() for item in members(values(response, b"upgrade"))} != {b"websocket"}:
        return "switched to another protocol than websocket"
    if b"upgrade" not in {item.lower() for item in members(values(response, b"connection"))}:
        return "switched protocols without `Connection: Upgrade`"
    if values(response, b"sec-websocket-accept") != [accept]:
        return "answered the upgrade with a wrong Sec-WebSocket-Accept"
    chosen = values(response, b"sec-websocket-protocol")
    if chosen and (len(chosen) > 1 or chosen[0] not in members(values(request, b"sec-websocket-protocol"))):
        return "chose a subprotocol that was not offered"
    return None
