"""Limit on the frames that one client sends, for its `Peer`."""

from livegate.settings import FrameRateLimit
from livegate.websocket.close_codes import POLICY, ViolationError


class FrameRateLimiter:
    """Fixed-window limiter of a client's frames and bytes per second."""

    def __init__(self, limits: FrameRateLimit) -> None:
        self._limits = limits
        self._window_ends = 0.0
        self._frames = 0
        self._bytes = 0

    def count(self, size: int, now: float) -> None:
        """Count one frame, or one fragmented message, of `size` bytes. Raises ViolationError (1008) past the limit."""
        if now >= self._window_ends:
            self._window_ends = now + 1
            self._frames = self._bytes = 0
        self._frames += 1
        self._bytes += size
        limits = self._limits
        too_many = limits.messages is not None and self._frames > limits.messages
        if too_many or (limits.bytes is not None and self._bytes > limits.bytes):
            raise ViolationError(POLICY, "too many frames" if too_many else "too many bytes")
