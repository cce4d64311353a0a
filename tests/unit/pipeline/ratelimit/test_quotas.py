"""The sliding window: what it lets through, when it says to come back, and how much it remembers."""

import pytest
from hypothesis import given
from hypothesis import settings as hypothesis_settings
from hypothesis import strategies as st
from limits.storage import MemoryStorage

from livegate.pipeline.ratelimit.quotas import (
    BoundedMemoryStorage,
    Budget,
    Budgets,
    Decision,
    hashed,
    session_cookie,
    user_key,
)
from livegate.settings import Rate


class Clock:
    def __init__(self) -> None:
        self.now = 1000.0

    def __call__(self) -> float:
        return self.now


def budgets(clock: Clock, max_keys: int = 100) -> Budgets:
    return Budgets(BoundedMemoryStorage(max_keys, clock))


def test_a_refused_request_takes_nothing_from_any_budget() -> None:
    checked = budgets(Clock())
    user, ip = Budget("user", Rate(2, 60), "u"), Budget("ip", Rate(10, 60), "i")
    assert [checked.check([user, ip]).violated for _ in range(4)] == [None, None, user, user]
    assert checked.check([Budget("user", Rate(2, 60), "v"), ip]).levels[1].remaining == 7


class Reference:
    """The sliding window counter in its plainest form: all moments kept, all counted again for each question."""

    def __init__(self, rate: Rate) -> None:
        self.rate = rate
        self.admitted: list[float] = []

    def allows(self, now: float) -> bool:
        window = now // self.rate.window_s
        current = sum(moment // self.rate.window_s == window for moment in self.admitted)
        before = sum(moment // self.rate.window_s == window - 1 for moment in self.admitted)
        rest = self.rate.window_s - now % self.rate.window_s
        return before * rest + (current + 1) * self.rate.window_s <= self.rate.limit * self.rate.window_s


rates = st.builds(Rate, st.integers(1, 20), st.sampled_from([1, 10, 60]))
exact_pauses = st.lists(st.integers(0, 20 * 64).map(lambda ticks: ticks / 64), min_size=1, max_size=120)
"""Multiples of 1/64 s, which sums and products of floats represent exactly: so `least` can be tested to the second."""


@hypothesis_settings(max_examples=150, deadline=None)
@given(rates, exact_pauses)
def test_retry_after_is_the_least_second_at_which_the_request_is_let_through(rate: Rate, pauses: list[float]) -> None:
    clock = Clock()
    checked, reference, budget = budgets(clock), Reference(rate), Budget("user", rate, "k")
    for pause in pauses:
        clock.now += pause
        decision = checked.check([budget])
        assert (decision.violated is None) is reference.allows(clock.now)
        if decision.violated is not None:
            assert decision.retry_after_s >= 1
            assert decision.levels[0].reset_s == decision.retry_after_s
            clock.now += decision.retry_after_s - 1
            if decision.retry_after_s > 1:
                assert not reference.allows(clock.now)
                assert checked.check([budget]).violated is budget
            clock.now += 1
            decision = checked.check([budget])
        assert decision.violated is None
        assert decision.retry_after_s == 0
        reference.admitted.append(clock.now)


@hypothesis_settings(max_examples=100, deadline=None)
@given(rates, st.lists(st.floats(0, 20, allow_nan=False), min_size=1, max_size=200))
def test_no_aligned_window_admits_more_than_the_limit_and_none_at_all_twice_as_much(
    rate: Rate, pauses: list[float]
) -> None:
    clock = Clock()
    checked, budget = budgets(clock), Budget("user", rate, "k")
    admitted = []
    for pause in pauses:
        clock.now += pause * rate.window_s / 60
        if checked.check([budget]).violated is None:
            admitted.append(clock.now)
    for start in admitted:
        aligned = start - start % rate.window_s
        assert sum(aligned <= moment < aligned + rate.window_s for moment in admitted) <= rate.limit
        assert sum(start <= moment < start + rate.window_s for moment in admitted) < 2 * rate.limit


@hypothesis_settings(max_examples=100, deadline=None)
@given(rates, rates, st.lists(st.floats(0, 20, allow_nan=False), min_size=1, max_size=60))
def test_after_retry_after_every_budget_lets_the_request_through(user: Rate, ip: Rate, pauses: list[float]) -> None:
    clock = Clock()
    checked, both = budgets(clock), [Budget("user", user, "u"), Budget("ip", ip, "i")]
    for pause in pauses:
        clock.now += pause
        decision = checked.check(both)
        if decision.violated is not None:
            clock.now += decision.retry_after_s + 1e-6
            assert checked.check(both).violated is None


def test_what_remains_and_when_it_changes_is_told_of_every_budget() -> None:
    clock = Clock()
    clock.now = 1020.0  # the start of a window of 60 s
    checked, both = budgets(clock), [Budget("user", Rate(2, 60), "u"), Budget("ip", Rate(100, 60), "i")]
    told = [[(level.remaining, level.reset_s) for level in checked.check(both).levels] for _ in range(3)]
    assert told == [[(1, 60), (99, 60)], [(0, 90), (98, 60)], [(0, 90), (98, 60)]]


def test_nothing_is_decided_about_no_budgets() -> None:
    assert budgets(Clock()).check([]) == Decision(())


def test_a_key_that_is_being_refused_is_not_forgotten_for_the_sake_of_new_ones() -> None:
    checked = budgets(Clock(), max_keys=3)
    victim = Budget("user", Rate(1, 60), "victim")
    assert checked.check([victim]).violated is None
    for number in range(50):
        checked.check([Budget("user", Rate(1, 60), str(number))])
        assert checked.check([victim]).violated is victim


def test_keys_that_had_to_go_before_their_time_are_counted() -> None:
    clock = Clock()
    storage = BoundedMemoryStorage(3, clock)
    for number in range(5):
        storage.acquire_sliding_window_entry(f"key-{number}", 5, 60)
    assert storage.forgotten == 2
    clock.now += 120
    for number in range(3):
        storage.acquire_sliding_window_entry(f"new-{number}", 5, 60)
    assert storage.forgotten == 2, "those were over"


def test_counters_that_are_over_are_dropped_as_others_are_counted() -> None:
    clock = Clock()
    storage = BoundedMemoryStorage(100, clock)
    for number in range(10):
        storage.acquire_sliding_window_entry(f"old-{number}", 5, 60)
    clock.now += 60
    storage.acquire_sliding_window_entry("still the window before", 5, 60)
    clock.now += 60
    for number in range(5):
        storage.acquire_sliding_window_entry(f"new-{number}", 5, 60)
    assert storage.reset() == 6


def test_another_storage_of_the_limits_library_can_take_its_place() -> None:
    shared, budget = MemoryStorage(), Budget("user", Rate(3, 3600), "k")
    first, second = Budgets(shared), Budgets(shared)
    assert [gate.check([budget]).violated for gate in (first, second, first, second)] == [None, None, None, budget]
    assert 1 <= first.check([budget]).retry_after_s <= 2 * 3600
    assert second.check([budget]).levels[0].reset_s == pytest.approx(first.check([budget]).retry_after_s, abs=1)


def test_what_another_gateway_takes_between_question_and_counting_is_refused() -> None:
    class Raced(BoundedMemoryStorage):
        def acquire_sliding_window_entry(self, key: str, limit: int, expiry: int, amount: int = 1) -> bool:
            return "ip" not in key and super().acquire_sliding_window_entry(key, limit, expiry, amount)

    both = [Budget("user", Rate(2, 60), "u"), Budget("ip", Rate(2, 60), "i")]
    decision = Budgets(Raced(clock=Clock())).check(both)
    assert decision.violated is both[1]
    assert decision.retry_after_s == 1


def test_a_burst_at_the_edge_of_a_window_is_not_doubled() -> None:
    clock = Clock()
    clock.now = 1019.0
    checked = budgets(clock)
    budget = Budget("user", Rate(100, 60), "k")
    first = sum(checked.check([budget]).violated is None for _ in range(200))
    clock.now = 1021.0
    second = sum(checked.check([budget]).violated is None for _ in range(200))
    assert first == 100
    assert second <= 3


def test_old_keys_go_first_and_memory_is_bounded() -> None:
    storage = BoundedMemoryStorage(10, Clock())
    checked = Budgets(storage)
    for number in range(1000):
        checked.check([Budget("user", Rate(1, 60), str(number))])
    assert storage.reset() == 10
    assert storage.check()


def test_a_key_can_be_forgotten() -> None:
    storage = BoundedMemoryStorage(clock=Clock())
    assert storage.acquire_sliding_window_entry("k", 1, 60)
    assert not storage.acquire_sliding_window_entry("k", 1, 60)
    storage.clear_sliding_window("k", 60)
    assert storage.acquire_sliding_window_entry("k", 1, 60)
    storage.clear("k")
    assert storage.acquire_sliding_window_entry("k", 1, 60)
    assert storage.base_exceptions is ValueError
    for call in (lambda: storage.incr("k", 1), lambda: storage.get("k"), lambda: storage.get_expiry("k")):
        with pytest.raises(NotImplementedError):
            call()


@pytest.mark.parametrize(
    ("cookies", "expected"),
    [
        ([], None),
        (["a=1; _app_key=x; b_session=y"], "_app_key=x"),
        (["a=1", "my_session=y"], "my_session=y"),
        (["_csrf=1; key=2; session=3"], None),
        (["_app_key="], None),
        (["x=" + "a" * 20_000 + "; my_session=y"], None),
    ],
)
def test_the_session_cookie_is_found_by_its_name(cookies: list[str], expected: str | None) -> None:
    assert session_cookie(cookies) == expected


def test_keys_of_different_kinds_never_meet_and_tell_nothing() -> None:
    same = "secret"
    keys = {
        user_key(user_id=same, authorization=same, cookies=[], address=same),
        user_key(user_id=None, authorization=same, cookies=[f"_app_key={same}"], address=same),
        user_key(user_id=None, authorization=None, cookies=[f"_app_key={same}"], address=same),
        user_key(user_id=None, authorization=None, cookies=[], address=same),
    }
    assert len(keys) == 4
    assert not any(same in key for key in keys)
    assert hashed("k", "\udcff")


@pytest.mark.parametrize(
    ("given_values", "same_as"),
    [
        ({"user_id": "7", "authorization": "a"}, {"user_id": "7"}),
        ({"authorization": "a", "cookies": ["_app_key=x"]}, {"authorization": "a"}),
        ({"cookies": ["theme=dark; _app_key=x"], "address": "::/64"}, {"cookies": ["_app_key=x; theme=light"]}),
        ({"cookies": ["theme=dark"]}, {"cookies": ["theme=light"]}),
    ],
)
def test_a_user_is_known_by_id_then_authorization_then_session_then_address(given_values, same_as) -> None:
    nobody = {"user_id": None, "authorization": None, "cookies": [], "address": "192.0.2.1"}
    assert user_key(**{**nobody, **given_values}) == user_key(**{**nobody, **same_as})


def test_a_million_cookies_cost_no_more_than_their_first_16_thousand_characters() -> None:
    assert session_cookie(["a=b;" * 1_000_000 + "my_session=x"]) is None
    assert session_cookie(["a=b"] * 3000 + ["my_session=x"]) == "my_session=x"
