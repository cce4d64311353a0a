"""Counts requests against rates, on the `limits` library; used by the rate limiter."""

import hashlib
import math
import secrets
import time
from collections import OrderedDict
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

from limits import RateLimitItem, RateLimitItemPerSecond
from limits.storage import Storage
from limits.storage.base import SlidingWindowCounterSupport
from limits.strategies import SlidingWindowCounterRateLimiter

from livegate.settings import Rate

MAX_KEYS = 100_000
"""How many keys are counted at once; the one that was used longest ago is forgotten first."""
MAX_COOKIE_CHARACTERS = 16_384
DIGEST_BYTES = 16

_PROCESS_KEY = secrets.token_bytes(32)


@dataclass(frozen=True, slots=True)
class Budget:
    """How often one key may ask under one policy."""

    policy: str
    """`user` or `ip`."""
    rate: Rate
    key: str


@dataclass(frozen=True, slots=True)
class Level:
    """How full a budget is."""

    budget: Budget
    remaining: int
    reset_s: int
    """Whole seconds until more is free; at least 1."""


@dataclass(frozen=True, slots=True)
class Decision:
    """What became of one request."""

    levels: tuple[Level, ...]
    violated: Budget | None = None
    retry_after_s: int = 0
    """Whole seconds after which the same request is let through; at least 1 when it was refused."""


class BoundedMemoryStorage(Storage, SlidingWindowCounterSupport):
    """Sliding window counters in this process: bounded in number, dropped when they are over, without a thread.

    Of two windows that follow each other the earlier one counts as far as the sliding window still covers it. All calls
    must come from one thread, which for hooks is the event loop's.
    """

    STORAGE_SCHEME = ["livegate-memory"]  # noqa: RUF012 - as limits declares it

    def __init__(self, max_keys: int = MAX_KEYS, clock: Callable[[], float] = time.monotonic) -> None:
        super().__init__()
        self._max_keys = max_keys
        self._clock = clock
        self._windows: OrderedDict[str, tuple[int, int, int]] = OrderedDict()
        """Key -> number of the window, requests in it, requests in the one before."""

    @property
    def base_exceptions(self) -> type[Exception]:
        return ValueError

    def acquire_sliding_window_entry(self, key: str, limit: int, expiry: int, amount: int = 1) -> bool:
        """Count `amount` if the limit allows it."""
        before, ttl, current, _ = self.get_sliding_window(key, expiry)
        if before * ttl / expiry + current + amount > limit:
            return False
        window = int(self._clock() // expiry)
        self._windows[key] = (window, current + amount, before)
        self._windows.move_to_end(key)
        while len(self._windows) > self._max_keys:
            self._windows.popitem(last=False)
        return True

    def get_sliding_window(self, key: str, expiry: int) -> tuple[int, float, int, float]:
        """Requests and remaining seconds of the window before, and of the current one."""
        now = self._clock()
        window = int(now // expiry)
        rest = expiry - now % expiry
        counted, current, before = self._windows.get(key, (window, 0, 0))
        if counted == window - 1:
            before, current = current, 0
        elif counted != window:
            before, current = 0, 0
        return before, rest, current, rest + expiry

    def clear_sliding_window(self, key: str, expiry: int) -> None:
        """Forget a key."""
        del expiry
        self._windows.pop(key, None)

    def incr(self, key: str, expiry: float, amount: int = 1) -> int:
        raise NotImplementedError

    def get(self, key: str) -> int:
        raise NotImplementedError

    def get_expiry(self, key: str) -> float:
        raise NotImplementedError

    def check(self) -> bool:
        """Whether the storage works; this one always does."""
        return True

    def reset(self) -> int:
        """Forget every key; returns how many there were."""
        count = len(self._windows)
        self._windows.clear()
        return count

    def clear(self, key: str) -> None:
        """Forget a key."""
        self._windows.pop(key, None)


class Budgets:
    """Asks several budgets at once: a request that one of them refuses is counted against none.

    `storage` is any storage of the `limits` library with sliding window counters; a shared one (Redis, Valkey) can take
    the place of the memory of this process.
    """

    def __init__(self, storage: Any | None = None) -> None:
        self._storage = storage if storage is not None else BoundedMemoryStorage()
        self._limiter = SlidingWindowCounterRateLimiter(self._storage)

    def check(self, budgets: Sequence[Budget]) -> Decision:
        """Count one request against every budget, or against none when one has nothing left."""
        items = [(budget, RateLimitItemPerSecond(budget.rate.limit, budget.rate.window_s)) for budget in budgets]
        waits = [(self._wait_s(budget, item), budget) for budget, item in items]
        longest, violated = max(waits, key=lambda wait: wait[0], default=(0, None))
        if longest == 0:
            violated = None
            for budget, item in items:
                self._limiter.hit(item, budget.policy, budget.key)
        levels = tuple(self._level(budget, item) for budget, item in items)
        return Decision(levels, violated, longest)

    def _window(self, budget: Budget, item: RateLimitItem) -> tuple[int, float, int, float]:
        window: tuple[int, float, int, float] = self._storage.get_sliding_window(
            item.key_for(budget.policy, budget.key), item.get_expiry()
        )
        return window

    def _wait_s(self, budget: Budget, item: RateLimitItem) -> int:
        """Whole seconds until the budget lets one more through; 0 when it does now."""
        before, ttl, current, _ = self._window(budget, item)
        limit, expiry = budget.rate.limit, budget.rate.window_s
        if before * ttl / expiry + current + 1 <= limit:
            return 0
        if current + 1 <= limit and before:  # the window before slides out: b * (ttl - w) / expiry + c + 1 <= limit
            wait = ttl - (limit - current - 1) * expiry / before
        else:  # only when the current window has become the one before, and has slid out far enough
            wait = ttl + expiry - (limit - 1) * expiry / current
        return max(1, math.ceil(wait + 1e-6))

    def _level(self, budget: Budget, item: RateLimitItem) -> Level:
        before, ttl, current, _ = self._window(budget, item)
        used = before * ttl / budget.rate.window_s + current
        remaining = max(0, math.floor(budget.rate.limit - used + 1e-9))
        return Level(budget, remaining, max(1, math.ceil(ttl)))


def hashed(kind: str, secret: str) -> str:
    """A key that tells nothing of what it was made of; differs from process to process."""
    digest = hashlib.blake2b(secret.encode("utf-8", "surrogateescape"), key=_PROCESS_KEY, digest_size=DIGEST_BYTES)
    return f"{kind}:{digest.hexdigest()}"


def user_key(*, user_id: str | None, authorization: str | None, cookies: Sequence[str], address: str) -> str:
    """The key of the user budget.

    It is made of X-User-ID (of a trusted proxy only), else Authorization, else the first session cookie, else the
    client's address.
    """
    if user_id:
        return hashed("user-id", user_id)
    if authorization:
        return hashed("authorization", authorization)
    session = session_cookie(cookies)
    return hashed("session", session) if session else hashed("address", address)


def session_cookie(cookies: Sequence[str]) -> str | None:
    """The first cookie that looks like a session's: `*_session` or `_*_key`, as Phoenix and Rails name them."""
    for pair in "; ".join(cookies)[:MAX_COOKIE_CHARACTERS].split(";"):
        name, _, value = pair.strip().partition("=")
        if value and (name.endswith("_session") or (name.startswith("_") and name.endswith("_key"))):
            return f"{name}={value}"
    return None
