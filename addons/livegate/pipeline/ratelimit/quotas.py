"""Counts requests against rates, on the `limits` library; used by the rate limiter."""

import functools
import hashlib
import math
import secrets
import time
from collections import OrderedDict
from collections.abc import Callable, Sequence
from itertools import islice
from typing import NamedTuple, cast

from limits.storage import Storage
from limits.storage.base import SlidingWindowCounterSupport
from limits.strategies import SlidingWindowCounterRateLimiter
from msgspec import Struct

from livegate.settings import Rate

MAX_KEYS = 100_000
"""How many keys are counted at once; the one that was used longest ago is forgotten first."""
DROPPED_AT_ONCE = 2
"""How many of the keys that were used longest ago are looked at, whether they are over, when a request is counted."""
MAX_COOKIE_CHARACTERS = 16_384
"""How much of the Cookie fields is searched for a session."""
DIGEST_BYTES = 16

_PROCESS_KEY = secrets.token_bytes(32)


class Budget(Struct, frozen=True, gc=False):
    """How often one key may ask under one policy."""

    policy: str
    """`user` or `ip`."""
    rate: Rate
    key: str


class Level(Struct, frozen=True, gc=False):
    """How full a budget is."""

    budget: Budget
    remaining: int
    reset_s: int
    """Whole seconds, at least 1: until one more request fits when none does now, else until the window ends."""


class Decision(Struct, frozen=True, gc=False):
    """What became of one request."""

    levels: tuple[Level, ...]
    violated: Budget | None = None
    retry_after_s: int = 0
    """Whole seconds after which the same request is let through; at least 1 when it was refused."""


