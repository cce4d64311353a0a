"""Arithmetic of the sliding window counter: two fixed windows, of which the sliding one covers parts."""

import math
from typing import NamedTuple

from livegate.settings import Rate


class WindowCounts(NamedTuple):
    """Requests of one key in the current fixed window and in the previous one."""

    previous: int
    """Requests in the previous window. They count in proportion to its part that the sliding window still covers."""
    rest_s: float
    """Seconds until the current window ends."""
    current: int
    """Requests in the current window."""

    def fits(self, limit: int, window_s: int, amount: int = 1) -> bool:
        """Return whether `amount` more requests keep the weighted count within the limit."""
        return self.previous * self.rest_s <= (limit - self.current - amount) * window_s

    def remaining(self, rate: Rate) -> int:
        """Return how many requests fit now."""
        weighted = (rate.limit - self.current) * rate.window_s - self.previous * self.rest_s
        return max(0, int(weighted // rate.window_s))

    def wait_s(self, rate: Rate) -> int:
        """Return the whole seconds after which one more request fits; 0 if it fits now."""
        if self.fits(rate.limit, rate.window_s):
            return 0
        free = rate.limit - self.current - 1
        if free >= 0:  # until enough of the previous window has slid out: previous * (rest - wait) <= free * window
            wait = self.rest_s - free * rate.window_s / self.previous
        else:  # until the current window is the previous one, and enough of it has slid out
            wait = self.rest_s + rate.window_s - (rate.limit - 1) * rate.window_s / self.current
        return max(1, math.ceil(wait))
