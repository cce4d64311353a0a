"""The sliding window: which requests it allows, when it says to come back, and how much it remembers."""

import pytest
from hypothesis import given
from hypothesis import settings as hypothesis_settings
from hypothesis import strategies as st
from limits.storage import MemoryStorage

from livegate.pipeline.ratelimit.memory_storage import BoundedMemoryStorage
from livegate.pipeline.ratelimit.quotas import Decision, Quota, QuotaChecker
from livegate.settings import Rate


class Clock:
    def __init__(self) -> None:
        self.now = 1000.0

    def __call__(self) -> float:
        return self.now


def checker(clock: Clock, max_keys: int = 100) -> QuotaChecker:
    return QuotaChecker(BoundedMemoryStorage(max_keys, clock))


def test_a_refused_request_is_counted_against_no_quota() -> None:
    checked = checker(Clock())
    user, ip = Quota("user", Rate(2, 60), "u"), Quota("ip", Rate(10, 60), "i")
    assert [checked.check([user, ip]).violated for _ in range(4)] == [None, None, user, user]
    assert checked.check([Quota("user", Rate(2, 60), "v"), ip]).states[1].remaining == 7


class Reference:
    """The sliding window counter in its plainest form: all moments kept, all counted again for each question."""

    def __init__(self, rate: Rate) -> None:
        self.rate = rate
        self.admitted: list[float] = []

    def allows(self, now: float) -> bool:
        window = now // self.rate.window_s
        current = sum(moment // self.rate.window_s == window for moment in self.admitted)
        previous = sum(moment // self.rate.window_s == window - 1 for moment in self.admitted)
        rest = self.rate.window_s - now % self.rate.window_s
        return previous * rest + (current + 1) * self.rate.window_s <= self.rate.limit * self.rate.window_s


rates = st.builds(Rate, st.integers(1, 20), st.sampled_from([1, 10, 60]))
exact_pauses = st.lists(st.integers(0, 20 * 64).map(lambda ticks: ticks / 64), min_size=1, max_size=120)
"""Multiples of 1/64 s, which sums and products of floats represent exactly: so `least` can be tested to the second."""


@hypothesis_settings(max_examples=150, deadline=None)
@given(rates, exact_pauses)
def test_retry_after_is_the_first_second_at_which_the_request_is_allowed(rate: Rate, pauses: list[float]) -> None:
    clock = Clock()
    checked, reference, quota = checker(clock), Reference(rate), Quota("user", rate, "k")
    for pause in pauses:
        clock.now += pause
        decision = checked.check([quota])
        assert (decision.violated is None) is reference.allows(clock.now)
        if decision.violated is not None:
            assert decision.retry_after_s >= 1
            assert decision.states[0].reset_s == decision.retry_after_s
            clock.now += decision.retry_after_s - 1
            if decision.retry_after_s > 1:
                assert not reference.allows(clock.now)
                assert checked.check([quota]).violated is quota
            clock.now += 1
            decision = checked.check([quota])
        assert decision.violated is None
        assert decision.retry_after_s == 0
        reference.admitted.append(clock.now)


@hypothesis_settings(max_examples=100, deadline=None)
@given(rates, st.lists(st.floats(0, 20, allow_nan=False), min_size=1, max_size=200))
def test_no_aligned_window_admits_more_than_the_limit_and_none_at_all_twice_as_much(
    rate: Rate, pauses: list[float]
) -> None:
    clock = Clock()
    checked, quota = checker(clock), Quota("user", rate, "k")
    admitted = []
    for pause in pauses:
        clock.now += pause * rate.window_s / 60
        if checked.check([quota]).violated is None:
            admitted.append(clock.now)
    for start in admitted:
        aligned = start - start % rate.window_s
        assert sum(aligned <= moment < aligned + rate.window_s for moment in admitted) <= rate.limit
        assert sum(start <= moment < start + rate.window_s for moment in admitted) < 2 * rate.limit


@hypothesis_settings(max_examples=100, deadline=None)
@given(rates, rates, st.lists(st.floats(0, 20, allow_nan=False), min_size=1, max_size=60))
def test_after_retry_after_every_quota_allows_the_request(user: Rate, ip: Rate, pauses: list[float]) -> None:
    clock = Clock()
    checked, both = checker(clock), [Quota("user", user, "u"), Quota("ip", ip, "i")]
    for pause in pauses:
        clock.now += pause
        decision = checked.check(both)
        if decision.violated is not None:
            clock.now += decision.retry_after_s + 1e-6
            assert checked.check(both).violated is None


def test_each_state_has_what_remains_and_when_that_changes() -> None:
    clock = Clock()
    clock.now = 1020.0  # the start of a window of 60 s
    checked, both = checker(clock), [Quota("user", Rate(2, 60), "u"), Quota("ip", Rate(100, 60), "i")]
    found = [[(state.remaining, state.reset_s) for state in checked.check(both).states] for _ in range(3)]
    assert found == [[(1, 60), (99, 60)], [(0, 90), (98, 60)], [(0, 90), (98, 60)]]


def test_no_quotas_give_an_empty_decision() -> None:
    assert checker(Clock()).check([]) == Decision(())


def test_a_key_that_is_being_refused_is_not_evicted_by_new_ones() -> None:
    checked = checker(Clock(), max_keys=3)
    victim = Quota("user", Rate(1, 60), "victim")
    assert checked.check([victim]).violated is None
    for number in range(50):
        checked.check([Quota("user", Rate(1, 60), str(number))])
        assert checked.check([victim]).violated is victim


def test_another_storage_of_the_limits_library_works() -> None:
    shared, quota = MemoryStorage(), Quota("user", Rate(3, 3600), "k")
    first, second = QuotaChecker(shared), QuotaChecker(shared)
    assert [each.check([quota]).violated for each in (first, second, first, second)] == [None, None, None, quota]
    assert 1 <= first.check([quota]).retry_after_s <= 2 * 3600
    assert second.check([quota]).states[0].reset_s == pytest.approx(first.check([quota]).retry_after_s, abs=1)


def test_a_request_that_loses_a_race_for_the_last_place_is_refused() -> None:
    class Raced(BoundedMemoryStorage):
        def acquire_sliding_window_entry(self, key: str, limit: int, expiry: int, amount: int = 1) -> bool:
            return "ip" not in key and super().acquire_sliding_window_entry(key, limit, expiry, amount)

    both = [Quota("user", Rate(2, 60), "u"), Quota("ip", Rate(2, 60), "i")]
    decision = QuotaChecker(Raced(clock=Clock())).check(both)
    assert decision.violated is both[1]
    assert decision.retry_after_s == 1


def test_a_burst_at_the_edge_of_a_window_is_not_doubled() -> None:
    clock = Clock()
    clock.now = 1019.0
    checked = checker(clock)
    quota = Quota("user", Rate(100, 60), "k")
    first = sum(checked.check([quota]).violated is None for _ in range(200))
    clock.now = 1021.0
    second = sum(checked.check([quota]).violated is None for _ in range(200))
    assert first == 100
    assert second <= 3


def test_old_keys_are_evicted_first_and_memory_is_bounded() -> None:
    storage = BoundedMemoryStorage(10, Clock())
    checked = QuotaChecker(storage)
    for number in range(1000):
        checked.check([Quota("user", Rate(1, 60), str(number))])
    assert storage.reset() == 10
    assert storage.check()