class Usage(NamedTuple):
    """What a storage knows of one key: two windows that follow each other, of which the sliding one covers parts."""

    before: int
    """Requests in the window before; they count as far as the sliding window still covers it."""
    rest_s: float
    """Seconds until the current window ends."""
    current: int
    """Requests in the current window."""

    def fits(self, limit: int, window_s: int, amount: int = 1) -> bool:
        """Whether that many more keep the weighted count within the limit (multiplied out, so that no rounding is)."""
        return self.before * self.rest_s <= (limit - self.current - amount) * window_s

    def remaining(self, rate: Rate) -> int:
        """How many requests fit now."""
        return max(0, int(((rate.limit - self.current) * rate.window_s - self.before * self.rest_s) // rate.window_s))

    def wait_s(self, rate: Rate) -> int:
        """The least whole seconds after which one more fits; 0 when it does now."""
        if self.fits(rate.limit, rate.window_s):
            return 0
        free = rate.limit - self.current - 1
        if free >= 0:  # when enough of the window before has slid out: before * (rest - wait) <= free * window
            wait = self.rest_s - free * rate.window_s / self.before
        else:  # when the current window has become the one before, and enough of it has slid out
            wait = self.rest_s + rate.window_s - (rate.limit - 1) * rate.window_s / self.current
        return max(1, math.ceil(wait))


class _Counter(NamedTuple):
    window: int
    """The number of the window since the clock's zero."""
    current: int
    before: int
    window_s: int


class BoundedMemoryStorage(Storage, SlidingWindowCounterSupport):
    """Sliding window counters in this process: bounded in number, dropped when they are over, without a thread.

    The key that was asked about longest ago goes first, so one that is being refused stays. All calls must come from
    one thread, which for hooks is the event loop's.
    """

    STORAGE_SCHEME = ["livegate-memory"]  # noqa: RUF012 - as limits declares it

    def __init__(self, max_keys: int = MAX_KEYS, clock: Callable[[], float] = time.monotonic) -> None:
        super().__init__()
        self._max_keys = max_keys
        self._clock = clock
        self._counters: OrderedDict[str, _Counter] = OrderedDict()
        self.forgotten = 0
        """Keys that had to go although their windows were not over."""

    @property
    def base_exceptions(self) -> type[Exception]:
        return ValueError

    def acquire_sliding_window_entry(self, key: str, limit: int, expiry: int, amount: int = 1) -> bool:
        """Count `amount` if the limit allows it."""
        now = self._clock()
        usage = self._usage(key, expiry, now)
        if not usage.fits(limit, expiry, amount):
            return False
        self._counters[key] = _Counter(int(now // expiry), usage.current + amount, usage.before, expiry)
        self._counters.move_to_end(key)
        self._drop(now)
        return True

    def get_sliding_window(self, key: str, expiry: int) -> tuple[int, float, int, float]:
        """Requests and remaining seconds of the window before, and of the current one."""
        usage = self._usage(key, expiry, self._clock())
        return usage.before, usage.rest_s, usage.current, usage.rest_s + expiry

    def _usage(self, key: str, window_s: int, now: float) -> Usage:
        rest_s = window_s - now % window_s
        counter = self._counters.get(key)
        if counter is None:
            return Usage(0, rest_s, 0)
        self._counters.move_to_end(key)
        match int(now // window_s) - counter.window:
            case 0:
                return Usage(counter.before, rest_s, counter.current)
            case 1:
                return Usage(counter.current, rest_s, 0)
            case _:
                return Usage(0, rest_s, 0)

    def _drop(self, now: float) -> None:
        oldest = list(islice(self._counters.items(), DROPPED_AT_ONCE))
        for key, counter in oldest:
            over = now >= (counter.window + 2) * counter.window_s
            if over or len(self._counters) > self._max_keys:
                self.forgotten += not over
                del self._counters[key]

    def clear_sliding_window(self, key: str, expiry: int) -> None:
        """Forget a key."""
        del expiry
        self._counters.pop(key, None)

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
        count = len(self._counters)
        self._counters.clear()
        return count

    def clear(self, key: str) -> None:
        """Forget a key."""
        self._counters.pop(key, None)


class Budgets:
    """Asks several budgets at once: a request that one of them refuses is counted against none.

    `storage` is any storage of the `limits` library that has sliding window counters, so that a shared one (Redis,
    Valkey) can take the place of this process's memory. Where others count in the same storage, one of them may take
    what was left between the question and the counting; the request is then refused.
    """

    def __init__(self, storage: Storage | None = None) -> None:
        chosen = storage if storage is not None else BoundedMemoryStorage()
        SlidingWindowCounterRateLimiter(chosen)  # raises for one without them
        self._storage = cast("SlidingWindowCounterSupport", chosen)

    def check(self, budgets: Sequence[Budget]) -> Decision:
        """Count one request against every budget, or against none when one has nothing left."""
        # What the limiter of the library does, which makes each key twice.
        keys = [f"{budget.policy}/{budget.rate.limit}/{budget.rate.window_s}/{budget.key}" for budget in budgets]
        usages = [self._usage(key, budget.rate.window_s) for key, budget in zip(keys, budgets, strict=True)]
        waits = [usage.wait_s(budget.rate) for budget, usage in zip(budgets, usages, strict=True)]
        longest = max(waits, default=0)
        if longest:
            return Decision(_levels(budgets, usages), budgets[waits.index(longest)], longest)
        lost = next(
            (budget for key, budget in zip(keys, budgets, strict=True) if not self._hit(key, budget.rate)), None
        )
        usages = [Usage(usage.before, usage.rest_s, usage.current + 1) for usage in usages]
        return Decision(_levels(budgets, usages), lost, 0 if lost is None else 1)

    def _hit(self, key: str, rate: Rate) -> bool:
        return self._storage.acquire_sliding_window_entry(key, rate.limit, rate.window_s)

    def _usage(self, key: str, window_s: int) -> Usage:
        before, _, current, current_ttl = self._storage.get_sliding_window(key, window_s)
        return Usage(before, current_ttl - window_s, current)


def _levels(budgets: Sequence[Budget], usages: Sequence[Usage]) -> tuple[Level, ...]:
    return tuple(
        Level(budget, usage.remaining(budget.rate), usage.wait_s(budget.rate) or max(1, math.ceil(usage.rest_s)))
        for budget, usage in zip(budgets, usages, strict=True)
    )


@functools.lru_cache(maxsize=4096)
def address_key(address: str) -> str:
    """The key of an address, which is no secret; nearly all requests come from one that was here before."""
    return hashed("address", address)


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
    return hashed("session", session) if session else address_key(address)


def session_cookie(cookies: Sequence[str]) -> str | None:
    """The first cookie that looks like a session's: `*_session` or `_*_key`, as Phoenix and Rails name them."""
    for pair in "; ".join(cookies)[:MAX_COOKIE_CHARACTERS].split(";"):
        name, _, value = pair.strip().partition("=")
        if value and (name.endswith("_session") or (name.startswith("_") and name.endswith("_key"))):
            return f"{name}={value}"
    return None
