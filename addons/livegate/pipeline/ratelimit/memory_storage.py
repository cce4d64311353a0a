"""Storage of sliding window counters in this process, bounded and without a thread."""

import time
from collections import OrderedDict
from collections.abc import Callable
from itertools import islice
from typing import NamedTuple

from limits.storage import Storage
from limits.storage.base import SlidingWindowCounterSupport

from livegate.pipeline.ratelimit.window import WindowCounts

MAX_KEYS = 100_000
"""Keys counted at once, all quotas together (27 MB). Beyond, the least recently used key is evicted."""
CHECKED_PER_HIT = 2
"""Least recently used keys checked for expiry on each hit, so that expired keys go faster than new ones come."""


class _Counter(NamedTuple):
    window: int
    """Number of the window since the clock's zero."""
    current: int
    previous: int
    window_s: int


class BoundedMemoryStorage(Storage, SlidingWindowCounterSupport):
    """Memory storage for the `limits` library.

    Eviction is by last use, so a key that is being refused stays. All calls must come from one thread, which for hooks
    is the event loop's.
    """

    STORAGE_SCHEME = ["livegate-memory"]  # noqa: RUF012 - as limits declares it

    def __init__(self, max_keys: int = MAX_KEYS, clock: Callable[[], float] = time.monotonic) -> None:
        super().__init__()
        self._max_keys = max_keys
        self._clock = clock
        self._counters: OrderedDict[str, _Counter] = OrderedDict()
        self.evicted = 0
        """Keys evicted before their windows had expired."""

    @property
    def base_exceptions(self) -> type[Exception]:
        return ValueError

    def acquire_sliding_window_entry(self, key: str, limit: int, expiry: int, amount: int = 1) -> bool:
        """Count `amount` requests and return True if the limit allows them."""
        now = self._clock()
        counts = self._counts(key, expiry, now)
        if not counts.fits(limit, expiry, amount):
            return False
        self._counters[key] = _Counter(int(now // expiry), counts.current + amount, counts.previous, expiry)
        self._counters.move_to_end(key)
        self._evict(now)
        return True

    def get_sliding_window(self, key: str, expiry: int) -> tuple[int, float, int, float]:
        """Return requests and remaining seconds of the previous window, then of the current one."""
        counts = self._counts(key, expiry, self._clock())
        return counts.previous, counts.rest_s, counts.current, counts.rest_s + expiry

    def _counts(self, key: str, window_s: int, now: float) -> WindowCounts:
        rest_s = window_s - now % window_s
        counter = self._counters.get(key)
        if counter is None:
            return WindowCounts(0, rest_s, 0)
        self._counters.move_to_end(key)
        match int(now // window_s) - counter.window:
            case 0:
                return WindowCounts(counter.previous, rest_s, counter.current)
            case 1:
                return WindowCounts(counter.current, rest_s, 0)
            case _:
                return WindowCounts(0, rest_s, 0)

    def _evict(self, now: float) -> None:
        oldest = list(islice(self._counters.items(), CHECKED_PER_HIT))
        for key, counter in oldest:
            expired = now >= (counter.window + 2) * counter.window_s
            if expired or len(self._counters) > self._max_keys:
                self.evicted += not expired
                del self._counters[key]

    def clear_sliding_window(self, key: str, expiry: int) -> None:
        """Remove a key."""
        del expiry
        self._counters.pop(key, None)

    def incr(self, key: str, expiry: float, amount: int = 1) -> int:
        raise NotImplementedError

    def get(self, key: str) -> int:
        raise NotImplementedError

    def get_expiry(self, key: str) -> float:
        raise NotImplementedError

    def check(self) -> bool:
        """Return True, because this storage is always available."""
        return True

    def reset(self) -> int:
        """Remove every key, and return how many there were."""
        count = len(self._counters)
        self._counters.clear()
        return count

    def clear(self, key: str) -> None:
        """Remove a key."""
        self._counters.pop(key, None)
