"""Quotas in the sense of the RateLimit header fields draft: rates of keys, checked together on the `limits` library."""

import math
from collections.abc import Sequence
from typing import cast

from limits.storage import Storage
from limits.storage.base import SlidingWindowCounterSupport
from limits.strategies import SlidingWindowCounterRateLimiter
from msgspec import Struct

from livegate.pipeline.ratelimit.memory_storage import BoundedMemoryStorage
from livegate.pipeline.ratelimit.window import WindowCounts
from livegate.settings import Rate


class Quota(Struct, frozen=True, gc=False):
    """Rate of one key under one policy."""

    policy: str
    """`user` or `ip`."""
    rate: Rate
    key: str


class QuotaState(Struct, frozen=True, gc=False):
    """Remaining requests of a quota, and when more fit."""

    quota: Quota
    remaining: int
    reset_s: int
    """Whole seconds, at least 1: until one more request fits if none fits now, else until the window ends."""


class Decision(Struct, frozen=True, gc=False):
    """Result of checking one request."""

    states: tuple[QuotaState, ...]
    violated: Quota | None = None
    retry_after_s: int = 0
    """Whole seconds after which the same request is allowed; at least 1 if it was refused."""


class QuotaChecker:
    """Checks several quotas together. A request that exceeds one of them is counted against none.

    `storage` is any storage of the `limits` library with sliding window counters. If other processes count in it too,
    one of them may use up a quota between the check and the count; the request is then refused.
    """

    def __init__(self, storage: Storage | None = None) -> None:
        chosen = storage if storage is not None else BoundedMemoryStorage()
        SlidingWindowCounterRateLimiter(chosen)  # raises for a storage without sliding window counters
        self._storage = cast("SlidingWindowCounterSupport", chosen)

    # Trap: synchronous, and called in a hook. A storage behind a network would stop the event loop for each request;
    # it needs an asynchronous hook with a deadline and a local fallback.
    def check(self, quotas: Sequence[Quota]) -> Decision:
        """Count one request against every quota, or against none if one of them is used up."""
        # Not SlidingWindowCounterRateLimiter.hit, which makes each key twice.
        keys = [f"{quota.policy}/{quota.rate.limit}/{quota.rate.window_s}/{quota.key}" for quota in quotas]
        counts = [self._counts(key, quota.rate.window_s) for key, quota in zip(keys, quotas, strict=True)]
        waits = [each.wait_s(quota.rate) for quota, each in zip(quotas, counts, strict=True)]
        longest = max(waits, default=0)
        if longest:
            return Decision(_states(quotas, counts), quotas[waits.index(longest)], longest)
        lost = next((quota for key, quota in zip(keys, quotas, strict=True) if not self._hit(key, quota.rate)), None)
        counts = [WindowCounts(each.previous, each.rest_s, each.current + 1) for each in counts]
        return Decision(_states(quotas, counts), lost, 0 if lost is None else 1)

    def _hit(self, key: str, rate: Rate) -> bool:
        return self._storage.acquire_sliding_window_entry(key, rate.limit, rate.window_s)

    def _counts(self, key: str, window_s: int) -> WindowCounts:
        previous, _, current, current_ttl = self._storage.get_sliding_window(key, window_s)
        return WindowCounts(previous, current_ttl - window_s, current)


def _states(quotas: Sequence[Quota], counts: Sequence[WindowCounts]) -> tuple[QuotaState, ...]:
    return tuple(
        QuotaState(quota, each.remaining(quota.rate), each.wait_s(quota.rate) or max(1, math.ceil(each.rest_s)))
        for quota, each in zip(quotas, counts, strict=True)
    )
