"""Close codes and the payload of close frames (RFC 6455 sections 5.5.1 and 7.4, and IANA's registry)."""

NORMAL, GOING_AWAY, PROTOCOL_ERROR, UNSUPPORTED = 1000, 1001, 1002, 1003
NO_STATUS, ABNORMAL = 1005, 1006
"""Never sent: they stand for a close frame without a code, and for a connection lost without a close frame."""
INVALID_DATA, POLICY, TOO_BIG = 1007, 1008, 1009
INTERNAL_ERROR, SERVICE_RESTART, TRY_AGAIN_LATER, BAD_GATEWAY = 1011, 1012, 1013, 1014
MAX_REASON_BYTES = 123

_SENDABLE = frozenset({1000, 1001, 1002, 1003, *range(1007, 1015), *range(3000, 5000)})


class ViolationError(Exception):
    """A violation of the protocol or a limit; the connection fails with `code` (RFC 6455 section 7.1.7)."""

    def __init__(self, code: int, reason: str) -> None:
        super().__init__(reason)
        self.code = code
        self.reason = reason


def is_sendable(code: int) -> bool:
    """Return whether a close frame may carry a code."""
    return code in _SENDABLE


def read_close(payload: bytes) -> tuple[int, str]:
    """Parse a close frame's payload into code and reason; an empty one has code 1005. Raises ViolationError."""
    if not payload:
        return NO_STATUS, ""
    code = int.from_bytes(payload[:2])
    if len(payload) == 1 or code not in _SENDABLE:
        raise ViolationError(PROTOCOL_ERROR, "close frame with an invalid code")
    try:
        return code, payload[2:].decode()
    except UnicodeDecodeError:
        raise ViolationError(INVALID_DATA, "close frame with a reason that is not UTF-8") from None


def close_payload(code: int, reason: str) -> bytes:
    """Build a close frame's payload. The code must be sendable; the reason is truncated to 123 bytes of UTF-8."""
    text = reason.encode()[:MAX_REASON_BYTES].decode(errors="ignore")
    return code.to_bytes(2) + text.encode()
